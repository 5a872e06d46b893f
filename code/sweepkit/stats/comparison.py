"""Which model is better, and how sure that is: every pair of models, one error rate for all pairs together.

Which test: with the scores of every example the two-way test over seeds and examples; else, with equally many seeds
each, t with the standard deviation pooled over all models; else Welch's, cautiously. Paired by seed only when asked:
the same number means nothing to two architectures. The pooled test is too bold where models scatter unequally, which a
few seeds cannot show: a conclusion of it stands only where Welch's test bears it out, and one that hangs on equal
spreads where a weaker form of Welch's does, so that any conclusion is wrong in .05 at most whatever the spreads.
Simulated false positive rates and power: benchmarks/results/comparison.md.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import combinations

from sweepkit.errors import SweepKitError
from sweepkit.stats.effects import Effect, hedges_g
from sweepkit.stats.examples import paired_examples, two_way
from sweepkit.stats.groups import ModelScores, ScoreSummary, data_notes, describe, sd
from sweepkit.stats.holm import holm
from sweepkit.stats.power import Noise, detectable, seeds_for_equality, seeds_needed
from sweepkit.stats.student import Estimate, Pool, cautious_welch, paired, pool, pooled, quantile, welch
from sweepkit.stats.words import margin_text


class DecidingTest(StrEnum):
    """The test that decides."""

    POOLED = "pooled"  # Student's t, standard deviation over all models
    WELCH = "welch"  # each model its own
    PAIRED = "paired"  # by seed
    TWO_WAY = "two-way"  # seeds × examples
    EXAMPLES = "examples"  # one seed each: these checkpoints only
    NONE = "none"  # nothing can be tested


class Conclusion(StrEnum):
    """What is concluded of a pair."""

    BETTER = "better"
    BETTER_IF_EQUAL_SD = "better if sd equal"  # Welch's test, corrected likewise, does not agree, a weaker one does
    NEGLIGIBLE = "negligible"  # better, but by less than the margin
    EQUAL = "equal"  # within the margin
    OPEN = "open"
    UNTESTED = "untested"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonSettings:
    """How it is decided.

    Args:
        alpha: The chance of any "better" while nothing differs, in (0, 0.5).
        margin: Models closer than this count as equal, >= 0, in units of the score; 0 never calls them so.
        higher_is_better: Direction of the score.
        paired: Pair the scores by seed.
        power: The chance with which a difference shall be seen, in (0, 1).
    """

    alpha: float = 0.05
    margin: float = 0.005
    higher_is_better: bool = True
    paired: bool = False
    power: float = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two models, the one with the better mean first.

    Args:
        first, second: Their names.
        difference: Mean of the first minus mean of the second.
        estimate: By the test that decides; None when there is none.
        p_holm: Its p, corrected for all pairs.
        seeds_only: By the test over seeds, which the two-way test stands above; else the same as `estimate`.
        p_equal: Of the two one-sided tests that the models differ by the margin or more, corrected for all pairs.
        level: Of the interval: all pairs' intervals together hold the truth in 95 % (Bonferroni).
        welch: By Welch's test.
        guarded: The same with df that hold its level (`student.cautious_welch`): the estimate itself where the numbers
            of seeds differ, else what a firm "better" needs; `welch_holm` is its p, corrected for all pairs.
        if_alike: By Student's test of these two alone.
        effect: Hedges' g.
        detectable: The smallest true difference that this many seeds see with the chance `power`.
        seeds: Of each, to see a true difference as large as this one, or, where it is smaller than the margin, to find
            them equal if they are; None above 1000 and when nothing is known.
        seeds_from, seeds_to: The same for the ends of the difference's 80 % interval: how far the number can be off.
            `seeds_to` is None where the interval holds 0.
        noise: How the difference scatters with other numbers of seeds; None when nothing is known.
        seed_error, example_error: Parts of the standard error, two-way only.
        kind: The conclusion, `verdict` in words. "open" beside a `p_holm` below alpha: see `doubted`.
    """

    first: str
    second: str
    difference: float
    estimate: Estimate | None = None
    p_holm: float | None = None
    p_equal: float | None = None
    level: float = 0.95
    seeds_only: Estimate | None = None
    welch: Estimate | None = None
    guarded: Estimate | None = None
    welch_holm: float | None = None
    if_alike: Estimate | None = None
    effect: Effect | None = None
    detectable: float | None = None
    seeds: int | None = None
    seeds_from: int | None = None
    seeds_to: int | None = None
    noise: Noise | None = None
    seed_error: float | None = None
    example_error: float | None = None
    kind: Conclusion = Conclusion.UNTESTED
    verdict: str = "not tested"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All of it.

    Args:
        method: The test that decides.
        settings: As given.
        models: Best mean first; those without a finite score last.
        pairs: The surest first.
        pool: The standard deviation between seeds over all models; None when no model has two scores.
        examples: How many examples the two-way test counts; None without it.
        notes: What a reader must know of the data, a sentence each.
    """

    method: DecidingTest
    settings: ComparisonSettings
    models: tuple[ScoreSummary, ...]
    pairs: tuple[Pair, ...]
    pool: Pool | None
    examples: int | None
    notes: tuple[str, ...]

    @property
    def tested(self) -> int:
        """Return how many pairs were tested: what Holm corrects for."""
        return sum(pair.estimate is not None for pair in self.pairs)


def compare(groups: Sequence[ModelScores], settings: ComparisonSettings | None = None) -> Comparison:
    """Compare every pair of groups.

    Data that allow no test (one seed, no spread, one group, nothing finite) give a comparison without it; its
    `notes` say why.

    Raises:
        SweepKitError: Two groups have the same name, or `paired` is asked and their seeds differ.
    """
    settings = settings or ComparisonSettings()
    names = [group.name for group in groups]
    if len(set(names)) < len(names):
        raise SweepKitError(f"models must have names of their own, got {', '.join(names)}")
    if settings.paired:
        _check_seeds(groups)
    sign = 1 if settings.higher_is_better else -1
    summaries = {group.name: describe(group) for group in groups}
    order = sorted(groups, key=lambda group: _rank(summaries[group.name], sign))
    usable = [group for group in order if summaries[group.name].n > 0]
    shared = pool([list(group.finite().values()) for group in usable])
    method = _method(usable, settings)
    pairs = [_pair(a, b, method, shared if _equal_n(usable) else None) for a, b in combinations(usable, 2)]
    models = tuple(_with_interval(summaries[g.name], shared if _equal_n(usable) else None) for g in order)
    found = _decide(pairs, settings, method)
    return Comparison(
        method=method if any(pair.estimate for pair in found) else DecidingTest.NONE,
        settings=settings,
        models=models,
        pairs=tuple(sorted(found, key=lambda pair: 2.0 if pair.estimate is None else pair.estimate.p)),
        pool=shared,
        examples=_example_count(usable) if method in (DecidingTest.TWO_WAY, DecidingTest.EXAMPLES) else None,
        notes=data_notes(order, models, paired=settings.paired),
    )


def _rank(summary: ScoreSummary, sign: int) -> tuple[bool, float]:
    return (summary.mean is None, 0.0 if summary.mean is None else -sign * summary.mean)


def _check_seeds(groups: Sequence[ModelScores]) -> None:
    """Refuse to pair groups whose seeds differ."""
    for group in groups[1:]:
        if set(group.scores) != set(groups[0].scores):
            raise SweepKitError(
                f"--paired: all models must have the same seeds, got {groups[0].name}: {', '.join(groups[0].scores)} "
                f"and {group.name}: {', '.join(group.scores)}; leave --paired out"
            )


def _equal_n(groups: Sequence[ModelScores]) -> bool:
    return len({len(group.finite()) for group in groups}) == 1


def _example_count(groups: Sequence[ModelScores]) -> int | None:
    """Return how many examples every finite run of every group has a score of; None unless all have as many."""
    counts = {
        None if group.examples is None or seed not in group.examples else len(group.examples[seed])
        for group in groups
        for seed in group.finite()
    }
    count = counts.pop() if len(counts) == 1 else None
    return count if count is not None and count > 1 else None


def _method(groups: Sequence[ModelScores], settings: ComparisonSettings) -> DecidingTest:
    """Return the test for these groups, each with at least one finite score."""
    counts = [len(group.finite()) for group in groups]
    if len(groups) < 2:
        return DecidingTest.NONE
    if settings.paired:
        return DecidingTest.PAIRED
    if _example_count(groups) is not None:
        if min(counts) > 1:
            return DecidingTest.TWO_WAY
        if max(counts) == 1:
            return DecidingTest.EXAMPLES
    return DecidingTest.POOLED if _equal_n(groups) else DecidingTest.WELCH


def _with_interval(summary: ScoreSummary, shared: Pool | None) -> ScoreSummary:
    """Return a summary with its mean's 95 % interval: by the shared standard deviation, else by its own."""
    if summary.mean is None or summary.n < 1:
        return summary
    spread, df = (shared.sd, shared.df) if shared is not None else (summary.sd, summary.n - 1)
    if not spread or df < 1:
        return summary
    half = quantile(0.975, df) * spread / summary.n**0.5
    return replace(summary, low=summary.mean - half, high=summary.mean + half)


