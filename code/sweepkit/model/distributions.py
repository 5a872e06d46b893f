"""The 18 distributions of a W&B sweep parameter: fields, quantiles and supports. No clock, no files, no randomness.

Source of the numbers: `sweeps` 0.3.0, `params.py` (quantiles) and `grid_search.py` (points of a grid, equality of
values); where they differ on purpose, the method says so. The meanings of the fields are W&B's too (config schema).
"""

import json
import math
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist
from typing import Any

from sweepkit.model.numbers import is_number

MOST_GRID_VALUES = 1_000_000


class Kind(StrEnum):
    """The name of a distribution, as W&B spells it."""

    CONSTANT = "constant"
    CATEGORICAL = "categorical"
    CATEGORICAL_W_PROBABILITIES = "categorical_w_probabilities"
    INT_UNIFORM = "int_uniform"
    UNIFORM = "uniform"
    Q_UNIFORM = "q_uniform"
    LOG_UNIFORM = "log_uniform"
    LOG_UNIFORM_VALUES = "log_uniform_values"
    Q_LOG_UNIFORM = "q_log_uniform"
    Q_LOG_UNIFORM_VALUES = "q_log_uniform_values"
    INV_LOG_UNIFORM = "inv_log_uniform"
    INV_LOG_UNIFORM_VALUES = "inv_log_uniform_values"
    NORMAL = "normal"
    Q_NORMAL = "q_normal"
    LOG_NORMAL = "log_normal"
    Q_LOG_NORMAL = "q_log_normal"
    BETA = "beta"
    Q_BETA = "q_beta"


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """One distribution with the fields that its kind uses; the others stay None or empty.

    Args:
        kind: Which distribution.
        values: The choices; one element for `constant`. Any YAML value, lists and dicts too.
        probabilities: As long as `values`, summing to 1; only `categorical_w_probabilities`.
        min: Lower bound. For `log_uniform`, `q_log_uniform`, `inv_log_uniform` it is an exponent, base e.
        max: Upper bound, inclusive; same units as `min`.
        q: Step of the `q_*` kinds; W&B's default is the float 1.0. An int `q` gives int values.
        mu: Mean of the (log-)normal kinds, 0 by default there.
        sigma: Standard deviation of those, 1 by default there, >= 0.
        a: First shape of the beta kinds, > 0.
        b: Second shape of the beta kinds, > 0.
    """

    kind: Kind
    values: tuple[Any, ...] = ()
    probabilities: tuple[float, ...] | None = None
    min: float | int | None = None
    max: float | int | None = None
    q: float | int | None = None
    mu: float | None = None
    sigma: float | None = None
    a: float | None = None
    b: float | None = None

    def ppf(self, u: float) -> Any:
        """Return the value at quantile `u`: W&B's number, as a native Python scalar inside the bounds.

        Quantised kinds are rounded to the nearest multiple of `q` (half to even, as numpy) that lies inside the
        bounds; an int `q` gives an int. Where no multiple lies inside, the nearer bound stands in. Kinds without a
        bound are cut at the quantiles 2**-53 and 1 - 2**-53, so every value is finite.

        Args:
            u: Quantile in [0, 1].

        Raises:
            ValueError: `u` is outside [0, 1] or not a number.

        >>> round(Distribution(kind=Kind.LOG_UNIFORM_VALUES, min=1.0, max=100.0).ppf(0.5), 9)
        10.0
        >>> Distribution(kind=Kind.Q_UNIFORM, min=1, max=10, q=3).ppf(0.0)
        3
        """
        if not 0.0 <= u <= 1.0:
            raise ValueError(f"a quantile lies in [0, 1], got {u!r}")
        if self.kind is Kind.CONSTANT:
            return self.values[0]
        if self.kind is Kind.CATEGORICAL:
            return self.values[_uniform_index(u, 0, len(self.values))]
        if self.kind is Kind.CATEGORICAL_W_PROBABILITIES:
            return self.values[self._weighted_index(u)]
        if self.kind is Kind.INT_UNIFORM:
            low, high = self._integer_bounds()
            return _uniform_index(u, low, high + 1)
        raw = self._raw(u)
        if self.quantised:
            return self._lattice_value(self._nearest_step(raw))
        bounds = self.bounds()
        return raw if bounds is None else _clip(raw, float(bounds[0]), float(bounds[1]))

    def cdf(self, value: Any) -> float:
        """Return the share of draws at or below `value`, W&B's number.

        A categorical value counts by its position: (index + 1) / n, or the sum of probabilities up to it. A
        constant gives 0.0. Quantised kinds give the share of the unrounded draw, as W&B does.

        Raises:
            ValueError: `value` is not one of the choices, or not a number where one is needed.
        """
        if self.kind is Kind.CONSTANT:
            return 0.0
        if self.kind in _CATEGORICAL:
            index = self.index_of(value)
            if self.probabilities is not None:
                return math.fsum(self.probabilities[: index + 1])
            return (index + 1) / len(self.values)
        if not is_number(value):
            raise ValueError(f"{self.kind} has numbers, got {value!r}")
        return min(max(self._numeric_cdf(float(value)), 0.0), 1.0)

    def index_of(self, value: Any) -> int:
        """Return the first position of a choice equal to `value` by content (1 is 1.0, True is neither).

        Raises:
            ValueError: No choice is equal.
        """
        key = content_key(value)
        for index, choice in enumerate(self.values):
            if content_key(choice) == key:
                return index
        raise ValueError(f"{value!r} is not one of the {len(self.values)} values")

    def grid_values(self) -> Sequence[Any] | None:
        """Return the points of a grid, W&B's: duplicates kept; None when the kind cannot be gridded.

        `int_uniform` includes both ends. `q_uniform` counts from `min` in steps of `q` and leaves `max` out
        (numpy's `arange`), so its points need not be multiples of `q`.

        Raises:
            OverflowError: They are more than `MOST_GRID_VALUES`: they would fill the memory before they were counted.
        """
        if self.kind in (Kind.CATEGORICAL, Kind.CONSTANT):
            return self.values
        if self.kind is Kind.INT_UNIFORM:
            low, high = self._integer_bounds()
            return range(low, high + 1)
        if self.kind is Kind.Q_UNIFORM:
            (start, end), step = self._min_max(), self._step()
            if (end - start) / step > MOST_GRID_VALUES:
                raise OverflowError(
                    f"a grid lists at most {MOST_GRID_VALUES:,} values of q_uniform, "
                    f"got some {(end - start) / step:.3g}; raise q, or use method random or bayes"
                )
            return _arange(start, end, step)
        return None

    def support_size(self) -> int | None:
        """Return how many distinct values can be drawn, None when infinitely many."""
        if self.kind is Kind.CONSTANT:
            return 1
        if self.kind in _CATEGORICAL:
            return len(self._distinct_choices())
        if self.kind is Kind.INT_UNIFORM:
            low, high = self._integer_bounds()
            return high - low + 1
        if self.kind in _NORMAL and self.sigma == 0:
            return 1
        steps = self._steps() if self.quantised else None
        return None if steps is None else steps[1] - steps[0] + 1

    def support_values(self) -> list[Any]:
        """Return every distinct value of a finite support, as `support_value` numbers them; one look at the choices.

        Raises:
            ValueError: The support is infinite.
        """
        if self.values:
            return [self.values[index] for index in self._distinct_choices()]
        size = self.support_size()
        if size is None:
            raise ValueError(f"{self.kind} has infinitely many values")
        return [self.support_value(index) for index in range(size)]

    def support_value(self, index: int) -> Any:
        """Return the `index`-th distinct value of a finite support, in order of the list or ascending.

        Raises:
            IndexError: `index` is not in [0, support_size()).
            ValueError: The support is infinite.
        """
        size = self.support_size()
        if size is None:
            raise ValueError(f"{self.kind} has infinitely many values")
        if not 0 <= index < size:
            raise IndexError(f"index in [0, {size}), got {index}")
        if self.values:
            return self.values[self._distinct_choices()[index]]
        if self.kind is Kind.INT_UNIFORM:
            return self._integer_bounds()[0] + index
        if self.kind in _NORMAL and self.sigma == 0:
            return self.ppf(0.5)
        steps = self._steps()
        assert steps is not None
        return self._lattice_value(steps[0] + index)

    def support_index(self, value: Any) -> int | None:
        """Return the position of `value` in a finite support, None when it is not in it (or that is infinite)."""
        size = self.support_size()
        if size is None:
            return None
        if self.values:
            keys = [content_key(self.values[index]) for index in self._distinct_choices()]
            key = content_key(value)
            return keys.index(key) if key in keys else None
        if not is_number(value):
            return None
        guess = 0
        if self.kind is Kind.INT_UNIFORM:
            guess = round(value) - self._integer_bounds()[0]
        elif size > 1 and (steps := self._steps()) is not None:
            guess = min(max(round(value / self._step()), steps[0]), steps[1]) - steps[0]
        near = (index for index in (guess, guess - 1, guess + 1) if 0 <= index < size)
        return next((index for index in near if _close(self.support_value(index), value)), None)

    def contains(self, value: Any) -> bool:
        """Return whether `value` can be drawn, up to rounding errors of the last digits."""
        if self.support_size() is not None:
            return self.support_index(value) is not None
        if not is_number(value) or not math.isfinite(value):
            return False
        if self.quantised and not _close(round(value / self._step()) * self._step(), value):
            return False
        bounds = self.bounds()
        if bounds is None:
            return self.kind not in _LOG_NORMAL or value >= 0
        return bounds[0] <= value <= bounds[1] or _close(value, bounds[0]) or _close(value, bounds[1])

    def bounds(self) -> tuple[float | int, float | int] | None:
        """Return the least and the greatest value of a numeric kind, None for the (log-)normal and choice kinds."""
        if self.kind in _NORMAL or self.kind in _LOG_NORMAL or self.kind in _CHOICES:
            return None
        if self.kind in (Kind.BETA, Kind.Q_BETA):
            return 0.0, 1.0
        low, high = self._min_max()
        if self.kind in (Kind.LOG_UNIFORM, Kind.Q_LOG_UNIFORM):
            return _exp(low), _exp(high)
        if self.kind is Kind.INV_LOG_UNIFORM:
            return _exp(-high), _exp(-low)
        return low, high

    @property
    def quantised(self) -> bool:
        """Return whether values are multiples of `q`."""
        return self.kind.startswith("q_")

    def _raw(self, u: float) -> float:
        """Return the quantile before rounding. The order of operations is scipy's, so that the digits agree."""
        if self.kind in _NORMAL or self.kind in _LOG_NORMAL:
            z = _STANDARD_NORMAL.inv_cdf(_clip(u, _TAIL, 1.0 - _TAIL))
            mu, sigma = self._mu_sigma()
            return mu + sigma * z if self.kind in _NORMAL else _exp(mu + sigma * z)
        if self.kind in (Kind.BETA, Kind.Q_BETA):
            from scipy.special import betaincinv  # type: ignore[import-untyped]

            # SciPy's root finder gives NaN for some quantiles below the least normal float; zero is as near.
            return float(betaincinv(*self._shapes(), u if u >= sys.float_info.min else 0.0))
        low, high = self._min_max()
        if self.kind in (Kind.LOG_UNIFORM_VALUES, Kind.Q_LOG_UNIFORM_VALUES):
            low, high = math.log(low), math.log(high)
        if self.kind in (Kind.LOG_UNIFORM, Kind.Q_LOG_UNIFORM, Kind.LOG_UNIFORM_VALUES, Kind.Q_LOG_UNIFORM_VALUES):
            return _exp(u * (high - low) + low)
        if self.kind is Kind.INV_LOG_UNIFORM_VALUES:
            low, high = -math.log(high), -math.log(low)
        if self.kind in (Kind.INV_LOG_UNIFORM, Kind.INV_LOG_UNIFORM_VALUES):
            return _exp(-((1.0 - u) * (high - low) + low))
        return float(u * (high - low) + low)

    def _numeric_cdf(self, value: float) -> float:
        """Return the share of the unrounded draw at or below `value`, before cutting it to [0, 1]."""
        if self.kind is Kind.INT_UNIFORM:
            least, greatest = self._integer_bounds()
            return (math.floor(value) - least + 1) / (greatest - least + 1)
        if self.kind in (Kind.BETA, Kind.Q_BETA):
            from scipy.special import betainc

            return float(betainc(*self._shapes(), _clip(value, 0.0, 1.0)))
        if self.kind not in _NORMAL and self.kind not in (Kind.UNIFORM, Kind.Q_UNIFORM):
            value = math.log(value) if value > 0 else -math.inf
        if self.kind in _NORMAL or self.kind in _LOG_NORMAL:
            mu, sigma = self._mu_sigma()
            if sigma == 0:
                return 1.0 if value >= mu or _close(value, mu) else 0.0
            return _STANDARD_NORMAL.cdf((value - mu) / sigma)
        low, high = self._min_max()
        if self.kind.endswith("_values"):
            low, high = math.log(low), math.log(high)
        if self.kind is Kind.INV_LOG_UNIFORM:
            low, high = -high, -low
        return (value - low) / (high - low)

    def _weighted_index(self, u: float) -> int:
        """Return the first choice whose cumulative probability exceeds `u`; never one of probability 0."""
        assert self.probabilities is not None
        total, last = 0.0, 0
        for index, probability in enumerate(self.probabilities):
            total += probability
            if probability > 0:
                last = index
                if u < total:
                    return index
        return last

    def _distinct_choices(self) -> list[int]:
        """Return the positions of the choices that can be drawn, of equal ones the first."""
        first: dict[Any, int] = {}
        for index, value in enumerate(self.values):
            if self.probabilities is None or self.probabilities[index] > 0:
                first.setdefault(content_key(value), index)
        return list(first.values())

    def _steps(self) -> tuple[int, int] | None:
        """Return the least and the greatest multiple of `q` that stands for a value, None without bounds.

        When no multiple lies inside the bounds these are the (at most two) multiples that W&B would round to;
        `_lattice_value` then puts the bounds in their place.
        """
        bounds = self.bounds()
        if bounds is None:
            return None
        low, high = (bound / self._step() for bound in bounds)
        least, greatest = _integer_near(low, math.ceil), _integer_near(high, math.floor)
        return (least, greatest) if least <= greatest else (round(low), round(high))

    def _nearest_step(self, raw: float) -> int:
        """Return the multiple of `q` nearest to `raw` (half to even) among those inside the bounds."""
        nearest = round(_clip(raw / self._step(), -_LARGEST, _LARGEST))
        steps = self._steps()
        return nearest if steps is None else min(max(nearest, steps[0]), steps[1])

    def _lattice_value(self, step: int) -> float | int:
        """Return `step` times `q` inside the bounds that the user wrote."""
        q = self._step()
        value = step * q if isinstance(q, int) else _clip(step * q, -_LARGEST, _LARGEST)
        bounds = self.bounds()
        if bounds is None or (bounds[0] <= value <= bounds[1]):
            return value
        if isinstance(q, int) and any(math.isclose(value, bound, rel_tol=1e-11) for bound in bounds):
            return value
        # 3 * 0.1 is 0.30000000000000004: the bound itself is what the user meant.
        return bounds[0] if value < bounds[0] else bounds[1]

    def _min_max(self) -> tuple[float | int, float | int]:
        if self.min is None or self.max is None:
            raise ValueError(f"{self.kind} needs min and max, got min={self.min} and max={self.max}")
        return self.min, self.max

    def _integer_bounds(self) -> tuple[int, int]:
        low, high = self._min_max()
        return int(low), int(high)

    def _step(self) -> float | int:
        return 1.0 if self.q is None else self.q

    def _mu_sigma(self) -> tuple[float, float]:
        return (0.0 if self.mu is None else self.mu), (1.0 if self.sigma is None else self.sigma)

    def _shapes(self) -> tuple[float, float]:
        return (1.0 if self.a is None else self.a), (1.0 if self.b is None else self.b)


