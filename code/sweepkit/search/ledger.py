"""What each run of a sweep with one metric is told as, kept up to date run by run: no ask looks at all runs again.

`observations.observe` says what a run is told as. One of its rules looks beyond the run: where a run has no value of
its own, the worst of all stands in. So that is kept apart, and everything else is taken in as it is told.

TPE is shown at most `MOST_SHOWN` runs: those that count for it, which are the best ones, exactly; the newest ones; and
of the others a sample that stays the same from ask to ask. It learns the density of the good runs (the best 25, as
Optuna has it) and that of the rest, for which some hundred runs do as well as fifty thousand.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable
from math import isnan, log
from zlib import crc32

from sweepkit.model.metric import Metric
from sweepkit.model.objectives import finite_values
from sweepkit.model.runs import RunState, RunView
from sweepkit.search.observations import ObservationState, observe_alone

MOST_SHOWN = 400
_BEST = 50  # twice what Optuna's TPE calls good, for ties
_NEWEST = 50


class Ledger:
    """What every run is told as. Runs are named by number; a prior run's is negative.

    Args:
        metric: What is optimized.
    """

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self._sign = metric.goal.sign
        self.pending: set[int] = set()
        self._unvalued: dict[int, ObservationState] = {}  # what it is while no worst value is known
        self._losses: dict[int, float] = {}
        self._ranked: list[tuple[float, int]] = []
        self._numbers: list[int] = []
        self._sampled: list[tuple[int, int]] = []
        self._ended: dict[int, float] = {}
        self._worst: float | None = None
        self._stopped: dict[int, int] = {}  # after how many reports
        self._finished: dict[int, int] = {}
        self._lengths: list[int] = []  # of the finished ones, ascending

    def tell(self, number: int, run: RunView, *, counts: bool = True) -> None:
        """Take in the newest view of a run; one that does not count says how bad runs can be, and nothing else."""
        self._forget(number)
        self._note_worst(number, run)
        self._note_length(number, run)
        if not counts:
            return
        found = observe_alone(run, self._metric)
        if found.state is ObservationState.PENDING:
            self.pending.add(number)
        if found.value is None:
            return
        if isnan(found.value):
            self._unvalued[number] = ObservationState.UNKNOWN if run.state.done else ObservationState.PENDING
        else:
            self._losses[number] = self._sign * found.value
            insort(self._ranked, (self._losses[number], number))
        insort(self._numbers, number)
        insort(self._sampled, (_rank(number), number))

    def _forget(self, number: int) -> None:
        """Take a run out."""
        self.pending.discard(number)
        loss = self._losses.pop(number, None)
        if loss is not None:
            del self._ranked[bisect_left(self._ranked, (loss, number))]
        elif self._unvalued.pop(number, None) is None:
            return
        del self._numbers[bisect_left(self._numbers, number)]
        del self._sampled[bisect_left(self._sampled, (_rank(number), number))]

    def _note_worst(self, number: int, run: RunView) -> None:
        before = self._ended.pop(number, None)
        values = finite_values(run) if run.state.done else []
        if values:
            self._ended[number] = max(self._sign * value for value in values)
            self._worst = max(self._ended[number], self._ended[number] if self._worst is None else self._worst)
        if before is not None and before == self._worst and self._ended.get(number) != before:  # it is tried again
            self._worst = max(self._ended.values(), default=None)

    def _note_length(self, number: int, run: RunView) -> None:
        self._stopped.pop(number, None)
        if (before := self._finished.pop(number, None)) is not None:
            del self._lengths[bisect_left(self._lengths, before)]
        reports = max(1, len(run.history))
        if run.state is RunState.STOPPED:
            self._stopped[number] = reports
        elif run.state is RunState.FINISHED:
            self._finished[number] = reports
            insort(self._lengths, reports)

    def earliness(self, number: int) -> float:
        """Return how early a run was stopped, in [0, 1]: 1 at its first report, 0 at those of the longest finished run.

        The scale between is that of doublings of reports: 0.5 at the tenth report of a hundred. 0 of a run that was not
        stopped, and of each before one has finished.
        """
        longest = self._lengths[-1] if self._lengths else 1
        reports = self._stopped.get(number, longest)
        return log(longest / reports) / log(longest) if reports < longest else 0.0

    @property
    def told(self) -> int:
        """Return how many runs have a value."""
        return len(self._losses) + (0 if self._worst is None else len(self._unvalued))

    @property
    def with_value(self) -> int:
        """Return how many runs have a value of their own."""
        return len(self._losses)

    def values_of(self, number: int) -> tuple[float, ...]:
        """Return what a run is told as; () when it is not told."""
        loss = self._losses.get(number, self._worst if number in self._unvalued else None)
        return () if loss is None else (self._sign * loss,)

    def waiting(self) -> list[int]:
        """Return the runs whose values are still to come, by number."""
        unknown = self._unvalued.items() if self._worst is None else ()
        return sorted({*self.pending, *(number for number, state in unknown if state is ObservationState.PENDING)})

    def shown(self) -> list[int]:
        """Return the told runs that TPE is shown, by number: all of them up to `MOST_SHOWN`."""
        if self._worst is None:
            return sorted(self._losses)
        if len(self._numbers) <= MOST_SHOWN:
            return list(self._numbers)
        chosen = {number for _, number in self._ranked[:_BEST]}
        chosen.update(self._numbers[-_NEWEST:])
        return sorted(_filled(chosen, (number for _, number in self._sampled), MOST_SHOWN))

    def valued(self, most: int, *, best: int, before: int | None = None) -> list[int]:
        """Return runs with a value of their own, by number: the best ones and a sample that stays the same.

        Args:
            most: How many at most.
            best: How many of them are the best ones.
            before: Only runs with numbers below it; None for all.
        """
        chosen: set[int] = set()
        ranked = (number for _, number in self._ranked if before is None or number < before)
        chosen = _filled(chosen, ranked, best)
        sampled = (number for _, number in self._sampled if before is None or number < before)
        return sorted(_filled(chosen, (number for number in sampled if number in self._losses), most))

    def failed(self, most: int) -> list[int]:
        """Return runs that ended without a value of their own, by number, the newest ones where there are more."""
        ended = sorted(number for number, state in self._unvalued.items() if state is ObservationState.UNKNOWN)
        return ended[-most:]

    def failed_of_newest(self, count: int) -> int:
        """Return how many of the newest ended runs have no value of their own."""
        waiting = set(self.waiting())
        newest = [number for number in self._numbers[-count - len(waiting) :] if number not in waiting][-count:]
        return sum(number in self._unvalued for number in newest)


def _filled(chosen: set[int], others: Iterable[int], most: int) -> set[int]:
    """Return the chosen ones with as many others as there is room for, the first ones first."""
    for number in others:
        if len(chosen) >= most:
            break
        chosen.add(number)
    return chosen


def _rank(number: int) -> int:
    """Return where a run stands in the sample: by chance, and the same whatever other runs there are."""
    return crc32(str(number).encode())
