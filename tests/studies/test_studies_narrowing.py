import math

import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from sweepkit.model.distributions import Distribution, Kind
from sweepkit.model.space import Parameter, Space
from sweepkit.studies.narrowing import changes, narrowed, space_tree, stage_space, with_constants
from sweepkit.sweep_config.read import from_config

SPACE = Space(
    parameters=(
        Parameter(path=("a",), distribution=Distribution(kind=Kind.UNIFORM, min=-1.0, max=3.0)),
        Parameter(path=("b",), distribution=Distribution(kind=Kind.LOG_UNIFORM_VALUES, min=1e-5, max=0.1)),
        Parameter(path=("c",), distribution=Distribution(kind=Kind.INT_UNIFORM, min=1, max=12)),
        Parameter(path=("d",), distribution=Distribution(kind=Kind.Q_UNIFORM, min=0.1, max=0.9, q=0.1)),
        Parameter(path=("e",), distribution=Distribution(kind=Kind.Q_LOG_UNIFORM_VALUES, min=1, max=300, q=1)),
        Parameter(path=("f",), distribution=Distribution(kind=Kind.CATEGORICAL, values=("x", 2, None, True))),
        Parameter(
            path=("g",),
            distribution=Distribution(
                kind=Kind.CATEGORICAL_W_PROBABILITIES, values=(1, 2, 3), probabilities=(0.5, 0.25, 0.25)
            ),
        ),
        Parameter(path=("h",), distribution=Distribution(kind=Kind.NORMAL, mu=0.0, sigma=2.0)),
        Parameter(path=("i", "j"), distribution=Distribution(kind=Kind.INV_LOG_UNIFORM_VALUES, min=0.5, max=8.0)),
    )
)
unit = st.floats(0, 1)


def by_name(space):
    return {item.name: item.distribution for item in space.parameters}


configurations = st.lists(
    st.lists(unit, min_size=len(SPACE.parameters), max_size=len(SPACE.parameters)).map(
        lambda quantiles: {
            item.path: item.distribution.ppf(u) for item, u in zip(SPACE.parameters, quantiles, strict=True)
        }
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=examples(200), deadline=None)
@given(configurations, unit, unit)
def test_a_narrowed_space_lies_in_the_old_one_and_holds_the_best(best, margin, u):
    space = narrowed(SPACE, best, margin=margin)
    assert [item.path for item in space.parameters] == [item.path for item in SPACE.parameters]
    for old, new in zip(SPACE.parameters, space.parameters, strict=True):
        assert old.distribution.contains(new.distribution.ppf(u)), (old, new)
        assert all(new.distribution.contains(flat[old.path]) for flat in best), (old, new)
        assert type(new.distribution.ppf(u)) in {type(old.distribution.ppf(v)) for v in (0, 0.3, 0.6, 0.8, 1)}


@settings(max_examples=examples(60), deadline=None)
@given(configurations, unit)
def test_a_narrowed_space_can_be_written_as_a_sweep_and_read_back(best, margin):
    space = narrowed(SPACE, best, margin=margin)
    spec = from_config({"method": "random", "program": "t.py", "parameters": space_tree(space)})
    assert spec.space == space


def test_a_logarithmic_range_is_narrowed_by_orders_of_magnitude():
    space = narrowed(SPACE, [{("b",): 1e-3}, {("b",): 1e-2}], margin=0.25)
    (lr,) = [item.distribution for item in space.parameters if item.name == "b"]
    assert (lr.min, lr.max) == (pytest.approx(1e-4), pytest.approx(0.1))
    assert lr.kind is Kind.LOG_UNIFORM_VALUES


def test_a_linear_one_by_its_width_and_whole_numbers_stay_whole():
    space = by_name(narrowed(SPACE, [{("a",): 1.0, ("c",): 5}], margin=0.1))
    assert (space["a"].min, space["a"].max) == (pytest.approx(0.6), pytest.approx(1.4))
    assert (space["c"].min, space["c"].max) == (4, 6)
    assert space["b"] == SPACE.parameters[1].distribution  # none of the best has it


def test_choices_are_those_that_occur_and_one_alone_is_a_constant():
    space = by_name(narrowed(SPACE, [{("f",): True, ("g",): 1}, {("f",): 2, ("g",): 3}]))
    assert space["f"].values == (2, True)
    assert space["g"].probabilities == pytest.approx((2 / 3, 1 / 3))
    assert narrowed(SPACE, [{("f",): None}]).parameters[5].distribution.kind is Kind.CONSTANT


def test_no_margin_around_one_run_fixes_everything_that_has_ends():
    flat = {item.path: item.distribution.ppf(0.4) for item in SPACE.parameters}
    kinds = {item.name: item.distribution.kind for item in narrowed(SPACE, [flat], margin=0).parameters}
    assert {name for name, kind in kinds.items() if kind is not Kind.CONSTANT} == {"h"}


@pytest.mark.parametrize(("best", "margin"), [([], 0.1), ([{}], -0.1), ([{}], 1.1), ([{}], math.nan)])
def test_nothing_to_narrow_around_and_margins_that_are_none_are_refused(best, margin):
    with pytest.raises(ValueError, match="got"):
        narrowed(SPACE, best, margin=margin)


def test_a_stage_searches_its_own_and_keeps_the_best_of_the_others():
    space = stage_space(SPACE, ["a", "i.j"], {("b",): 0.01, ("a",): 2.0})
    assert {item.name: item.distribution for item in space.parameters} == {
        "a": SPACE.parameters[0].distribution,
        "b": Distribution(kind=Kind.CONSTANT, values=(0.01,)),
        "i.j": SPACE.parameters[-1].distribution,
    }
    with pytest.raises(ValueError, match="got z"):
        stage_space(SPACE, ["z"], {})


def test_constants_go_before_parameters_of_their_name():
    space = with_constants(SPACE, {"a": 1, "z": "w"})
    assert space.parameters[0].distribution.values == (1,)
    assert space.parameters[-1].name == "z" and len(space.parameters) == len(SPACE.parameters) + 1


def test_changes_name_what_is_drawn_otherwise():
    after = stage_space(narrowed(SPACE, [{("c",): 5}]), ["c", "d"], {("f",): None})
    lines = changes(SPACE, after)
    assert "c: 1 … 12 → 4 … 6" in lines and "f: x, 2, None, True → None" in lines and "a: -1 … 3 → default" in lines
    assert not any(line.startswith("d:") for line in lines)
