"""What an ended attempt means: the table, row by row, and the properties that hold over all of it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweepkit.scheduling.outcome import Ending, failure_reason, hopeless, judge
from sweepkit.spec.runs import Decision, RunState

STOP = Decision(stop=True, reason="worse than the best third")
NAN = Decision(stop=True, reason="NaN twice", diverged=True)
GO = Decision(stop=False, reason="no band reached")


@pytest.mark.parametrize(
    ("ending", "failures", "retries", "state", "reason", "failure"),
    [
        (Ending(status=0), 0, 0, RunState.FINISHED, "exit code 0", False),
        (Ending(status=0, verdict=GO), 0, 0, RunState.FINISHED, "exit code 0", False),
        (Ending(status=0, newest=0.5), 0, 0, RunState.FINISHED, "exit code 0", False),
        (Ending(status=0, newest=math.nan), 0, 0, RunState.DIVERGED, "diverged: its newest metric value is nan", False),
        (Ending(status=1, newest=math.inf), 0, 0, RunState.FAILED, "exit code 1: no output", True),
        (Ending(status=-15, verdict=STOP), 0, 0, RunState.STOPPED, "worse than the best third", False),
        (Ending(status=0, verdict=STOP), 0, 0, RunState.STOPPED, "worse than the best third", False),
        (Ending(status=-9, verdict=NAN), 0, 3, RunState.DIVERGED, "NaN twice", False),
        (Ending(status=-15, interrupted=True), 0, 0, RunState.PENDING, "interrupted with its agent", False),
        (Ending(status=0, interrupted=True), 0, 0, RunState.PENDING, "interrupted with its agent", False),
        (Ending(status=None), 5, 0, RunState.PENDING, "its process was lost", False),
        (Ending(status=-15, timeout_s=2.5), 0, 9, RunState.FAILED, "timeout: still running after 2.5 s", True),
        (Ending(status=2), 0, 1, RunState.PENDING, "exit code 2: no output; retry 1 of 1", True),
        (Ending(status=2), 1, 1, RunState.FAILED, "exit code 2: no output", True),
        (Ending(status=-11), 0, 0, RunState.FAILED, "killed by SIGSEGV", True),
        (
            Ending(status=-9, log_tail="Out of memory"),
            0,
            0,
            RunState.FAILED,
            "killed by SIGKILL (out of memory?)",
            True,
        ),
    ],
)
def test_the_table(ending, failures, retries, state, reason, failure):
    outcome = judge(ending, failures=failures, retries=retries)
    assert (outcome.state, outcome.reason, outcome.failure) == (state, reason, failure)


@given(
    st.builds(
        Ending,
        status=st.none() | st.integers(-64, 255),
        verdict=st.sampled_from([None, STOP, NAN, GO]),
        interrupted=st.booleans(),
        timeout_s=st.none() | st.floats(0.1, 1e6),
        log_tail=st.text(),
    ),
    st.integers(0, 10),
    st.integers(0, 10),
)
def test_a_run_never_runs_for_ever_and_always_has_a_reason(ending, failures, retries):
    outcome = judge(ending, failures=failures, retries=retries)
    assert outcome.reason
    assert outcome.state is not RunState.RUNNING
    if outcome.failure and outcome.state is RunState.PENDING:
        assert failures < retries
    if outcome.state in (RunState.FINISHED, RunState.STOPPED, RunState.DIVERGED):
        assert not outcome.failure


@pytest.mark.parametrize(
    ("log", "line"),
    [
        ("", "exit code 1: no output"),
        (
            "usage: x\nx: error: unrecognized arguments: --lr=1\n",
            "exit code 1: x: error: unrecognized arguments: --lr=1",
        ),
        (
            "Traceback (most recent call last):\n  File 'a'\n    f()\nValueError: 한국어\nmore\n",
            "ValueError: 한국어 (exit code 1)",
        ),
        (
            "Traceback (most recent call last):\n  a\nKeyError: 1\n\nDuring handling of the above exception, another "
            "exception occurred:\n\nTraceback (most recent call last):\n  b\ntorch.OutOfMemoryError: no\n",
            "torch.OutOfMemoryError: no (exit code 1)",
        ),
        ("Traceback (most recent call last):\n  File 'a'", "exit code 1:   File 'a'"),
    ],
)
def test_a_failure_is_one_line(log, line):
    assert failure_reason(1, log) == line


def test_a_sweep_is_given_up_only_when_nothing_ever_worked():
    failed, finished = RunState.FAILED, RunState.FINISHED
    assert not hopeless([failed] * 4, limit=5)
    assert hopeless([failed] * 5, limit=5)
    assert not hopeless([failed] * 9 + [finished], limit=5)
    assert not hopeless([failed] * 9, limit=0)
