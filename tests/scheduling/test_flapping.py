"""Which slots are broken, and when everything is."""

from hypothesis import given
from hypothesis import strategies as st

from sweepkit.scheduling.flapping import SLOT_FAILURES, SWEEP_FAILURES, EndedAttempt, guard

ENDED = st.lists(st.builds(EndedAttempt, slot=st.integers(0, 3), failed=st.booleans()), max_size=60)


def of(text):
    """Return attempts from a text like "0f 1k": slot 0 failed, slot 1 was fine."""
    return [EndedAttempt(int(word[0]), word[1] == "f") for word in text.split()]


def test_a_slot_on_which_all_fails_while_another_works_is_broken():
    assert guard(of("0f 1k 0f 0f"), slots=2).quarantined == {0}
    assert guard(of("0f 0f 1k 0f"), slots=2).quarantined == {0}
    assert guard(of("0f 0f 0f 1k"), slots=2).quarantined == {0}


def test_a_slot_is_not_blamed_for_what_fails_everywhere_or_for_little():
    assert guard(of("0f 1f 0f 1f 0f 1f"), slots=2).quarantined == frozenset()
    assert guard(of("1k 0f 0f 0f"), slots=2).quarantined == frozenset()  # the program may have broken since
    assert guard(of("0f 1k 0f"), slots=2).quarantined == frozenset()
    assert guard(of("0f 1k 0f 0k 0f"), slots=2).quarantined == frozenset()
    assert guard(of("0f 0f 0f 0f"), slots=1).quarantined == frozenset()


def test_everything_is_broken_when_the_last_runs_all_failed():
    assert guard(of("0k " + "0f " * SWEEP_FAILURES), slots=1).everything
    assert not guard(of("0k " + "0f " * (SWEEP_FAILURES - 1)), slots=1).everything
    assert not guard(of("0f 1f " * 11), slots=8).everything
    assert guard(of("0f 1f " * 12), slots=8).everything == "the last 24 runs all failed"


@given(ENDED, st.integers(1, 8))
def test_no_slot_without_failures_is_broken_and_a_success_revives_it(ended, slots):
    found = guard(ended, slots=slots)
    for slot in found.quarantined:
        assert sum(item.failed for item in ended if item.slot == slot) >= SLOT_FAILURES
        assert slot not in guard([*ended, EndedAttempt(slot, False)], slots=slots).quarantined
    if found.everything:
        assert ended[-1].failed and not guard([*ended, EndedAttempt(0, False)], slots=slots).everything
