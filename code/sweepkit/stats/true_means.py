"""What the true means of a sweep's best configurations may be, given all of its scores and some with fresh seeds.

The best of many scores owes part of itself to luck; how much depends on how the true means of all configurations lie.
Nobody knows that law, so several are held against the scores, each weighted by how likely it makes them: all means
alike, a normal law, an edge that most lie close below (exponential), and each of these as the better part of a sweep
whose rest lies wider and lower (an engine led it, or some values ruin a run). The law, its size, the noise between
seeds and the share of runs that fall out of line are all averaged over, none is fixed at its best value. Given every
score of the sweep the choice of the best few adds nothing: it was made by these scores.

A run scatters around its configuration's mean normally, with one standard deviation for all, or falls far out of line
(a share of .005 or .1, Student's t with 2 df, three times as wide): one collapsed seed does not cost a configuration
its place. What each law costs and holds is measured in `benchmarks/truth.py`.

Everything here is oriented: a larger score is better. Arrays in, values out; all integrals are sums over cells.

Sources: Robbins 1956, Proc. 3rd Berkeley Symposium 1:157-163 (empirical Bayes); Hoeting, Madigan, Raftery and Volinsky
1999, Statistical Science 14:382-417 (averaging over models); Tukey 1960, "A survey of sampling from contaminated
distributions"; Schwarz 1978, Annals of Statistics 6:461-464 (what two fitted parameters cost: log n).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr  # type: ignore[import-untyped]

Floats = NDArray[np.float64]
Groups = Sequence[Sequence[float]]

_OUTLYING = (0.005, 0.1)  # shares of runs that fall out of line
_FEWEST = 10  # configurations of a sweep from which a law is learnt
_TOP, _REST = 20, 100  # of a greater sweep the best, and so many of the others, each for several
_LAWS = 200  # laws that are kept for the exact sums: the likeliest
_BETTER_PART = (0.85, 0.6, 0.35)
_COMBINATIONS, _EACH = 500, 32  # draws of law and noise, and of the means given each
_TINY = 1e-300


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueMeans:
    """The posterior of the candidates' true means.

    Args:
        draws: Shape (draws, candidates).
        means: Their expectations, exact, shape (candidates,).
    """

    draws: Floats
    means: Floats


def true_means(candidates: Groups, others: Groups, *, sd: float, df: int, seed: Sequence[int]) -> TrueMeans:
    """Return what the true means of some configurations may be.

    Args:
        candidates: All scores of each, >= 1 each, finite.
        others: The scores of the sweep's other configurations; under 10 configurations in all tell no law.
        sd: The pooled standard deviation between seeds, > 0: a first guess, which sets the scale.
        df: Its degrees of freedom, >= 1.
        seed: Of the draws.

    Example:
        >>> found = true_means([[0.5], [0.4]], [], sd=0.01, df=5, seed=[0])
        >>> bool((found.draws[:, 0] > found.draws[:, 1]).mean() > 0.95)
        True
    """
    return _true_means(tuple(map(tuple, candidates)), tuple(map(tuple, others)), sd, df, tuple(seed))


@lru_cache(maxsize=32)  # whoever watches a race asks for the same again and again
def _true_means(candidates: Groups, others: Groups, sd: float, df: int, seed: tuple[int, ...]) -> TrueMeans:
    field = [*candidates, *others]
    centre = float(np.median([np.mean(scores) for scores in field]))
    mine = [(np.asarray(scores) - centre) / sd for scores in candidates]
    rest, weights = _thinned([(np.asarray(scores) - centre) / sd for scores in others])
    noises = _noises(df)
    means = np.array([scores.mean() for scores in (*mine, *rest)])
    edges = _edges(mine, means, float(noises[-1]))
    weights = np.concatenate([np.ones(len(mine)), weights])
    cells = _Cells(edges=edges, groups=(*mine, *rest), weights=weights)
    laws, prior = _laws(means, weights, edges) if len(field) >= _FEWEST else _flat(edges)
    found = _posterior(cells, laws, prior, noises, len(mine), np.random.default_rng(list(seed)))
    return TrueMeans(draws=found.draws * sd + centre, means=found.means * sd + centre)


def _thinned(others: Sequence[Floats]) -> tuple[list[Floats], Floats]:
    """Return the best of the others and some of the rest, and for how many each of them stands."""
    order = sorted(others, key=lambda scores: -float(scores.mean()))
    top, rest = order[:_TOP], order[_TOP:]
    if len(rest) > _REST:
        count = len(rest)
        rest = [rest[int((place + 0.5) * count / _REST)] for place in range(_REST)]
        return [*top, *rest], np.array([1.0] * len(top) + [count / _REST] * _REST)
    return order, np.ones(len(order))


def _noises(df: int) -> Floats:
    """Return the noises that are averaged over, in units of the pooled one; the fewer degrees of freedom the more."""
    most = max(2.0, 12.0 / df)
    count = 2 + math.ceil(math.log(most / 0.3) / math.log(1.25))
    return np.asarray(np.geomspace(0.3, most, count), dtype=np.float64)


# -- the cells --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cells:
    """Where a true mean may lie, and the scores that tell of it.

    Args:
        edges: Ascending, shape (cells + 1,).
        groups: The scores of each configuration.
        weights: For how many configurations each stands.
    """

    edges: Floats
    groups: tuple[Floats, ...]
    weights: Floats

    def likelihoods(self, noise: float, shares: Sequence[float]) -> list[Floats]:
        """Return how likely each configuration's scores are in each cell: one table for each share out of line."""
        middle, width = (self.edges[1:] + self.edges[:-1]) / 2, np.diff(self.edges)
        scores = np.concatenate(self.groups)
        starts = np.cumsum([0, *(len(group) for group in self.groups)])[:-1]
        variance = noise**2 + width**2 / 12  # a wide cell blurs what is known of a score
        square = (scores[:, None] - middle) ** 2
        near = np.exp(-0.5 * square / variance) / np.sqrt(2 * math.pi * variance)
        wide = 3 * noise
        bulge = 1 + square / (2 * wide**2)
        far = 1 / (2 * math.sqrt(2) * wide * bulge * np.sqrt(bulge))
        return [np.multiply.reduceat((1 - share) * near + share * far, starts, axis=0) for share in shares]


