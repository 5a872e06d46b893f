"""What an ended attempt means: the table, row by row, and the properties that hold over all of it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from snapshots import words_of

from sweepkit.model.runs import Decision, RunState
from sweepkit.scheduling.failures import FailureKind, classify
from sweepkit.scheduling.outcome import PREEMPTIONS, Ending, PastFailure, failure_reason, hopeless, judge, misnamed
from sweepkit.sweep_config.sweep import FailureAction, FailureRule

WORDS = words_of(__file__)

STOP = Decision(stop=True, reason="worse than the best third")
NAN = Decision(stop=True, reason="NaN twice", diverged=True)
GO = Decision(stop=False, reason="no band reached")


OOM = 'Traceback (most recent call last):\n  File "t.py", line 3, in f\ntorch.OutOfMemoryError: CUDA out of memory.\n'
ECC = (
    "Traceback (most recent call last):\n  x\ntorch.AcceleratorError: CUDA error: uncorrectable ECC error encountered\n"
)
FULL = "Traceback (most recent call last):\n  x\nOSError: [Errno 28] No space left on device: 'a'\n"
BUG = 'Traceback (most recent call last):\n  File "t.py", line 3, in f\nValueError: 3 is not 4\n'
BUG_AGAIN = BUG.replace("3 is", "5 is")
OTHER_BUG = BUG.replace("ValueError", "KeyError")


def past(*endings):
    """Return earlier failures as the record keeps them: (status, log) each."""
    failures = [classify(status, log) for status, log in endings]
    return [PastFailure(kind=failure.kind.value, signature=failure.signature) for failure in failures]


@pytest.mark.parametrize(
    ("ending", "state", "reason", "failure"),
    [
        (Ending(status=0), RunState.FINISHED, "exit code 0", False),
        (Ending(status=0, verdict=GO), RunState.FINISHED, "exit code 0", False),
        (Ending(status=0, newest=0.5), RunState.FINISHED, "exit code 0", False),
        (Ending(status=0, newest=math.nan), RunState.DIVERGED, "diverged: its newest metric value is nan", False),
        (Ending(status=1, newest=math.inf), RunState.FAILED, "exit code 1: no output", True),
        (Ending(status=-15, verdict=STOP), RunState.STOPPED, "worse than the best third", False),
        (Ending(status=0, verdict=STOP), RunState.STOPPED, "worse than the best third", False),
        (Ending(status=-9, verdict=NAN), RunState.DIVERGED, "NaN twice", False),
        (Ending(status=-15, interrupted=True), RunState.PENDING, "interrupted with its agent", False),
        (Ending(status=0, interrupted=True), RunState.PENDING, "interrupted with its agent", False),
        (Ending(status=-15, timeout_s=2.5), RunState.FAILED, "timeout: still running after 2.5 s", True),
        (Ending(status=-11), RunState.FAILED, "killed by SIGSEGV", True),
        (Ending(status=None), RunState.PENDING, "its process was lost; retry 1 of 3", False),
        (Ending(status=-9), RunState.PENDING, "killed by SIGKILL; retry 1 of 3", False),
        (Ending(status=1, log_tail="FloatingPointError: NaN"), RunState.DIVERGED, "exit code 1: Floating", False),
        (Ending(status=0, run_status=0), RunState.FINISHED, "exit code 0", False),
        (Ending(status=0, run_status=3), RunState.FAILED, "its W&B run was finished with exit code 3", True),
        (
            Ending(status=0, run_status=1, log_tail=BUG),
            RunState.FAILED,
            "its W&B run was finished with exit code 1: V",
            True,
        ),
        (Ending(status=0, run_status=3, verdict=STOP), RunState.STOPPED, "worse than the best third", False),
        (Ending(status=0, preempting=True), RunState.FINISHED, "exit code 0", False),
        (
            Ending(status=1, preempting=True),
            RunState.PENDING,
            "preempted: exit code 1: no output; retry 1 of 20",
            False,
        ),
        (Ending(status=-15, preempting=True), RunState.PENDING, "preempted: killed by SIGTERM; retry 1 of 20", False),
        (Ending(status=1, preempting=True, log_tail="FloatingPointError: x"), RunState.DIVERGED, "exit code 1", False),
        (Ending(status=1, log_tail=OOM), RunState.FAILED, "torch.OutOfMemoryError: CUDA out of memory. (exit", True),
    ],
)
def test_the_table(ending, state, reason, failure):
    outcome = judge(ending)
    assert (outcome.state, outcome.failure) == (state, failure)
    assert outcome.reason.startswith(reason)


@pytest.mark.parametrize(
    ("log", "earlier", "retries", "state", "said"),
    [
        (BUG, [], 0, RunState.FAILED, "ValueError: 3 is not 4 (exit code 1)"),
        (BUG, [], 1, RunState.PENDING, "retry 1 of 1"),
        (BUG, [(1, OTHER_BUG)], 2, RunState.PENDING, "retry 2 of 2"),
        (BUG, [(1, BUG)], 1, RunState.FAILED, "ValueError: 3 is not 4 (exit code 1)"),
        (BUG_AGAIN, [(1, BUG)], 5, RunState.FAILED, "the same error twice, not tried again"),
        (BUG, [(1, BUG), (1, OTHER_BUG)], 5, RunState.PENDING, "retry 3 of 5"),
        (BUG, [(-9, ""), (-9, "")], 1, RunState.PENDING, "retry 1 of 1"),
    ],
)
def test_a_program_error_is_tried_again_but_not_when_it_is_the_same_one(log, earlier, retries, state, said):
    outcome = judge(Ending(status=1, log_tail=log), past=past(*earlier), retries=retries)
    assert outcome.state is state
    assert said in outcome.reason
    assert not outcome.quarantine and not outcome.pause_sweep and not outcome.elsewhere


def test_out_of_memory_is_tried_once_on_a_slot_that_may_have_more():
    first = judge(Ending(status=1, log_tail=OOM, elsewhere=True))
    assert (first.state, first.elsewhere, first.pause_s) == (RunState.PENDING, True, 2.0)
    again = judge(Ending(status=1, log_tail=OOM, elsewhere=True), past=past((1, OOM)), retries=5)
    assert again.state is RunState.FAILED


def test_no_memory_beside_others_is_the_packings_fault_and_never_judged():
    rule = FailureRule(match="out of memory", action=FailureAction.FAIL)
    crowded = Ending(status=1, log_tail=OOM, beside=True)
    outcome = judge(crowded, rules=[rule])
    assert (outcome.state, outcome.failure, outcome.pause_s) == (RunState.PENDING, False, 0.0)
    assert outcome.failed.kind is FailureKind.CROWDED_OUT
    # What it does alone is judged as if that had not been.
    earlier = [PastFailure(kind=outcome.failed.kind.value, signature=outcome.failed.signature)]
    alone = Ending(status=1, log_tail=OOM, elsewhere=True)
    assert judge(alone, past=earlier) == judge(alone)
    assert judge(Ending(status=1, log_tail="ValueError: no", beside=True)).state is RunState.FAILED


def test_a_lost_gpu_takes_its_slot_out_and_the_run_elsewhere():
    outcome = judge(Ending(status=1, log_tail=ECC))
    assert (outcome.state, outcome.quarantine, outcome.elsewhere, outcome.failure) == (
        RunState.PENDING,
        True,
        True,
        False,
    )
    assert judge(Ending(status=1, log_tail=ECC), past=past(*[(1, ECC)] * 3)).state is RunState.FAILED


def test_a_full_disk_pauses_the_sweep_and_the_run_is_kept():
    outcome = judge(Ending(status=1, log_tail=FULL))
    assert (outcome.state, outcome.pause_sweep, outcome.failure) == (RunState.PENDING, True, False)
    assert "No space left" in outcome.reason


def test_killed_from_outside_pauses_longer_each_time_and_ends():
    outcomes = [judge(Ending(status=-9), past=past(*[(-9, "")] * before)) for before in range(4)]
    assert [outcome.state for outcome in outcomes] == [RunState.PENDING] * 3 + [RunState.FAILED]
    assert [outcome.pause_s for outcome in outcomes] == [0, 4, 8, 0]
    assert outcomes[3].reason == "killed by SIGKILL; 4 times"


@pytest.mark.parametrize(
    ("action", "state", "flags"),
    [
        (FailureAction.FAIL, RunState.FAILED, set()),
        (FailureAction.RETRY, RunState.PENDING, set()),
        (FailureAction.ELSEWHERE, RunState.PENDING, {"elsewhere"}),
        (FailureAction.QUARANTINE, RunState.PENDING, {"elsewhere", "quarantine"}),
        (FailureAction.PAUSE_SWEEP, RunState.PENDING, {"pause_sweep"}),
        (FailureAction.DIVERGED, RunState.DIVERGED, set()),
    ],
)
def test_a_rule_of_the_sweep_goes_before_the_table(action, state, flags):
    rules = [
        FailureRule(match="no such thing", action=FailureAction.FAIL),
        FailureRule(match="^Valu.*4", action=action),
    ]
    outcome = judge(Ending(status=1, log_tail=BUG), rules=rules)
    assert outcome.state is state
    assert {name for name in ("elsewhere", "quarantine", "pause_sweep") if getattr(outcome, name)} == flags


def test_a_rule_gives_a_run_so_many_further_attempts():
    rule = FailureRule(match="ValueError", action=FailureAction.RETRY, times=2)
    kept = PastFailure(kind="program error", signature="rule ValueError")
    states = [judge(Ending(status=1, log_tail=BUG), past=[kept] * before, rules=[rule]).state for before in range(3)]
    assert states == [RunState.PENDING, RunState.PENDING, RunState.FAILED]


ENDINGS = st.builds(
    Ending,
    status=st.none() | st.integers(-64, 255),
    verdict=st.sampled_from([None, STOP, NAN, GO]),
    interrupted=st.booleans(),
    timeout_s=st.none() | st.floats(0.1, 1e6),
    newest=st.none() | st.floats(),
    log_tail=st.sampled_from(["", OOM, ECC, FULL, BUG, OTHER_BUG]) | st.text(),
    elsewhere=st.booleans(),
)
RULES = st.lists(
    st.builds(FailureRule, match=st.sampled_from(["Error", "^$", "x"]), action=st.sampled_from(FailureAction)),
    max_size=2,
)


@given(ENDINGS, st.integers(0, 4), RULES)
def test_every_ending_has_a_reason_and_what_works_is_no_failure(ending, retries, rules):
    outcome = judge(ending, retries=retries, rules=rules)
    assert outcome.reason
    assert outcome.state is not RunState.RUNNING
    if outcome.state in (RunState.FINISHED, RunState.STOPPED):
        assert not outcome.failure and outcome.failed is None
    if outcome.state is RunState.FAILED:
        assert outcome.failure and outcome.failed is not None
    if outcome.state is not RunState.PENDING:
        assert not outcome.elsewhere and not outcome.pause_s


@given(st.lists(st.sampled_from([(1, OOM), (1, ECC), (1, BUG), (1, OTHER_BUG), (-9, ""), (None, "")])), RULES)
def test_a_run_never_runs_for_ever(endings, rules):
    """Whatever happens to its attempts, a run ends after a bounded number, unless the sweep is paused."""
    record = []
    for count, (status, log) in enumerate(endings * 20):
        outcome = judge(Ending(status=status, log_tail=log, elsewhere=True), past=record, retries=3, rules=rules)
        if outcome.state is not RunState.PENDING or outcome.pause_sweep:
            return
        record.append(PastFailure(kind=outcome.failed.kind.value, signature=outcome.failed.signature))
        assert count < 3 * 3 + 3 + 1 + 2 * 3, record


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


def test_a_failure_that_left_no_word_on_a_full_disk_is_the_disks_and_not_the_programs():
    outcome = judge(Ending(status=1, disk_full=True))
    assert (outcome.state, outcome.pause_sweep, outcome.failure) == (RunState.PENDING, True, False)
    assert outcome.reason.startswith(WORDS["the-disk-is"])
    assert judge(Ending(status=-9, disk_full=True)).failed.kind is FailureKind.KILLED
    assert judge(Ending(status=0, disk_full=True)).state is RunState.FINISHED


def test_a_run_is_resumed_after_ever_longer_pauses_but_not_for_ever_d37():
    earlier = [PastFailure(kind="preempted", signature="1")]
    marked = Ending(status=1, preempting=True, log_tail=BUG)
    assert judge(marked).pause_s == 0
    assert 0 < judge(marked, past=earlier).pause_s < judge(marked, past=earlier * 2).pause_s
    assert judge(marked, past=earlier * (PREEMPTIONS - 1)).state is RunState.PENDING
    last = judge(marked, past=earlier * PREEMPTIONS)
    assert (last.state, last.failure) == (RunState.FAILED, True) and "21 times" in last.reason
    # An error of its own before it was marked leaves it all of its resumptions, and the other way round.
    assert "retry 1 of 20" in judge(marked, past=past((1, BUG))).reason
    assert "retry 1 of 1" in judge(Ending(status=1, log_tail=BUG), past=earlier, retries=1).reason


def test_a_sweep_whose_first_runs_have_no_value_of_its_metric_ends():
    why = misnamed(["acc"], [False] * 5, ["eval_acc"], limit=5, learns=True)
    assert "acc" in why and "eval_acc" in why
    assert misnamed(["acc"], [False] * 4, ["eval_acc"], limit=5, learns=True) == ""
    assert misnamed(["acc"], [False] * 5 + [True], ["eval_acc"], limit=5, learns=True) == ""
    assert misnamed(["acc"], [False] * 9, [], limit=5, learns=False) == ""
    assert misnamed([], [False] * 9, ["x"], limit=5, learns=True) == ""
