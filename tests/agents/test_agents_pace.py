"""How often agents ask the record, by how many they are."""

from hypothesis import given
from hypothesis import strategies as st

from sweepkit.agents.pace import missed_period, reclaim_period, shared_period


@given(st.integers(1, 100_000))
def test_all_agents_together_look_at_most_so_often_and_few_are_not_slowed(agents):
    period = shared_period(0.5, agents)
    assert agents / period <= 250.0 + 1e-6
    assert (period == 0.5) == (agents <= 125)


@given(st.integers(1, 100_000))
def test_all_agents_together_read_at_most_so_many_attempts(agents):
    period = reclaim_period(2.0, agents)
    assert agents * agents / period <= 50_000.0 + 1e-6
    assert (period == 2.0) == (agents <= 316)


@given(st.integers(1, 1_000))
def test_who_misses_its_turn_comes_again_later_and_at_last_within_seconds(missed):
    assert 0.2 <= missed_period(0.2, missed) <= 6.4
