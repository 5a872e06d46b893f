"""Tests over seeds and examples: their formula, their error rates, and the resampling tests beside them."""

import math

import numpy as np
import pytest
from scipy import stats

from sweepkit.stats.comparison import Conclusion, DecidingTest, compare
from sweepkit.stats.examples import paired_examples, two_way
from sweepkit.stats.groups import ModelScores
from sweepkit.stats.sentences import closing_sentences


def simulated(rng, seeds, count, *, gap=0.0, seed_sd=0.003, ability=0.07, residual=0.1):
    """Two matrices of seeds × examples; the second model is worse by `gap` on new examples."""
    hard = rng.normal(0.5, 0.2, count)
    return [
        hard
        + rng.normal(shift, ability, count)
        + rng.normal(0, seed_sd, (seeds, 1))
        + rng.normal(0, residual, (seeds, count))
        for shift in (gap, 0.0)
    ]


def grouped(name, matrix):
    rows = {str(seed): row for seed, row in enumerate(np.asarray(matrix).tolist())}
    return ModelScores(name=name, scores={seed: math.fsum(row) / len(row) for seed, row in rows.items()}, examples=rows)


def test_the_variance_is_the_written_formula():
    rng = np.random.default_rng(2)
    a, b = simulated(rng, 4, 30, seed_sd=0.05)
    found = two_way(a, b[:3])
    expected = np.var(a.mean(0) - b[:3].mean(0), ddof=1) / 30
    for matrix in (a, b[:3]):
        seeds = len(matrix)
        expected += np.var(matrix.mean(1), ddof=1) / seeds
        left = matrix - matrix.mean(1, keepdims=True) - matrix.mean(0) + matrix.mean()
        expected -= (left**2).sum() / ((seeds - 1) * 29) / (30 * seeds)
    assert found.estimate.error == pytest.approx(math.sqrt(expected))
    assert found.estimate.difference == pytest.approx(a.mean() - b[:3].mean())
    assert 1 <= found.estimate.df <= 29 + 3 + 2


def test_its_variance_is_right_on_average():
    rng = np.random.default_rng(4)
    gaps, variances = [], []
    for _ in range(600):
        found = two_way(*simulated(rng, 3, 40, seed_sd=0.02))
        gaps.append(found.estimate.difference)
        variances.append(found.estimate.error**2)
    assert np.mean(variances) == pytest.approx(np.var(gaps), rel=0.2)


@pytest.mark.parametrize("seeds", [3, 5])
def test_equal_models_are_told_apart_by_seeds_alone_and_not_by_the_two_way_test(seeds):
    rng, wrong, alone, runs = np.random.default_rng(seeds), 0, 0, 250
    for _ in range(runs):
        a, b = simulated(rng, seeds, 200, ability=0.1)
        wrong += two_way(a, b).estimate.p < 0.05
        alone += stats.ttest_ind(a.mean(1), b.mean(1)).pvalue < 0.05
    assert wrong / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
    assert alone / runs > 0.1


def test_a_comparison_with_examples_takes_them_into_account_and_says_how_much():
    rng = np.random.default_rng(1)
    a, b = simulated(rng, 3, 300, gap=0.1)
    found = compare([grouped("a", a), grouped("b", b)])
    assert (found.method, found.examples, found.pairs[0].kind) == (DecidingTest.TWO_WAY, 300, Conclusion.BETTER)
    assert found.pairs[0].estimate.p == two_way(a, b).estimate.p
    assert found.pairs[0].seeds_only.p == pytest.approx(stats.ttest_ind(a.mean(1), b.mean(1)).pvalue)
    assert "the 300 examples is counted" in closing_sentences(found)[-1]


def test_one_seed_each_speaks_of_these_checkpoints_only():
    a, b = simulated(np.random.default_rng(1), 1, 50, gap=0.2)
    found = compare([grouped("a", a), grouped("b", b)])
    assert found.method is DecidingTest.EXAMPLES
    assert found.pairs[0].estimate.p == pytest.approx(stats.ttest_rel(a[0], b[0]).pvalue)
    assert "these checkpoints only" in closing_sentences(found)[-1]


def test_other_numbers_of_examples_fall_back_to_seeds():
    rng = np.random.default_rng(1)
    a, b = simulated(rng, 3, 50)
    found = compare([grouped("a", a), grouped("b", b[:, :40])])
    assert (found.method, found.examples) == (DecidingTest.POOLED, None)


def test_nothing_that_scatters_gives_no_test():
    flat = np.full((3, 10), 0.5)
    assert two_way(flat, flat) is None
    assert paired_examples(flat, flat + 0.25) is None
    assert paired_examples([[0.5]], [[0.4]]) is None
    found = compare([grouped("a", flat), grouped("b", flat)])
    assert found.pairs[0].kind is Conclusion.UNTESTED
    with pytest.raises(ValueError, match="at least 2 seeds"):
        two_way(flat[:1], flat)
    with pytest.raises(ValueError, match="a matrix"):
        two_way([0.1], [0.2])
