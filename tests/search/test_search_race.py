import pytest

from sweepkit.model.runs import Exhausted, Proposal, RunState, RunView, Wait
from sweepkit.search.race import RaceEngine, pair_of

ROUNDS = (((0, 0), (1, 0), (2, 0)), ((1, 1), (2, 1)))


def decide(ended):
    """Two rounds, whatever the values are."""
    for number, runs in enumerate(ROUNDS, 1):
        if missing := [pair for pair in runs if pair not in ended]:
            return missing, f"round {number}"
    return (), "over"


def engine():
    notes = lambda candidate, repeat: {"run_seed": 100 + repeat}  # noqa: E731
    return RaceEngine(decide, lambda candidate, repeat: {"x": candidate, "seed": 100 + repeat}, total=5, notes=notes)


def view(number, info, state=RunState.FINISHED):
    return RunView(number=number, run_id=str(number), params={}, state=state, info=info)


def test_it_proposes_a_round_waits_for_its_last_run_and_goes_on():
    race = engine()
    infos = []
    for number in range(3):
        found = race.ask(number)
        assert isinstance(found, Proposal) and found.reason == "round 1"
        infos.append(dict(found.info))
        race.tell(view(number, found.info, RunState.RUNNING))
    assert infos == [{"candidate": place, "repeat": 0, "run_seed": 100} for place in range(3)]
    assert race.ask(3) == Wait(reason="round 1: its last runs are under way")
    for number in (2, 0, 1):
        assert isinstance(race.ask(3), Wait)
        race.tell(view(number, infos[number]))
    found = race.ask(3)
    assert found.params == {"x": 1, "seed": 101} and found.reason == "round 2"


@pytest.mark.parametrize("state", [RunState.FINISHED, RunState.FAILED, RunState.DIVERGED, RunState.STOPPED])
def test_a_run_that_is_done_is_never_proposed_again_however_it_ended(state):
    race = engine()
    race.tell(view(0, {"candidate": 0, "repeat": 0}, state))
    assert race.ask(1).info["candidate"] == 1 and set(race.ended()) == {(0, 0)}


@pytest.mark.parametrize("told", range(6))
def test_a_fresh_engine_that_is_told_the_same_runs_proposes_the_same(told):
    race, pairs = engine(), []
    while isinstance(found := race.ask(len(pairs)), Proposal):
        pairs.append(found.info)
        race.tell(view(len(pairs) - 1, found.info))
    assert [pair_of(info) for info in pairs] == [pair for runs in ROUNDS for pair in runs]
    again = engine()
    for number, info in reversed(list(enumerate(pairs[:told]))):
        again.tell(view(number, info))
    if told == len(pairs):
        assert again.ask(told) == Exhausted(reason="over")
    else:
        assert again.ask(told).info == pairs[told]
    assert again.total() == 5


def test_a_run_of_something_else_is_passed_over():
    race = engine()
    race.tell(view(0, {"point": 3}))
    assert race.ended() == {} and race.ask(1).info["candidate"] == 0
