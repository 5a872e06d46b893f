"""What mattered: the share of the metric's variance that hangs on each parameter, with bars and a verdict. Pure.

The default estimator is a random forest measured by grouped out-of-bag permutation (`forest`), with

* bars from refits on subsamples of 63.2 % of the configurations without replacement (a bootstrap puts copies of a row
  in and out of the bag, and then a random seed looks important in every sweep),
* a noise floor from shadow parameters: shuffled copies, which cannot matter by construction,
* a verdict: clear (5 % quantile of the subsamples above zero), weak (above the floor), not distinguishable,
* gates: too few runs for a model (then a rank statistic without one), or a model that predicts nothing (then no
  verdict).

All of this is of exchangeable runs: of a grid, of random search. Runs that an engine chose by what it had seen are
judged by a Gaussian process that must predict each run from those before it (`anova`), and so are those of which the
forest predicts nothing and the process does.

The others (`mdi`, `gp`, `fanova`, `ped_anova`, `eps_squared`) are there to compare; their numbers are not shares of the
same thing, and have no bars. Measured on sweeps whose truth is known: benchmarks/importance.py.

Source of the recipe: Ishwaran and Lu 2019, Statistics in Medicine 38:558–582 (subsampling); Kursa and Rudnicki 2010,
Journal of Statistical Software 36(11) (shadows); Breiman 2001, Machine Learning 45:5–32.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from sweepkit.analysis.anova import anova
from sweepkit.analysis.encoding import Design, Floats, Group, encode
from sweepkit.analysis.estimators import ESTIMATORS, ImportanceEstimate, eps_squared
from sweepkit.analysis.forest import Grown, Shuffle, grow
from sweepkit.analysis.importance_result import (
    CLEAR_ALPHA,
    FEWEST,
    FEWEST_PER_PARAMETER,
    LEAST_R2,
    WEAK_ALPHA,
    Gate,
    Importance,
    Interaction,
    Share,
    Together,
    Verdict,
)
from sweepkit.analysis.importance_words import sentences
from sweepkit.analysis.looks import unequal_looks
from sweepkit.analysis.table import RunTable
from sweepkit.errors import DataError

AUTO = "auto"
_JUDGED = (AUTO, "forest", "anova")  # those with a verdict
_MOST_CONFIGURATIONS = 1000  # a sample of more changes no share by more than its bar, and takes minutes
_TREES = 200
_REFIT_TREES = 100
# Of more configurations a refit grows fewer trees, so that all refits cost as much as those of so many. What the
# missing trees leave of chance is in the bars and in the floor alike: both can only become wider, no verdict bolder.
_WHOLE_REFITS = 250
_FEWEST_REFIT_TREES = 25
_SUBSAMPLES = 30
_SHARE_KEPT = 0.632
_LEADING = 4
_SHADOWS = 100  # values that the floor's 99 % quantile is taken of, at least


@dataclass(frozen=True, slots=True, kw_only=True)
class ForestEffort:
    """How much is computed.

    Args:
        trees: Of the forest whose shares are shown, >= 1.
        refit_trees: Of each forest for a bar or the floor, >= 1.
        subsamples: Refits for the bars, >= 10.
    """

    trees: int = _TREES
    refit_trees: int = _REFIT_TREES
    subsamples: int = _SUBSAMPLES


def _effort_of(n: int) -> ForestEffort:
    """Return what is computed of n >= 1 configurations.

    >>> [_effort_of(n).refit_trees for n in (60, 500, 1000)]
    [100, 50, 25]
    """
    trees = round(_REFIT_TREES * min(1.0, _WHOLE_REFITS / n))
    return ForestEffort(refit_trees=max(_FEWEST_REFIT_TREES, trees))


def importances(
    table: RunTable, *, estimator: str = AUTO, seed: int = 0, effort: ForestEffort | None = None
) -> Importance:
    """Return what mattered in a table's runs.

    With fewer than 20 configurations, or fewer than 3 for each parameter, no model is made: the shares are those of
    `eps_squared`, without verdicts.

    Args:
        table: The runs.
        estimator: "auto" (the forest where the runs can be exchanged and it predicts them, else anova), "forest",
            "anova", "mdi", "gp", "fanova", "ped_anova" or "eps_squared".
        seed: Of everything random in the computation, >= 0; the same seed gives the same numbers.
        effort: How much is computed, for the forest; None: fewer refit trees of more configurations.

    Raises:
        DataError: The estimator is unknown, or the table has no such metric.
    """
    if estimator not in (*_JUDGED, *ESTIMATORS):
        known = ", ".join([*_JUDGED, *ESTIMATORS])
        raise DataError(f"--estimator: must be one of {known}, got {estimator!r}")
    if not table.metrics:
        raise DataError(f"{table.name}: must have a metric to explain, got 0 metrics")
    looks = unequal_looks(table)
    if looks is not None:
        table = looks.last
    whole = encode(table)
    rng = np.random.default_rng(seed)
    design = _sample(whole, rng)
    gate = _gate(design)
    if gate is Gate.NOTHING:
        found = _Found(shares=())
    elif gate is Gate.TOO_FEW and estimator not in ("fanova", "ped_anova"):
        estimator, found = "eps_squared", _plain(design, eps_squared(design))
    elif estimator in _JUDGED:
        estimator, found = _judged(table, whole, design, estimator, rng, effort or _effort_of(design.n))
    else:
        found = _plain(design, ESTIMATORS[estimator](design, table.metrics[0].goal, rng))
    if found.r2 is not None and found.r2 < LEAST_R2:
        gate = Gate.NO_MODEL
    if estimator == "anova":  # it drew no sample, but chose of all
        design = whole
    elif design.n < whole.n:
        found = replace(found, note="; ".join(filter(None, [found.note, _sampled(design.n, whole.n)])))
    result = _finished(table, design, found, estimator=estimator, gate=gate)
    if looks is None:
        return result
    why = f"runs made {looks.fewest} to {looks.most} reports, and the best of more is better by luck alone"
    return replace(result, sentences=(*result.sentences, f"Explained is the last report of each run, for {why}."))


def _sample(whole: Design, rng: np.random.Generator) -> Design:
    """Return the configurations that are modelled: all, or so many drawn at random."""
    if whole.n <= _MOST_CONFIGURATIONS:
        return whole
    return whole.part(np.sort(rng.choice(whole.n, _MOST_CONFIGURATIONS, replace=False)))


def _sampled(shown: int, whole: int) -> str:
    return f"Computed from {shown:,} of the {whole:,} configurations, drawn at random"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What an estimator found."""

    shares: tuple[Share, ...]
    looked: int | None = None
    r2: float | None = None
    floor: float | None = None
    interactions: tuple[Interaction, ...] = ()
    together: tuple[Together, ...] = ()
    note: str = ""


