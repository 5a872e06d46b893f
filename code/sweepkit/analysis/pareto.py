"""Several objectives: which points no other is better than, in which layers the rest lie, and the volume they dominate.

Pure; vectors are tuples of finite numbers, goals one for each objective.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence

from sweepkit.model.metric import Goal

Point = Sequence[float]


def dominates(a: Point, b: Point, goals: Sequence[Goal]) -> bool:
    """Return whether `a` is at least as good as `b` on every objective and better on one.

    >>> both = (Goal.MINIMIZE, Goal.MAXIMIZE)
    >>> dominates((1, 5), (1, 4), both), dominates((1, 5), (1, 5), both), dominates((0, 3), (1, 4), both)
    (True, False, False)
    """
    return _dominates(_loss(a, goals), _loss(b, goals))


def front(points: Sequence[Point], goals: Sequence[Goal]) -> tuple[int, ...]:
    """Return the indices, ascending, of the points that no other dominates; equal points are all in or all out.

    >>> front([(1, 1), (2, 0), (2, 2), (1, 1)], (Goal.MINIMIZE, Goal.MINIMIZE))
    (0, 1, 3)
    """
    found = layers(points, goals)
    return found[0] if found else ()


def layers(points: Sequence[Point], goals: Sequence[Goal]) -> list[tuple[int, ...]]:
    """Return the fronts one below the other: the first of all points, the next of those left, …; indices ascending.

    Source: Zhang, Tian, Cheng and Jin 2015, efficient non-dominated sort with binary search (ENS-BS). After sorting,
    a point can only be dominated by one before it; O(n log n) for two objectives, O(n^2) at worst for more.
    """
    losses = [_loss(point, goals) for point in points]
    found: list[list[int]] = []
    placed: dict[tuple[float, ...], int] = {}
    for index in sorted(range(len(losses)), key=lambda i: (losses[i], i)):
        loss = losses[index]
        if loss not in placed:
            placed[loss] = _layer(loss, found, losses)
        if placed[loss] == len(found):
            found.append([])
        found[placed[loss]].append(index)
    return [tuple(sorted(members)) for members in found]


def _layer(loss: tuple[float, ...], found: Sequence[Sequence[int]], losses: Sequence[tuple[float, ...]]) -> int:
    """Return the first layer with no member that dominates `loss`; every layer below one that does not has none."""
    low, high = 0, len(found)
    while low < high:
        middle = (low + high) // 2
        # Of two objectives the newest member is the best on the second one; of more, any may dominate.
        members = found[middle][-1:] if len(loss) == 2 else reversed(found[middle])
        if any(_dominates(losses[i], loss) for i in members):
            low = middle + 1
        else:
            high = middle
    return low


def default_reference(points: Sequence[Point], goals: Sequence[Goal]) -> tuple[float, ...]:
    """Return a point that all of `points` dominate: the worst of each objective, a tenth of its range further out.

    The rule is that of the usual benchmarks (1.1 times the nadir of a range set to [0, 1]; Ishibuchi et al. 2018); an
    objective that is the same everywhere is moved out by a tenth of its size, by 0.1 from 0. Hypervolumes compare
    only when they have the same reference: name one to compare sweeps by it.

    Raises:
        ValueError: There is no point.
    """
    if not points:
        raise ValueError("a reference point needs at least one point, got none")
    columns = zip(*(_loss(point, goals) for point in points), strict=True)
    outer = [_beyond(max(column), min(column)) for column in columns]
    return tuple(_signed(value, goal) for value, goal in zip(outer, goals, strict=True))


def _beyond(worst: float, best: float) -> float:
    outer = worst + 0.1 * (worst - best)
    return outer if outer > worst else worst + (0.1 * abs(worst) or 0.1)


def hypervolume(points: Sequence[Point], reference: Point, goals: Sequence[Goal]) -> float:
    """Return the volume that `points` dominate up to `reference`, >= 0, in the product of the objectives' units.

    Exact: by a staircase for two objectives, by slices of staircases for three (O(n^2)), and by slices of slices for
    more, whose cost grows with the power of their number. Points that do not dominate the reference count for nothing.

    Source: Zitzler and Thiele 1998 (the measure); the sweep over one objective is that of Fonseca, Paquete and
    Lopez-Ibanez 2006, without its trees.

    Raises:
        ValueError: There is no objective.

    >>> hypervolume([(1, 2), (2, 1)], (3, 3), (Goal.MINIMIZE, Goal.MINIMIZE))
    3.0
    """
    if not goals:
        raise ValueError("a hypervolume needs at least one objective, got none")
    corner = _loss(reference, goals)
    losses = [_loss(point, goals) for point in points]
    inside = [loss for loss in losses if all(a < b for a, b in zip(loss, corner, strict=True))]
    return _volume(inside, corner)


def _volume(losses: Sequence[tuple[float, ...]], corner: tuple[float, ...]) -> float:
    if not losses:
        return 0.0
    if len(corner) == 1:
        return corner[0] - min(losses)[0]
    ordered = sorted(losses, key=lambda loss: loss[-1])
    depths = [loss[-1] for loss in ordered[1:]] + [corner[-1]]
    if len(corner) == 2:
        return _staircase(ordered, depths, corner[0])
    total = 0.0
    stairs = _Stairs(corner) if len(corner) == 3 else None
    for count, (loss, depth) in enumerate(zip(ordered, depths, strict=True), 1):
        if stairs is not None:
            stairs.add(loss[0], loss[1])
            area = stairs.area()
        else:
            area = _volume([item[:-1] for item in ordered[:count]], corner[:-1])
        total += area * (depth - loss[-1])
    return total


def _staircase(ordered: Sequence[tuple[float, ...]], depths: Sequence[float], right: float) -> float:
    """Return the area of two-dimensional points in ascending order of their second value."""
    total, best = 0.0, right
    for (first, second), depth in zip(ordered, depths, strict=True):
        best = min(best, first)
        total += (right - best) * (depth - second)
    return total


class _Stairs:
    """The points (x, y) that no other dominates, by x ascending (so y descending), and their area to the corner."""

    def __init__(self, corner: Sequence[float]) -> None:
        self._right, self._top = corner[0], corner[1]
        self._steps: list[tuple[float, float]] = []

    def add(self, x: float, y: float) -> None:
        """Add a point unless it is dominated; those that it dominates go."""
        place = bisect_left(self._steps, (x, y))
        if place and self._steps[place - 1][1] <= y:
            return
        end = place
        while end < len(self._steps) and self._steps[end][1] >= y:
            end += 1
        del self._steps[place:end]
        insort(self._steps, (x, y))

    def area(self) -> float:
        """Return the area."""
        total, top = 0.0, self._top
        for x, y in self._steps:
            total += (self._right - x) * (top - y)
            top = y
        return total


def _loss(point: Point, goals: Sequence[Goal]) -> tuple[float, ...]:
    """Return a point with every objective to be minimized."""
    return tuple(_signed(float(value), goal) for value, goal in zip(point, goals, strict=True))


def _signed(value: float, goal: Goal) -> float:
    return goal.sign * value


def _dominates(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a != b and all(x <= y for x, y in zip(a, b, strict=True))
