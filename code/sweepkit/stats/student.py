"""Student's t for a difference of two means: pooled over all models, Welch's, paired by seed."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import stdtr, stdtrit  # type: ignore[import-untyped]

from sweepkit.model.numbers import mean
from sweepkit.stats.groups import sd

_FEW = 2  # values on a side up to which Welch's df is not believed
_BELIEVED = 0.25  # of Welch's df above the smaller side's, with more values


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A difference and how sure it is.

    Args:
        difference: First minus second.
        error: Its standard error, > 0.
        df: Degrees of freedom of the error, > 0.
    """

    difference: float
    error: float
    df: float

    @property
    def t(self) -> float:
        """Return the difference in standard errors."""
        return self.difference / self.error

    @property
    def p(self) -> float:
        """Return the two-sided p value of no difference, above 0: no data prove that much."""
        return max(float(2 * stdtr(self.df, -abs(self.t))), sys.float_info.min)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the confidence interval; `level` in (0, 1)."""
        half = quantile((1 + level) / 2, self.df) * self.error
        return self.difference - half, self.difference + half

    def inside(self, margin: float, alpha: float = 0.05) -> bool:
        """Return whether the two one-sided tests (TOST) at `alpha` find the difference within ± margin.

        Source: Schuirmann (1987), J. Pharmacokinetics and Biopharmaceutics 15, 657-680: the same as the 1 - 2 alpha
        interval lying inside.
        """
        low, high = self.interval(1 - 2 * alpha)
        return -margin < low and high < margin

    def outside(self, margin: float) -> float:
        """Return the p value of the two one-sided tests: `inside(margin, alpha)` is the same as being below alpha."""
        above = float(stdtr(self.df, (self.difference - margin) / self.error))
        below = float(stdtr(self.df, (-margin - self.difference) / self.error))
        return max(above, below)

    def shares(self, margin: float) -> tuple[float, float, float]:
        """Return the posterior chances that the difference is above, within and below ± margin, under a flat prior.

        Source: Kruschke (2013), J. Experimental Psychology: General 142, 573-603; with a flat prior the posterior is
        the t distribution around the difference.
        """
        above = float(stdtr(self.df, (self.difference - margin) / self.error))
        below = float(stdtr(self.df, (-margin - self.difference) / self.error))
        return above, max(0.0, 1.0 - above - below), below


def quantile(level: float, df: float) -> float:
    """Return the t that a share `level` of Student's distribution lies below."""
    return float(stdtrit(df, level))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The standard deviation between seeds that all models share, and its degrees of freedom."""

    sd: float
    df: int


def pool(groups: Sequence[Sequence[float]]) -> Pool | None:
    """Return the pooled standard deviation of the groups that have two values or more; None when none has.

    It doubles the power at 3 seeds against Welch's test, and assumes that all models scatter alike.

    Source: the error term of one-way analysis of variance, Fisher (1925), Statistical Methods for Research Workers.
    """
    df = sum(len(values) - 1 for values in groups if len(values) > 1)
    if df == 0:
        return None
    squares = math.fsum((len(values) - 1) * sd(values) ** 2 for values in groups if len(values) > 1)
    return Pool(sd=math.sqrt(squares / df), df=df)


def pooled(first: Sequence[float], second: Sequence[float], shared: Pool) -> Estimate | None:
    """Return the difference of the means with a shared standard deviation; None when that is 0."""
    error = shared.sd * math.sqrt(1 / len(first) + 1 / len(second))
    return Estimate(difference=mean(first) - mean(second), error=error, df=shared.df) if error > 0 else None


def welch(first: Sequence[float], second: Sequence[float]) -> Estimate | None:
    """Return the difference of two means that scatter each on its own; None under two values or without spread.

    Source: Welch (1947), Biometrika 34, 28-35, with Satterthwaite's (1946) degrees of freedom.
    """
    if len(first) < 2 or len(second) < 2:
        return None
    parts = [(sd(values) ** 2 / len(values), len(values) - 1) for values in (first, second)]
    return _satterthwaite(mean(first) - mean(second), parts)


def cautious_welch(first: Sequence[float], second: Sequence[float]) -> Estimate | None:
    """Return Welch's estimate with degrees of freedom that hold its level with few values and unequal spreads.

    Satterthwaite's df is itself an estimate, and of few values far too large when they happen to lie close: a nominal
    .05 is .059 with 3 and 3 values, .072 with 3 and 10, .12 with 2 and 10; of a nominal .05 / 28 it is three to 26
    times as much. Taken is the smaller side's df, which holds for any two spreads, and a quarter of what Satterthwaite
    has above it, less where the numbers of values differ; with two values on a side that df alone. Over spreads of
    equal to twenty-fold a nominal .05 is then about .050 at most, with 2 to 10 values a side (benchmarks/truth.py).

    Source: Hsu (1938), Statistical Research Memoirs 2, 1-24; Mickey and Brown (1966), Annals of Mathematical
    Statistics 37, 639-642: t with the smaller of the two df is conservative whatever the variances.
    """
    found = welch(first, second)
    if found is None:
        return found
    fewest = min(len(first), len(second))
    believed = 0.0 if fewest <= _FEW else _BELIEVED * fewest / max(len(first), len(second))
    above = believed * max(0.0, found.df - (fewest - 1))
    return Estimate(difference=found.difference, error=found.error, df=fewest - 1 + above)


def paired(first: Sequence[float], second: Sequence[float]) -> Estimate | None:
    """Return the mean difference of values that belong together, by place; None under two pairs or without spread.

    Source: Student (1908), Biometrika 6, 1-25. Pairing pays only where the same seed means the same thing to both.

    Raises:
        ValueError: The lengths differ.
    """
    differences = [a - b for a, b in zip(first, second, strict=True)]
    if len(differences) < 2:
        return None
    spread = sd([*differences])
    largest = max(abs(value) for value in (*first, *second))
    if spread <= 1e-12 * largest:
        return None
    return Estimate(difference=mean(differences), error=spread / math.sqrt(len(differences)), df=len(differences) - 1)


def _satterthwaite(difference: float, parts: Sequence[tuple[float, float]]) -> Estimate | None:
    """Return an estimate whose variance is a sum of independent parts; None when the sum is 0.

    Args:
        difference: The estimate.
        parts: Variance (>= 0) and degrees of freedom of each.

    Source: Satterthwaite (1946), Biometrics Bulletin 2, 110-114.
    """
    variance = math.fsum(part for part, _ in parts)
    if variance <= 0:
        return None
    df = 1 / math.fsum((part / variance) ** 2 / freedom for part, freedom in parts)
    return Estimate(difference=difference, error=math.sqrt(variance), df=df)
