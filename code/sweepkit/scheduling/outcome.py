"""What an ended attempt means for its run: a table from how it ended to what happens next. Pure.

| how it ended | the run becomes | counts against the retries |
|---|---|---|
| a stopping rule ended it | STOPPED, or DIVERGED | no |
| the agent ended it (Ctrl-C twice, SIGTERM) | PENDING | no |
| exit code 0, but its newest metric value is NaN or infinite | DIVERGED | no |
| exit code 0 | FINISHED | no |
| its fork server died, its lease was lost | PENDING | no |
| timeout | FAILED | yes, but is not tried again: it would last as long again |
| any other exit code or signal | PENDING while retries are left, else FAILED | yes |
"""

import math
from dataclasses import dataclass

from sweepkit.spec.runs import Decision, RunState

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an attempt ended.

    Args:
        status: Exit code >= 0, minus the signal's number, or None when nobody saw it end.
        verdict: The stopping rule's decision that ended it, if one did.
        interrupted: The agent was asked to end, and ended it.
        timeout_s: The time limit that it passed, in seconds, or None.
        newest: The newest value of the metric, or None.
        log_tail: The last lines of its log.
    """

    status: int | None
    verdict: Decision | None = None
    interrupted: bool = False
    timeout_s: float | None = None
    newest: float | None = None
    log_tail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What happens next.

    Args:
        state: The run's new state; PENDING means another attempt.
        reason: Why, in words.
        failure: Count the attempt against the retries.
    """

    state: RunState
    reason: str
    failure: bool = False


def judge(ending: Ending, *, failures: int, retries: int) -> Outcome:
    """Decide what an ended attempt means.

    Args:
        ending: How it ended.
        failures: Attempts of the run that failed before this one.
        retries: Further attempts that a failed run gets.

    Returns:
        The outcome; see the table of this module.
    """
    if ending.verdict is not None and ending.verdict.stop:
        state = RunState.DIVERGED if ending.verdict.diverged else RunState.STOPPED
        return Outcome(state=state, reason=ending.verdict.reason)
    if ending.timeout_s is not None:
        return Outcome(
            state=RunState.FAILED, reason=f"timeout: still running after {ending.timeout_s:g} s", failure=True
        )
    if ending.interrupted:
        # Even with exit code 0: a program that ends politely on SIGTERM has not done its work.
        return Outcome(state=RunState.PENDING, reason="interrupted with its agent")
    if ending.status == 0 and ending.newest is not None and not math.isfinite(ending.newest):
        return Outcome(state=RunState.DIVERGED, reason=f"diverged: its newest metric value is {ending.newest}")
    if ending.status == 0:
        return Outcome(state=RunState.FINISHED, reason="exit code 0")
    if ending.status is None:
        return Outcome(state=RunState.PENDING, reason="its process was lost")
    reason = failure_reason(ending.status, ending.log_tail)
    if failures < retries:
        return Outcome(state=RunState.PENDING, reason=f"{reason}; retry {failures + 1} of {retries}", failure=True)
    return Outcome(state=RunState.FAILED, reason=reason, failure=True)


def failure_reason(status: int, log_tail: str) -> str:
    r"""Return one line that tells why a process failed: its exception if the log shows one.

    >>> failure_reason(1, "Traceback (most recent call last):\n  File ...\nValueError: no such file\n")
    'ValueError: no such file (exit code 1)'
    >>> failure_reason(-9, "")
    'killed by SIGKILL'
    """
    if status < 0:
        how = f"killed by {_SIGNAL_NAMES.get(-status, f'signal {-status}')}"
        return f"{how} (out of memory?)" if status == -9 and "memory" in log_tail.lower() else how
    lines = [line for line in log_tail.splitlines() if line.strip()]
    for position in range(len(lines) - 1, -1, -1):
        if lines[position].startswith("Traceback (most recent call last)"):
            frames = lines[position + 1 :]
            error = next((line for line in frames if not line.startswith((" ", "\t"))), "")
            if error:
                return f"{error[:300]} (exit code {status})"
    last = lines[-1][:300] if lines else "no output"
    return f"exit code {status}: {last}"


def hopeless(ended: list[RunState], *, limit: int) -> bool:
    """Return whether a sweep should end because nothing works: the first `limit` ended runs all failed.

    W&B's agent has the same guard (WANDB_AGENT_MAX_INITIAL_FAILURES, 5 there too). `limit` 0 disables it.
    """
    return limit > 0 and len(ended) >= limit and all(state is RunState.FAILED for state in ended)
