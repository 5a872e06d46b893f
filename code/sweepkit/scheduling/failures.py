"""What went wrong with an attempt: from its exit status and the end of its log to a class and a reason. Pure.

| class | recognized by |
|---|---|
| diverged | the program's own FloatingPointError, or its saying that the loss is NaN or infinite |
| out of memory | torch.OutOfMemoryError, CUDA's and the CPU allocator's messages, MemoryError |
| disk full | errno 28 and 122 |
| lost GPU | CUDA's errors that no program causes: ECC, a GPU off the bus, unavailable, absent |
| killed | a signal that the agent did not send, an end that nobody saw, or that of W&B's own process, wandb-core |
| crowded out | out of memory of a run that had others beside it on its GPU |
| preempted | `mark_preempting()` of its W&B run, before it ended as one of killed, out of memory, program error |
| program error | everything else, a KeyboardInterrupt that the program itself raises too |

Only the exception at the end of the log counts: a program may have answered an earlier one.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

_SIGNAL_NAMES = {
    1: "SIGHUP",
    2: "SIGINT",
    4: "SIGILL",
    6: "SIGABRT",
    7: "SIGBUS",
    8: "SIGFPE",
    9: "SIGKILL",
    11: "SIGSEGV",
    13: "SIGPIPE",
    15: "SIGTERM",
}
# A program's own faults reach it as signals, too: these count as its errors.
_OWN_SIGNALS = frozenset({4, 6, 7, 8, 11, 13})
# What W&B's client raises, in its own code, when its process is gone: the kernel chose that one for want of memory.
_WANDB_FRAME = re.compile(r'File ".*[/\\]wandb[/\\]sdk[/\\]')
_WANDB_GONE = re.compile(
    r"^([\w.]*\.)?(ConnectionResetError|BrokenPipeError|IncompleteReadError|HandleAbandonedError|MailboxClosedError"
    r"|WandbServiceConnectionError)\b|^[\w.]*ServicePollForTokenError: wandb-core exited with code -\d"  # as it started
)
_TRACEBACK = "Traceback (most recent call last)"
_GROUP_TRACEBACK = "  + Exception Group Traceback"
_GROUP_MARGIN = re.compile(r"^\s+[|+] (?=\S| )")
# Above a traceback that ends nothing: what a destructor, an exit handler or a log handler raised, and Python only says.
_ASIDE = ("Exception ignored in", "--- Logging error ---")
_CHAINED = ("During handling of the above exception", "The above exception was the direct cause")
_LAST_LINES = 5
_RAISES = re.compile(r"(?:^|[\s:;])raise\b|\braise_signal\(|\bkill\((os\.)?getpid\(\)|\binterrupt_main\(")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# What W&B's client says at the end of a run, after the program's own last words and perhaps on their line; "[rank0]: "
# is torchrun's. Of it only an error can be why a program failed.
_WANDB_LINE = re.compile(
    r"(^(\[[^\]]*\]:?)?\s*|(?=wandb: .{0,3}(Find logs at|View run|You can sync|Synced ))) *wandb:.*$"
)
_WANDB_ERROR = re.compile(r"\bwandb: +(ERROR|CRITICAL)\b")


class FailureKind(StrEnum):
    """The classes of failures."""

    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out of memory"
    DISK_FULL = "disk full"
    LOST_GPU = "lost GPU"
    KILLED = "killed"
    PREEMPTED = "preempted"
    CROWDED_OUT = "crowded out"
    TIMEOUT = "timeout"
    PROGRAM = "program error"


_PATTERNS: tuple[tuple[FailureKind, re.Pattern[str]], ...] = (
    (FailureKind.DISK_FULL, re.compile(r"\[Errno (28|122)\]|No space left on device|Disk quota exceeded")),
    (
        FailureKind.OUT_OF_MEMORY,
        re.compile(
            r"OutOfMemoryError|CUDA out of memory|CUBLAS_STATUS_ALLOC_FAILED|can't allocate memory|\bMemoryError\b"
            r"|Cannot allocate memory|cudaErrorMemoryAllocation|out of memory",
            re.IGNORECASE,
        ),
    ),
    (
        FailureKind.LOST_GPU,
        re.compile(
            r"uncorrectable ECC|fallen off the bus|GPU is lost|no CUDA-capable device|device\(s\) is/are busy"
            r"|devices are busy or unavailable|hardware stack error|CUDA driver initialization failed"
            r"|CUDA_ERROR_(ECC_UNCORRECTABLE|DEVICE_UNAVAILABLE|NO_DEVICE|SYSTEM_NOT_READY|HARDWARE_STACK_ERROR)"
            r"|Unable to determine the device handle",
        ),
    ),
    (
        FailureKind.DIVERGED,
        re.compile(r"^FloatingPointError|\bloss (is|became|was) (not finite|nan|inf)", re.IGNORECASE),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What went wrong.

    Args:
        kind: Its class.
        reason: One line in words, with the exception if there was one.
        signature: Equal for two failures that are alike: the exception, where it was raised, its text without numbers.
    """

    kind: FailureKind
    reason: str
    signature: str


