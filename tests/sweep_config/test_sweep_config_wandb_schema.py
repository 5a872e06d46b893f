"""Accept and refuse what W&B's own schema does, except the rows of docs/wandb_differences.md."""

import copy
import math
import re
import warnings
from pathlib import Path

import jsonschema
import pytest
from depth import examples
from hypothesis import currently_in_test_context, given, settings
from hypothesis import event as hypothesis_event
from hypothesis import strategies as st

from sweepkit.errors import SpecError
from sweepkit.model.distributions import Kind
from sweepkit.sweep_config.read import from_config
from sweepkit.sweep_config.schema import sweep_schema

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the package warns of a pydantic field at import
    from sweeps import SweepRun, stop_runs
    from sweeps.config import fill_parameter, schema_violations_from_proposed_config
    from sweeps.params import HyperParameterSet

EDITOR = jsonschema.Draft7Validator(sweep_schema())
TABLE = Path(__file__).parents[2] / "docs" / "wandb_differences.md"
RULES_OF_ROWS = (
    # what our message says, by the row that explains why W&B's schema says nothing
    ("D5", "method bayes needs a metric"),
    ("D5", "method custom needs a metric or metrics"),
    ("D6", "early_terminate needs a metric"),
    ("D7", "a grid takes"),
    ("D8", "method custom needs a scheduler"),
    ("D9", "max_iter needs s"),
    ("D9", "max_iter must be at least eta"),
    ("D11", "must be a value that JSON has"),
    ("D11", "a key must be a string"),
    ("D12", "exponents of e, at most 709"),
    ("D12", "max - min must be a number that fits a float"),
    ("D12", "must be a finite number that fits a float"),
)


def _row_of(problem):
    """Return the row that allows us to refuse what W&B's schema accepts, None when there is none."""
    for row, rule in RULES_OF_ROWS:
        if rule in problem.rule:
            return row
    if problem.key.startswith("early_terminate.") and problem.key.endswith((".s", ".max_iter")):
        return "D9"
    if re.search(r"\.[ab]$", problem.key) and problem.rule == "must be above 0" and problem.got in ("0", "0.0", "-0.0"):
        return "D12"
    nested = problem.key.count(".parameters.") >= 1
    if nested and (problem.rule == "min must be below max" or ".probabilities" in f"{problem.key}."):
        return "D4"
    if problem.key.endswith(tuple("\n")):
        return "D14"
    return None


def _wandb_refuses(config):
    """Return W&B's violations; an exception on the way is one too."""
    try:
        return schema_violations_from_proposed_config(config)
    except Exception as error:  # the schema's own code raises on some malformed sections
        return [f"{type(error).__name__}: {error}"]


def _ours(config):
    try:
        return from_config(config), ()
    except SpecError as error:
        return None, error.problems


def _allowed_by_row(violations, config):
    """Return the rows that explain all of W&B's violations of a configuration that we accept."""
    rows = set()
    for violation in violations:
        if "where min/max specify base-e exponents" in violation:
            rows.add("D2")
        elif "False is not" in violation and _has_plain_false(config):
            rows.add("D10")
        else:
            return None
    return rows


def _has_plain_false(config):
    metrics = [config.get("metric"), *(config.get("metrics") or [])]
    return any(isinstance(metric, dict) and metric.get("impute_while_running") is False for metric in metrics)


def event(text):
    """Count an outcome where hypothesis keeps statistics."""
    if currently_in_test_context():
        hypothesis_event(text)


def _compare(config):
    violations = _wandb_refuses(copy.deepcopy(config))
    spec, problems = _ours(config)
    if spec is not None:  # an editor marks nothing in a sweep that runs
        assert [error.message for error in EDITOR.iter_errors(config)] == []
    if spec is not None and violations:
        rows = _allowed_by_row(violations, config)
        assert rows, f"we accept, W&B refuses: {violations}"
        event(f"accepted beyond W&B by {sorted(rows)}")
    elif spec is None and not violations:
        rows = {_row_of(problem) for problem in problems}
        assert None not in rows, f"we refuse, W&B accepts: {[str(p) for p in problems if _row_of(p) is None]}"
        event(f"refused beyond W&B by {sorted(rows)}")
    else:
        event("both accept" if spec is not None else "both refuse")
    return spec


