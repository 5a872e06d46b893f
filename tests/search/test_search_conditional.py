"""Spaces with conditions: a grid's order, the accounting, and that no engine ever proposes an inactive parameter."""

import itertools
import json

import pytest
from depth import examples
from engine_contract import drive, key, run_of
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshots import words_of

from sweepkit.errors import SweepKitError
from sweepkit.model.distributions import Distribution, Kind
from sweepkit.model.metric import Metric
from sweepkit.model.runs import Exhausted, Proposal, RunState
from sweepkit.model.space import Clause, Condition, Parameter, Space
from sweepkit.search.axes import ListAxis
from sweepkit.search.conditional import ActiveOrder, TooEntangled
from sweepkit.search.grid import GridEngine
from sweepkit.search.make import make_engine
from sweepkit.search.points import support_points
from sweepkit.search.random import RandomEngine
from sweepkit.sweep_config.sweep import Extensions, Method, Sampler, SweepSpec

WORDS = words_of(__file__)

D = Distribution
NAMES = ("a", "b", "c", "d", "e")


def choice(*values):
    return D(kind=Kind.CATEGORICAL, values=values)


def when(child, **clauses):
    """Return a condition: a tuple lists values, a slice is a range."""
    made = [
        Clause(path=(parent,), low=wanted.start, high=wanted.stop)
        if isinstance(wanted, slice)
        else Clause(path=(parent,), choices=wanted)
        for parent, wanted in clauses.items()
    ]
    return Condition(path=(child,), clauses=tuple(made))


def space_with(distributions, *conditions):
    parameters = tuple(Parameter(path=(name,), distribution=d) for name, d in sorted(distributions.items()))
    return Space(parameters=parameters, conditions=conditions)


@st.composite
def finite_spaces(draw):
    """A space of up to five parameters, each with up to four values, and any acyclic conditions between them."""
    names = NAMES[: draw(st.integers(1, 5))]
    sizes = {name: draw(st.integers(1, 4)) for name in names}
    as_range = {name: draw(st.booleans()) and sizes[name] > 1 for name in names}
    distributions = {
        name: D(kind=Kind.INT_UNIFORM, min=0, max=size - 1) if as_range[name] else choice(*range(size))
        for name, size in sizes.items()
    }
    order = draw(st.permutations(names))
    conditions = []
    for index, child in enumerate(order):
        parents = draw(st.sets(st.sampled_from(order[:index]), max_size=2)) if index else set()
        clauses = []
        for parent in sorted(parents):
            if as_range[parent] and draw(st.booleans()):
                low = draw(st.integers(0, sizes[parent] - 1))
                clauses.append(Clause(path=(parent,), low=low, high=draw(st.none() | st.integers(low, 3))))
            else:
                wanted = draw(st.sets(st.integers(0, sizes[parent] - 1), min_size=1))
                clauses.append(Clause(path=(parent,), choices=tuple(sorted(wanted))))
        if clauses:
            conditions.append(Condition(path=(child,), clauses=tuple(clauses)))
    return space_with(distributions, *conditions)


def brute_force(space):
    """Return the distinct active configurations in the order in which the full product first has them."""
    axes = [
        [(p.path, p.distribution.support_value(i)) for i in range(p.distribution.support_size())]
        for p in space.parameters
    ]
    found = {}
    for flat in map(dict, itertools.product(*axes)):
        active = {path: value for path, value in flat.items() if by_definition(space, path, flat)}
        found.setdefault(key(space.nest(active)), space.nest(active))
    return list(found.values())


def by_definition(space, path, flat):
    """Return whether a parameter is active, word for word as documented."""
    condition = next((c for c in space.conditions if c.path == path), None)
    return condition is None or all(
        by_definition(space, clause.path, flat) and clause.holds(flat[clause.path]) for clause in condition.clauses
    )


@settings(max_examples=examples(100), deadline=None)
@given(finite_spaces())
def test_points_are_the_distinct_active_configurations_in_order(space):
    expected = brute_force(space)
    points = support_points(space)
    assert points is not None and points.total == len(expected)
    assert [points.params(index) for index in range(points.total)] == expected
    assert [points.index(params) for params in expected] == list(range(points.total))


