"""Tests on the scores of single examples: a seed is not the only thing that happens by chance, the dev set is too.

A t test over seeds asks "on this dev set"; of two models that are equal on new dialogues it finds a difference in 9, 13
and 29 of 100 cases at 3, 5 and 10 seeds (499 examples, simulated). The two-way test counts both.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sweepkit.stats.power import Noise
from sweepkit.stats.student import Estimate

_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoWay:
    """What the two-way test found.

    Args:
        estimate: The difference of the means.
        noise: How its variance goes with the number of seeds.
        seed_error: The part of the standard error that comes from seeds.
        example_error: The part that comes from the choice of examples.
    """

    estimate: Estimate
    noise: Noise
    seed_error: float
    example_error: float


def two_way(first: ArrayLike, second: ArrayLike) -> TwoWay | None:
    """Return the difference of two models over seeds × examples; None when nothing scatters.

    With D the difference of the seed averages of each of N examples: variance = var(D)/N + s1²/S1 + s2²/S2 minus the
    run × example residual that both count, at least the larger of the two; degrees of freedom by Satterthwaite.

    Args:
        first: Scores of shape (seeds >= 2, examples >= 2).
        second: The same examples in the same order; the number of seeds may differ.

    Raises:
        ValueError: The shapes are not such.

    Source: the two-way layout with random runs and random examples, Searle, Casella & McCulloch (1992), Variance
    Components, ch. 4. False positive rate .033-.057 at 3-10 seeds, by simulation (benchmarks/comparison.py).
    """
    one, two = _matrix(first), _matrix(second)
    count = one.shape[1]
    if two.shape[1] != count or count < 2 or min(one.shape[0], two.shape[0]) < 2:
        raise ValueError(f"two matrices of at least 2 seeds and the same examples, got {one.shape} and {two.shape}")
    difference = one.mean(axis=0) - two.mean(axis=0)
    by_example = float(difference.var(ddof=1)) / count
    runs = [_runs(matrix) for matrix in (one, two)]
    by_seed = sum(run.of_mean for run in runs)
    twice = sum(run.residual for run in runs)
    variance = max(by_example + by_seed - twice, by_example, by_seed)
    scale = max(float(np.abs(one).max()), float(np.abs(two).max()))
    if variance <= (1e-12 * scale) ** 2:
        return None
    freedom = by_example**2 / (count - 1)
    freedom += sum(run.of_mean**2 / (run.seeds - 1) for run in runs)
    freedom += sum(run.residual**2 / ((count - 1) * (run.seeds - 1)) for run in runs)
    estimate = Estimate(
        difference=float(difference.mean()), error=math.sqrt(variance), df=max(1.0, variance**2 / freedom)
    )
    fixed = max(0.0, by_example - twice)
    noise = Noise(per_seed=sum(run.of_mean * run.seeds for run in runs), df_per_seed=2, fixed=fixed, fixed_df=count - 1)
    return TwoWay(estimate=estimate, noise=noise, seed_error=math.sqrt(by_seed), example_error=math.sqrt(fixed))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Runs:
    """One model: seeds, variance of its mean from seeds, and the part of it that is run × example residual."""

    seeds: int
    of_mean: float
    residual: float


def _runs(matrix: _Floats) -> _Runs:
    seeds, count = matrix.shape
    means = matrix.mean(axis=1)
    left = matrix - means[:, None] - matrix.mean(axis=0)[None, :] + matrix.mean()
    residual = float((left**2).sum()) / ((seeds - 1) * (count - 1))
    return _Runs(seeds=seeds, of_mean=float(means.var(ddof=1)) / seeds, residual=residual / (count * seeds))


def paired_examples(first: ArrayLike, second: ArrayLike) -> Estimate | None:
    """Return the mean difference over examples, seeds averaged first: says something of these checkpoints only.

    Without the luck of seeds in it, it rejects 12 of 100 true null hypotheses at 5 % (simulated). None when nothing
    scatters or there are fewer than two examples.
    """
    difference = _averaged(first) - _averaged(second)
    if len(difference) < 2:
        return None
    error = float(difference.std(ddof=1)) / math.sqrt(len(difference))
    if error <= 1e-12 * float(np.abs(difference).max()):
        return None
    return Estimate(difference=float(difference.mean()), error=error, df=len(difference) - 1)


def _averaged(scores: ArrayLike) -> _Floats:
    matrix = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    averaged: Any = matrix.mean(axis=0)
    return np.asarray(averaged, dtype=np.float64)


def _matrix(scores: ArrayLike) -> _Floats:
    matrix = np.asarray(scores, dtype=np.float64)
    if matrix.ndim != 2:
        raise ValueError(f"a matrix of seeds × examples, got {matrix.ndim} dimensions")
    return matrix
