"""What a score on a hold-out set is worth on new examples: the luck of the seeds and that of the examples together.

The examples are drawn again with replacement, the same ones for all seeds: what the scores of the seeds have in common
then is the luck of the examples, and the covariance between seeds is its variance. The variance of their mean would
count what one example makes of one seed twice, for the spread between seeds has it already. Its coverage is measured
in benchmarks/confirm.py.

Source: Efron and Tibshirani (1993), An Introduction to the Bootstrap, ch. 6 and 8; the parts as in a two-way layout
with random examples, Searle, Casella and McCulloch (1992), Variance Components, ch. 4.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sweepkit.stats.student import Pool, quantile

_DRAWS = 1000  # an error of 2 % of the standard deviation
_Floats = NDArray[np.float64]


def mean_error(scores: ArrayLike) -> float:
    """Return the standard error that the choice of examples gives to a mean score.

    Args:
        scores: Of shape (seeds >= 1, examples >= 2), in units of the metric.

    >>> round(mean_error([[0.0, 1.0, 0.0, 1.0]]), 4)
    0.2887
    """
    matrix = np.asarray(scores, dtype=np.float64)
    return math.sqrt(
        _shared(np.atleast_2d(np.cov(matrix))) / matrix.shape[1]
    )  # the bootstrap of a mean, drawn endlessly


def class_error(labels: Sequence[str], predicted: Sequence[Sequence[str]], metric: str, *, seed: int = 0) -> float:
    """Return the standard error that the choice of examples gives to "macro_f1" or "accuracy", by bootstrap.

    Args:
        labels: The right class of each example, at least two.
        predicted: For each seed the predicted classes, as many.
        metric: Which of the two.
        seed: Of the draws.

    >>> round(class_error(list("abab") * 25, [list("abbb") * 25], "accuracy"), 2)
    0.04
    """
    drawn = np.random.default_rng(seed).multinomial(len(labels), np.full(len(labels), 1 / len(labels)), size=_DRAWS)
    score = _macro_f1 if metric == "macro_f1" else _accuracy
    right = np.asarray(labels)
    again = np.array([score(drawn, right, np.asarray(one)) for one in predicted])
    return math.sqrt(_shared(np.atleast_2d(np.cov(again))) * len(labels) / (len(labels) - 1))


def half_interval(spread: Pool, seeds: int, *, error: float = 0.0, examples: int = 0) -> float:
    """Return half the 95 % interval of a mean over seeds, degrees of freedom by Satterthwaite.

    Args:
        spread: Between seeds.
        seeds: How many the mean is of, >= 1.
        error: Standard error by the choice of examples; 0 leaves it out: the interval is that of this set alone.
        examples: How many there are, >= 2 where `error` is given.

    >>> round(half_interval(Pool(sd=0.01, df=10), 2), 4)
    0.0158
    >>> round(half_interval(Pool(sd=0.01, df=10), 2, error=0.01, examples=500), 4)
    0.0244
    """
    parts = [(spread.sd**2 / seeds, float(spread.df)), (error**2, examples - 1.0)]
    variance = math.fsum(part for part, _ in parts)
    freedom = math.fsum((part / variance) ** 2 / df for part, df in parts if part) if variance else 1.0
    return quantile(0.975, 1 / freedom) * math.sqrt(variance)


def _shared(covariance: _Floats) -> float:
    """Return the mean covariance between two seeds, at least 0; of one seed its variance."""
    seeds = len(covariance)
    if seeds == 1:
        return float(covariance[0, 0])
    between = float(covariance.sum() - np.trace(covariance)) / (seeds * (seeds - 1))
    return max(0.0, between)


def _accuracy(drawn: NDArray[np.int64], labels: NDArray[np.str_], predicted: NDArray[np.str_]) -> _Floats:
    found: _Floats = drawn @ (labels == predicted) / len(labels)
    return found


def _macro_f1(drawn: NDArray[np.int64], labels: NDArray[np.str_], predicted: NDArray[np.str_]) -> _Floats:
    names = np.unique(np.concatenate([labels, predicted]))
    is_label, is_guess = labels[:, None] == names, predicted[:, None] == names
    hits, total = drawn @ (is_label & is_guess), drawn @ is_label + drawn @ is_guess.astype(np.int64)
    f1 = np.divide(2.0 * hits, total, out=np.zeros(hits.shape), where=total > 0)
    found: _Floats = f1.sum(axis=1) / np.count_nonzero(total, axis=1)
    return found