@settings(max_examples=examples(50), deadline=None)
@given(finite_spaces())
def test_a_grid_is_brute_force(space):
    engine = GridEngine(space)
    assert [run.params for run in drive(engine, 2000)] == brute_force(space)
    assert engine.total() == len(brute_force(space))


def spec_of(space, sampler=None, method=Method.BAYES):
    return SweepSpec(
        name="s",
        method=method,
        space=space,
        metric=Metric(name="loss"),
        extensions=Extensions(sampler=sampler and Sampler(name=sampler)),
    )


@settings(max_examples=examples(20), deadline=None)
@given(finite_spaces(), st.sampled_from(["random", "tpe"]), st.integers(0, 3))
def test_engines_use_a_finite_space_up_without_a_repeat(space, sampler, seed):
    expected = brute_force(space)
    told = drive(make_engine(spec_of(space, sampler), seed=seed), min(len(expected) + 1, 25))
    assert len({key(run.params) for run in told}) == len(told) == min(len(expected), 25)
    assert all(run.params in expected for run in told)


MIXED = space_with(
    {
        "dropout": D(kind=Kind.UNIFORM, min=0.0, max=0.5),
        "lr": D(kind=Kind.LOG_UNIFORM_VALUES, min=1e-5, max=1e-1),
        "momentum": D(kind=Kind.UNIFORM, min=0.0, max=0.99),
        "nesterov": choice(True, False),
        "optimizer": choice("adamw", "sgd", "lion"),
        "kind": choice("one"),
        "steps": D(kind=Kind.Q_UNIFORM, min=0.1, max=0.5, q=0.1),
    },
    when("momentum", optimizer=("sgd",)),
    when("nesterov", momentum=slice(0.5, None), kind=("one",)),
    when("steps", optimizer=("adamw", "sgd"), lr=slice(None, 1e-3)),
    when("dropout", steps=slice(0.2, 0.4)),
)


def assert_active_only(space, params):
    flat = space.flatten(params)
    assert set(flat) == space.active(flat), params
    assert set(flat) == {p.path for p in space.parameters if by_definition(space, p.path, _Lenient(flat))}


class _Lenient(dict):
    """A value that a parent does not have holds for nothing."""

    def __missing__(self, path):
        return float("nan")


@st.composite
def infinite_spaces(draw):
    """A finite space, and two continuous parameters that hang on it or on each other.

    What the first one hangs on occurs: on a parameter that is never there, none would ever be.
    """
    space = draw(finite_spaces())
    unit = D(kind=Kind.UNIFORM, min=0.0, max=1.0)
    occurring = draw(st.sampled_from(brute_force(space)))
    first = draw(st.none() | st.sampled_from(sorted(occurring)))
    conditions = list(space.conditions)
    if first is not None:
        conditions.append(Condition(path=("u",), clauses=(Clause(path=(first,), choices=(occurring[first],)),)))
    conditions.append(
        Condition(path=("v",), clauses=(Clause(path=("u",), low=0.3, high=draw(st.none() | st.just(0.8))),))
    )
    added = tuple(Parameter(path=(name,), distribution=unit) for name in "uv")
    return Space(parameters=(*space.parameters, *added), conditions=tuple(conditions))


@settings(max_examples=examples(30), deadline=None)
@given(infinite_spaces(), st.sampled_from(["random", "tpe"]), st.integers(0, 3), st.integers(1, 13))
def test_in_any_space_only_active_parameters_the_same_from_a_seed_and_from_a_record(space, sampler, seed, cut):
    told = drive(make_engine(spec_of(space, sampler), seed=seed), 14, pending_every=6)
    resumed = make_engine(spec_of(space, sampler), seed=seed)
    for run in told:
        assert_active_only(space, run.params)
        if run.number < cut:
            resumed.tell(run_of(run.number, json.loads(json.dumps(run.params)), run.state, history=run.history))
    assert resumed.ask(cut).params == told[cut].params
    assert len({key(run.params) for run in told}) == 14


