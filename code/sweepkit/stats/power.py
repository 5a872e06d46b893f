"""What a number of seeds can show, and how many it takes to show something."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, nctdtr, ndtr, stdtrit  # type: ignore[import-untyped]

_MOST_SEEDS = 1000
_FAR = 20.0  # standard errors; beyond them scipy's noncentral t gives NaN now and then
_POINTS = 128
_MANY = 1e6  # degrees of freedom that are as good as infinitely many


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """The variance of a difference of two means as the number of seeds grows: `fixed + per_seed / n`.

    Args:
        per_seed: The part that more seeds make smaller, times the seeds of each model: 2 sd² when pooled.
        df_per_seed: Degrees of freedom of that part for each seed beyond the first: 2 for two models on their own, the
            number of models when pooled over all, 1 when paired.
        fixed: The part that only more examples make smaller.
        fixed_df: Its degrees of freedom.
    """

    per_seed: float
    df_per_seed: int
    fixed: float = 0.0
    fixed_df: float = math.inf

    def error(self, n: int) -> float:
        """Return the standard error of the difference with n seeds each, n >= 2."""
        return math.sqrt(self.fixed + self.per_seed / n)

    def df(self, n: int) -> float:
        """Return its degrees of freedom (Satterthwaite 1946)."""
        parts = ((self.per_seed / n, self.df_per_seed * (n - 1)), (self.fixed, self.fixed_df))
        whole = sum(part for part, _ in parts)
        return 1 / sum((part / whole) ** 2 / df for part, df in parts) if whole > 0 else math.inf


@lru_cache(maxsize=64)
def _scales(df: float) -> NDArray[np.float64]:
    """Return estimated over true standard error, at equally likely values: of them a mean is an expectation."""
    shares = (np.arange(_POINTS) + 0.5) / _POINTS
    return np.asarray(np.sqrt(chdtri(min(df, _MANY), shares) / min(df, _MANY)), dtype=np.float64)


def power(difference: float, error: float, df: float, *, alpha: float = 0.05) -> float:
    """Return the chance that a two-sided t test at `alpha` sees a true difference.

    Args:
        difference: The true one, in units of `error`.
        error: Standard error, > 0.
        df: Its degrees of freedom.
        alpha: Level, already divided by the number of tests.

    Source: the noncentral t distribution, Cohen (1988), Statistical Power Analysis for the Behavioral Sciences, ch. 2.
    """
    far = abs(difference) / error
    critical = float(stdtrit(df, 1 - alpha / 2))
    if far <= _FAR:
        seen = 1.0 - float(nctdtr(df, far, critical)) + float(nctdtr(df, far, -critical))
        if math.isfinite(seen):
            return min(1.0, max(0.0, seen))
    bars = critical * _scales(df)  # the estimated error, of which t is a multiple, scatters
    return float(np.mean(ndtr(far - bars) + ndtr(-far - bars)))


def detectable(error: float, df: float, *, alpha: float = 0.05, wanted: float = 0.8) -> float:
    """Return the smallest true difference that is seen with the chance `wanted`."""
    critical = float(stdtrit(df, 1 - alpha / 2))
    low, high = 0.0, 2.0 * (critical + 3.0)
    while power(high, 1.0, df, alpha=alpha) < wanted:
        high *= 2
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if power(middle, 1.0, df, alpha=alpha) < wanted else (low, middle)
    return high * error


def equality_power(margin: float, error: float, df: float, *, alpha: float = 0.05) -> float:
    """Return the chance that TOST finds two models within ± margin whose true means are equal.

    Exact up to the integration: given the estimated error s, the difference must be closer than margin - t s.

    Source: Owen (1965), Biometrika 52, 437-446; here his Q by quantiles of the chi-square distribution.
    """
    room = margin / error - float(stdtrit(min(df, _MANY), 1 - alpha)) * _scales(df)
    return float(np.mean(np.maximum(0.0, 2 * ndtr(room) - 1)))


def seeds_needed(difference: float, noise: Noise, *, alpha: float = 0.05, wanted: float = 0.8) -> int | None:
    """Return the seeds of each model that show a true difference with the chance `wanted`; None above 1000.

    Args:
        difference: The true one; 0 is never shown.
        noise: See `Noise`.
        alpha: Level, already divided by the number of tests.
        wanted: In (0, 1).
    """
    if difference == 0:
        return None
    return _fewest(lambda n: power(difference, noise.error(n), noise.df(n), alpha=alpha) >= wanted, noise)


def seeds_for_equality(margin: float, noise: Noise, *, alpha: float = 0.05, wanted: float = 0.8) -> int | None:
    """Return the seeds that find two truly equal models equal within ± margin, likewise."""
    if margin <= 0:
        return None
    return _fewest(lambda n: equality_power(margin, noise.error(n), noise.df(n), alpha=alpha) >= wanted, noise)


def _fewest(enough: Callable[[int], bool], noise: Noise) -> int | None:
    """Return the smallest number of seeds, from 2, that is enough; more seeds never make it worse."""
    if noise.per_seed + noise.fixed <= 0:
        return None
    if not enough(_MOST_SEEDS):
        return None
    low, high = 1, _MOST_SEEDS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
