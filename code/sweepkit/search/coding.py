"""How a parameter is shown to a model: a number in a simple range, and back. No sampler is known here.

Sources: W&B's bayes search sees every parameter through its cdf; here only those do that have no plainer form.
"""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sweepkit.model.distributions import Distribution, Kind, content_key
from sweepkit.model.space import Path, Space

# Beyond this many integers a sampler that lists its discrete values would need too much memory and time.
_MAX_LISTED_INTEGERS = 10_000
# A model likes corners: of an unbounded distribution it is shown the middle 99.8 % only, 3.1 sigma of a normal one, as
# much as a thousand random draws would show. Without it the corners are 8 sigma away.
_TAIL = 0.001


class Scale(StrEnum):
    """The range that a model sees."""

    CHOICE = "choice"  # an index 0 .. high of unordered choices
    INTEGER = "integer"  # low .. high, both inclusive
    LINEAR = "linear"  # the reals in [low, high]
    LOG = "log"  # the same on a logarithmic scale, low > 0
    UNIT = "unit"  # quantiles in [0, 1]; of an unbounded distribution in [0.001, 0.999]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """One parameter that varies, as a model sees it.

    Args:
        path: Of the parameter.
        distribution: Of the parameter.
        scale: What the codes are.
        low: Least code.
        high: Greatest code, inclusive.
        positions: CHOICE only: where a choice stands, by content.
    """

    path: Path
    distribution: Distribution
    scale: Scale
    low: float | int
    high: float | int
    positions: Mapping[Hashable, int] | None = None

    def encode(self, value: Any) -> float | int | None:
        """Return the code of a value, None when the distribution cannot draw it."""
        if self.positions is not None:
            return self.positions.get(content_key(value))
        if not self.distribution.contains(value):
            return None
        if self.scale is Scale.INTEGER:
            return int(round(value))
        if self.scale is Scale.UNIT:
            return min(max(self._quantile(value), self.low), self.high)
        return min(max(float(value), self.low), self.high)

    def decode(self, code: float | int) -> Any:
        """Return the value of a code, inside the distribution's support; codes outside the range are cut to it."""
        code = min(max(code, self.low), self.high)
        if self.scale is Scale.CHOICE:
            return self.distribution.support_value(int(code))
        if self.scale is Scale.INTEGER:
            return int(code)
        return self.distribution.ppf(code) if self.scale is Scale.UNIT else float(code)

    def _quantile(self, value: Any) -> float:
        """Return a quantile that decodes to `value`: the middle of its share where that is known."""
        probabilities = self.distribution.probabilities
        if probabilities is None:
            return self.distribution.cdf(value)
        key = content_key(value)
        # Of equal choices the likeliest stands for all: the point is told once.
        index = max(
            (i for i, choice in enumerate(self.distribution.values) if content_key(choice) == key),
            key=lambda i: probabilities[i],
        )
        return min(math.fsum(probabilities[:index]) + probabilities[index] / 2, 1.0)


def codings(space: Space) -> tuple[Coding, ...]:
    """Return the codings of the parameters that vary, in the order of the space."""
    return tuple(
        _coding(parameter.path, parameter.distribution)
        for parameter in space.parameters
        if parameter.distribution.support_size() != 1
    )


def fixed_values(space: Space) -> dict[Path, Any]:
    """Return the values of the parameters that do not vary."""
    return {p.path: p.distribution.support_value(0) for p in space.parameters if p.distribution.support_size() == 1}


def _coding(path: Path, distribution: Distribution) -> Coding:
    size = distribution.support_size()
    positions: dict[Hashable, int] | None = None
    scale, low, high = Scale.UNIT, 0.0, 1.0
    if distribution.kind in _UNBOUNDED:
        low, high = _TAIL, 1.0 - _TAIL
    if distribution.kind is Kind.CATEGORICAL and size is not None:
        positions = {content_key(value): index for index, value in enumerate(distribution.support_values())}
        scale, low, high = Scale.CHOICE, 0, size - 1
    elif distribution.kind is Kind.INT_UNIFORM and size is not None and size <= _MAX_LISTED_INTEGERS:
        scale, low, high = Scale.INTEGER, distribution.support_value(0), distribution.support_value(size - 1)
    elif distribution.kind in _PLAIN and (bounds := distribution.bounds()) is not None:
        low, high = float(bounds[0]), float(bounds[1])
        scale = _PLAIN[distribution.kind]
        if not _usable(scale, low, high):
            scale, low, high = Scale.UNIT, 0.0, 1.0
    return Coding(path=path, distribution=distribution, scale=scale, low=low, high=high, positions=positions)


_UNBOUNDED = (Kind.NORMAL, Kind.Q_NORMAL, Kind.LOG_NORMAL, Kind.Q_LOG_NORMAL)
_PLAIN = {
    Kind.UNIFORM: Scale.LINEAR,
    Kind.LOG_UNIFORM: Scale.LOG,
    Kind.LOG_UNIFORM_VALUES: Scale.LOG,
    Kind.INV_LOG_UNIFORM: Scale.LOG,
    Kind.INV_LOG_UNIFORM_VALUES: Scale.LOG,
}


def _usable(scale: Scale, low: float, high: float) -> bool:
    """Return whether a model can compute with the range: exponents of 1000 reach 0 and the largest float."""
    if scale is Scale.LOG:
        return low > 1e-300 and high < 1e300
    return math.isfinite(high - low)
