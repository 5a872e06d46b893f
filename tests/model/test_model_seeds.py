import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweepkit.model.seeds import parameter_path, seed_of, with_value, without_value
from sweepkit.sweep_config.read import from_config

NAMES = st.sampled_from(["a", "b", "seed", "a.seed"])
PARAMS = st.recursive(
    st.integers() | st.text(max_size=3), lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=3)
)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(tuple)


def _space(parameters):
    return from_config({"method": "random", "parameters": parameters}).space


def test_a_parameter_stands_where_the_space_nests_it():
    x = {"value": 1}
    nested = {"training": {"parameters": {"lr": x}}}
    assert parameter_path("seed", _space({"lr": x})) == ("seed",)
    assert parameter_path("training.seed", _space({"lr": x})) == ("training.seed",)
    assert parameter_path("training.seed", _space({"training.lr": x})) == ("training.seed",)
    assert parameter_path("training.seed", _space(nested)) == ("training", "seed")
    assert parameter_path("training.lr", _space(nested)) == ("training", "lr")
    assert parameter_path("training.lr", _space({"training.lr": x, **nested})) in (("training", "lr"), ("training.lr",))


@given(params=st.dictionaries(NAMES, PARAMS, max_size=3), path=PATHS, seed=st.integers(0, 9))
def test_a_seed_that_is_put_in_is_found_and_taken_out_again(params, path, seed):
    bare = without_value(params, path)
    seeded = with_value(bare, path, seed)
    at = seeded
    for key in path:
        at = at[key]
    assert at == seed
    assert without_value(without_value(seeded, path), path) == without_value(seeded, path)


@given(params=st.dictionaries(NAMES, st.integers(), max_size=3), seed=st.integers(0, 9))
def test_without_its_seed_a_configuration_is_what_it_was(params, seed):
    bare = {key: value for key, value in params.items() if key != "seed"}
    assert without_value(with_value(bare, ("seed",), seed), ("seed",)) == bare
    assert without_value(with_value(bare, ("group", "seed"), seed), ("group", "seed")) == bare


@pytest.mark.parametrize("value", [None, True, "x", "-1", -1, 1.5, math.nan, math.inf, -math.inf, [1], "²"])
def test_what_is_no_whole_number_is_no_seed(value):
    assert seed_of({"seed": value}, "seed") is None
    assert seed_of({"a": {"seed": value}}, "a.seed") is None


def test_a_key_with_dots_wins_over_a_nested_one():
    assert seed_of({"a.seed": 1, "a": {"seed": 2}}, "a.seed") == 1
    assert seed_of({"a": 3}, "a.seed") is None and seed_of({}, "seed") is None
    assert seed_of({"seed": "12"}, "seed") == 12