def classify(status: int | None, log_tail: str) -> Failure:
    r"""Return what went wrong with an attempt that ended badly.

    Args:
        status: Exit code above 0, minus the signal's number, or None when nobody saw it end.
        log_tail: The last lines of its log.

    >>> classify(1, "Traceback (most recent call last):\n  File \"t.py\", line 3\nMemoryError\n").kind
    <FailureKind.OUT_OF_MEMORY: 'out of memory'>
    >>> classify(-9, "").reason
    'killed by SIGKILL'
    """
    if status is None:
        return Failure(kind=FailureKind.KILLED, reason="its process was lost", signature="lost")
    error, place = last_exception(log_tail)
    reason = failure_reason(status, log_tail)
    if status > 0 and _WANDB_GONE.match(error) and _WANDB_FRAME.search(_last_traceback(log_tail)):
        reason = f"W&B's own process (wandb-core) was killed (out of memory?); {reason}"
        return Failure(kind=FailureKind.KILLED, reason=reason, signature="wandb-core")
    lines = [line.strip() for line in _last_words(log_tail)]
    if status in (-2, 130) and _raised_interrupt(log_tail):
        # Python ends itself by SIGINT then, whether the program raised it or somebody else sent the signal.
        reason = f"{error[:300]}, raised by the program itself"
        return Failure(kind=FailureKind.PROGRAM, reason=reason, signature=f"KeyboardInterrupt {place}")
    if status < 0:
        kind = FailureKind.PROGRAM if -status in _OWN_SIGNALS else FailureKind.KILLED
        return Failure(kind=kind, reason=reason, signature=f"signal {-status}")
    shown = [error] if error else lines[-_LAST_LINES:]
    kind = next(
        (kind for kind, pattern in _PATTERNS if any(pattern.search(line) for line in shown)), FailureKind.PROGRAM
    )
    words = error or (lines[-1] if lines else "")
    return Failure(kind=kind, reason=reason, signature=f"{status} {place} {_without_numbers(words)}")


def last_exception(log_tail: str) -> tuple[str, str]:
    """Return the exception line of the log's last traceback and the innermost frame, "" and "" without one."""
    written = _lines(log_tail)
    start = _last_start(written)
    lines = [_GROUP_MARGIN.sub("", line) for line in written]
    if start is None:
        return "", ""
    frames = lines[start + 1 :]
    end = next((at for at, line in enumerate(frames) if line.strip() and not line.startswith((" ", "\t"))), None)
    if end is None:
        return "", ""
    places = [line.strip() for line in frames[:end] if line.lstrip().startswith("File ")]
    error, words = frames[end], ""
    if error.endswith(": "):  # its message begins with an empty line
        words = next((line.strip() for line in frames[end + 1 :] if line.strip()), "")
    return error + words, places[-1] if places else ""


def _last_start(lines: list[str]) -> int | None:
    """Return where the last traceback begins; one that Python only says counts where there is no other."""
    starts: dict[bool, int] = {}  # whether it is only said: the last one
    said = heading = False
    before = ""
    for at, line in enumerate(lines):
        # The exceptions of a group have tracebacks of their own, further in: what was raised is the group.
        if line.startswith((_TRACEBACK, _GROUP_TRACEBACK)):
            if not before.startswith(_CHAINED):
                said, heading = heading, False
            starts[said] = at
        elif line.startswith(_ASIDE):
            heading = True
        before = line if line.strip() else before
    return starts.get(False, starts.get(True))


def _raised_interrupt(log_tail: str) -> bool:
    """Return whether the log ends with a KeyboardInterrupt that a line of the program raises."""
    if not last_exception(log_tail)[0].startswith("KeyboardInterrupt"):
        return False
    lines = [line.strip() for line in _lines(log_tail)]
    end = max(at for at, line in enumerate(lines) if line.startswith("KeyboardInterrupt"))
    sources = [line for line in lines[:end] if line.strip("^~ ")]  # below a source line Python marks the part meant
    return bool(sources) and _RAISES.search(sources[-1]) is not None


def _last_traceback(log_tail: str) -> str:
    """Return the log from its last traceback on, as far as the next one that Python only says; "" without one."""
    lines = _lines(log_tail)
    start = _last_start(lines)
    if start is None:
        return ""
    rest = lines[start + 1 :]
    end = next((at for at, line in enumerate(rest) if line.startswith(_ASIDE)), None)
    return "\n".join(rest[:end])


def _lines(log_tail: str) -> list[str]:
    """Return the lines of a log without colours; U+2028 and the like, which a message may hold, end none."""
    return [line.rstrip("\r") for line in _COLOUR.sub("", log_tail).split("\n")]


def _without_numbers(text: str) -> str:
    """Return a message without what differs between two alike failures: numbers, addresses."""
    return re.sub(r"0x[0-9a-f]+|\d+(\.\d+)?", "#", text)[:300]


def _last_words(log_tail: str) -> list[str]:
    """Return the lines of a log without colours and without W&B's own; its errors when there are no others."""
    lines = _lines(log_tail)
    own = [line for line in (_WANDB_LINE.sub("", line).rstrip() for line in lines) if line.strip()]
    return own or [line for line in lines if _WANDB_ERROR.search(line)]


def failure_reason(status: int, log_tail: str) -> str:
    r"""Return one line that says why a process failed: its exception if the log shows one.

    >>> failure_reason(1, "Traceback (most recent call last):\n  File ...\nValueError: no such file\n")
    'ValueError: no such file (exit code 1)'
    >>> failure_reason(-9, "")
    'killed by SIGKILL'
    """
    if status < 0:
        how = f"killed by {_SIGNAL_NAMES.get(-status, f'signal {-status}')}"
        return f"{how} (out of memory?)" if status == -9 and "memory" in log_tail.lower() else how
    error, _ = last_exception(log_tail)
    if error:
        return f"{error[:300]} (exit code {status})"
    lines = _last_words(log_tail)
    last = lines[-1][:300] if lines else "no output"
    return f"exit code {status}: {last}"
