"""`sweepkit.cost: time`: improvement per second, as finished runs taught how long runs take."""

import dataclasses
import random

import numpy as np
import pytest
from engine_contract import D, run_of, space_of

from sweepkit.agents.run_cache import view_of
from sweepkit.errors import SweepKitError
from sweepkit.model.distributions import Kind
from sweepkit.model.metric import Metric
from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunState
from sweepkit.search.make import make_engine
from sweepkit.search.optuna_engine import OptunaEngine
from sweepkit.sweep_config.read import from_config

REAL = D(kind=Kind.UNIFORM, min=0.0, max=1.0)
SPACE = space_of(x=REAL, y=REAL)
SWEEP = {
    "program": "p.py",
    "method": "bayes",
    "metric": {"name": "loss"},
    "parameters": {"x": {"min": 0.0, "max": 1.0}},
    "sweepkit": {"cost": "time"},
}


def searched(runs, **settings):
    """Return a search whose loss only depends on y, and the seconds of a run only on x: from 1 to 1,000."""
    engine = OptunaEngine(SPACE, Metric(name="loss"), seed=4, sampler="auto", **settings)
    views = []
    for number in range(runs):
        found = engine.ask(number)
        view = run_of(number, found.params, history=((found.params["y"] - 0.3) ** 2,), info=found.info)
        views.append(dataclasses.replace(view, seconds=1000 ** found.params["x"]))
        engine.tell(views[-1])
    return engine, views


def test_of_runs_that_promise_as_much_the_short_ones_are_asked_for():
    plain, weighed = searched(22)[1], searched(22, cost=True)[1]
    assert np.mean([run.params["x"] for run in weighed[10:]]) < 0.2
    assert min(run.history[0] for run in weighed) < 0.01
    assert sum(run.seconds for run in weighed[10:]) < 0.2 * sum(run.seconds for run in plain[10:])


def test_a_restarted_engine_proposes_what_the_living_one_does():
    engine, views = searched(14, cost=True)
    again = OptunaEngine(SPACE, Metric(name="loss"), seed=4, sampler="auto", cost=True)
    random.Random(0).shuffle(views)
    for view in views:
        again.tell(view)
    assert again.ask(14) == engine.ask(14)


@pytest.mark.parametrize("seconds", [(None,) * 12, (0.0,) * 12, (None, 5.0, 0.0, 1e-300, 1e300, 5.0) * 2])
def test_no_durations_and_odd_ones_break_nothing(seconds):
    engine = OptunaEngine(SPACE, Metric(name="loss"), seed=4, sampler="gp", cost=True)
    for number, took in enumerate(seconds):
        view = run_of(number, engine.ask(number).params, history=(1.0 / (number + 1),))
        engine.tell(dataclasses.replace(view, seconds=took))
    assert set(engine.ask(12).params) == {"x", "y"}


@pytest.mark.parametrize(("state", "expected"), [(RunState.FINISHED, 30.0), (RunState.STOPPED, None)])
def test_the_record_says_how_long_a_finished_run_took(state, expected):
    run = RunRecord(run_id="r", sweep_id="s", number=0, params={}, state=state, started_at=100.0, ended_at=130.0)
    assert view_of(run).seconds == expected


def test_only_what_learns_durations_takes_the_key():
    assert make_engine(from_config(SWEEP), seed=0).total() is None
    with pytest.raises(SweepKitError) as refused:
        make_engine(from_config(SWEEP), seed=0, sampler="tpe")
    assert refused.match("cost")


@pytest.mark.parametrize(
    "change",
    [
        {"method": "random"},
        {"method": "random", "sweepkit": {"cost": "time", "sampler": "tpe"}},
        {"sweepkit": {"cost": "time", "sampler": "cmaes"}},
        {"sweepkit": {"cost": "money"}},
        {"method": "grid", "parameters": {"x": {"values": [1, 2]}}},
        {
            "method": "custom",
            "scheduler": {"engine": "optuna"},
            "metric": None,
            "metrics": [{"name": "a", "goal": "minimize"}, {"name": "b", "goal": "minimize"}],
            "sweepkit": {"cost": "time", "sampler": "gp"},
        },
    ],
)
def test_what_does_not_go_with_it_is_refused(change):
    config = {key: value for key, value in {**SWEEP, **change}.items() if value is not None}
    with pytest.raises(SweepKitError) as refused:
        from_config(config)
    assert refused.match("sweepkit.cost")
