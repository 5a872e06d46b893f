import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweepkit.model.distributions import Distribution, Kind
from sweepkit.model.runs import Exhausted, RunState, RunView
from sweepkit.model.space import Parameter, Space
from sweepkit.search.grid import GridEngine
from sweepkit.search.points import SeenPoints, support_points
from sweepkit.search.random import RandomEngine, derived_seed

D = Distribution


def space(**values):
    return Space(
        parameters=tuple(
            Parameter(path=(name,), distribution=D(kind=Kind.CATEGORICAL, values=tuple(values[name])))
            for name in sorted(values)
        )
    )


def told(number, params, state=RunState.FINISHED):
    return RunView(number=number, run_id=str(number), params=params, state=state)


@given(st.sets(st.integers(0, 40)), st.integers(0, 60))
def test_the_kth_unseen_number_is_found(seen, rank):
    points = SeenPoints()
    for index in seen:
        points.add(index)
        points.add(index)
    assert len(points) == len(seen)
    assert points.unseen(rank) == [n for n in range(200) if n not in seen][rank]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_a_point_is_found_by_its_content_again(sizes):
    points = support_points(space(**{f"p{i}": range(size) for i, size in enumerate(sizes)}))
    for index in range(points.total):
        assert points.index(points.params(index)) == index


def test_an_extended_grid_goes_on_without_repeats():
    small, large = space(a=[1, 2], b=["x"]), space(a=[1, 3, 2.0], b=["x", "y"])
    engine, done = GridEngine(small), []
    while not isinstance(proposal := engine.ask(len(done)), Exhausted):
        done.append(told(len(done), proposal.params, RunState.FAILED))
        engine.tell(done[-1])
    bigger = GridEngine(large)
    for run in done:
        bigger.tell(run)
    fresh = []
    while not isinstance(proposal := bigger.ask(len(done)), Exhausted):
        fresh.append((proposal.params["a"], proposal.params["b"]))
        done.append(told(len(done), proposal.params))
        bigger.tell(done[-1])
    assert fresh == [(1, "y"), (3, "x"), (3, "y"), (2.0, "y")]


def test_keys_that_a_program_added_to_a_dictionary_do_not_unblock_its_point():
    engine = GridEngine(space(a=[{"k": 1}, {"k": 2, "l": 3}]))
    engine.tell(told(0, {"a": {"k": 1, "_runtime": 12}, "other": 5}))
    assert engine.ask(1).params == {"a": {"k": 2, "l": 3}}


def test_a_run_without_one_of_the_parameters_blocks_nothing():
    engine = GridEngine(space(a=[1, 2], b=[3]))
    engine.tell(told(0, {"a": 1}))
    assert engine.ask(1).params == {"a": 1, "b": 3}


def test_a_large_grid_costs_nothing_to_build_and_little_to_walk(record_property):
    began = time.perf_counter()
    engine = GridEngine(space(**{name: range(100) for name in "abcd"}))
    record_property("build_s", time.perf_counter() - began)
    assert engine.total() == 10**8
    began = time.perf_counter()
    seen = set()
    for number in range(10_000):
        proposal = engine.ask(number)
        engine.tell(told(number, proposal.params))
        seen.add(tuple(proposal.params.values()))
    record_property("ask_tell_s", time.perf_counter() - began)
    assert len(seen) == 10_000


def test_random_is_used_up_without_a_scan():
    engine = RandomEngine(space(a=range(40), b=range(50)), seed=3)
    seen = set()
    for number in range(2000):
        proposal = engine.ask(number)
        seen.add(tuple(proposal.params.values()))
        engine.tell(told(number, proposal.params))
    assert len(seen) == 2000 and isinstance(engine.ask(2000), Exhausted)


def test_seeds_differ_by_number_and_attempt_and_never_change():
    seeds = {derived_seed(s, n, a) for s in range(5) for n in range(20) for a in range(3)}
    assert len(seeds) == 300 and all(0 <= seed < 2**32 for seed in seeds)
    assert derived_seed(1, 2) == derived_seed(1, 2, 0) == 3732395672  # the first 8 hex digits of sha256('1:2:0')


def test_support_indices_reject_what_is_not_there():
    lattice = D(kind=Kind.Q_UNIFORM, min=0.1, max=0.35, q=0.1)
    assert [lattice.support_value(i) for i in range(lattice.support_size())] == [0.1, 0.2, pytest.approx(0.3)]
    assert lattice.support_index(0.25) is None and lattice.support_index("0.2") is None
    assert lattice.support_index(0.4) is None and lattice.support_index(True) is None
    with pytest.raises(IndexError):
        lattice.support_value(3)
