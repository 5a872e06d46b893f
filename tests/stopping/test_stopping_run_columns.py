"""What rules compare with is kept from verdict to verdict, and says the same as when it is made anew."""

import dataclasses
import math

import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from sweepkit.model import columns
from sweepkit.model.columns import RunViews, column_of
from sweepkit.model.metric import Goal
from sweepkit.model.runs import RunState, RunView
from sweepkit.stopping.make import rule_of
from sweepkit.sweep_config.sweep import EarlyTerminate

RULES = (
    EarlyTerminate(type="asha", min_iter=1, eta=2.0),
    EarlyTerminate(type="hyperband", min_iter=1, eta=2.0),
    EarlyTerminate(type="hyperband", min_iter=2, eta=2.0, strict=True),
    EarlyTerminate(type="median", n_startup_runs=1),
    EarlyTerminate(type="percentile", percentile=40.0, n_startup_runs=1),
    EarlyTerminate(type="successive_halving", min_resource=1, reduction_factor=2),
    EarlyTerminate(type="successive_halving"),
    EarlyTerminate(type="optuna_hyperband", min_resource=1, reduction_factor=2),
    EarlyTerminate(type="wilcoxon", p_threshold=0.4),
)
VALUES = st.sampled_from([0.0, 1.0, 2.0, 2.0, 3.0, -1.0, math.nan, math.inf])
CHANGES = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(list(RunState)), VALUES, st.booleans()), min_size=1, max_size=30
)


def changed(runs, change):
    """Return the next view of a run: one more report, in any state; or it begins anew."""
    number, state, value, anew = change
    before = runs.get(number) or RunView(number=number, run_id=str(number), params={}, state=state)
    return dataclasses.replace(before, state=state, history=() if anew else (*before.history, value))


@pytest.mark.parametrize("wanted", RULES, ids=lambda rule: rule.type)
@pytest.mark.parametrize("goal", list(Goal))
@given(changes=CHANGES)
@settings(max_examples=examples(60))
def test_kept_columns_give_the_verdicts_of_fresh_ones(wanted, goal, changes):
    rule, kept, runs = rule_of(wanted, goal, "s"), RunViews(), {}
    for change in changes:
        view = changed(runs, change)
        runs[view.number] = view
        kept.put(view)
        fresh = [runs[number] for number in sorted(runs)]
        assert list(kept) == fresh
        if view.history:
            assert repr(rule.decide(view, kept)) == repr(rule.decide(view, fresh))


def finished(number, *history):
    return RunView(number=number, run_id="", params={}, state=RunState.FINISHED, history=history)


def test_a_column_looks_again_only_at_the_runs_that_changed():
    looked = []

    def of(run):
        looked.append(run.number)
        return run.history[0]

    runs = RunViews()
    for number in range(1000):
        runs.put(finished(number, float(number)))
    assert len(column_of(runs, "c", of).values) == 1000 and len(looked) == 1000
    looked.clear()
    runs.put(finished(7, -1.0))
    runs.put(finished(7, -2.0))
    runs.put(finished(1000, 5.0))
    values = column_of(runs, "c", of).values
    assert sorted(looked) == [7, 1000]
    assert list(values[:2]) == [-2.0, 0.0] and len(values) == 1001
    looked.clear()
    assert column_of(runs, "c", of).values == values and not looked


def test_columns_are_forgotten_when_they_hold_too_much(monkeypatch):
    monkeypatch.setattr(columns, "_MOST_CELLS", 20)
    runs = RunViews()
    for number in range(5):
        runs.put(finished(number, *map(float, range(9))))
    for report in range(9):
        assert len(column_of(runs, report, lambda run, report=report: run.history[report]).values) == 5
    assert len(runs._columns) == 4


class Counted(tuple):
    """A history that counts how often all of it was read."""

    reads = 0

    def __iter__(self):
        Counted.reads += 1
        return super().__iter__()

    def __getitem__(self, index):
        Counted.reads += isinstance(index, slice)
        return super().__getitem__(index)


def test_the_median_adds_a_history_up_once_however_many_reports_are_judged():
    rule, runs, reports = rule_of(EarlyTerminate(type="median", n_startup_runs=1), Goal.MINIMIZE, "s"), RunViews(), 50
    for number in range(1, 9):
        values = Counted(float(number) for _ in range(reports))
        runs.put(dataclasses.replace(finished(number), history=values))
    Counted.reads = 0
    for report in range(1, reports + 1):
        view = RunView(number=9, run_id="", params={}, state=RunState.RUNNING, history=(4.5,) * report)
        runs.put(view)
        assert not rule.decide(view, runs).stop
    assert Counted.reads == 8
