"""The comparison against scipy, against known numbers, and with data that allow no test."""

import math
from itertools import combinations

import numpy as np
import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from snapshots import words_of

from sweepkit.errors import SweepKitError
from sweepkit.stats.comparison import ComparisonSettings, Conclusion, DecidingTest, compare, doubted
from sweepkit.stats.groups import ModelScores, groups_of
from sweepkit.stats.holm import holm
from sweepkit.stats.sentences import closing_sentences, pair_sentence
from sweepkit.stats.words import p_text

WORDS = words_of(__file__)

NAN = math.nan


def pair_of(found, first, second):
    (pair,) = [pair for pair in found.pairs if (pair.first, pair.second) == (first, second)]
    return pair


def words(found):
    return [*found.notes, *(pair_sentence(pair, found) for pair in found.pairs), *closing_sentences(found)]


# -- against scipy -----------------------------------------------------------------------------------------------------


def brute_holm(p_values):
    """The definition: a hypothesis falls with the smallest level at which all before it in order have fallen."""
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    found = [0.0] * len(p_values)
    for rank, place in enumerate(order):
        found[place] = max(
            min(1.0, p_values[other] * (len(order) - step)) for step, other in enumerate(order[: rank + 1])
        )
    return found


SIZES = [(3, 3), (2, 2), (3, 3, 3), (5, 5, 5), (10, 10, 10, 10), (2, 3), (3, 5, 5), (10, 3, 10), (2, 11), (7, 6, 5, 2)]


@pytest.mark.slow
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_a_thousand_random_data_sets_give_what_scipy_gives(sizes):
    rng, sets = np.random.default_rng(sizes), 1000 // len(SIZES)
    scale = 10.0 ** rng.uniform(-4, 3, (sets, 1))
    data = {f"m{i}": scale * rng.normal(rng.normal(), rng.uniform(0.5, 3), (sets, n)) for i, n in enumerate(sizes)}
    compared = [
        compare(groups_of({name: rows[place].tolist() for name, rows in data.items()}), ComparisonSettings(margin=0))
        for place in range(sets)
    ]
    equal, df = len(set(sizes)) == 1, sum(sizes) - len(sizes)
    spread = np.sqrt(sum((n - 1) * np.var(v, axis=1, ddof=1) for n, v in zip(sizes, data.values(), strict=True)) / df)
    for one, two in combinations(data, 2):
        a, b = data[one], data[two]
        apart = stats.ttest_ind(a, b, axis=1, equal_var=False)
        bounds = apart.confidence_interval()
        together = stats.ttest_ind(a, b, axis=1)
        error = spread * math.sqrt(1 / a.shape[1] + 1 / b.shape[1])
        gap = a.mean(1) - b.mean(1)
        pooled_p, half = 2 * stats.t.sf(np.abs(gap) / error, df), stats.t.ppf(0.975, df) * error
        for place, found in enumerate(compared):
            (pair,) = [pair for pair in found.pairs if {pair.first, pair.second} == {one, two}]
            sign = 1 if pair.first == one else -1
            exactly_as(
                pair.welch, sign, apart.statistic[place], apart.pvalue[place], bounds.low[place], bounds.high[place]
            )
            assert found.method is (DecidingTest.POOLED if equal else DecidingTest.WELCH)
            if equal:
                t, low, high = gap[place] / error[place], gap[place] - half[place], gap[place] + half[place]
                exactly_as(pair.estimate, sign, t, pooled_p[place], low, high)
            if equal and len(sizes) == 2:
                assert pair.estimate.p == pytest.approx(together.pvalue[place], rel=1e-9)
    for found in compared:
        expected = brute_holm([pair.estimate.p for pair in found.pairs])
        assert [pair.p_holm for pair in found.pairs] == pytest.approx(expected, rel=1e-12)


def exactly_as(estimate, sign, t, p, low, high):
    """Compare with scipy's numbers of the other order of the pair where `sign` is -1."""
    interval = sorted((sign * low, sign * high))
    assert (sign * estimate.t, estimate.p) == pytest.approx((t, p), rel=1e-8)
    assert estimate.interval() == pytest.approx(interval, rel=1e-8, abs=1e-9 * abs(high - low))