numbers = st.sampled_from([0, 1, 2, 3, 10, -1, 0.0, 1.0, 0.1, 0.5, 2.5, -0.5, 1e-5, 27, 1000])
odd = st.sampled_from([None, True, False, "1e-4", "a", "", [], {}, [1], {"a": 1}, 10**400, 1e308])
mostly_numbers = numbers | numbers | numbers | odd
strings = st.sampled_from(["a", "b", ""]) | odd
FIELDS = {
    "min": mostly_numbers,
    "max": mostly_numbers,
    "q": mostly_numbers,
    "mu": mostly_numbers,
    "sigma": mostly_numbers,
    "a": mostly_numbers,
    "b": mostly_numbers,
    "value": mostly_numbers | odd,
    "values": st.lists(mostly_numbers, max_size=3) | odd,
    "probabilities": st.sampled_from(
        [[1.0], [1], [0.5, 0.5], [0.3, 0.7], [0.5, 0.6], [0.3333, 0.3333, 0.3334], [-1, 2], ["a", 1]]
    )
    | odd,
    "step": mostly_numbers,
}
GOOD_FIELDS = FIELDS | {
    **{key: st.sampled_from([0.5, 1, 2.5, 3]) for key in ("q", "mu", "sigma", "a", "b", "min", "max")},
    "values": st.lists(mostly_numbers, min_size=1, max_size=3),
    "probabilities": st.sampled_from([[1.0], [1], [0.5, 0.5], [0.3333, 0.3333, 0.3334], [0, 1]]),
}
BOUNDS = st.lists(st.integers(1, 20), min_size=2, max_size=2, unique=True) | st.lists(
    st.floats(1e-3, 20), min_size=2, max_size=2, unique=True
)
kinds = st.sampled_from([*map(str, Kind), "unform", "param_dict", "", None, 3])


@st.composite
def plausible(draw):
    """A parameter with the keys of its kind, sometimes one more or one less."""
    kind = draw(st.sampled_from(list(Kind)))
    keys = {"min", "max"}
    if kind in (Kind.CONSTANT, Kind.CATEGORICAL, Kind.CATEGORICAL_W_PROBABILITIES):
        keys = {Kind.CONSTANT: {"value"}, Kind.CATEGORICAL: {"values"}}.get(kind, {"values", "probabilities"})
    elif "normal" in kind:
        keys = {"mu", "sigma"} & draw(st.sets(st.sampled_from(["mu", "sigma"])))
    elif "beta" in kind:
        keys = {"a", "b"} & draw(st.sets(st.sampled_from(["a", "b"])))
    if kind.startswith("q_") and draw(st.booleans()):
        keys = keys | {"q"}
    fields = FIELDS if draw(st.integers(0, 9)) == 5 else GOOD_FIELDS
    node = {key: draw(fields[key]) for key in sorted(keys)}
    if fields is GOOD_FIELDS and {"min", "max"} <= keys:
        node["min"], node["max"] = sorted(draw(BOUNDS))
    if fields is GOOD_FIELDS and "probabilities" in keys:
        node["values"] = [1, "a", None][: len(node["probabilities"])]
    if draw(st.integers(0, 9)) != 5 or keys <= {"mu", "sigma", "a", "b", "q"}:
        node["distribution"] = str(kind)
    if draw(st.integers(0, 19)) == 7:
        extra = draw(st.sampled_from(sorted(FIELDS)))
        node[extra] = draw(FIELDS[extra])
    return node


wild = st.fixed_dictionaries({}, optional={**FIELDS, "distribution": kinds, "parameters": odd})
leaf = st.one_of(*[plausible()] * 6, wild, *[plausible()] * 6, odd, *[plausible()] * 6)
names = st.sampled_from(["a", "b", "c.d", "e-f", "_g", "lr", "parameters", "values"]) | st.sampled_from(
    ["1a", "", "a b", "한", "a\n", "-a"]
)
good_names = st.sampled_from(["a", "b", "c.d", "e-f", "_g", "lr", "parameters", "values"])
trees = st.recursive(
    st.dictionaries(st.one_of(*[good_names] * 9, names, *[good_names] * 9), leaf, min_size=1, max_size=2),
    lambda inner: st.dictionaries(
        good_names, leaf | st.builds(lambda tree: {"parameters": tree}, inner), min_size=1, max_size=2
    ),
    max_leaves=4,
)