def _pair(one: ModelScores, two: ModelScores, method: DecidingTest, shared: Pool | None) -> Pair:
    """Return a pair with its estimates, nothing decided yet. `shared` is None when the numbers of seeds differ."""
    a, b = list(one.finite().values()), list(two.finite().values())
    own = pool([a, b])
    spread = shared or own
    pair = Pair(
        first=one.name,
        second=two.name,
        difference=describe(one).mean - describe(two).mean,  # type: ignore[operator]
        welch=welch(a, b),
        guarded=cautious_welch(a, b),
        if_alike=None if own is None else pooled(a, b, own),
        effect=None if spread is None else hedges_g(_gap(a, b), spread.sd, spread.df, (len(a), len(b))),
    )
    if method is DecidingTest.WELCH and pair.welch is not None:  # g and its test scatter alike
        assert pair.guarded is not None
        even = pair.welch.error / (1 / len(a) + 1 / len(b)) ** 0.5
        pair = replace(pair, effect=hedges_g(_gap(a, b), even, pair.guarded.df, (len(a), len(b))))
    over_seeds, noise = _over_seeds(one, two, method, shared)
    pair = replace(pair, seeds_only=over_seeds, estimate=over_seeds, noise=noise)
    if method is DecidingTest.TWO_WAY:
        both = two_way(_matrix(one), _matrix(two))
        if both is None:
            return replace(pair, estimate=None, noise=None)
        return replace(
            pair,
            estimate=both.estimate,
            noise=both.noise,
            seed_error=both.seed_error,
            example_error=both.example_error,
        )
    if method is DecidingTest.EXAMPLES:
        return replace(pair, estimate=paired_examples(_matrix(one), _matrix(two)), noise=None)
    return pair