def test_the_interval_of_a_mean_is_scipys_with_the_spread_that_the_table_names():
    scores = {"a": [0.1, 0.2, 0.4], "b": [0.2, 0.5, 0.6]}
    found = compare(groups_of(scores))
    sd = math.sqrt((np.var(scores["a"], ddof=1) + np.var(scores["b"], ddof=1)) / 2)
    expected = stats.t.interval(0.95, 4, loc=np.mean(scores["b"]), scale=sd / math.sqrt(3))
    assert (found.models[0].low, found.models[0].high) == pytest.approx(expected)
    apart = compare(groups_of({"a": [0.1, 0.2, 0.4, 0.4], "b": scores["b"]})).models[0]
    expected = stats.t.interval(0.95, 2, loc=np.mean(scores["b"]), scale=np.std(scores["b"], ddof=1) / math.sqrt(3))
    assert (apart.low, apart.high) == pytest.approx(expected)


@given(st.lists(st.none() | st.floats(0, 1), max_size=8))
@settings(max_examples=examples(100), deadline=None)
def test_holm_is_its_definition(p_values):
    found = holm(p_values)
    tested = [p for p in p_values if p is not None]
    assert [p for p in found if p is not None] == pytest.approx(brute_holm(tested))
    assert [p is None for p in found] == [p is None for p in p_values]


def test_paired_is_scipys_paired_test_whatever_the_order_of_the_seeds():
    one = ModelScores(name="a", scores={"1": 0.5, "2": 0.7, "3": 0.6})
    two = ModelScores(name="b", scores={"3": 0.5, "1": 0.45, "2": 0.66})
    found = compare([one, two], ComparisonSettings(paired=True))
    expected = stats.ttest_rel([0.5, 0.7, 0.6], [0.45, 0.66, 0.5])
    assert found.method is DecidingTest.PAIRED
    assert (found.pairs[0].estimate.t, found.pairs[0].estimate.p) == pytest.approx(
        (expected.statistic, expected.pvalue)
    )
    with pytest.raises(SweepKitError, match=WORDS["paired-all-models"]):
        compare([one, ModelScores(name="c", scores={"1": 0.1, "2": 0.2})], ComparisonSettings(paired=True))


def test_tost_is_two_one_sided_tests():
    rng = np.random.default_rng(3)
    outcomes = set()
    for _ in range(60):
        a, b = rng.normal(0, 1, 8), rng.normal(0, 1, 8)
        estimate = compare(groups_of({"a": a.tolist(), "b": b.tolist()})).pairs[0].estimate
        above = stats.ttest_ind(a + 1.5, b, alternative="greater").pvalue
        below = stats.ttest_ind(a - 1.5, b, alternative="less").pvalue
        assert estimate.inside(1.5) == (max(above, below) < 0.05)
        outcomes.add(estimate.inside(1.5))
        assert sum(estimate.shares(1.5)) == pytest.approx(1)
    assert outcomes == {True, False}


# -- known numbers -----------------------------------------------------------------------------------------------------


def exactly(mean, sd):
    """Three scores with this mean and sample standard deviation."""
    return [mean - sd, mean, mean + sd]


def test_the_table_of_the_guides_three_models():
    # kobart's third seed is known; of the others mean and standard deviation, which is all that a t test looks at.
    found = compare(
        groups_of(
            {"kogpt2": exactly(0.4534, 0.0045), "kobart": [0.4778, 0.4802, 0.4856], "t5": exactly(0.4689, 0.00562)}
        )
    )
    assert [model.name for model in found.models] == ["kobart", "t5", "kogpt2"]
    assert (found.pool.sd, found.pool.df) == (pytest.approx(0.00475, abs=2e-5), 6)
    kobart = found.models[0]
    assert (kobart.mean, kobart.sd) == (pytest.approx(0.4812), pytest.approx(0.0040, abs=5e-5))
    assert (kobart.low, kobart.high) == pytest.approx((0.4745, 0.4879), abs=6e-5)
    # name, difference, interval, p, Holm p, g, Welch p; to the digits printed, of inputs with four digits
    expected = [
        ("kobart", "kogpt2", 0.0278, (0.0183, 0.0373), 0.0004, 0.0011, 5.1, 0.0014),
        ("t5", "kogpt2", 0.0155, (0.0060, 0.0250), 0.0072, 0.0143, 2.8, 0.0223),
        ("kobart", "t5", 0.0123, (0.0028, 0.0218), 0.0193, 0.0193, 2.3, 0.0426),
    ]
    assert [(pair.first, pair.second) for pair in found.pairs] == [row[:2] for row in expected]
    for pair, (_, _, gap, interval, p, corrected, g, welch) in zip(found.pairs, expected, strict=True):
        assert pair.difference == pytest.approx(gap, abs=6e-5)
        assert pair.estimate.interval() == pytest.approx(interval, abs=6e-5)
        assert (pair.estimate.p, pair.p_holm) == pytest.approx((p, corrected), abs=2e-4)
        assert pair.effect.g == pytest.approx(g, abs=0.06)
        assert pair.welch.p == pytest.approx(welch, abs=1e-3)
    assert closing_sentences(found)[0] == (
        "3 seeds can detect >= .0167 (80% power, 3 pairs); .01 needs 6 seeds each, .005 needs 20."
    )