@settings(max_examples=examples(400), deadline=None)
@given(leaf=leaf)
def test_one_parameter(leaf):
    _compare({"method": "random", "parameters": {"x": leaf}})


@settings(max_examples=examples(200), deadline=None)
@given(tree=trees, method=st.sampled_from(["random", "bayes", "grid", "random", "random"]))
def test_parameter_trees(tree, method):
    spec = _compare({"method": method, "metric": {"name": "a"}, "parameters": tree})
    if spec is None:
        return
    try:
        theirs = HyperParameterSet.from_config(tree)
    except ValueError as error:
        pytest.fail(f"we accept what W&B's engine cannot read: {error}")
    delimiter = HyperParameterSet.NESTING_DELIMITER
    assert [delimiter.join(parameter.path) for parameter in spec.space.parameters] == [item.name for item in theirs]


maybe = st.none() | st.booleans() | st.integers(-1, 3) | st.sampled_from([2.0, 2.5, "a", "3", [], {}])
metric = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["a", "a", "a", "", 3, None]),
        "goal": st.sampled_from(["minimize", "maximize", "min", None]),
        "target": mostly_numbers,
        "impute": st.sampled_from(["latest", "best", "worst", "false", False]),
        "impute_while_running": st.sampled_from(["latest", "best", "worst", "false", False, True, None]),
    },
)
fine_metric = st.fixed_dictionaries(
    {"name": st.just("a")},
    optional={
        "goal": st.sampled_from(["minimize", "maximize"]),
        "impute_while_running": st.sampled_from(["worst", "false", False]),
    },
)
good_metric = fine_metric | fine_metric | st.builds(lambda node: {"name": "a", **node}, metric)
early = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["hyperband"] * 5 + ["median", None]),
        "min_iter": st.sampled_from([1, 3, 2.0, 0, -1, 2.5, "3", True]),
        "max_iter": st.sampled_from([27, 9.0, 3, 2, 0, -1, 2.5, None]),
        "s": st.sampled_from([1, 2.0, 2.5, 0, -1, "2"]),
        "eta": st.sampled_from([2, 3, 1.5, 1, 0, True]),
        "strict": st.sampled_from([True, False, "yes", 1]),
        "other": maybe,
    },
)
scheduler = st.fixed_dictionaries(
    {},
    optional={
        "engine": st.sampled_from(["optuna", "optuna", "ax", "wandb", "x", None]),
        "source": st.sampled_from(["s.py", "s.py", "", 3]),
        "optimizer": st.sampled_from(["f", "", 3]),
        "search_space": st.sampled_from(["f", "", None]),
        "other": maybe,
    },
)
fine_early = st.builds(
    lambda bands, more: {"type": "hyperband", **bands, **more},
    st.sampled_from(
        [{"min_iter": 1}, {"min_iter": 3.0}, {"max_iter": 27, "s": 2}, {"max_iter": 9, "s": 2.0, "min_iter": 1}]
    ),
    st.sampled_from([{}, {"eta": 2}, {"strict": False}]),
)
fine_scheduler = st.sampled_from(
    [
        {"engine": "optuna"},
        {"engine": "ax", "source": "s.py"},
        {"engine": "wandb"},
        {"engine": "optuna", "source": "s.py", "optimizer": "f"},
    ]
)
TEXT_KEYS = ("name", "description", "program", "entity", "project", "apiVersion", "job", "image_uri")
tops = st.fixed_dictionaries(
    {},
    optional={
        "method": st.sampled_from(["grid", "random", "bayes", "custom", "custom", "x", None]),
        "metric": good_metric | metric | maybe,
        "metrics": st.lists(good_metric, max_size=3) | maybe,
        "early_terminate": early | maybe,
        "scheduler": scheduler | maybe,
        "controller": st.sampled_from([{"type": "local"}, {"type": "cloud", "x": 1}, {}, {"type": "x"}, None]),
        "run_cap": maybe,
        "command": st.lists(maybe | st.just("${args}"), max_size=3) | maybe,
        "kind": st.sampled_from(["sweep", "sweep", "job", None]),
        "parameters": st.sampled_from(
            [{"x": {"values": [1, 2]}}, {"x": {"min": 0.5, "max": 1.5}}, {"x": {"value": None}}]
        )
        | maybe,
        "imports": maybe,
        "seed": maybe,
        **dict.fromkeys(
            ("name", "description", "program", "entity", "project", "apiVersion", "job", "image_uri"), strings
        ),
    },
)
sound = st.sampled_from(
    [
        {"method": "grid", "parameters": {"x": {"values": [1, 2]}}},
        {"method": "random", "parameters": {"x": {"min": 0.5, "max": 1.5}}},
        {"method": "random", "metric": {"name": "a"}, "parameters": {"x": {"value": None}}},
        {"method": "bayes", "metric": {"name": "a"}, "parameters": {"x": {"min": 1, "max": 9}}},
        {
            "method": "custom",
            "metric": {"name": "a"},
            "scheduler": {"engine": "optuna"},
            "parameters": {"x": {"value": 1}},
        },
        {"method": "custom", "scheduler": {"engine": "ax", "source": "s.py", "search_space": "f"}},
    ]
)