@pytest.mark.parametrize("sampler", ["random", "tpe"])
@pytest.mark.parametrize("seed", [0, 1])
def test_no_inactive_parameter_is_proposed_and_a_record_gives_the_same(sampler, seed):
    engine = make_engine(spec_of(MIXED, sampler), seed=seed)
    told = drive(engine, 25, pending_every=7)
    for run in told:
        assert_active_only(MIXED, run.params)
    assert len({tuple(sorted(run.params)) for run in told}) > 3
    again = make_engine(spec_of(MIXED, sampler), seed=seed)
    assert [run.params for run in drive(again, 12, pending_every=7)] == [run.params for run in told[:12]]
    resumed = make_engine(spec_of(MIXED, sampler), seed=seed)
    for run in told:
        resumed.tell(run_of(run.number, json.loads(json.dumps(run.params)), run.state, history=run.history))
    assert resumed.ask(25).params == engine.ask(25).params


def test_tpe_learns_a_parameter_from_the_runs_that_had_it():
    space = space_with(
        {"net": choice("a", "b"), "x": D(kind=Kind.UNIFORM, min=0.0, max=1.0), "y": D(kind=Kind.UNIFORM, min=0, max=1)},
        when("x", net=("a",)),
        when("y", net=("b",)),
    )
    engine = make_engine(spec_of(space, "tpe"), seed=1)
    for number in range(40):
        value = number // 2 / 20
        params = {"net": "b", "y": value} if number % 2 else {"net": "a", "x": value}
        loss = abs(value - 0.2) if number % 2 else 1 + abs(value - 0.8)
        engine.tell(run_of(number, params, history=(loss,)))
    found = [engine.ask(number).params for number in range(40, 52)]
    chosen = [params["y"] for params in found if params["net"] == "b"]
    assert len(chosen) >= 8 and sum(abs(y - 0.2) < 0.15 for y in chosen) >= len(chosen) * 0.7, found


def test_values_of_inactive_parameters_in_a_told_run_do_not_matter():
    space = space_with({"a": choice(0, 1), "b": choice(*range(5))}, when("b", a=(1,)))
    for engine in (GridEngine(space), RandomEngine(space, seed=0), make_engine(spec_of(space, "tpe"), seed=0)):
        engine.tell(run_of(0, {"a": 0, "b": 3}))  # W&B itself varied it
        assert [run.params for run in drive_from(engine, 1)].count({"a": 0}) == 0
        assert engine.total() == 6


def drive_from(engine, number):
    told = []
    while isinstance(proposal := engine.ask(number + len(told)), Proposal):
        told.append(run_of(number + len(told), proposal.params))
        engine.tell(told[-1])
    assert isinstance(proposal, Exhausted)
    return told


def test_a_finite_branch_of_an_infinite_space_is_not_repeated():
    weighted = D(kind=Kind.CATEGORICAL_W_PROBABILITIES, values=("plain", "tuned"), probabilities=(0.9, 0.1))
    space = space_with({"net": weighted, "x": D(kind=Kind.UNIFORM, min=0.0, max=1.0)}, when("x", net=("tuned",)))
    for sampler in ("random", "tpe"):
        told = drive(make_engine(spec_of(space, sampler), seed=3), 15)
        assert len({key(run.params) for run in told}) == 15, sampler
        assert [run.params for run in told].count({"net": "plain"}) == 1


def test_a_prior_run_is_told_by_its_active_parameters():
    space = space_with({"a": choice(0, 1), "b": D(kind=Kind.UNIFORM, min=0.0, max=1.0)}, when("b", a=(1,)))
    prior = [run_of(n, {"a": 0, "b": "what"}) for n in range(12)]
    proposal = make_engine(spec_of(space), seed=0, prior=prior).ask(0)
    assert proposal.info["observed"] == 12 and proposal.info["sampler"] == "gp"


