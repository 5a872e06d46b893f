"""What an importance is as a value: shares, verdicts, and what keeps a verdict back. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sweepkit.model.metric import Goal
from sweepkit.model.numbers import how_many

FEWEST = 20
FEWEST_PER_PARAMETER = 3
LEAST_R2 = 0.1
# Of the Gaussian process: a parameter is clear where the e-value against "no effect" passes 1 / alpha, weak from 5 on.
CLEAR_ALPHA = 0.02
WEAK_ALPHA = 0.2


class Verdict(StrEnum):
    """What may be said of a parameter."""

    CLEAR = "clear"
    TOGETHER = "clear together with another"
    WEAK = "weak"
    NONE = "not distinguishable"
    UNJUDGED = "not judged"


class Gate(StrEnum):
    """What keeps a verdict back."""

    OPEN = ""
    TOO_FEW = "too few runs"
    NO_MODEL = "the model predicts nothing"
    NOTHING = "nothing to explain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One parameter.

    Args:
        name: The parameter.
        value: Its importance; for the forest the share of the variance, may be a little below 0.
        se: Its standard error, calibrated for n configurations; None without refits.
        low, high: The value less and plus its standard error. None without refits.
        verdict: What may be said.
        active: Configurations that have it.
    """

    name: str
    value: float
    se: float | None = None
    low: float | None = None
    high: float | None = None
    verdict: Verdict = Verdict.UNJUDGED
    active: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """Two parameters that act together, beyond what each does alone.

    Args:
        a, b: The parameters.
        value: I = importance(a and b) - importance(a) - importance(b), as shares. Below 0: part of the variance needs
            both and is counted in each (an interaction); above 0: they stand in for each other (they are correlated).
        low, high: 5 % and 95 % quantiles over the refits.
        clear: 95 % of the refits lie on the value's side of 0.
    """

    a: str
    b: str
    value: float
    low: float
    high: float
    clear: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """Two parameters whose values went together, so that their shares cannot be distinguished.

    Args:
        a, b: The parameters.
        rho: Spearman's correlation of their values, beyond ±0.5.
        value: The share of both shuffled together; None of an estimator that shuffles nothing.
    """

    a: str
    b: str
    rho: float
    value: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Importance:
    """What mattered in a sweep.

    Args:
        estimator: How it was measured.
        metric, goal: Of what.
        shares: The parameters, most important first.
        n: Configurations; `runs` went into them.
        looked: Runs that the model looked at, where these are not all of them; None: all.
        r2: Of predictions for configurations that the model has not seen; None for an estimator without a model.
        floor: What parameters that cannot matter reach in 1 of 100 cases; None without shadows.
        gate: What keeps a verdict back.
        left_out: Why runs did not go in → how many.
        dropped: Parameters left out → why.
        interactions: The strongest pairs of the leading four, at most three.
        together: Pairs of correlated parameters.
        sentences: The same in words, one finding each.
    """

    estimator: str
    metric: str
    goal: Goal
    shares: tuple[Share, ...]
    n: int
    runs: int
    looked: int | None = None
    r2: float | None = None
    floor: float | None = None
    gate: Gate = Gate.OPEN
    left_out: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, str] = field(default_factory=dict)
    interactions: tuple[Interaction, ...] = ()
    together: tuple[Together, ...] = ()
    sentences: tuple[str, ...] = ()

    @property
    def basis(self) -> str:
        """Return what the numbers were made of, as it is read."""
        return how_many(self.n, "configuration") if self.looked is None else f"{self.looked} of {self.runs} runs"

    @property
    def sample_size(self) -> int:
        """Return how many the numbers were made of: configurations, or the runs that were looked at, see `basis`."""
        return self.n if self.looked is None else self.looked

    def top(self, count: int) -> list[str]:
        """Return the names of the most important parameters."""
        return [share.name for share in self.shares[:count]]
