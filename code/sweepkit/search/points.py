"""Points of a space by number and by content: what makes "already proposed" cheap to ask.

A finite space is never enumerated. A point is the mixed-radix number of its positions on the axes (the last axis
fastest, W&B's order), so 10**6 points cost nothing and neither does the millionth. In a space with conditions the
points are the distinct sets of active values, in the same order; `search.conditional` numbers those.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Hashable, Mapping, Sequence
from copy import deepcopy
from math import prod
from typing import Any

from sweepkit.model.distributions import Distribution, content_key
from sweepkit.model.space import Path, Space
from sweepkit.search.axes import Axis, ListAxis, SupportAxis, axis_length
from sweepkit.search.conditional import ActiveOrder, TooEntangled


class FinitePoints:
    """The points of a product of axes, numbered from 0; the last axis counts fastest.

    With conditions a point is a distinct set of active values: inactive parameters stand at position 0, and are left
    out of the configuration.

    Args:
        space: Gives the nesting, the conditions, and the values of parameters that have no axis (constants).
        axes: One axis for each parameter that varies, in the order of the space.

    Raises:
        TooEntangled: The conditions have more combinations than are counted.
    """

    def __init__(self, space: Space, axes: Mapping[Path, Axis]) -> None:
        self._space = space
        self._axes = dict(axes)
        self._constants = {
            parameter.path: parameter.distribution.ppf(0.5)
            for parameter in space.parameters
            if parameter.path not in self._axes
        }
        # Not len(axis): Python refuses lengths beyond 2**63 - 1, and a space may well have more points.
        self.total = prod(axis_length(axis) for axis in self._axes.values())
        self._order: ActiveOrder | None = None
        if space.conditions:
            named = {c.path for c in space.conditions} | {e.path for c in space.conditions for e in c.clauses}
            constants = {path: ListAxis([value]) for path, value in self._constants.items() if path in named}
            self._order = ActiveOrder({**self._axes, **constants}, space.conditions)
            self.total = self._order.total

    def params(self, index: int) -> dict[str, Any]:
        """Return point `index` in [0, total) as W&B nests it; containers are copies."""
        positions: Mapping[Path, int] = self._positions(index) if self._order is None else self._order.unrank(index)
        flat = dict(self._constants)
        flat.update({path: axis.value(positions[path]) for path, axis in self._axes.items()})
        return nested(self._space, self._space.prune(flat))

    def _positions(self, index: int) -> dict[Path, int]:
        positions: dict[Path, int] = {}
        for path, axis in reversed(self._axes.items()):
            index, positions[path] = divmod(index, axis_length(axis))
        return positions

    def index(self, params: Mapping[str, Any]) -> int | None:
        """Return the number of a nested configuration, None when it is not a point (or lacks a parameter).

        Values of inactive parameters do not matter.
        """
        flat = self._space.flatten(params)
        if self._order is not None:
            return self._active_index(flat)
        number = 0
        for path, axis in self._axes.items():
            position = axis.position(flat[path]) if path in flat else None
            if position is None:
                return None
            number = number * axis_length(axis) + position
        return number

    def _active_index(self, flat: Mapping[Path, Any]) -> int | None:
        assert self._order is not None
        positions = {path: axis.position(flat[path]) for path, axis in self._axes.items() if path in flat}
        values = {path: self._axes[path].value(place) for path, place in positions.items() if place is not None}
        active = self._space.active({**self._constants, **values})
        found = dict.fromkeys(self._constants, 0)
        for path in self._axes:
            if path in active and path not in values:
                return None
            found[path] = (positions[path] or 0) if path in active else 0
        return self._order.rank(found)


class SeenPoints:
    """A set of point numbers that also answers which is the k-th number not in it, in O(log n)."""

    def __init__(self) -> None:
        self._sorted: list[int] = []

    def __len__(self) -> int:
        return len(self._sorted)

    def __contains__(self, index: int) -> bool:
        place = bisect_left(self._sorted, index)
        return place < len(self._sorted) and self._sorted[place] == index

    def add(self, index: int) -> None:
        """Add a number, once."""
        if index not in self:
            insort(self._sorted, index)

    def unseen(self, rank: int) -> int:
        """Return the `rank`-th (from 0) of the numbers 0, 1, 2, … that are not in the set."""
        # Before the i-th seen number stand sorted[i] - i unseen ones, which never decreases with i.
        before = bisect_right(range(len(self._sorted)), rank, key=lambda i: self._sorted[i] - i)
        return rank + before


def support_points(space: Space) -> FinitePoints | None:
    """Return the points that the distributions of `space` can draw, None when infinitely many or not to be counted."""
    axes: dict[Path, Axis] = {}
    for parameter in space.parameters:
        distribution = parameter.distribution
        size = distribution.support_size()
        if size is None:
            return None
        if distribution.values:
            axes[parameter.path] = ListAxis(distribution.support_values())
        else:
            axes[parameter.path] = SupportAxis(distribution)
    try:
        return FinitePoints(space, axes)
    except TooEntangled:
        return None


def nested(space: Space, flat: Mapping[Path, Any]) -> dict[str, Any]:
    """Return `space.nest(flat)` with containers copied, so that no program can change the sweep's own values."""
    own = {path: deepcopy(value) if isinstance(value, (dict, list, tuple)) else value for path, value in flat.items()}
    return space.nest(own)


def flat_key(space: Space, params: Mapping[str, Any]) -> Hashable:
    """Return a key of a nested configuration, equal for configurations of equal active content."""
    flat = space.prune(space.flatten(params))
    return tuple(content_key(flat[p.path]) if p.path in flat else None for p in space.parameters)


def grid_axis(distribution: Distribution) -> Axis | None:
    """Return the axis of a distribution in a grid: None for a constant.

    Raises:
        ValueError: The distribution cannot be gridded.
    """
    if len(distribution.values) == 1 and distribution.kind == "constant":
        return None
    values: Sequence[Any] | None = distribution.grid_values()
    if values is None:
        raise ValueError(f"{distribution.kind} has no grid points")
    return SupportAxis(distribution) if isinstance(values, range) else ListAxis(values)
