"""`sweepkit.first_points`: they are run first, whatever engine searches, and only when they are of the space."""

import pytest

from sweepkit.errors import SpecError
from sweepkit.model.runs import Exhausted, Proposal, RunState, RunView
from sweepkit.search.make import make_engine
from sweepkit.sweep_config.change import ChangeKind, compare
from sweepkit.sweep_config.read import from_config

SWEEP = {
    "method": "random",
    "metric": {"name": "loss", "goal": "minimize"},
    "parameters": {"lr": {"min": 0.0, "max": 1.0}, "opt": {"parameters": {"name": {"values": ["a", "b"]}}}},
    "sweepkit": {"first_points": [{"lr": 0.25, "opt": {"name": "b"}}, {"opt.name": "a"}]},
}


def asked(spec, many, **settings):
    engine = make_engine(spec, seed=1, **settings)
    found = []
    for number in range(many):
        proposal = engine.ask(number)
        if isinstance(proposal, Exhausted):
            break
        assert isinstance(proposal, Proposal)
        found.append(proposal.params)
        engine.tell(
            RunView(
                number=number,
                run_id=str(number),
                params=proposal.params,
                state=RunState.FINISHED,
                history=(float(number),),
                info=proposal.info,
            )
        )
    return found


@pytest.mark.parametrize("sampler", [None, "tpe", "cmaes", "nsga", "qmc"])
def test_they_come_first(sampler):
    found = asked(from_config(SWEEP), 14, sampler=sampler)
    assert found[0] == {"lr": 0.25, "opt": {"name": "b"}}
    assert found[1]["opt"] == {"name": "a"} and 0 <= found[1]["lr"] <= 1
    assert len({str(params) for params in found}) == 14


def test_a_grid_runs_each_point_once():
    grid = {
        "method": "grid",
        "parameters": {"x": {"values": [1, 2, 3]}, "y": {"values": ["a", "b"]}},
        "sweepkit": {"first_points": [{"x": 3, "y": "b"}, {"x": 2}]},
    }
    found = asked(from_config(grid), 10)
    assert found[:2] == [{"x": 3, "y": "b"}, {"x": 2, "y": "a"}]
    assert sorted(map(str, found)) == sorted(str({"x": x, "y": y}) for x in (1, 2, 3) for y in "ab")


@pytest.mark.parametrize(
    "points, key",
    [
        ([{"lr": 2.0}], "lr"),
        ([{"rate": 0.1}], "rate"),
        ([{"opt": {"name": "c"}}], "opt.name"),
        ({"lr": 0.1}, "first_points"),
        ([{}], "first_points"),
    ],
)
def test_points_that_are_none_of_the_space(points, key):
    with pytest.raises(SpecError) as caught:
        from_config({**SWEEP, "sweepkit": {"first_points": points}})
    assert key in str(caught.value) and "first_points" in str(caught.value)


def test_other_points_are_another_sweep():
    other = from_config({**SWEEP, "sweepkit": {"first_points": [{"lr": 0.5}]}})
    assert compare(from_config(SWEEP), other).kind is ChangeKind.DIFFERS
    assert compare(from_config(SWEEP), from_config(SWEEP)).kind is ChangeKind.SAME


CONDITIONAL = {
    "metric": {"name": "loss", "goal": "minimize"},
    "parameters": {
        "opt": {"values": ["sgd", "adam"]},
        "beta": {"min": 0.0, "max": 1.0},
        "warm": {"values": [True, False]},
        "steps": {"min": 1, "max": 9},
    },
    "sweepkit": {
        "conditions": {"beta": {"when": {"opt": "adam"}}, "steps": {"when": {"warm": True}}},
        "first_points": [{"opt": "adam", "beta": 0.25}, {"opt": "sgd", "warm": True}, {"opt": "adam", "warm": True}],
    },
}


@pytest.mark.parametrize("method, sampler", [("random", None), ("bayes", None), ("bayes", "tpe")])
def test_a_point_brings_the_parameters_that_its_values_make_part_of_a_run(method, sampler):
    spec = from_config({**CONDITIONAL, "method": method})
    found = asked(spec, 12, sampler=sampler)
    assert found[0]["opt"] == "adam" and found[0]["beta"] == 0.25
    assert found[1].keys() == {"opt", "warm", "steps"} and found[1]["opt"] == "sgd"
    assert found[2].keys() == {"opt", "beta", "warm", "steps"} and found[2]["warm"] is True
    assert all(spec.space.active(flat) == flat.keys() for flat in map(spec.space.flatten, found))
    assert found[:3] == asked(spec, 3, sampler=sampler)


@pytest.mark.parametrize("point", [{"beta": 0.25}, {"opt": "sgd", "beta": 0.25}, {"warm": False, "steps": 3}])
def test_a_point_names_no_parameter_that_its_run_may_lack(point):
    own = {**CONDITIONAL["sweepkit"], "first_points": [point]}
    with pytest.raises(SpecError) as caught:
        from_config({**CONDITIONAL, "method": "random", "sweepkit": own})
    assert [problem.key for problem in caught.value.problems] == ["sweepkit.first_points[0]"]
