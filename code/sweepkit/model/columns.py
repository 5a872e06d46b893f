"""What rules compare a run with, kept in order from verdict to verdict: its cost does not grow with the runs.

A rule asks for a *column*: one number of every run that has it, say the metric at report 9. A plain sequence of runs
gives a column that was made for this one verdict. `RunViews`, which an agent keeps, remembers its columns and takes in
only the runs that changed since a column was last asked for: usually those that are under way.
"""

from array import array
from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from math import isnan, nan
from typing import overload

from sweepkit.model.runs import RunView

_MOST_CELLS = 4_000_000  # numbers that all columns keep together, 16 bytes each; the column used longest ago goes first

Contribution = Callable[[RunView], float | None]


class RunColumn:
    """One number of each run that has it; NaN counts as having none.

    Attributes:
        values: The numbers, ascending.

    Args:
        of: Returns a run's number, or None. It must depend on the run alone.
    """

    def __init__(self, of: Contribution) -> None:
        self.values = array("d")
        self._of = of
        self._by_place = array("d")

    @classmethod
    def made(cls, of: Contribution, runs: Sequence[RunView]) -> "RunColumn":
        """Return the column of these runs."""
        column = cls(of)
        column._by_place = array("d", (nan if (value := of(run)) is None else value for run in runs))
        column.values = array("d", sorted(value for value in column._by_place if not isnan(value)))
        return column

    def place_of(self, value: float) -> int:
        """Return the place of the first run with exactly this number."""
        return self._by_place.index(value)

    def at(self, place: int) -> float | None:
        """Return the number of the run at a place, None when it has none."""
        value = self._by_place[place] if place < len(self._by_place) else nan
        return None if isnan(value) else value

    def take(self, place: int, run: RunView) -> None:
        """Take in the newest view of the run at a place."""
        while len(self._by_place) <= place:
            self._by_place.append(nan)
        before, value = self._by_place[place], self._of(run)
        after = nan if value is None else value
        if before == after or (isnan(before) and isnan(after)):
            return
        if not isnan(before):
            del self.values[bisect_left(self.values, before)]
        if not isnan(after):
            insort(self.values, after)
        self._by_place[place] = after


class RunViews(Sequence[RunView]):
    """The runs of a sweep, by number, with the columns that rules asked for. Not for several threads at once.

    >>> from sweepkit.model.runs import RunState
    >>> runs = RunViews()
    >>> for number, loss in enumerate((0.3, 0.1)):
    ...     runs.put(RunView(number=number, run_id="", params={}, state=RunState.FINISHED, history=(loss,)))
    >>> list(column_of(runs, "first", lambda run: run.history[0]).values)
    [0.1, 0.3]
    """

    def __init__(self) -> None:
        self._views: list[RunView] = []
        self._places: dict[int, int] = {}
        self._columns: OrderedDict[Hashable, tuple[RunColumn, int]] = OrderedDict()
        # When each run changed last, by place and in that order: what a column has not seen stands at the end.
        self._changed: OrderedDict[int, int] = OrderedDict()
        self._changes = 0
        self._moved = -1  # the change after which runs got other places, and all of them count as changed

    def put(self, view: RunView) -> None:
        """Take in the newest view of a run."""
        place = self._places.get(view.number)
        if place is None:
            place = self._insert(view)
        self._views[place] = view
        self._changes += 1
        self._changed[place] = self._changes
        self._changed.move_to_end(place)

    def _insert(self, view: RunView) -> int:
        """Make a place for a new run: the last one, for numbers are given in order; else all is made anew."""
        if not self._views or view.number > self._views[-1].number:
            self._views.append(view)
        else:
            self._views = sorted([*self._views, view], key=lambda item: item.number)
            self._places = {item.number: place for place, item in enumerate(self._views)}
            self._columns.clear()
            self._changed.clear()
            self._moved = self._changes
        place = self._places.setdefault(view.number, len(self._views) - 1)
        return place

    def of_number(self, number: int) -> RunView:
        """Return the run of that number. Raises KeyError when there is none."""
        return self._views[self._places[number]]

    def column(self, key: Hashable, of: Contribution) -> RunColumn:
        """Return the column of that key as it stands now; `of` is the same function at every call."""
        known = self._columns.pop(key, None)
        if known is None:
            column = RunColumn.made(of, self._views)
        else:
            column, seen = known
            for place in self._since(seen):
                column.take(place, self._views[place])
        self._columns[key] = column, self._changes
        self._forget()
        return column

    def newer(self, seen: int) -> tuple[list[RunView], int]:
        """Return the runs that changed after a change (0: all), and which change was the last.

        >>> from sweepkit.model.runs import RunState
        >>> runs = RunViews()
        >>> for number in (1, 2, 1):
        ...     runs.put(RunView(number=number, run_id="", params={}, state=RunState.RUNNING, history=()))
        >>> [[run.number for run in runs.newer(seen)[0]] for seen in (0, 2, runs.newer(0)[1])]
        [[1, 2], [1], []]
        """
        places = range(len(self._views)) if seen <= self._moved else self._since(seen)
        return [self._views[place] for place in places], self._changes

    def _since(self, seen: int) -> list[int]:
        """Return the places of the runs that changed after a change."""
        places = []
        for place in reversed(self._changed):
            if self._changed[place] <= seen:
                break
            places.append(place)
        return places

    def _forget(self) -> None:
        """Drop the columns that were used longest ago while all of them hold too much."""
        while len(self._columns) > 1 and len(self._columns) * len(self._views) > _MOST_CELLS:
            self._columns.popitem(last=False)

    @overload
    def __getitem__(self, index: int) -> RunView: ...
    @overload
    def __getitem__(self, index: slice) -> list[RunView]: ...
    def __getitem__(self, index: int | slice) -> RunView | list[RunView]:
        return self._views[index]

    def __iter__(self) -> Iterator[RunView]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)


def column_of(runs: Sequence[RunView], key: Hashable, of: Contribution) -> RunColumn:
    """Return a column of any runs.

    Args:
        runs: The runs.
        key: What the column is known by: it names the function and all that this depends on.
        of: Returns a run's number, or None.
    """
    return runs.column(key, of) if isinstance(runs, RunViews) else RunColumn.made(of, runs)