PARTS = {
    "metric": good_metric,
    "metrics": st.lists(good_metric, min_size=1, max_size=3),
    "early_terminate": early | fine_early | fine_early,
    "scheduler": scheduler | fine_scheduler | fine_scheduler,
    "controller": st.sampled_from([{"type": "local"}, {"type": "cloud"}]),
    "run_cap": st.integers(0, 5) | st.just(3.0),
    "command": st.lists(maybe, max_size=3),
    "name": st.just("n"),
}


@st.composite
def nearly_sound(draw):
    """A sound sweep with up to four sections that may clash."""
    config = dict(draw(sound))
    for key in draw(st.sets(st.sampled_from(sorted(PARTS)), max_size=3)):
        config[key] = draw(PARTS[key])
    return config


@settings(max_examples=examples(300), deadline=None)
@given(config=st.one_of(*[nearly_sound()] * 4, tops))
def test_whole_configurations(config):
    _compare(config)


@settings(max_examples=examples(200), deadline=None)
@given(node=plausible())
def test_accepted_parameters_have_wandbs_kind_and_fields(node):
    spec, _ = _ours({"method": "random", "parameters": {"x": node}})
    if spec is None:
        return
    schema, filled = fill_parameter("x", copy.deepcopy(node))
    ours = spec.space.parameters[0].distribution
    assert ours.kind == filled["distribution"]
    for key in ("min", "max", "q", "mu", "sigma", "a", "b"):
        theirs = filled.get(key)
        mine = getattr(ours, key)
        assert mine == theirs and (key != "q" or type(mine) is type(theirs)), (key, schema)
    if "values" in filled:
        assert list(ours.values) == filled["values"]
    if "value" in filled:
        assert ours.values == (filled["value"],)
    if "probabilities" in filled:
        assert list(ours.probabilities) == filled["probabilities"]


ONE = {"x": {"value": 1}}