def test_a_verdict_that_hangs_on_equal_spread_says_so():
    scores = {"a": [0.50, 0.54, 0.52], "b": [0.456, 0.457, 0.455], "c": [0.459, 0.460, 0.458]}
    found = compare(groups_of(scores), ComparisonSettings(margin=0))
    pair = pair_of(found, "a", "b")
    assert pair.p_holm < 0.05 <= pair.welch_holm
    assert (pair.kind, pair.verdict) == (Conclusion.BETTER_IF_EQUAL_SD, WORDS["depends-on-equal"])
    assert WORDS["welch-does-not"] in pair_sentence(pair, found)


ALONE = {"a": [0.5300, 0.5301, 0.5302], "b": [0.505, 0.520, 0.510]}  # Student p .008, Welch's .03 at best


def test_of_two_models_nothing_hangs_on_a_spread_that_nobody_knows():
    (pair,) = compare(groups_of(ALONE), ComparisonSettings(margin=0)).pairs
    assert pair.p_holm < 0.05 <= pair.guarded.p
    assert pair.kind is Conclusion.OPEN and doubted(pair, ComparisonSettings(margin=0))
    assert pair.seeds > 3  # by the test that is not passed, not by the one that is


def test_of_several_models_a_weaker_welch_test_must_bear_the_pooled_one_out():
    noisy = {"a": [0.53, 0.57, 0.55], "b": [0.506, 0.507, 0.505], "c": [0.509, 0.510, 0.508], "d": [0.5, 0.501, 0.499]}
    found = compare(groups_of(noisy), ComparisonSettings(margin=0))
    kinds = {pair.kind for pair in found.pairs if "a" in (pair.first, pair.second) and pair.p_holm < 0.05}
    assert kinds == {Conclusion.OPEN} and all(
        pair.p_holm <= pair.welch_holm for pair in found.pairs if doubted(pair, found.settings)
    )


def test_equal_needs_both_tests_too():
    wide = {"a": [0.5, 0.5001, 0.4998], "b": [0.5, 0.5, 0.4997], "c": [0.5022, 0.5013, 0.5096]}
    found = compare(groups_of(wide), ComparisonSettings(margin=0.011))
    for name in ("a", "b"):
        pair = pair_of(found, "c", name)
        assert pair.p_equal < 0.05 and pair.kind is Conclusion.OPEN
    assert pair_of(found, "a", "b").kind is Conclusion.EQUAL


def test_each_verdict():
    noise = [-0.001, 0.0, 0.001]
    far = {"a": [0.5 + x for x in noise], "b": [0.4 + x for x in noise]}
    close = {"a": [0.5021 + x / 100 for x in noise], "b": [0.5 + x / 100 for x in noise]}
    same = {"a": [0.5001 + x for x in noise], "b": [0.5 + x for x in noise]}
    noisy = {"a": [0.51 + 10 * x for x in noise], "b": [0.5 + 10 * x for x in noise]}
    kinds = [compare(groups_of(scores)).pairs[0] for scores in (far, close, same, noisy)]
    assert [pair.kind for pair in kinds] == [
        Conclusion.BETTER,
        Conclusion.NEGLIGIBLE,
        Conclusion.EQUAL,
        Conclusion.OPEN,
    ]
    assert [pair.verdict for pair in kinds] == [
        "better",
        WORDS["better-by-less"],
        "equal within ±.005",
        "no conclusion",
    ]
    assert compare(groups_of(same), ComparisonSettings(margin=0)).pairs[0].kind is Conclusion.OPEN
    for scores in (far, close, same, noisy):
        assert all("a" in sentence for sentence in words(compare(groups_of(scores))))