def _finished(table: RunTable, design: Design, found: _Found, *, estimator: str, gate: Gate) -> Importance:
    shares = sorted(found.shares, key=lambda share: -share.value)
    if gate is Gate.NO_MODEL:
        shares = [replace(share, verdict=Verdict.NONE) for share in shares]
    result = Importance(
        estimator=estimator,
        metric=table.metrics[0].name,
        goal=table.metrics[0].goal,
        shares=tuple(shares),
        n=design.n,
        runs=design.runs,
        looked=found.looked,
        r2=found.r2,
        floor=found.floor,
        gate=gate,
        left_out=design.left_out,
        dropped=design.dropped,
        interactions=() if gate is Gate.NO_MODEL else found.interactions,
        together=found.together,
    )
    return replace(result, sentences=tuple(sentences(result, table, note=found.note)))


def _gate(design: Design) -> Gate:
    if not design.groups or design.n < 3 or float(np.ptp(design.y)) == 0.0:
        return Gate.NOTHING
    if design.n < max(FEWEST, FEWEST_PER_PARAMETER * len(design.groups)):
        return Gate.TOO_FEW
    return Gate.OPEN


def _plain(design: Design, estimate: ImportanceEstimate) -> _Found:
    shares = tuple(
        Share(name=group.name, value=float(value), active=int(group.active.sum()))
        for group, value in zip(design.groups, estimate.values, strict=True)
    )
    return _Found(shares=shares, r2=estimate.r2, note=estimate.note)


def _judged(
    table: RunTable,
    whole: Design,
    design: Design,
    estimator: str,
    rng: np.random.Generator,
    effort: ForestEffort,
) -> tuple[str, _Found]:
    """Return what an estimator with a verdict found, and its name; "auto" takes the one whose verdict holds here.

    Of many configurations the forest sees a sample, `design`; the process chooses of the `whole`.
    """
    adaptive = bool(table.method) and not table.exchangeable
    if estimator == "anova" or (estimator == AUTO and adaptive):
        return "anova", _anova(table, whole)
    found = _forest(design, rng, effort)
    if adaptive:  # its verdict is one of exchangeable runs
        shares = tuple(replace(share, verdict=Verdict.UNJUDGED) for share in found.shares)
        return "forest", replace(found, shares=shares, interactions=(), note=_NO_VERDICT)
    if estimator == AUTO and (found.r2 or 0.0) < LEAST_R2:
        other = _anova(table, whole)
        if (other.r2 or 0.0) >= LEAST_R2:
            note = f"A random forest predicts nothing here (R² {found.r2:.2f}); the Gaussian process does"
            return "anova", replace(other, note=note)
    return "forest", found


