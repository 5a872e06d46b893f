"""The front, its layers and the hypervolume against brute force and against Optuna's own."""

import itertools
import math

import numpy as np
import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshots import words_of

from sweepkit.analysis.pareto import default_reference, dominates, front, hypervolume, layers
from sweepkit.model.metric import Goal

WORDS = words_of(__file__)

MIN, MAX = Goal.MINIMIZE, Goal.MAXIMIZE
few = st.integers(0, 5).map(float)  # many ties
real = st.integers(-(10**6), 10**6).map(lambda n: n / 997)  # no products that underflow


@st.composite
def problems(draw, value=few, most=12, sizes=(1, 4)):
    dimensions = draw(st.integers(*sizes))
    goals = tuple(draw(st.lists(st.sampled_from(list(Goal)), min_size=dimensions, max_size=dimensions)))
    points = draw(st.lists(st.tuples(*[value] * dimensions), max_size=most))
    return points, goals


def naive_front(points, goals, among):
    return tuple(i for i in among if not any(dominates(points[j], points[i], goals) for j in among))


@given(problems(value=st.one_of(few, real), most=30))
@settings(max_examples=examples(150))
def test_layers_are_the_fronts_of_what_is_left(problem):
    points, goals = problem
    left, expected = tuple(range(len(points))), []
    while left:
        expected.append(naive_front(points, goals, left))
        left = tuple(i for i in left if i not in expected[-1])
    assert layers(points, goals) == expected
    assert front(points, goals) == (expected[0] if expected else ())


@given(problems(sizes=(1, 3)), st.integers(4, 6))
@settings(max_examples=examples(100), deadline=None)
def test_the_hypervolume_counts_the_cells_that_a_point_dominates(problem, corner):
    """Integer points up to an integer corner: the volume is the number of unit cells that some point dominates."""
    points, goals = problem
    reference = tuple(float(corner if goal is MIN else -1) for goal in goals)
    losses = [[v if g is MIN else -v for v, g in zip(p, goals, strict=True)] for p in points]
    ranges = [range(-6, corner if goal is MIN else 1) for goal in goals]
    cells = sum(
        any(all(v <= c for v, c in zip(loss, cell, strict=True)) for loss in losses)
        for cell in itertools.product(*ranges)
    )
    assert hypervolume(points, reference, goals) == cells


@given(problems(value=real, most=25, sizes=(2, 4)))
@settings(max_examples=examples(60), deadline=None)
def test_the_hypervolume_is_optunas(problem):
    from optuna._hypervolume import compute_hypervolume

    points, goals = problem
    if not points:
        return
    reference = default_reference(points, goals)
    signs = np.array([1.0 if goal is MIN else -1.0 for goal in goals])
    theirs = compute_hypervolume(np.array(points) * signs, np.array(reference) * signs)
    assert math.isclose(hypervolume(points, reference, goals), theirs, rel_tol=1e-9, abs_tol=1e-9)


@given(problems(value=real, most=15, sizes=(2, 3)))
@settings(max_examples=examples(60))
def test_only_the_front_has_volume_and_every_point_dominates_the_default_reference(problem):
    points, goals = problem
    if not points:
        return
    reference = default_reference(points, goals)
    assert all(dominates(point, reference, goals) for point in points)
    members = [points[i] for i in front(points, goals)]
    whole = hypervolume(points, reference, goals)
    assert math.isclose(hypervolume(members, reference, goals), whole, rel_tol=1e-12) and whole > 0


def test_points_beyond_the_reference_count_for_nothing():
    assert hypervolume([(1.0, 9.0), (2.0, 3.0)], (3.0, 3.0), (MIN, MIN)) == 0.0
    assert hypervolume([(1.0, 9.0), (2.0, 1.0)], (3.0, 3.0), (MIN, MIN)) == 2.0
    assert hypervolume([], (3.0, 3.0), (MIN, MAX)) == 0.0


def test_the_default_reference_is_a_tenth_of_the_range_beyond_the_worst():
    assert default_reference([(0.0, 10.0), (10.0, 0.0)], (MIN, MAX)) == (11.0, -1.0)
    assert default_reference([(5.0, 0.0)], (MIN, MAX)) == (5.5, -0.1)
    with pytest.raises(ValueError, match=WORDS["at-least-one"]):
        default_reference([], (MIN, MAX))


def test_thousands_of_points_are_sorted_at_once():
    """Only a quadratic sort of two objectives would not end within the suite's limit."""
    points = [(float(i * 7919 % 20011), float(i * 104729 % 20011)) for i in range(20000)]
    found = layers(points, (MIN, MIN))
    assert sum(map(len, found)) == 20000 and len(found[0]) < 200
