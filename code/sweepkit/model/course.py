"""The history of a run that still reports: a value is appended at the cost of that value, however many came before."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import islice
from math import isfinite, isnan
from typing import Any, Self, TypeVar, overload

from sweepkit.model.metric import Goal

_State = TypeVar("_State")


class _Part:
    """Those of the values that something holds of, made when the first comes of which it does not hold."""

    __slots__ = ("counts", "holds", "values")

    def __init__(self, holds: Callable[[float], bool]) -> None:
        self.holds = holds
        self.values: _Values | None = None  # None: they are the values
        self.counts: list[int] = []  # by the number of values: how many of them it holds of

    def take(self, before: list[float], value: float) -> None:
        """Take in a value that comes after those before it."""
        good = self.holds(value)
        if self.values is None:
            if good:
                return
            self.counts = list(range(1, len(before) + 1))
            self.values = _Values(before)
        if good:
            self.values.append((value,))
        self.counts.append(len(self.values.values))


def _is_number(value: float) -> bool:
    return not isnan(value)


class _Values:
    """What the courses of one run share: it only grows, and each of them sees its beginning."""

    __slots__ = ("finite", "folds", "numbers", "values")

    def __init__(self, values: Sequence[float]) -> None:
        self.values: list[float] = []
        self.finite, self.numbers = _Part(isfinite), _Part(_is_number)
        self.folds: dict[Hashable, list[Any]] = {}
        self.append(values)

    def append(self, values: Sequence[float]) -> None:
        for value in values:
            self.finite.take(self.values, value)
            self.numbers.take(self.values, value)
            self.values.append(value)

    def folded(self, key: Hashable, step: Callable[[_State | None, float], _State], count: int) -> _State:
        """Return what the first `count` values come to, at least one: each is looked at once in all."""
        states: list[_State] = self.folds.setdefault(key, [])
        for value in islice(self.values, len(states), count):
            states.append(step(states[-1] if states else None, value))
        return states[count - 1]


class Course(Sequence[float]):
    """The values that a run has reported so far, in order; it never changes, and equals the tuple of them.

    `extended` makes the next one. Courses of one run share their values, so that making it, a beginning (`course[:n]`),
    `finite`, `numbers`, `best` and `folded` cost amortised O(1) a value. Several threads may read one; `extended` and
    what is kept of its values (`best`, `folded`) need a lock between them.

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

    def goes_on(self, before: "Course") -> bool:
        """Return whether it is known to begin as `before`, of which it was made by `extended`."""
        return self._shared is before._shared and self._length >= before._length

    def finite(self) -> "Course":
        """Return the finite values in order; the course itself when all are."""
        return self._part(self._shared.finite)

    def numbers(self) -> "Course":
        """Return the values that are no NaN, in order; the course itself when none is."""
        return self._part(self._shared.numbers)

    def _part(self, part: _Part) -> "Course":
        if part.values is None:
            return self
        count = part.counts[self._length - 1] if self._length else 0
        return self if count == self._length else self._beginning(part.values, count)

    def best(self, goal: Goal) -> float:
        """Return the best of the values, none of which is NaN. Raises IndexError when there is none."""

        def step(best: float | None, value: float) -> float:
            return value if best is None or goal.better(value, best) else best

        return self.folded(goal, step)

    def folded(self, key: Hashable, step: Callable[[_State | None, float], _State]) -> _State:
        """Return what the values come to, one taken in after the other.

        Args:
            key: What `step` is known by: it names the function and all that this depends on.
            step: Is given what the values before came to (None: there are none) and a value.

        Raises:
            IndexError: There is no value.

        >>> Course((0.5, 0.25)).folded("sum", lambda total, value: (total or 0) + value)
        0.75
        """
        if not self._length:
            raise IndexError("an empty course comes to nothing")
        return self._shared.folded(key, step, self._length)

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
    def __getitem__(self, index: slice) -> Sequence[float]: ...

    def __getitem__(self, index: int | slice) -> float | Sequence[float]:
        if isinstance(index, slice):
            return self._cut(range(*index.indices(self._length)))
        place = index + self._length if index < 0 else index
        if not 0 <= place < self._length:
            raise IndexError(f"a course of {self._length} values has no {index}")
        return self._shared.values[place]

    def _cut(self, places: range) -> Sequence[float]:
        """Return the values at some places: a beginning is a course again, and shares them."""
        if places.step != 1:
            return tuple(map(self._shared.values.__getitem__, places))
        if places.start == 0:
            return self._beginning(self._shared, len(places))
        return tuple(self._shared.values[places.start : places.stop])

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


def course_of(values: Sequence[float]) -> Course:
    """Return values as a course: themselves where they are one, else all of them are taken in, at O(n)."""
    return values if isinstance(values, Course) else Course(values)