_NO_VERDICT = "The engine chose the runs by what it had seen: the forest has no verdict that holds for such runs"


def _anova(table: RunTable, averaged: Design) -> _Found:
    """Return the shares of the Gaussian process over the declared ranges, and the verdicts by e-value."""
    design = encode(table, averaged=False)
    found = anova(design)
    evidence = found.evidence if found.evidence is not None else np.full(len(design.groups), -np.inf)
    shares = tuple(
        Share(
            name=group.name,
            value=float(value),
            verdict=_by_evidence(float(known)),
            active=int(averaged.groups[index].active.sum()),
        )
        for index, (group, value, known) in enumerate(zip(design.groups, found.shares, evidence, strict=True))
    )
    together = tuple(
        Together(a=design.groups[i].name, b=design.groups[j].name, rho=rho) for i, j, rho in _correlated(averaged)
    )
    looked = found.looked if found.looked < design.n else None
    return _Found(shares=_parted(shares, together), looked=looked, r2=found.r2, together=together[:3])


def _by_evidence(known: float) -> Verdict:
    """Return the verdict of the logarithm of an e-value."""
    if known >= -math.log(CLEAR_ALPHA):
        return Verdict.CLEAR
    return Verdict.WEAK if known >= -math.log(WEAK_ALPHA) else Verdict.NONE


def _parted(shares: Sequence[Share], together: Sequence[Together]) -> tuple[Share, ...]:
    """Return the shares where of two parameters that went together not both are clear: which one acts is not known."""
    clear = {share.name for share in shares if share.verdict is Verdict.CLEAR}
    both = {name for pair in together if {pair.a, pair.b} <= clear for name in (pair.a, pair.b)}
    return tuple(replace(share, verdict=Verdict.TOGETHER) if share.name in both else share for share in shares)


# -- the forest --------------------------------------------------------------------------------------------------------


def _forest(design: Design, rng: np.random.Generator, effort: ForestEffort) -> _Found:
    """Grow the forest, its refits and its shadows."""
    singles = [_single(group) for group in design.groups]
    count = len(singles)
    whole = grow(design.x, design.y, singles, trees=effort.trees, rng=rng)
    lead = sorted(range(count), key=lambda index: -whole.shares[index])[:_LEADING]
    pairs = list(combinations(sorted(lead), 2))
    linked = [(i, j, rho) for i, j, rho in _correlated(design) if (i, j) not in pairs]
    shuffles = [*singles, *(_pair(design, i, j) for i, j in pairs), *(_pair(design, i, j) for i, j, _ in linked)]
    if len(shuffles) > count:
        # The same forest once more, now that the leading parameters are known: the pairs must be measured on it too.
        whole = grow(design.x, design.y, shuffles, trees=effort.trees, rng=rng)
    refits = _subsampled(design, shuffles[: count + len(pairs)], rng, effort)
    floor = _floor(design, rng, effort)
    spread = _bar_sd(refits, design.n)
    low = np.quantile(refits, 0.05, axis=0)
    shares = [
        Share(
            name=group.name,
            value=float(whole.shares[index]),
            se=float(spread[index]),
            low=float(whole.shares[index] - spread[index]),
            high=float(whole.shares[index] + spread[index]),
            verdict=_verdict(float(whole.shares[index]), float(low[index]), floor),
            active=int(group.active.sum()),
        )
        for index, group in enumerate(design.groups)
    ]
    together = _together(design, whole, pairs, linked)
    return _Found(
        shares=_parted(shares, together),
        r2=whole.r2,
        floor=floor,
        interactions=_interactions(design, whole, refits, pairs),
        together=together[:3],
    )


def _verdict(value: float, low: float, floor: float) -> Verdict:
    if low > 0 and value > 0:
        return Verdict.CLEAR
    return Verdict.WEAK if value > floor else Verdict.NONE


def _single(group: Group) -> Shuffle:
    return Shuffle(at=group.at, blocks=np.where(group.active, 0, -1))


def _pair(design: Design, i: int, j: int) -> Shuffle:
    """Return the shuffle of two parameters by one permutation, within the configurations that have the same of them."""
    a, b = design.groups[i], design.groups[j]
    blocks = a.active.astype(int) + 2 * b.active.astype(int) - 1
    return Shuffle(at=np.concatenate([a.at, b.at]), blocks=blocks)


