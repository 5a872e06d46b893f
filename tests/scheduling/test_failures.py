"""From the end of a log to a class of failure."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweepkit.agents.results import log_tail
from sweepkit.scheduling.failures import FailureKind, classify, last_exception


def traceback(error, frame='File "train.py", line 12, in step'):
    return f"epoch 3\nTraceback (most recent call last):\n  {frame}\n    loss.backward()\n{error}\n"


@pytest.mark.parametrize(
    ("status", "log", "kind"),
    [
        (1, traceback("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."), "out of memory"),
        (1, traceback("RuntimeError: CUDA error: out of memory"), "out of memory"),
        (
            1,
            traceback("RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"),
            "out of memory",
        ),
        (
            1,
            traceback("RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory: you"),
            "out of memory",
        ),
        (1, traceback("MemoryError"), "out of memory"),
        (1, traceback("numpy._core._exceptions._ArrayMemoryError: Unable to allocate 9 TiB"), "program error"),
        (1, traceback("OSError: [Errno 28] No space left on device: '/x'"), "disk full"),
        (1, traceback("OSError: [Errno 122] Disk quota exceeded"), "disk full"),
        (1, "cp: error writing 'x': No space left on device\n", "disk full"),
        (1, traceback("torch.AcceleratorError: CUDA error: uncorrectable ECC error encountered"), "lost GPU"),
        (1, traceback("RuntimeError: CUDA error: all CUDA-capable devices are busy or unavailable"), "lost GPU"),
        (1, traceback("RuntimeError: No CUDA GPUs are available"), "program error"),
        (1, traceback("RuntimeError: CUDA error: device-side assert triggered"), "program error"),
        (1, traceback("torch.AcceleratorError: CUDA error: an illegal memory access was encountered"), "program error"),
        (1, traceback("FloatingPointError: loss is nan"), "diverged"),
        (1, traceback("ValueError: Loss is NaN at step 7"), "diverged"),
        (3, "", "program error"),
        (-9, "", "killed"),
        (-15, traceback("MemoryError"), "killed"),
        (-1, "", "killed"),
        (-11, "", "program error"),
        (-6, "terminate called after throwing\n", "program error"),
        (None, "", "killed"),
        (
            1,
            traceback(
                "ConnectionResetError: Connection lost",
                'File "/venv/site-packages/wandb/sdk/lib/service/service_client.py", line 92, in _drain_writer',
            ),
            "killed",
        ),
        *(
            (
                1,
                traceback(
                    f"wandb.sdk.lib.x.ServicePollForTokenError: wandb-core exited with code {code}",
                    'File "/x/wandb/sdk/lib/service/service_port_file.py", line 54, in poll_for_token',
                ),
                kind,
            )
            for code, kind in ((-9, "killed"), (2, "program error"))
        ),
        (1, traceback("ConnectionResetError: [Errno 104] Connection reset by peer"), "program error"),
        (
            1,
            traceback(
                "wandb.errors.CommError: no such project",
                'File "/venv/site-packages/wandb/sdk/wandb_init.py", line 9, in init',
            ),
            "program error",
        ),
    ],
)
def test_the_classes(status, log, kind):
    assert classify(status, log).kind.value == kind


def test_a_message_that_begins_with_an_empty_line_says_its_first_words():
    assert classify(1, traceback("ValueError: \n\nno layer\nmore")).reason == "ValueError: no layer (exit code 1)"
    assert classify(1, traceback("ValueError: ")).reason == "ValueError:  (exit code 1)"


def test_an_error_that_the_program_answered_does_not_count():
    answered = traceback("torch.OutOfMemoryError: CUDA out of memory.") + "going on with half the batch\n"
    assert classify(1, answered + traceback("KeyError: 1")).kind is FailureKind.PROGRAM


def test_alike_means_the_same_error_at_the_same_place():
    first = classify(1, traceback("ValueError: step 17 of 0x7f3a: 0.25"))
    assert first.signature == classify(1, traceback("ValueError: step 18 of 0x81bc: 1e-7")).signature.replace(
        "#e-#", "#"
    )
    elsewhere = traceback("ValueError: step 17 of 0x7f3a: 0.25", frame='File "train.py", line 13, in step')
    assert first.signature != classify(1, elsewhere).signature
    assert first.signature != classify(2, traceback("ValueError: step 17 of 0x7f3a: 0.25")).signature


def test_the_last_exception_and_its_innermost_frame():
    frames = '  File "a.py", line 1\n  File "b.py", line 2, in g\n    x()\n'
    log = f"Traceback (most recent call last):\n{frames}KeyError: 한\n"
    assert last_exception(log) == ("KeyError: 한", 'File "b.py", line 2, in g')
    assert last_exception("no traceback") == ("", "")
    assert last_exception("Traceback (most recent call last):\n  cut off") == ("", "")


WANDB_LAST_WORDS = (
    "\x1b[1;34mwandb\x1b[0m: Run summary:\n\x1b[1;34mwandb\x1b[0m: Find logs at: wandb/offline-run-20260101_000000-{}\n"
)


def test_what_wandb_says_at_the_end_is_not_why_the_program_failed():
    first = classify(3, "no \x1b[31mdata\x1b[0m\n" + WANDB_LAST_WORDS.format("abc"))
    assert first.reason == "exit code 3: no data"
    assert first.signature == classify(3, "no data\n" + WANDB_LAST_WORDS.format("xyz")).signature
    for line in (WANDB_LAST_WORDS, "[rank0]: wandb: Find logs at: {}\n", "wandb: 🚀 View run at {}\n"):
        assert classify(3, line.format("abc")).reason == "exit code 3: no output"  # it said nothing itself
    assert classify(3, "no data wandb: Find logs at: x").reason == "exit code 3: no data"
    refused = "wandb: ERROR api_key not configured (no-tty)\n" + WANDB_LAST_WORDS.format("abc")
    assert classify(3, refused).reason == "exit code 3: wandb: ERROR api_key not configured (no-tty)"
    coloured = traceback("KeyError: 1").replace("KeyError", "\x1b[1;35mKeyError\x1b[0m")
    assert classify(1, coloured).reason == "KeyError: 1 (exit code 1)"


@given(st.none() | st.integers(-64, 255).filter(bool), st.text())
def test_whatever_a_log_holds_there_is_one_line_of_reason(status, log):
    failure = classify(status, log)
    assert failure.reason
    assert "\n" not in failure.reason
    assert failure.signature


INTERRUPTED = """\
epoch 1
Traceback (most recent call last):
  File "/p/train.py", line 3, in <module>
    main()
  File "/p/train.py", line 2, in main
    {source}
{mark}KeyboardInterrupt{words}
wandb: Find logs at: x
"""


@pytest.mark.parametrize(
    ("source", "mark", "words", "kind"),
    [
        ("raise KeyboardInterrupt", "", "", FailureKind.PROGRAM),
        ('raise KeyboardInterrupt("no more")', "    ^^^^^^^^^^^^^\n", ": no more", FailureKind.PROGRAM),
        ("signal.raise_signal(signal.SIGINT)", "    ^^^^^^\n", "", FailureKind.PROGRAM),
        ("os.kill(os.getpid(), 2)", "", "", FailureKind.PROGRAM),
        ("if bad: raise KeyboardInterrupt", "", "", FailureKind.PROGRAM),
        ("self.praise(x)", "", "", FailureKind.KILLED),
        ("loss.backward()", "", "", FailureKind.KILLED),
        ("time.sleep(10)", "    ~~~~~^^^^\n", "", FailureKind.KILLED),
    ],
)
def test_an_interrupt_that_the_program_raises_is_its_error_and_one_from_outside_is_not(source, mark, words, kind):
    failed = classify(-2, INTERRUPTED.format(source=source, mark=mark, words=words))
    assert failed.kind is kind
    if kind is FailureKind.PROGRAM:
        assert failed == classify(130, INTERRUPTED.format(source=source, mark=mark, words=words))
        assert failed.reason.startswith(f"KeyboardInterrupt{words}")
    else:
        assert "SIGINT" in failed.reason


RAISED = {
    "a group": ("raise ExceptionGroup('many', [ValueError('x'), TypeError('y')])", "ExceptionGroup: many"),
    "a group with a cause": (
        "try: 1 / 0\nexcept ArithmeticError as error: raise ExceptionGroup('many', [ValueError('x')]) from error",
        "ExceptionGroup: many",
    ),
    "after a group": (
        "import traceback\ntry: raise ExceptionGroup('many', [ValueError('x')])\n"
        "except Exception: traceback.print_exc()\nraise KeyError('y')",
        "KeyError: 'y'",
    ),
    "many lines": ("raise ValueError('\\n'.join(f'line {number}' for number in range(3000)))", "ValueError: line 0"),
    "other line ends": ("raise ValueError('one\\u2028two\\x85three')", "ValueError: one\u2028two\x85three"),
}


@pytest.mark.parametrize("how", list(RAISED))
def test_the_reason_is_the_class_and_the_first_line_of_what_was_raised(tmp_path, how):
    program, reason = RAISED[how]
    with (tmp_path / "log").open("wb") as log:
        subprocess.run([sys.executable, "-X", "utf8", "-c", program], stderr=log)
    assert classify(1, log_tail(tmp_path / "log")).reason.startswith(reason)


GONE = traceback("ConnectionResetError: Connection lost", 'File "/x/wandb/sdk/lib/service/service_client.py", line 92')
CHAINED = "\nDuring handling of the above exception, another exception occurred:\n\n"
CLOSED = traceback("ValueError: I/O operation on closed file.", 'File "/x/logging/__init__.py", line 1113, in emit')


@pytest.mark.parametrize(
    "said",
    [
        "Exception ignored in atexit callback: <function teardown_atexit at 0x7f>\n" + CLOSED,
        "Exception ignored in: <function Run.__del__ at 0x7f>\n" + CLOSED + "Exception ignored in: <file>\n" + CLOSED,
        "--- Logging error ---\n"
        + GONE
        + CHAINED
        + CLOSED.removeprefix("epoch 3\n")
        + "Call stack:\nMessage: 'lost'\nArguments: ()\n",
    ],
)
def test_what_python_only_says_after_the_exception_is_not_why_a_program_failed(said):
    assert classify(1, GONE + said) == classify(1, GONE)
    assert classify(1, traceback("MemoryError") + said) == classify(1, traceback("MemoryError"))
    chained = traceback("KeyError: 'lr'") + CHAINED + traceback("MemoryError").removeprefix("epoch 3\n")
    assert classify(1, said + chained + said) == classify(1, chained)


def test_what_python_only_says_is_why_a_program_failed_where_nothing_else_is_known():
    full = traceback("OSError: [Errno 28] No space left on device")
    assert classify(120, "Exception ignored in: <stdout>\n" + full).kind is FailureKind.DISK_FULL
