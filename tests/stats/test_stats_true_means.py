import numpy as np
import pytest

from sweepkit.stats.true_means import true_means

NOISE = 0.003


def sweep(true, seed=0):
    """Return one score of each configuration, best first, and the true means in that order."""
    rng = np.random.default_rng(seed)
    scores = true + NOISE * rng.normal(size=len(true))
    order = np.argsort(-scores)
    return scores[order], np.asarray(true)[order]


def known(scores, fresh=None, **changes):
    """Return the posterior of the best five of a sweep, with fresh scores of some."""
    mine = [[score, *(fresh or {}).get(at, ())] for at, score in enumerate(scores[:5])]
    return true_means(mine, [[score] for score in scores[5:]], **{"sd": NOISE, "df": 10, "seed": [1], **changes})


def test_draws_and_expectations_agree_and_repeat():
    scores, _ = sweep(0.007 * np.random.default_rng(1).normal(size=50))
    one, again = known(scores), known(scores)
    assert one.draws.shape[1] == 5 and np.array_equal(one.draws, again.draws)
    assert one.means == pytest.approx(one.draws.mean(axis=0), abs=0.05 * NOISE)


@pytest.mark.parametrize(
    ("law", "least", "most"),
    [("equal", -0.2, 0.7), ("normal", 0.6, 1.05)],
)
def test_the_best_score_is_believed_the_less_the_more_alike_all_are(law, least, most):
    rng = np.random.default_rng(2)
    scores, _ = sweep(np.zeros(50) if law == "equal" else 0.014 * rng.normal(size=50))
    centre = np.median(scores)
    kept = (known(scores).means[0] - centre) / (scores[0] - centre)
    assert least < kept < most


def test_one_collapsed_seed_counts_little():
    scores, _ = sweep(0.007 * np.random.default_rng(3).normal(size=50))
    good = known(scores, {0: [scores[0]] * 3})
    collapsed = known(scores, {0: [*[scores[0]] * 2, scores[0] - 0.1]})
    plain = np.mean([*[scores[0]] * 3, scores[0] - 0.1])
    assert abs(collapsed.means[0] - good.means[0]) < 2 * NOISE < good.means[0] - plain


def test_a_sweep_of_thousands_says_the_same_as_all_of_its_scores_would():
    scores, _ = sweep(0.007 * np.random.default_rng(4).normal(size=3000))
    found = known(scores)
    shrunk = 0.007**2 / (0.007**2 + NOISE**2)
    assert found.means[0] == pytest.approx(shrunk * scores[0], abs=0.6 * NOISE)


@pytest.mark.parametrize(("shift", "scale"), [(0, 1), (1e6, 1), (0, 1e-9), (-3, 1e9)])
def test_unit_and_origin_change_nothing(shift, scale):
    scores, _ = sweep(0.007 * np.random.default_rng(5).normal(size=30))
    one, other = known(scores), known(scores * scale + shift, sd=NOISE * scale)
    assert other.means == pytest.approx(one.means * scale + shift, rel=1e-9, abs=1e-4 * NOISE * scale)


def test_of_few_configurations_no_law_is_learnt():
    found = true_means([[0.5, 0.5], [0.4, 0.4]], [[0.1]] * 3, sd=0.01, df=3, seed=[0])
    assert found.means == pytest.approx([0.5, 0.4], abs=0.002)
