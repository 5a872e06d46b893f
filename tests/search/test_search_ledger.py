"""What runs are told as, kept up to date: the same as when all of them are looked at again."""

import dataclasses
import math

import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from sweepkit.model.distributions import Distribution, Kind
from sweepkit.model.metric import Goal, Impute, Metric
from sweepkit.model.runs import RunState, RunView
from sweepkit.model.space import Parameter, Space
from sweepkit.search import ledger as module
from sweepkit.search.ledger import Ledger
from sweepkit.search.observations import ObservationState, observe
from sweepkit.search.optuna_engine import OptunaEngine

VALUES = st.sampled_from([0.0, 1.0, 2.0, -3.0, 5.0, math.nan, math.inf])
CHANGES = st.lists(
    st.tuples(st.integers(-2, 5), st.sampled_from(list(RunState)), st.lists(VALUES, max_size=2).map(tuple)),
    max_size=25,
)


@pytest.mark.parametrize("goal", list(Goal))
@pytest.mark.parametrize("impute", list(Impute))
@pytest.mark.parametrize("while_running", [None, *Impute])
@given(changes=CHANGES)
@settings(max_examples=examples(40))
def test_the_ledger_tells_what_all_runs_together_tell(goal, impute, while_running, changes):
    metric = Metric(name="m", goal=goal, impute=impute, impute_while_running=while_running)
    kept, runs = Ledger(metric), {}
    for number, state, history in changes:
        run = RunView(number=number, run_id="", params={}, state=state, history=history)
        runs[number] = run
        kept.tell(number, run)
        numbers = sorted(runs)
        found = dict(zip(numbers, observe([runs[n] for n in numbers], metric), strict=True))
        told = [n for n in numbers if found[n].state is ObservationState.TOLD]
        assert kept.shown() == told and kept.told == len(told)
        assert [kept.values_of(n) for n in numbers] == [found[n].values for n in numbers]
        assert kept.waiting() == [n for n in numbers if found[n].state is ObservationState.PENDING]


def view(number, loss, x=0.5):
    return RunView(number=number, run_id="", params={"x": x}, state=RunState.FINISHED, history=(loss,))


def test_of_many_runs_the_best_the_newest_and_a_steady_sample_are_shown(monkeypatch):
    kept = Ledger(Metric(name="m", goal=Goal.MINIMIZE))
    for number in range(3000):
        kept.tell(number, view(number, float((number * 7919) % 3000)))
    before = kept.shown()
    assert len(before) == module.MOST_SHOWN and before == sorted(before) and kept.told == 3000
    best = sorted(range(3000), key=lambda number: (number * 7919) % 3000)[:25]
    assert set(best) | set(range(2950, 3000)) <= set(before)
    kept.tell(3000, view(3000, 1e9))
    assert len(set(before) - set(kept.shown())) <= 2


def space():
    return Space(parameters=(Parameter(path=("x",), distribution=Distribution(kind=Kind.UNIFORM, min=0.0, max=1.0)),))


def test_an_engine_told_many_runs_makes_few_trials_and_the_same_proposal_in_another_process():
    def engine():
        made = OptunaEngine(space(), Metric(name="m", goal=Goal.MINIMIZE), seed=3, sampler="tpe")
        for number in range(1200):
            x = (number * 0.6180339887) % 1.0
            made.tell(view(number, (x - 0.3) ** 2, x))
        return made

    first, second = engine(), engine()
    one = first.ask(1200)
    assert one == second.ask(1200) and one.info["observed"] == 1200
    assert len(first._trials) == module.MOST_SHOWN
    assert abs(one.params["x"] - 0.3) < 0.1
    assert first.ask(1201) == second.ask(1201)
    retried = dataclasses.replace(view(5, 0.0), state=RunState.PENDING, history=())
    first.tell(retried)
    assert first.ask(1202).info == {**one.info, "observed": 1199, "pending": 1, "attempt": 0}


def ended(number, reports, state=RunState.STOPPED, x=0.5, loss=1.0):
    history = tuple(loss + 1 / (1 + report) for report in range(reports))
    return RunView(number=number, run_id="", params={"x": x}, state=state, history=history)


def test_how_early_a_run_was_stopped_is_told_by_the_longest_finished_run():
    kept = Ledger(Metric(name="m", goal=Goal.MINIMIZE))
    for number, reports in enumerate((1, 10, 100, 200)):
        kept.tell(number, ended(number, reports))
    assert [kept.earliness(number) for number in range(4)] == [0.0] * 4
    kept.tell(4, ended(4, 100, RunState.FINISHED))
    kept.tell(5, ended(5, 10, RunState.FINISHED))
    assert [kept.earliness(number) for number in range(6)] == pytest.approx([1.0, 0.5, 0.0, 0.0, 0.0, 0.0])
    kept.tell(4, ended(4, 20, RunState.RUNNING))  # it is tried again: ten reports are a whole run then
    assert [kept.earliness(number) for number in range(3)] == [1.0, 0.0, 0.0]


def told_of_stops(order):
    made = OptunaEngine(space(), Metric(name="m", goal=Goal.MINIMIZE), seed=3, sampler="gp")
    runs = [ended(n, 2 + n % 5, x=(n * 0.6180339887) % 1.0, loss=abs(n - 7.5)) for n in range(14)]
    runs += [ended(n, 20, RunState.FINISHED, x=(n * 0.6180339887) % 1.0, loss=n / 8) for n in range(14, 17)]
    for run in order(runs):
        made.tell(run)
    return made


def test_an_engine_told_of_stopped_runs_proposes_the_same_however_it_was_told():
    def as_it_went(runs):  # each one while it ran, and the finished ones again
        for run in runs:
            yield dataclasses.replace(run, state=RunState.RUNNING, history=run.history[:1])
        yield from [*runs, *runs[14:]]

    one = told_of_stops(lambda runs: runs).ask(17)
    assert one == told_of_stops(as_it_went).ask(17)
    assert one != told_of_stops(lambda runs: [dataclasses.replace(run, state=RunState.FINISHED) for run in runs]).ask(
        17
    )