_CATEGORICAL = frozenset({Kind.CATEGORICAL, Kind.CATEGORICAL_W_PROBABILITIES})
_CHOICES = _CATEGORICAL | {Kind.CONSTANT}
_NORMAL = frozenset({Kind.NORMAL, Kind.Q_NORMAL})
_LOG_NORMAL = frozenset({Kind.LOG_NORMAL, Kind.Q_LOG_NORMAL})
_STANDARD_NORMAL = NormalDist()
_TAIL = 2.0**-53  # the least step of a uniform draw from [0, 1)
_LARGEST = sys.float_info.max


def as_choice(value: Any) -> Any:
    """Return a value as Optuna keeps it: text, numbers, booleans and None as they are, others as JSON text."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


# Looked at first: whether a value is a mapping takes many times as long to find out.
SCALARS = (str, int, float, bool, type(None))


def content_key(value: Any) -> Hashable:
    """Return a key that is equal for values that W&B's grid takes for one.

    An integral float is the integer (3e6 comes back from a record as 3000000) at the top only, not inside lists;
    True, 1 and "1" are three values; a tuple is a list; a dictionary is known by its entries in any order, its
    keys as text, since a record in JSON brings them back so.

    >>> content_key(1.0) == content_key(1), content_key(True) == content_key(1)
    (True, False)
    """
    return _nested_key(int(value) if isinstance(value, float) and value.is_integer() else value)


def _nested_key(value: Any) -> Hashable:
    """Return the key of a value inside a container: its type's name and its content."""
    if isinstance(value, SCALARS):
        return type(value).__name__, repr(value)
    if isinstance(value, Mapping):
        return "map", tuple(sorted((str(key), _nested_key(item)) for key, item in value.items()))
    if isinstance(value, (list, tuple)):
        return "list", tuple(_nested_key(item) for item in value)
    return type(value).__name__, repr(value)


