"""The Gaussian process among an engine's samplers: from the runs it knows to the configurations to try."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sweepkit.model.space import Path, Space
from sweepkit.search.coding import Coding
from sweepkit.search.gp_search import GpSearch, Shown
from sweepkit.search.gp_space import Floats, GpSpace
from sweepkit.search.ledger import Ledger
from sweepkit.search.samplers import ToldRun

_MOST, _BEST = 200, 100  # runs that the process is made of: the best, and a steady sample of the others
_TAUGHT, _TAUGHT_BEST = 100, 40  # likewise those that its hyperparameters are learned from
_MOST_FAILED = 100
_NEWEST = 25  # runs that say how much may be risked
_MOST_PENDING = 64
_GROWTH = 1.15  # hyperparameters are learned anew when there are so many times as many runs

# Of a run that was stopped at its first report, over the variance of all values: of 0.5 to 4 the best at ranking
# what was not run yet, on curves of real trainings (benchmarks/results/stopping.md).
_DOUBT = 1.0

Codes = Mapping[str, float | int]


class GpMember:
    """Propose by a Gaussian process.

    The hyperparameters are learned from the runs below a number that grows geometrically with the sweep, so most
    proposals find them learned; which number that is follows from the number asked for, so a restarted engine has the
    same ones.

    Args:
        space: The space.
        codings: Of the parameters that vary, at least one.
        fixed: The values of the others.
        names: Of the codings, in a run's codes.
        noisy: Learn the noise of the values.
    """

    def __init__(
        self, space: Space, codings: Sequence[Coding], fixed: Mapping[Path, Any], names: Sequence[str], *, noisy: bool
    ) -> None:
        self._names = tuple(names)
        self._space = GpSpace(space, codings, fixed)
        self._search = GpSearch(self._space, noisy=noisy)
        self._rows: dict[int, Floats] = {}

    def of_ledger(self, ledger: Ledger, codes: Mapping[int, Codes | None], number: int, sign: float) -> Shown:
        """Return what the process is shown of a sweep with one metric, for run `number`."""
        kept, taught = self._kept(ledger, number)
        places = {run: place for place, run in enumerate(kept)}
        doubt = np.array([ledger.earliness(run) for run in kept], dtype=float)
        return Shown(
            rows=self._of(kept, codes),
            losses=np.array([[sign * ledger.values_of(run)[0]] for run in kept], dtype=float).reshape(len(kept), 1),
            pending=self._of(ledger.waiting()[-_MOST_PENDING:], codes),
            failed=self._of(ledger.failed(_MOST_FAILED), codes),
            taught=[places[run] for run in taught] or range(len(kept)),
            lately=ledger.failed_of_newest(_NEWEST),
            doubt=_DOUBT * doubt if doubt.any() else None,
        )

    def with_seconds(self, shown: Shown, ledger: Ledger, number: int, seconds: Callable[[int], float | None]) -> Shown:
        """Return what the process is shown, with how long those runs took of which that is known."""
        known = [seconds(run) for run in self._kept(ledger, number)[0]]
        return replace(shown, seconds=np.array([math.nan if s is None else s for s in known], dtype=float))

    def _kept(self, ledger: Ledger, number: int) -> tuple[list[int], list[int]]:
        """Return the runs that the process is made of for run `number`, and those that it is learned from."""
        kept = ledger.valued(_MOST, best=_BEST)
        taught = ledger.valued(_TAUGHT, best=_TAUGHT_BEST, before=_taught_before(number))
        return sorted({*kept, *taught}), taught

    def of_runs(self, told: Sequence[ToldRun], pending: Sequence[ToldRun], signs: Sequence[float]) -> Shown:
        """Return what the process is shown of a sweep with several metrics: the newest runs where there are many."""
        told = told[-_MOST:]
        return Shown(
            rows=self._stacked([self._row(run.codes) for run in told]),
            losses=np.array([[s * v for s, v in zip(signs, run.values, strict=True)] for run in told], dtype=float),
            pending=self._stacked([self._row(run.codes) for run in pending[-_MOST_PENDING:]]),
            failed=self._stacked([]),
            taught=range(max(0, len(told) - _TAUGHT), len(told)),
        )

    def propose(self, shown: Shown, seed: int, only: Sequence[Codes] = ()) -> list[dict[Path, Any]]:
        """Return configurations by path, the best first; with `only` the best of those."""
        rows = self._stacked([self._row(codes) for codes in only]) if only else None
        return [self._space.flat(row) for row in self._search.propose(shown, seed, rows)]

    def chance(self, shown: Shown, codes: Codes) -> float:
        """Return the chance that a run ends with a value, far below an even one where it would risk too much."""
        if not len(shown.failed):
            return 1.0
        return float(self._search.chance(shown, self._stacked([self._row(codes)]))[0])

    def _of(self, runs: Sequence[int], codes: Mapping[int, Codes | None]) -> Floats:
        for run in runs:
            if run not in self._rows:
                self._rows[run] = self._row(codes[run] or {})
        return self._stacked([self._rows[run] for run in runs])

    def _row(self, codes: Codes) -> Floats:
        return self._space.row([codes.get(name) for name in self._names])

    def _stacked(self, rows: Sequence[Floats]) -> Floats:
        return np.array(rows, dtype=float).reshape(len(rows), self._space.width)


def _taught_before(number: int) -> int:
    """Return below which run number the hyperparameters of proposal `number` are learned.

    >>> [_taught_before(number) for number in (10, 11, 50, 60, 1000)]
    [10, 10, 40, 53, 875]
    """
    lag, bound = min(8, number // 8), 10.0
    while int(bound * _GROWTH) <= number - lag:
        bound = max(bound + 1, bound * _GROWTH)
    return max(int(bound), min(number, 10))