def test_a_loss_is_better_when_lower():
    scores = {"a": [0.5, 0.51, 0.49], "b": [0.8, 0.81, 0.79]}
    found = compare(groups_of(scores), ComparisonSettings(higher_is_better=False))
    assert [model.name for model in found.models] == ["a", "b"]
    (pair,) = found.pairs
    assert (pair.first, pair.kind) == ("a", Conclusion.BETTER) and pair.difference == pytest.approx(-0.3)
    sentence = pair_sentence(pair, found)
    assert WORDS["a-is-better"] in sentence


# -- data that allow no test -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ({}, "no model has a finite score"),
        ({"a": []}, "no model has a finite score"),
        ({"a": [NAN, math.inf], "b": []}, "a: 2 scores of 2 not finite, left out"),
        ({"a": [0.5, 0.6]}, "only a has a finite score"),
        ({"a": [0.5, 0.6], "b": [NAN]}, "only a has a finite score"),
        ({"a": [0.5], "b": [0.6]}, "a: one seed says nothing about the noise"),
        ({"a": [0.5], "b": [0.6, 0.7]}, "a test needs two seeds of each"),
        ({"a": [0.5] * 3, "b": [0.6] * 3}, "a: every seed gave the same score"),
        ({"a": [0.5] * 3, "b": [0.5] * 3}, "the scores do not scatter"),
        ({"a": [0.1 + 0.2, 0.3, 0.3], "b": [0.6] * 3}, "a: every seed gave the same score"),
        ({"a": [0.0] * 3, "b": [0.0] * 3}, "the scores do not scatter"),
        ({"a": [0.5, 0.6, 0.7], "b": [0.5, 0.6, 0.7]}, "the very same scores"),
        ({"a": [0.5, 0.6, NAN], "b": [0.5, 0.6, 0.7]}, "the numbers of seeds differ (b 3, a 2)"),
    ],
)
def test_degenerate_data_give_sentences(scores, said):
    found = compare(groups_of(scores))
    assert any(said in sentence for sentence in words(found))
    assert all(0 < pair.estimate.p <= 1 for pair in found.pairs if pair.estimate is not None)
    if not any(pair.estimate for pair in found.pairs):
        assert found.method is DecidingTest.NONE and all(pair.kind is Conclusion.UNTESTED for pair in found.pairs)


@pytest.mark.parametrize("scores", [{"a": [0.5], "b": [0.6]}, {"a": [0.5, NAN], "b": [0.6, 0.7]}, {"a": [0.1, 0.4]}])
def test_degenerate_pairs_give_sentences(scores):
    found = compare(groups_of(scores), ComparisonSettings(paired=True))
    assert found.method is DecidingTest.NONE and words(found)


def test_one_model_without_spread_is_compared_and_told_of():
    found = compare(groups_of({"a": [0.5] * 3, "b": [0.6, 0.61, 0.59]}))
    assert found.pairs[0].estimate is not None
    assert any("a: every seed gave the same score" in note for note in found.notes)


def test_names_must_differ():
    with pytest.raises(SweepKitError, match=WORDS["names-of-their"]):
        compare([ModelScores(name="a", scores={}), ModelScores(name="a", scores={})])


finite = st.floats(-1e6, 1e6, allow_nan=False) | st.sampled_from([0.0, 0.5, 1.0, NAN, math.inf])


@given(st.dictionaries(st.sampled_from("abc"), st.lists(finite, max_size=4), max_size=3), st.booleans())
@settings(max_examples=examples(60), deadline=None)
def test_no_data_break_it_and_no_p_is_zero(scores, lower):
    found = compare(groups_of(scores), ComparisonSettings(higher_is_better=not lower))
    assert all(isinstance(sentence, str) and "nan" not in sentence for sentence in words(found))
    for pair in found.pairs:
        if pair.estimate is not None:
            assert 0 < pair.estimate.p <= 1 and pair.estimate.p <= pair.p_holm <= 1
            assert p_text(pair.p_holm) not in (".000", ".0000", "0")
        assert pair.difference <= 0 if lower else pair.difference >= 0


def test_p_is_never_zero():
    found = compare(groups_of({"a": [1e6, 1e6 + 1e-5, 1e6 - 1e-5] * 40, "b": [0.0, 1e-5, -1e-5] * 40}))
    assert found.pairs[0].estimate.p > 0
    assert p_text(found.pairs[0].estimate.p) == "<.001"