def _uniform_index(u: float, low: int, high: int) -> int:
    """Return the quantile of the integers in [low, high), scipy's `randint.ppf`; at 0 the least (scipy: one less)."""
    value = math.ceil(u * (high - low) + low) - 1
    below = max(value - 1, low)
    if (below - low + 1) / (high - low) >= u:
        return below
    return min(max(value, low), high - 1)


def _arange(start: float | int, stop: float | int, step: float | int) -> tuple[float | int, ...]:
    """Return numpy's `arange(start, stop, step)` to the last bit: it adds multiples of the rounded first step."""
    count = max(math.ceil((stop - start) / step), 0)
    if not all(isinstance(number, int) for number in (start, stop, step)):
        start = float(start)
    delta = (start + step) - start
    return tuple(start + step if index == 1 else start + index * delta for index in range(count))


def _integer_near(number: float, rounding: Callable[[float], int]) -> int:
    """Round up or down, but take a number that misses an integer by a rounding error for it."""
    number = _clip(number, -_LARGEST, _LARGEST)
    nearest = round(number)
    return nearest if math.isclose(number, nearest, rel_tol=1e-12) else rounding(number)


def _exp(exponent: float) -> float:
    """Return e to a power, the largest float instead of an overflow."""
    try:
        return math.exp(exponent)
    except OverflowError:
        return _LARGEST


def _clip(number: float, low: float, high: float) -> float:
    return min(max(number, low), high)


def _close(a: float, b: float) -> bool:
    return a == b or math.isclose(a, b, rel_tol=1e-11, abs_tol=1e-15)
