"""The axes of a finite space: the distinct values of one parameter by position, listed or computed."""

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, Protocol

from sweepkit.model.distributions import Distribution, content_key
from sweepkit.model.space import Clause
from sweepkit.sweep_config.conditions import first_at_least


class Axis(Protocol):
    """The distinct values of one parameter, by position."""

    def __len__(self) -> int:
        """Return the number of distinct values."""
        ...

    def value(self, position: int) -> Any:
        """Return the value at a position in [0, len)."""
        ...

    def position(self, value: Any) -> int | None:
        """Return where an equal value stands, None when there is none."""
        ...

    def where(self, clause: Clause) -> list[tuple[int, int]]:
        """Return the stretches [start, stop) of positions whose values a clause holds for, ascending."""
        ...


class ListAxis:
    """An axis of listed values, of equal ones the first position and the last value, as W&B's grid returns them.

    Keys that the listed dictionaries do not have are left out of a value before it is looked up: programs add such
    keys to their configuration at run time.
    """

    def __init__(self, values: Iterable[Any]) -> None:
        self._values: list[Any] = []
        self._positions: dict[Hashable, int] = {}
        self._known_keys: set[Any] = set()
        for value in values:
            if isinstance(value, Mapping):
                self._known_keys.update(value)
            position = self._positions.setdefault(content_key(value), len(self._values))
            if position == len(self._values):
                self._values.append(value)
            self._values[position] = value

    def __len__(self) -> int:
        return len(self._values)

    def value(self, position: int) -> Any:
        """Return the value at `position`."""
        return self._values[position]

    def position(self, value: Any) -> int | None:
        """Return where an equal value stands, None when there is none."""
        if self._known_keys and isinstance(value, Mapping):
            value = {key: item for key, item in value.items() if key in self._known_keys}
        return self._positions.get(content_key(value))

    def where(self, clause: Clause) -> list[tuple[int, int]]:
        """Return the stretches of positions whose values a clause holds for."""
        return [(index, index + 1) for index, value in enumerate(self._values) if clause.holds(value)]


class SupportAxis:
    """An axis of everything that a finite numeric distribution can draw, computed and not listed.

    Args:
        distribution: One whose `support_size()` is not None.
    """

    def __init__(self, distribution: Distribution) -> None:
        size = distribution.support_size()
        if size is None:
            raise ValueError(f"an axis needs a finite distribution, got {distribution.kind}")
        self._size = size
        self._distribution = distribution

    def __len__(self) -> int:
        return self._size

    def value(self, position: int) -> Any:
        """Return the value at `position`, ascending."""
        return self._distribution.support_value(position)

    def position(self, value: Any) -> int | None:
        """Return where an equal value stands, None when there is none."""
        return self._distribution.support_index(value)

    def where(self, clause: Clause) -> list[tuple[int, int]]:
        """Return the stretches of positions whose values a clause holds for, found by bisection."""
        if clause.choices:
            found = {self.position(choice) for choice in clause.choices}
            return sorted((index, index + 1) for index in found if index is not None)
        start = first_at_least(self._distribution, clause.low, self._size)
        stop = self._size if clause.high is None else first_at_least(self._distribution, clause.high, self._size)
        if stop < self._size and clause.holds(self._distribution.support_value(stop)):  # the bound itself
            stop += 1
        return [(start, stop)] if start < stop else []


def axis_length(axis: Axis) -> int:
    """Return an axis' length without Python's limit on `len`."""
    return axis.__len__()
