"""Power, seeds and effects against the published table, scipy's own distributions, and simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from sweepkit.stats.effects import correction, hedges_g
from sweepkit.stats.power import (
    Noise,
    detectable,
    equality_power,
    power,
    seeds_for_equality,
    seeds_needed,
)


@pytest.mark.parametrize(("models", "pairs", "seeds"), [(3, 3, [22, 11, 7, 5, 4, 3]), (2, 1, [17, 9, 6, 4, 4, 3])])
def test_seeds_for_80_percent_power_are_those_of_the_reference(models, pairs, seeds):
    noise = Noise(per_seed=2.0, df_per_seed=models)
    assert [seeds_needed(gap, noise, alpha=0.05 / pairs) for gap in (1, 1.5, 2, 2.5, 3, 4)] == seeds


@pytest.mark.parametrize("df", [2.0, 4.0, 6.5, 27.0, 400.0])
@pytest.mark.parametrize("gap", [0.0, 0.5, 2.0, 7.0])
def test_power_is_scipys_noncentral_t(df, gap):
    critical = stats.t.ppf(0.975, df)
    expected = stats.nct.sf(critical, df, gap) + stats.nct.cdf(-critical, df, gap)
    assert power(gap, 1.0, df) == pytest.approx(expected, abs=1e-6)


def test_power_of_differences_beyond_the_noncentral_t():
    assert power(100.0, 1.0, 4.0) == pytest.approx(1.0)
    # one degree of freedom and 45 pairs: the critical t is 573, and a t of 400 true errors is seen in half the cases
    critical = stats.t.ppf(1 - 0.05 / 90, 1)
    expected = stats.chi2.cdf((400 / critical) ** 2, 1)  # the difference is as good as exact, its error is not
    assert power(400.0, 1.0, 1.0, alpha=0.05 / 45) == pytest.approx(expected, abs=0.003)


def test_what_is_detectable_is_detected_so_often():
    for df in (1.0, 4.0, 60.0):
        for alpha in (0.05, 0.05 / 45):
            assert power(detectable(0.3, df, alpha=alpha), 0.3, df, alpha=alpha) == pytest.approx(0.8, abs=1e-3)


def test_the_power_to_find_two_models_equal_is_that_of_the_reference():
    # margins of 1, 1.5, 2, 3 sd at 3, 5, 10, 20 seeds, two models; simulated, two digits
    expected = {
        1: (0.03, 0.07, 0.39, 0.86),
        1.5: (0.15, 0.42, 0.89, 1),
        2: (0.38, 0.78, 0.99, 1),
        3: (0.82, 0.99, 1, 1),
    }
    for margin, row in expected.items():
        found = [equality_power(margin, math.sqrt(2 / n), 2 * (n - 1)) for n in (3, 5, 10, 20)]
        assert found == pytest.approx(row, abs=0.012)


def test_seeds_for_equality_are_the_fewest():
    noise = Noise(per_seed=2.0, df_per_seed=2)
    n = seeds_for_equality(1.0, noise)
    assert equality_power(1.0, noise.error(n), noise.df(n)) >= 0.8
    assert equality_power(1.0, noise.error(n - 1), noise.df(n - 1)) < 0.8
    assert seeds_for_equality(0.0, noise) is None


def test_where_examples_are_the_noise_no_number_of_seeds_is_enough():
    noise = Noise(per_seed=1e-6, df_per_seed=2, fixed=1.0, fixed_df=100)
    assert seeds_needed(1.0, noise) is None
    assert seeds_needed(10.0, noise) == 2
    assert seeds_needed(0.0, noise) is None
    assert seeds_needed(1.0, Noise(per_seed=0.0, df_per_seed=2)) is None


def test_hedges_factor_is_close_to_the_usual_approximation():
    for df in (3, 6, 40):
        assert correction(df) == pytest.approx(1 - 3 / (4 * df - 1), abs=0.01)
    assert math.isnan(correction(1))


def test_the_interval_of_an_effect_covers_it():
    rng, true, hits = np.random.default_rng(5), 2.0, 0
    for _ in range(1500):
        a, b = rng.normal(true, 1, 4), rng.normal(0, 1, 4)
        sd = math.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)
        effect = hedges_g(a.mean() - b.mean(), sd, 6, (4, 4))
        hits += effect.low <= true <= effect.high
    assert hits / 1500 == pytest.approx(0.95, abs=0.02)


def test_no_effect_without_spread():
    assert hedges_g(1.0, 0.0, 4, (3, 3)) is None
    assert hedges_g(1.0, 1.0, 1, (2, 1)) is None


@pytest.mark.parametrize("df", [2, 6, 30])
def test_the_interval_of_a_huge_effect_goes_on_where_the_exact_one_ends(df):
    exact, beyond = (hedges_g(t * math.sqrt(2 / 3), 1.0, df, (3, 3)) for t in (100.0, 100.0001))
    assert (exact.low, exact.high) == pytest.approx((beyond.low, beyond.high), rel=5e-3)
    mirrored = hedges_g(-1e6, 1e-6, df, (3, 3))
    assert mirrored.low < mirrored.g < mirrored.high < 0