def _edges(candidates: Sequence[Floats], means: Floats, most: float) -> Floats:
    """Return cells that are narrow about the candidates and where the better half lies; the unit is the noise."""
    low, high, middle = float(means.min()), float(means.max()), float(np.median(means))
    points: list[NDArray[Any]] = [
        centre + np.arange(-5, 5.01, 0.5)
        for item in candidates
        for centre in {float(item.mean()), float(np.median(item))}
    ]
    points.append(np.linspace(middle - 0.5 * (high - middle) - 1, high + 5, 40))
    points.append(np.linspace(low - 3 * most, high + 5 * most, 40))
    found = [-math.inf]
    for point in np.sort(np.concatenate(points)):
        if point - found[-1] > 0.25:
            found.append(float(point))
    return np.array(found[1:])


# -- the laws ---------------------------------------------------------------------------------------------------------


def _flat(edges: Floats) -> tuple[Floats, Floats]:
    """Return the one law that knows nothing."""
    width = np.diff(edges)
    return (width / width.sum())[None, :], np.zeros(1)


def _laws(means: Floats, weights: Floats, edges: Floats) -> tuple[Floats, Floats]:
    """Return the mass that each law gives each cell, shape (laws, cells), and the log of what it is worth beforehand.

    Args:
        means: Mean score of each configuration, its unit the noise.
        weights: For how many configurations each stands.
        edges: Of the cells.
    """
    middle = float(np.median(means))
    reach = max(float(means.max()) - middle, 1.0)
    centre, width = (
        part.ravel()
        for part in np.meshgrid(middle + reach * np.linspace(-1, 1, 13), reach * np.geomspace(0.06, 2.2, 10))
    )
    alike = middle + reach * np.linspace(-0.6, 0.9, 28)
    edge, tail = (
        part.ravel()
        for part in np.meshgrid(middle + reach * np.linspace(-0.2, 1.1, 15), reach * np.geomspace(0.08, 4, 10))
    )
    centres = np.concatenate([centre, alike, edge - 0.7 * tail])
    widths = np.concatenate([width, np.full(len(alike), 0.01 * reach), tail])
    normal = ndtr((edges - centres[: -len(edge), None]) / widths[: -len(edge), None])
    below = np.exp(np.minimum(edges - edge[:, None], 0) / tail[:, None])
    upper = np.concatenate([normal, below])
    worth = [np.full(len(part), share / len(part)) for part, share in ((centre, 0.4), (alike, 0.25), (edge, 0.35))]
    prior = np.log(np.concatenate(worth))
    found, priors = [upper], [prior]
    for share in _BETTER_PART:
        found.append(share * upper + (1 - share) * _rest(means, weights, edges, (centres, widths), share))
        priors.append(prior - math.log(weights.sum()) - math.log(len(_BETTER_PART)))
    mass = np.maximum(np.diff(np.concatenate(found), axis=1), 0) + 1e-12
    return mass / mass.sum(axis=1, keepdims=True), np.concatenate(priors)


