import math

import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from snapshots import words_of

from sweepkit.model.metric import Goal
from sweepkit.stats.seed_race import clearly_worse

WORDS = words_of(__file__)

FINITE = st.floats(-1e3, 1e3)
SCORES = st.dictionaries(st.integers(0, 5), st.lists(FINITE, min_size=1, max_size=4), max_size=6)


def test_the_test_is_the_one_sided_t_test_of_scipy_where_there_are_two():
    scores = {0: [0.50, 0.52, 0.49], 1: [0.47, 0.455, 0.46]}
    expected = stats.ttest_ind(scores[0], scores[1], alternative="greater").pvalue
    (reason,) = clearly_worse(scores, Goal.MAXIMIZE, min_seeds=2).values()
    assert f"p = {expected:.2g}" in reason and reason.startswith(WORDS["clearly-worse-than"])
    assert clearly_worse(scores, Goal.MAXIMIZE, min_seeds=2, alpha=expected * 0.99) == {}
    assert list(clearly_worse(scores, Goal.MINIMIZE, min_seeds=2)) == [0]


@pytest.mark.parametrize(
    "scores",
    [
        {},
        {0: [1.0, 2.0]},
        {0: [1.0], 1: [9.0]},  # no spread is known
        {0: [1.0, 1.001], 1: [9.0]},  # by one pair alone
        {0: [1.0, 1.0], 1: [2.0, 2.0]},  # there is none
        {0: [1.0, 1.1], 1: [1.0, 1.1]},
        {0: [1e308, 1.7e308], 1: [-1.7e308, -1e308]},
    ],
)
def test_what_cannot_be_judged_is_not(scores):
    assert clearly_worse(scores, Goal.MINIMIZE, min_seeds=2) == {}


def test_a_configuration_with_too_few_seeds_is_neither_judged_nor_the_best():
    scores = {0: [0.0], 1: [1.0, 1.1, 0.9], 2: [5.0, 5.1, 4.9], 3: [99.0]}
    assert list(clearly_worse(scores, Goal.MINIMIZE, min_seeds=2)) == [2]
    assert list(clearly_worse(scores, Goal.MINIMIZE, min_seeds=1)) == [1, 2, 3]


@settings(max_examples=examples(200))
@given(scores=SCORES, goal=st.sampled_from(list(Goal)), least=st.integers(1, 3))
def test_the_best_is_never_among_them_and_the_direction_is_a_mirror(scores, goal, least):
    found = clearly_worse(scores, goal, min_seeds=least)
    means = {key: math.fsum(values) / len(values) for key, values in scores.items() if len(values) >= least}
    assert set(found) <= set(means)
    for key in found:
        assert any(goal.better(other, means[key]) for other in means.values())
    other = Goal.MINIMIZE if goal is Goal.MAXIMIZE else Goal.MAXIMIZE
    mirrored = {key: [-value for value in values] for key, values in scores.items()}
    assert set(clearly_worse(mirrored, other, min_seeds=least)) == set(found)