@pytest.mark.parametrize(
    ("row", "config", "we_accept"),
    [
        ("D2", {"method": "random", "parameters": {"x": {"distribution": "log_uniform", "min": -3, "max": -1}}}, True),
        (
            "D2",
            {"method": "random", "parameters": {"x": {"distribution": "inv_log_uniform", "min": -3, "max": -1}}},
            True,
        ),
        ("D2", {"method": "random", "parameters": {"x": {"distribution": "q_log_uniform", "min": 1, "max": 3}}}, True),
        ("D4", {"method": "random", "parameters": {"o": {"parameters": {"x": {"min": 2, "max": 1}}}}}, False),
        (
            "D4",
            {"method": "random", "parameters": {"o": {"parameters": {"x": {"values": [1], "probabilities": [0.4]}}}}},
            False,
        ),
        ("D5", {"method": "bayes", "parameters": ONE}, False),
        ("D5", {"method": "custom", "scheduler": {"engine": "optuna"}, "parameters": ONE}, False),
        ("D6", {"method": "random", "early_terminate": {"type": "hyperband", "min_iter": 1}, "parameters": ONE}, False),
        ("D7", {"method": "grid", "parameters": {"x": {"min": 0.5, "max": 1.0}}}, False),
        ("D8", {"method": "custom", "metric": {"name": "a"}, "parameters": ONE}, False),
        *(
            (
                "D9",
                {
                    "method": "random",
                    "metric": {"name": "a"},
                    "early_terminate": {"type": "hyperband", **bands},
                    "parameters": ONE,
                },
                False,
            )
            for bands in (
                {"max_iter": 9, "s": 2.5},
                {"max_iter": 9, "s": 0},
                {"max_iter": 0, "s": 1},
                {"max_iter": 2, "s": 1},
                {"max_iter": 9, "min_iter": 1},
            )
        ),
        ("D10", {"method": "bayes", "metric": {"name": "a", "impute_while_running": False}, "parameters": ONE}, True),
        ("D11", {"method": "random", "parameters": {"x": {"min": 0.0, "max": math.inf}}}, False),
        ("D12", {"method": "random", "parameters": {"x": {"distribution": "beta", "a": 0}}}, False),
        ("D12", {"method": "random", "parameters": {"x": {"min": -1e308, "max": 1e308}}}, False),
        ("D14", {"method": "random", "parameters": {"a\n": {"value": 1}}}, False),
        ("D15", {"method": "random", "parameters": ONE, "sweepkit": {"seed": 1}}, True),
    ],
)
def test_differences_are_those_of_the_table(row, config, we_accept):
    assert f"| {row} |" in TABLE.read_text(encoding="utf-8")
    spec, problems = _ours(config)
    assert (spec is not None) is we_accept, [str(problem) for problem in problems]
    assert bool(_wandb_refuses(copy.deepcopy(config))) is we_accept  # exactly the other way round
    if we_accept and row == "D2":
        assert "deprecated" in spec.warnings[0]
    if not we_accept:
        assert {_row_of(problem) for problem in problems} == {row}


@pytest.mark.parametrize("excess", [0.0, 9e-6, -9e-6, 1.0009e-5, 1.1e-5, -1.1e-5, 5e-4])
def test_the_sum_of_probabilities_has_wandbs_tolerance(excess):
    config = {"method": "random", "parameters": {"x": {"values": [1, 2], "probabilities": [0.5, 0.5 + excess]}}}
    assert (_compare(config) is not None) is (abs(excess) <= 1.001e-5)


def test_order_of_nested_names_is_wandbs_where_dots_and_dashes_matter():
    tree = {
        "a-b": {"value": 1},
        "a": {"parameters": {"z": {"value": 1}, "B": {"parameters": {"c": {"value": 1}}}, "b": {"value": 2}}},
        "a.b": {"value": 1},
        "B": {"value": 1},
        "_c": {"value": 1},
    }
    spec = _compare({"method": "grid", "parameters": tree})
    theirs = [item.name for item in HyperParameterSet.from_config(tree)]
    assert [HyperParameterSet.NESTING_DELIMITER.join(item.path) for item in spec.space.parameters] == theirs
    assert [item.name for item in spec.space.parameters] == ["B", "_c", "a.B.c", "a.b", "a.z", "a-b", "a.b"]


@pytest.mark.parametrize(
    "bands", [{"max_iter": 3, "s": 1}, {"max_iter": 2, "s": 1}, {"max_iter": 2, "s": 4, "eta": 2}, {"min_iter": 1}]
)
def test_hyperband_is_refused_where_wandbs_engine_finds_no_band_d9(bands):
    config = {
        "method": "random",
        "metric": {"name": "a"},
        "parameters": ONE,
        "early_terminate": {"type": "hyperband", **bands},
    }
    try:
        stop_runs(config, [SweepRun(name="r", state="running", history=[{"a": 1.0}])])
    except ValueError:
        works = False
    else:
        works = True
    spec, _ = _ours(config)
    assert (spec is not None) is works


def test_two_point_zero_is_two_d9():
    config = {"method": "random", "metric": {"name": "a"}, "parameters": {"x": {"value": 1}}}
    spec = from_config({**config, "early_terminate": {"type": "hyperband", "max_iter": 9.0, "s": 2.0}})
    assert (spec.early_terminate.s, spec.early_terminate.max_iter) == (2, 9)
    assert type(spec.early_terminate.s) is int and type(spec.early_terminate.max_iter) is int
