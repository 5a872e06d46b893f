"""Which run may go to which slot: pauses, runs tried elsewhere, slots quarantined."""

from snapshots import words_of

from sweepkit.agents.slot_policy import SlotPolicy
from sweepkit.agents.slots import Slot
from sweepkit.model.runs import RunState
from sweepkit.scheduling.failures import Failure, FailureKind
from sweepkit.scheduling.outcome import AttemptOutcome

WORDS = words_of(__file__)

GPUS = tuple(Slot(index=index, gpus=(str(index),), cpus=1) for index in range(2))
SHARED = tuple(Slot(index=index, gpus=(str(index // 2),), cpus=1) for index in range(4))
CORES = tuple(Slot(index=index, gpus=(), cpus=1) for index in range(2))
FAILED = Failure(kind=FailureKind.PROGRAM, reason="x", signature="x")


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def outcome(state=RunState.PENDING, **options):
    return AttemptOutcome(state=state, reason="because", failed=FAILED, **options)


def test_a_paused_run_waits_on_every_slot_and_then_goes_to_any():
    clock = Clock()
    policy = SlotPolicy(GPUS, clock=clock)
    policy.ended("a", GPUS[0], outcome(pause_s=4.0))
    assert policy.excluded_runs(GPUS[0]) == policy.excluded_runs(GPUS[1]) == {"a"}
    clock.now += 4.0
    assert policy.excluded_runs(GPUS[0]) == policy.excluded_runs(GPUS[1]) == set()


def test_a_run_to_be_tried_elsewhere_avoids_its_gpu_until_there_is_no_other():
    policy = SlotPolicy(SHARED)
    policy.ended("a", SHARED[0], outcome(elsewhere=True))
    assert [policy.excluded_runs(slot) for slot in SHARED] == [{"a"}, {"a"}, set(), set()]
    policy.ended("a", SHARED[2], outcome(elsewhere=True))
    assert [policy.excluded_runs(slot) for slot in SHARED] == [set()] * 4


def test_a_quarantined_slot_is_told_once_and_counts_as_no_place_elsewhere():
    policy = SlotPolicy(GPUS)
    assert policy.has_other(GPUS[0])
    assert policy.ended("a", GPUS[1], outcome(quarantine=True, elsewhere=True)) == [WORDS["gets-no-further"]]
    assert policy.ended("b", GPUS[1], outcome(quarantine=True)) == []
    assert policy.quarantined == {1}
    assert not policy.has_other(GPUS[0])
    assert policy.excluded_runs(GPUS[0]) == set()


def test_cores_of_one_machine_share_its_memory():
    assert not SlotPolicy(CORES).has_other(CORES[0])


def test_a_slot_that_fails_while_the_other_works_is_quarantined():
    policy = SlotPolicy(GPUS)
    notices = []
    for number in range(3):
        notices += policy.ended(f"a{number}", GPUS[0], outcome(RunState.FAILED))
        notices += policy.ended(f"b{number}", GPUS[1], AttemptOutcome(state=RunState.FINISHED, reason="exit code 0"))
    assert notices == [WORDS["gets-no-further-run"]]
    assert not policy.everything_fails


def test_what_the_agent_itself_ended_says_nothing_of_a_slot():
    policy = SlotPolicy(GPUS)
    for number in range(40):
        policy.ended(f"a{number}", GPUS[0], AttemptOutcome(state=RunState.PENDING, reason="interrupted with its agent"))
    assert not policy.quarantined and not policy.everything_fails


def test_diverged_runs_are_no_failures_of_a_slot():
    policy = SlotPolicy(GPUS)
    for number in range(40):
        policy.ended(f"a{number}", GPUS[number % 2], outcome(RunState.DIVERGED))
    assert not policy.quarantined and not policy.everything_fails
