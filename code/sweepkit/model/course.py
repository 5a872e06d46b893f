"""The history of a run that still reports: a value is appended at the cost of that value, however many came before."""

from collections.abc import Iterator, Sequence
from itertools import islice
from math import isfinite
from typing import Self, overload

from sweepkit.model.metric import Goal


class _Values:
    """What the courses of one run share: it only grows, and each of them sees its beginning."""

    __slots__ = ("best", "finite", "finite_counts", "values")

    def __init__(self, values: Sequence[float]) -> None:
        self.values: list[float] = []
        # Of the finite values alone, made when the first NaN or infinity comes: until then they are the values.
        self.finite: _Values | None = None
        self.finite_counts: list[int] = []
        self.best: dict[Goal, list[float]] = {}
        self.append(values)

    def append(self, values: Sequence[float]) -> None:
        for value in values:
            good = isfinite(value)
            if self.finite is None and not good:
                self.finite_counts = list(range(1, len(self.values) + 1))
                self.finite = _Values(self.values)
            self.values.append(value)
            if self.finite is not None:
                if good:
                    self.finite.append((value,))
                self.finite_counts.append(len(self.finite.values))

    def best_of(self, goal: Goal, count: int) -> float:
        """Return the best of the first `count` values, which are finite: each is looked at once in all."""
        best = self.best.setdefault(goal, [])
        for value in islice(self.values, len(best), count):
            best.append(goal.best((best[-1], value)) if best else value)
        return best[count - 1]


class Course(Sequence[float]):
    """The values that a run has reported so far, in order; it never changes, and equals the tuple of them.

    `extended` makes the next one. Courses of one run share their values, so that making it, `finite` and `best` of the
    newest cost amortised O(1) a value. Several threads may read one; `extended` and `best` need a lock between them.

    Args:
        values: The first values; NaN and infinities are kept.

    >>> first = Course((0.5, 0.25))
    >>> first.extended((float("inf"),)).finite(), first
    (Course((0.5, 0.25)), Course((0.5, 0.25)))
    """

    __slots__ = ("_length", "_shared")

    def __init__(self, values: Sequence[float] = ()) -> None:
        self._shared = _Values(values)
        self._length = len(values)

    def extended(self, values: Sequence[float]) -> "Course":
        """Return the course with more values at its end; its whole is copied only when another one went on before."""
        shared = self._shared if self._length == len(self._shared.values) else _Values(tuple(self))
        shared.append(values)
        return self._beginning(shared, self._length + len(values))

    def finite(self) -> "Course":
        """Return the finite values in order; the course itself when all are."""
        shared = self._shared
        if shared.finite is None:
            return self
        count = shared.finite_counts[self._length - 1] if self._length else 0
        return self if count == self._length else self._beginning(shared.finite, count)

    def best(self, goal: Goal) -> float:
        """Return the best of the values, all of which are finite. Raises IndexError when there is none."""
        if not self._length:
            raise IndexError("an empty course has no best value")
        return self._shared.best_of(goal, self._length)

    @classmethod
    def _beginning(cls, shared: _Values, length: int) -> Self:
        course = cls.__new__(cls)
        course._shared, course._length = shared, length
        return course

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> float: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[float, ...]: ...

    def __getitem__(self, index: int | slice) -> float | tuple[float, ...]:
        if isinstance(index, slice):
            return tuple(self._shared.values[place] for place in range(*index.indices(self._length)))
        place = index + self._length if index < 0 else index
        if not 0 <= place < self._length:
            raise IndexError(f"a course of {self._length} values has no {index}")
        return self._shared.values[place]

    def __iter__(self) -> Iterator[float]:
        return islice(self._shared.values, self._length)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Course | tuple):
            return NotImplemented
        return len(self) == len(other) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"Course({tuple(self)})"
