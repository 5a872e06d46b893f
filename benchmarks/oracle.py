"""What the best of a race could reach: one who knows how true means and seeds scatter, and runs one seed at a time.

No procedure that has to learn these laws from the scores, or runs several seeds at once, can be expected to do better;
so where the oracle does not reach a goal the budget is too small for it. Its next run is the one that is worth most by
the knowledge gradient, looking ahead over as many further runs of the same configuration as pay best.

Source: Frazier, Powell and Dayanik 2008, SIAM J. Control and Optimization 47:2410-2439; Frazier and Powell 2010,
Decision Analysis 7:378-403 (several measurements of one alternative).
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr  # type: ignore[import-untyped]

Floats = NDArray[np.float64]
_EDGES = np.linspace(-0.14, 0.05, 761)
_MIDDLE = (_EDGES[1:] + _EDGES[:-1]) / 2
# Where within a cell the others are asked to lie below, by Gauss and Legendre: exact for the product of four, that is
# for ties of all five in one cell. By its middle alone five equals would be told .18 each and not .2.
_AT = (0.5 - 0.15**0.5, 0.5, 0.5 + 0.15**0.5)
_WEIGHTS = (5 / 18, 8 / 18, 5 / 18)


def oracle_pick(
    first: Floats, upto: Callable[[Floats], Floats], likely: Callable[[Floats], Floats], score: Callable[[int], float]
) -> int:
    """Return the configuration that the oracle takes after 15 further runs of the best five.

    Args:
        first: The score of each configuration.
        upto: The distribution function of true means.
        likely: The density, up to a factor, of a score less its true mean.
        score: Makes one further run of a configuration.
    """
    five = np.argsort(-first)[:5]
    known = likely(first[five, None] - _MIDDLE) * (np.diff(upto(_EDGES)) + 1e-15)
    for left in range(15, 0, -1):
        at = _worth_most(known, left, likely)
        known[at] *= likely(score(int(five[at])) - _MIDDLE)
    return int(five[int(np.argmax(_moments(known)[0]))])


def oracle_chance(
    scores: Sequence[Sequence[float]],
    pick: int,
    upto: Callable[[Floats], Floats],
    likely: Callable[[Floats], Floats],
) -> float:
    """Return the chance that one of several configurations has the best true mean, by who knows both laws.

    Given all scores, that they were picked out of more by some of these says nothing further.

    Args:
        scores: All of each configuration.
        pick: Which of them.
        upto: The distribution function of true means.
        likely: The density, up to a factor, of a score less its true mean.
    """
    law = np.diff(upto(_EDGES)) + 1e-15
    known = np.array([law * np.prod([likely(score - _MIDDLE) for score in mine], axis=0) for mine in scores])
    known /= known.sum(axis=1, keepdims=True)
    others = np.delete(known, pick, axis=0)
    lower = others.cumsum(axis=1) - others
    below = sum(weight * (lower + at * others).prod(axis=0) for at, weight in zip(_AT, _WEIGHTS, strict=True))
    return float(known[pick] @ below)


def _moments(known: Floats) -> tuple[Floats, Floats]:
    """Return mean and variance of each true mean."""
    share = known / known.sum(axis=1, keepdims=True)
    mean = share @ _MIDDLE
    return mean, share @ _MIDDLE**2 - mean**2


def _worth_most(known: Floats, left: int, likely: Callable[[Floats], Floats]) -> int:
    """Return the configuration of which further runs promise the most each."""
    mean, variance = _moments(known)
    order = np.argsort(-mean)
    rival = np.where(np.arange(len(mean)) == order[0], mean[order[1]], mean[order[0]])
    noise = _moments(likely(_MIDDLE - 0.0)[None, :])[1]
    runs = np.arange(1, left + 1)
    moved = np.sqrt(variance[:, None] ** 2 / (variance[:, None] + noise / runs))
    gap = -np.abs(mean - rival)[:, None] / moved
    density = np.exp(-0.5 * gap**2) / np.sqrt(2 * np.pi)
    worth = moved * (density + gap * ndtr(gap)) / runs
    return int(np.argmax(worth.max(axis=1)))
