"""Differential tests of hyperband against `sweeps` 0.3.0. DIFFERENCE names a row of docs/wandb_differences.md."""

import math
import warnings

import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from sweepkit.model.metric import Goal
from sweepkit.model.runs import RunState, RunView
from sweepkit.stopping.bands import bands_up_to
from sweepkit.stopping.hyperband import Hyperband
from sweepkit.sweep_config.sweep import EarlyTerminate

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pydantic's, at import
    import sweeps
    from sweeps.hyperband_stopping import hyperband_stop_runs

etas = st.one_of(st.sampled_from([2, 3, 4, 1.5, 3.0]), st.floats(1.1, 9))
by_min = st.fixed_dictionaries({"min_iter": st.integers(1, 9), "eta": etas})
by_max = st.fixed_dictionaries(
    {"max_iter": st.integers(9, 90), "s": st.integers(1, 5), "eta": st.sampled_from([2, 3, 1.5])}
)
values = st.one_of(st.integers(0, 9).map(float), st.floats(-5, 5), st.sampled_from([math.nan, math.inf, -math.inf]))
states = st.sampled_from([RunState.RUNNING, RunState.FINISHED, RunState.FAILED])
rows = st.tuples(states, st.lists(values, max_size=30))


def theirs(settings_, strict, goal, runs):
    config = {
        "method": "random",
        "metric": {"name": "m", "goal": str(goal)},
        "early_terminate": {"type": "hyperband", "strict": strict, **settings_},
        "parameters": {"a": {"value": 1}},
    }
    # Rows of other metrics do not count; a row between each pair makes sure of it.
    said = [
        sweeps.SweepRun(
            name=str(number),
            state=str(state),
            history=[row for value in history for row in ({"m": value}, {"other": 1})],
        )
        for number, (state, history) in enumerate(runs)
    ]
    stopped = {int(run.name) for run in hyperband_stop_runs(said, config)}
    infos = [run.early_terminate_info for run in said if run.state == "running"]
    return stopped, infos


@settings(max_examples=examples(200), deadline=None)
@given(st.one_of(by_min, by_max), st.booleans(), st.sampled_from(list(Goal)), st.lists(rows, min_size=1, max_size=9))
def test_bands_thresholds_and_stopped_runs_are_wandbs(settings_, strict, goal, runs):
    rule = EarlyTerminate(type="hyperband", strict=strict, **settings_)
    ours = Hyperband(rule, goal)
    views = [
        RunView(number=n, run_id=str(n), params={}, state=state, history=tuple(history))
        for n, (state, history) in enumerate(runs)
    ]
    decisions = {view.number: ours.decide(view, views) for view in views if view.state is RunState.RUNNING}
    stopped, infos = theirs(settings_, strict, goal, runs)
    assert {number for number, decision in decisions.items() if decision.stop} == stopped
    for info in infos:
        assert bands_up_to(rule, 10**6) == [band for band in info["bands"] if band <= 10**6]
        thresholds = dict(zip(info["bands"], info["thresholds"], strict=True))
        for number, decision in decisions.items():
            history = [v if goal is Goal.MINIMIZE else -v for v in runs[number][1] if math.isfinite(v)]
            reached = [band for band in thresholds if band <= len(history)]
            if reached:
                value = history[max(reached) - 1] if strict else min(history)
                assert decision.margin == pytest.approx(thresholds[max(reached)] - value)


def test_a_float_s_is_its_integer():
    DIFFERENCE = "D9 s-float"
    rule = EarlyTerminate(type="hyperband", max_iter=27, s=2.0, eta=3)
    assert bands_up_to(rule, 100) == [3, 9], DIFFERENCE
    with pytest.raises(TypeError):
        theirs({"max_iter": 27, "s": 2.0, "eta": 3}, True, Goal.MINIMIZE, [(RunState.RUNNING, [1.0])])