def _rest(means: Floats, weights: Floats, edges: Floats, upper: tuple[Floats, Floats], share: float) -> Floats:
    """Return the normal law of what is not in the better part, fitted by expectation and maximization: F at the edges.

    Args:
        means: Mean score of each configuration.
        weights: For how many configurations each stands.
        edges: Of the cells.
        upper: Centre and width of the better part's law, each of shape (laws,).
        share: Of the better part, in (0, 1).
    """
    centre, sd = upper[0][:, None], np.sqrt(upper[1] ** 2 + 1)[:, None]
    here = share * np.exp(-0.5 * ((means - centre) / sd) ** 2) / sd
    low = np.full((len(centre), 1), np.quantile(means, 0.25))
    wide = np.full((len(centre), 1), max(float(means.std()), 1.0))
    for _ in range(4):
        there = (1 - share) * np.exp(-0.5 * ((means - low) / wide) ** 2) / wide
        part = weights * there / (there + here + _TINY)
        total = part.sum(axis=1, keepdims=True) + 1e-9
        low = (part * means).sum(axis=1, keepdims=True) / total
        wide = np.sqrt((part * (means - low) ** 2).sum(axis=1, keepdims=True) / total + 0.1)
    found: Floats = ndtr((edges - low) / np.sqrt(np.maximum(wide**2 - 1, 0.05)))
    return found


# -- the posterior ----------------------------------------------------------------------------------------------------


def _posterior(
    cells: _Cells, laws: Floats, prior: Floats, noises: Floats, count: int, rng: np.random.Generator
) -> TrueMeans:
    """Return the posterior of the first `count` groups, averaged over laws, noises and shares out of line."""
    likeliest = np.full(len(laws), -math.inf)
    for noise in (0.5, 1.0):
        (table,) = cells.likelihoods(noise, (0.05,))
        likeliest = np.maximum(likeliest, cells.weights @ np.log(table @ laws.T + _TINY) + prior)
    kept = np.argsort(-likeliest)[:_LAWS]
    laws, prior = laws[kept], prior[kept]
    tables = [table for noise in noises for table in cells.likelihoods(float(noise), _OUTLYING)]
    logs = np.array([cells.weights @ np.log(table @ laws.T + _TINY) + prior for table in tables])
    chances = np.exp(logs - logs.max())
    chances /= chances.sum()
    mine = np.array([table[:count] for table in tables])  # (noises and shares, candidates, cells)
    middle = (cells.edges[1:] + cells.edges[:-1]) / 2
    centres = (mine * middle) @ laws.T / (mine @ laws.T + _TINY)
    means = np.einsum("hk,hck->c", chances, centres)
    return TrueMeans(draws=_drawn(cells.edges, mine, laws, chances, rng), means=means)


def _drawn(edges: Floats, tables: Floats, laws: Floats, chances: Floats, rng: np.random.Generator) -> Floats:
    """Return draws of the means, shape (draws, candidates): law and noise first, then each mean within its cell."""
    upto = chances.ravel().cumsum()
    places = upto.searchsorted((np.arange(_COMBINATIONS) + rng.random()) / _COMBINATIONS * upto[-1])
    noise, law = np.divmod(np.minimum(places, chances.size - 1), chances.shape[1])
    mass = (tables[noise] * laws[law][:, None, :] + _TINY).cumsum(axis=2)
    mass /= mass[:, :, -1:]
    rows, count = math.prod(mass.shape[:2]), mass.shape[2]
    start = np.arange(rows)[:, None]  # all rows one after the other, each a unit above the one before: one search
    sought = start + rng.random((rows, _EACH)) * (1 - 1e-9)
    at = (mass.reshape(rows, count) + start).ravel().searchsorted(sought) - start * count
    at = np.clip(at, 0, count - 1)
    drawn = edges[at] + rng.random(at.shape) * np.diff(edges)[at]
    found: Floats = drawn.reshape(*mass.shape[:2], _EACH).transpose(0, 2, 1).reshape(-1, mass.shape[1])
    return found