def _gap(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(a) / len(a) - sum(b) / len(b)


def _over_seeds(
    one: ModelScores, two: ModelScores, method: DecidingTest, shared: Pool | None
) -> tuple[Estimate | None, Noise | None]:
    """Return the test over seeds, and how it goes with their number."""
    a, b = one.finite(), two.finite()
    first, second = list(a.values()), list(b.values())
    if method is DecidingTest.PAIRED:
        common = [seed for seed in a if seed in b]
        gaps = [a[seed] - b[seed] for seed in common]
        estimate = paired([a[seed] for seed in common], [b[seed] for seed in common])
        return estimate, Noise(per_seed=sd(gaps) ** 2, df_per_seed=1) if estimate is not None else None
    if shared is not None:
        estimate = pooled(first, second, shared)
        models = shared.df // max(1, len(first) - 1)
        return estimate, Noise(per_seed=2 * shared.sd**2, df_per_seed=models) if estimate is not None else None
    estimate = cautious_welch(first, second)
    if estimate is None:
        return None, None
    return estimate, Noise(per_seed=sd(first) ** 2 + sd(second) ** 2, df_per_seed=2)


def _matrix(group: ModelScores) -> list[Sequence[float]]:
    """Return the examples' scores of the finite runs, a row each."""
    return [(group.examples or {})[seed] for seed in group.finite()]


def _decide(pairs: Sequence[Pair], settings: ComparisonSettings, method: DecidingTest) -> list[Pair]:
    """Return the pairs with what is concluded of them."""
    corrected = holm([None if pair.estimate is None else pair.estimate.p for pair in pairs])
    by_welch = holm([None if pair.guarded is None else pair.guarded.p for pair in pairs])
    bold = holm([_bold(pair) for pair in pairs])
    apart = holm([None if pair.estimate is None else pair.estimate.outside(settings.margin) for pair in pairs])
    borne = _borne_out(pairs, method, lambda estimate: estimate.p)
    near = _borne_out(pairs, method, lambda estimate: estimate.outside(settings.margin))
    tests = sum(p is not None for p in corrected)
    level, decided = 1 - settings.alpha / max(1, tests), []
    for index, pair in enumerate(pairs):
        pair = replace(pair, p_holm=corrected[index], welch_holm=by_welch[index], p_equal=apart[index], level=level)
        if (estimate := pair.estimate) is not None:
            weaker = _Weaker(bold=bold[index], borne=borne[index], near=near[index])
            pair = replace(pair, kind=_kind(pair, settings, method, weaker))
            pair = replace(pair, noise=_noise_to_overcome(pair, settings))
            alpha = settings.alpha / tests
            seen = detectable(estimate.error, estimate.df, alpha=alpha, wanted=settings.power)
            least, most = _seeds_range(pair, settings, alpha)
            pair = replace(pair, detectable=seen, seeds=_seeds(pair, settings, alpha), seeds_from=least)
            pair = replace(pair, seeds_to=most)
        decided.append(replace(pair, verdict=_verdict_text(pair.kind, settings.margin)))
    return decided


def doubted(pair: Pair, settings: ComparisonSettings) -> bool:
    """Return whether a pair is open although the pooled test tells it apart: Welch's does not bear that out."""
    return pair.kind is Conclusion.OPEN and _below(pair.p_holm, settings.alpha)


def _noise_to_overcome(pair: Pair, settings: ComparisonSettings) -> Noise | None:
    """Return how the difference scatters with other numbers of seeds: of a doubted pair by the cautious test."""
    if pair.noise is None or pair.estimate is None or pair.guarded is None or not doubted(pair, settings):
        return pair.noise
    seeds = round(pair.noise.per_seed / pair.estimate.error**2)
    return Noise(per_seed=seeds * pair.guarded.error**2, df_per_seed=1)


def _bold(pair: Pair) -> float | None:
    """Return the larger p of Student's and Welch's own test of two models, neither of which holds in every case."""
    if pair.if_alike is None or pair.welch is None:
        return None
    return max(pair.if_alike.p, pair.welch.p)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weaker:
    """What tests that do not decide say of a pair.

    Args:
        bold: The p of `_bold`, corrected for all pairs.
        borne, near: `_borne_out` of the difference, and of its being within the margin.
    """

    bold: float | None
    borne: float | None
    near: float | None


def _borne_out(pairs: Sequence[Pair], method: DecidingTest, p_of: Callable[[Estimate], float]) -> list[float | None]:
    """Return the p by which a weaker form of Welch's test bears out the test that decides, for each pair.

    The deciding test alone is wrong in up to .18 of comparisons where one model scatters more. Of several models it is
    borne out by Welch's own p, corrected for all pairs, at twice the level; of two, and where the numbers of seeds
    differ, by the cautious one's, uncorrected. Simulated (2 to 10 seeds, 2 to 8 models, one of which scatters up to
    tenfold) both together are then wrong in .051 at most; where spreads are equal .32 of differences of 2 sd that the
    pooled test sees with 3 seeds become .23, .66 with 5 become .63, .97 with 10 stay. Other tests need no second.
    """
    if method is DecidingTest.WELCH or (method is DecidingTest.POOLED and len(pairs) < 2):
        return [None if pair.guarded is None else p_of(pair.guarded) for pair in pairs]
    if method is DecidingTest.POOLED:
        by_welch = holm([None if pair.welch is None else p_of(pair.welch) for pair in pairs])
        return [None if p is None else p / 2 for p in by_welch]
    return [0.0] * len(pairs)


def _kind(pair: Pair, settings: ComparisonSettings, method: DecidingTest, weaker: _Weaker) -> Conclusion:
    """Return the conclusion of a tested pair."""
    if pair.estimate is None or pair.p_holm is None:
        return Conclusion.UNTESTED
    alpha = settings.alpha
    differs = pair.p_holm < alpha
    firm = differs and (method is not DecidingTest.POOLED or _below(pair.welch_holm, alpha))
    if settings.margin > 0 and _below(pair.p_equal, alpha) and _below(weaker.near, alpha):
        return Conclusion.NEGLIGIBLE if firm else Conclusion.EQUAL
    if firm:
        return Conclusion.BETTER
    bold = differs or (method is DecidingTest.WELCH and _below(weaker.bold, alpha))
    return Conclusion.BETTER_IF_EQUAL_SD if bold and _below(weaker.borne, alpha) else Conclusion.OPEN


def _below(p: float | None, alpha: float) -> bool:
    return p is not None and p < alpha


def _seeds(pair: Pair, settings: ComparisonSettings, alpha: float) -> int | None:
    """Return how many seeds of each would decide a pair, were its means what they seem."""
    if pair.noise is None:
        return None
    if abs(pair.difference) >= settings.margin:
        return seeds_needed(pair.difference, pair.noise, alpha=alpha, wanted=settings.power)
    return seeds_for_equality(settings.margin, pair.noise, alpha=settings.alpha, wanted=settings.power)


def _seeds_range(pair: Pair, settings: ComparisonSettings, alpha: float) -> tuple[int | None, int | None]:
    """Return the seeds needed if the true difference lies at either end of its 80 % interval, fewest first."""
    if pair.noise is None or pair.estimate is None or abs(pair.difference) < settings.margin:
        return None, None
    near, far = sorted(map(abs, pair.estimate.interval(0.8)))
    low, high = pair.estimate.interval(0.8)
    least = seeds_needed(far, pair.noise, alpha=alpha, wanted=settings.power)
    if low <= 0 <= high or near == 0:
        return least, None
    return least, seeds_needed(near, pair.noise, alpha=alpha, wanted=settings.power)


def _verdict_text(kind: Conclusion, margin: float) -> str:
    """Return a conclusion in words.

    >>> _verdict_text(Conclusion.EQUAL, 0.005)
    'equal within ±.005'
    """
    return {
        Conclusion.BETTER: "better",
        Conclusion.BETTER_IF_EQUAL_SD: "only if sds are equal",
        Conclusion.NEGLIGIBLE: f"better, by less than {margin_text(margin)}",
        Conclusion.EQUAL: f"equal within {margin_text(margin)}",
        Conclusion.OPEN: "no conclusion",
        Conclusion.UNTESTED: "not tested",
    }[kind]