def _subsampled(design: Design, shuffles: Sequence[Shuffle], rng: np.random.Generator, effort: ForestEffort) -> Floats:
    """Return the shares of refits on 63.2 % of the configurations, shape (subsamples, shuffles)."""
    size = max(3, round(_SHARE_KEPT * design.n))
    found = []
    for _ in range(effort.subsamples):
        at = rng.choice(design.n, size, replace=False)
        part = [Shuffle(at=shuffle.at, blocks=shuffle.blocks[at]) for shuffle in shuffles]
        found.append(grow(design.x[at], design.y[at], part, trees=effort.refit_trees, rng=rng).shares)
    return np.array(found)


def _bar_sd(refits: Floats, n: int) -> Floats:
    """Return the standard error of each share at size n: the refits' spread about their own mean, scaled up.

    m of n without replacement vary less than samples of size m would, and samples of n less than those: the factor is
    sqrt(m / (n - m)) (Politis, Romano and Wolf 1999, "Subsampling", section 2).
    """
    m = max(3, round(_SHARE_KEPT * n))
    return np.asarray(refits.std(axis=0, ddof=1) * np.sqrt(m / max(1, n - m)))


def _floor(design: Design, rng: np.random.Generator, effort: ForestEffort) -> float:
    """Return the 99 % quantile of the shares of shadow parameters: shuffled copies beside the real ones."""
    p, count = design.x.shape[1], len(design.groups)
    shadows = [Shuffle(at=group.at + p, blocks=np.where(group.active, 0, -1)) for group in design.groups]
    found: list[float] = []
    while len(found) < max(_SHADOWS, 4 * count):
        copies = design.x.copy()
        for group in design.groups:
            here = np.flatnonzero(group.active)
            copies[np.ix_(here, group.at)] = design.x[np.ix_(rng.permutation(here), group.at)]
        both = np.ascontiguousarray(np.hstack([design.x, copies]))
        found.extend(grow(both, design.y, shadows, trees=effort.refit_trees, rng=rng).shares)
    return max(0.0, float(np.quantile(found, 0.99)))


def _interactions(
    design: Design, whole: Grown, refits: Floats, pairs: Sequence[tuple[int, int]]
) -> tuple[Interaction, ...]:
    """Return the three pairs with the strongest effect beyond the two alone, strongest first."""
    found = []
    for index, (i, j) in enumerate(pairs, len(design.groups)):
        value = float(whole.shares[index] - whole.shares[i] - whole.shares[j])
        again = refits[:, index] - refits[:, i] - refits[:, j]
        low, high = (float(end) for end in np.quantile(again, [0.05, 0.95]))
        clear = high < 0 if value < 0 else low > 0
        a, b = design.groups[i].name, design.groups[j].name
        found.append(Interaction(a=a, b=b, value=value, low=low, high=high, clear=clear))
    return tuple(sorted(found, key=lambda pair: -abs(pair.value))[:3])


def _together(
    design: Design, whole: Grown, pairs: Sequence[tuple[int, int]], linked: Sequence[tuple[int, int, float]]
) -> tuple[Together, ...]:
    """Return the correlated pairs with their joint share, the most correlated first."""
    start = len(design.groups)
    joint = {pair: float(whole.shares[start + index]) for index, pair in enumerate(pairs)}
    joint |= {(i, j): float(whole.shares[start + len(pairs) + index]) for index, (i, j, _) in enumerate(linked)}
    found = [
        Together(a=design.groups[i].name, b=design.groups[j].name, rho=rho, value=joint[i, j])
        for i, j, rho in _correlated(design)
    ]
    return tuple(sorted(found, key=lambda pair: -abs(pair.rho)))


def _correlated(design: Design) -> list[tuple[int, int, float]]:
    """Return the pairs of ordered parameters whose values correlate beyond what chance does, and beyond 0.5."""
    from sweepkit.analysis.association import spearman, threshold

    ordered = [index for index, group in enumerate(design.groups) if len(group.at) == 1]
    pairs = list(combinations(ordered, 2))
    found = []
    for i, j in pairs:
        a, b = design.groups[i], design.groups[j]
        both = a.active & b.active
        if both.sum() < 10:
            continue
        rho = spearman(design.x[both, a.at[0]], design.x[both, b.at[0]])
        if abs(rho) > max(0.5, threshold(int(both.sum()), len(pairs))):
            found.append((i, j, rho))
    return found