def test_a_space_of_millions_is_counted_and_walked_without_listing():
    wide = {f"p{i}": D(kind=Kind.INT_UNIFORM, min=1, max=1000) for i in range(4)}
    space = space_with(
        {**wide, "kind": choice("a", "b"), "n": D(kind=Kind.INT_UNIFORM, min=0, max=10**9)},
        when("n", kind=("b",)),
        when("p0", n=slice(17, 10**6)),
    )
    points = support_points(space)
    inside = 10**6 - 17 + 1
    assert points.total == 1000**3 * (1 + (10**9 + 1 - inside) + inside * 1000)
    for index in (0, 1, points.total // 3, points.total - 1):
        assert points.index(points.params(index)) == index
    last = points.params(points.total - 1)  # the largest n leaves p0 out
    assert last == {"kind": "b", "n": 10**9, "p1": 1000, "p2": 1000, "p3": 1000}


def test_forty_families_cost_no_more_than_forty_times_one():
    distributions, conditions = {}, []
    for index in range(40):  # all flags come first, so every one of them is open at once
        distributions[f"flag{index}"], distributions[f"value{index}"] = choice(False, True), choice(*range(3))
        conditions.append(when(f"value{index}", **{f"flag{index}": (True,)}))
    space = space_with(distributions, *conditions)
    points = support_points(space)
    assert points.total == 4**40
    assert points.index(points.params(4**39 + 12345)) == 4**39 + 12345


def test_one_entangled_family_is_not_counted_but_searched():
    distributions = {f"a{index}": choice(0, 1) for index in range(20)} | {"z": choice(0, 1)}
    clauses = {f"a{index}": (1,) for index in range(20)}
    children = {f"b{index}": choice(0, 1) for index in range(20)}
    conditions = [when(f"b{index}", **{f"a{index}": (1,)}) for index in range(20)]
    space = space_with({**distributions, **children}, *conditions, when("z", **clauses))
    axes = {p.path: ListAxis(p.distribution.values) for p in space.parameters}
    with pytest.raises(TooEntangled, match="20000 combinations"):
        ActiveOrder(axes, space.conditions)
    with pytest.raises(SweepKitError, match="fewer conditions"):
        GridEngine(space)
    engine = make_engine(spec_of(space, "random"), seed=0)
    assert engine.total() is None
    for run in drive(engine, 10):
        assert_active_only(space, run.params)


def test_a_parent_that_is_constant_and_a_child_that_is():
    space = space_with(
        {"a": D(kind=Kind.CONSTANT, values=(1,)), "b": choice(5, 6), "c": D(kind=Kind.CONSTANT, values=("x",))},
        when("b", a=(1,)),
        when("c", b=(6,)),
    )
    assert [run.params for run in drive(GridEngine(space), 9)] == [{"a": 1, "b": 5}, {"a": 1, "b": 6, "c": "x"}]
    for sampler in ("random", "tpe"):
        runs = drive(make_engine(spec_of(space, sampler), seed=0), 9)
        assert sorted(len(run.params) for run in runs) == [2, 3]


@pytest.mark.parametrize(("sampler", "kinds"), [(None, {"gp", "tpe"}), ("gp", {"gp"}), ("bayes", {"gp", "tpe"})])
def test_a_gaussian_process_searches_conditional_spaces(sampler, kinds):
    """Every run has exactly the parameters that are active, and the search finds the better branch."""
    engine = make_engine(spec_of(MIXED), seed=0, sampler=sampler)
    runs = drive(engine, 24)
    assert {run.info["sampler"] for run in runs[10:]} == kinds
    for run in runs:
        flat = MIXED.flatten(run.params)
        assert set(flat) == set(MIXED.active(flat))


@pytest.mark.parametrize("state", [RunState.RUNNING, RunState.FAILED])
def test_a_told_configuration_is_blocked_in_every_state(state):
    space = space_with({"a": choice(0, 1), "b": choice(*range(3))}, when("b", a=(1,)))
    engine = RandomEngine(space, seed=5)
    seen = []
    for number in range(4):
        seen.append(key(engine.ask(number).params))
        engine.tell(run_of(number, engine.ask(number).params, state))
    assert len(set(seen)) == 4 and isinstance(engine.ask(4), Exhausted)


def test_conditions_in_the_wrong_order_are_a_fault_of_the_caller():
    with pytest.raises(ValueError, match="decided before it"):
        space_with({"a": choice(1), "b": choice(1)}, when("a", b=(1,)), when("b", a=(1,)))
    with pytest.raises(ValueError, match="must be parameters"):
        space_with({"a": choice(1)}, when("a", zz=(1,)))
    with pytest.raises(ValueError, match=WORDS["a-parameter-of"]):
        space_with({"a": choice(1), "b": choice(1)}, when("a", b=(1,)), when("a", b=(1,)))
