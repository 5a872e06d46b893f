"""Runs in short: what a picture of thousands of runs keeps of them, read in a tenth of the time of whole ones. Pure."""

import functools
import math
from collections.abc import Sequence
from itertools import repeat

from sweepkit.analysis.progress import (
    Snapshot,
    Watched,
    WatchedRun,
    row_of,
    snapshot,
    total_of,
)
from sweepkit.model.configurations import parameters_key
from sweepkit.model.metric import BEST, Goal, Metric
from sweepkit.model.records import SweepRecord, lasted_s, metric_of, metrics_of
from sweepkit.model.seeds import is_seed
from sweepkit.model.watched import EndedRuns, PollResult
from sweepkit.sweep_config.sweep import SweepSpec


def best_counts(sweep: SweepRecord) -> bool:
    """Return whether a sweep's runs may be read in short: the best value of its only metric counts."""
    metric = metric_of(sweep)
    return metric is not None and not metrics_of(sweep) and metric.value == BEST


class ShortRows:
    """The newest row of each run, with the keys of configurations that more than one run may have.

    A key costs most of a row, and few runs share their configuration. Runs of one configuration have the same
    parameters but for seeds, so the same hash of them.
    """

    def __init__(self) -> None:
        self._rows: dict[int, WatchedRun] = {}
        self._first_alike: dict[int, int] = {}
        self._unkeyed: set[int] = set()  # numbers of the rows in short that have no key yet

    def all(self) -> list[WatchedRun]:
        """Return the rows."""
        return list(self._rows.values())

    def read(
        self, poll: PollResult, metric: Metric | None, metrics: Sequence[Metric], seed_parameter: str | None
    ) -> None:
        """Take in what changed by a reading: whole runs, and those in short.

        Args:
            poll: The reading; some of its runs in short, if at all, only where `best_counts`.
            metric: The sweep's, None without one.
            metrics: Several objectives, () without.
            seed_parameter: The parameter that is a seed, None without one.
        """
        for run in poll.changed:
            self._put(row_of(run, metric, metrics, seed_parameter=seed_parameter), seed_parameter)
        if poll.ended and metric is not None:
            self._take(_rows_in_short(poll.ended, metric.goal), seed_parameter)

    def _put(self, row: WatchedRun, seed_parameter: str | None) -> None:
        """Take in the row of a whole run, whose key is known."""
        self._rows[row.number] = row
        self._unkeyed.discard(row.number)
        self._find_alike([row], seed_parameter)

    def _take(self, rows: Sequence[WatchedRun], seed_parameter: str | None) -> None:
        """Take in rows without a key (`_rows_in_short`)."""
        by_number = {row.number: row for row in rows}
        again = self._rows.keys() & by_number.keys()  # others may have got their key because of it
        self._rows.update(by_number)
        self._unkeyed.update(by_number)
        self._find_alike(rows, seed_parameter)
        for number in again:
            self._give_key(number, seed_parameter)

    def _find_alike(self, rows: Sequence[WatchedRun], seed_parameter: str | None) -> None:
        """Give rows their key where another one may be of the same configuration."""
        for row in rows:
            try:
                alike = hash(frozenset(row.params.items()))
            except TypeError:  # nested ones, lists
                alike = 0
            first = self._first_alike.setdefault(alike, row.number)
            if first != row.number or not alike or _may_differ(tuple(row.params), seed_parameter):
                for place in {first, row.number}:
                    self._give_key(place, seed_parameter)

    def _give_key(self, number: int, seed_parameter: str | None) -> None:
        if number in self._unkeyed:  # a whole one without a key is a configuration of its own
            self._unkeyed.discard(number)
            row = self._rows[number]
            self._rows[number] = row._replace(configuration=parameters_key(row.params, seed_parameter))


@functools.lru_cache(maxsize=4096)
def _may_differ(names: tuple[str, ...], seed_parameter: str | None) -> bool:
    """Return whether two runs with parameters of these names may differ and be of one configuration."""
    return not names or any(is_seed(name, seed_parameter) for name in names)


def snapshot_of(poll: PollResult, spec: SweepSpec) -> Snapshot:
    """Return where a sweep stands by one reading of all its runs.

    Args:
        poll: The reading; some of its runs in short, if at all, only where `best_counts`.
        spec: Its YAML, read.
    """
    metric, metrics = metric_of(poll.sweep), metrics_of(poll.sweep)
    total = poll.sweep.meta.get("total")
    rows = ShortRows()
    rows.read(poll, metric, metrics, spec.extensions.seed_parameter)
    return snapshot(
        Watched(
            sweep=poll.sweep,
            metric=metric,
            metrics=metrics,
            total=total_of(spec) if total is None else total,
            rows=rows.all(),
            live=poll.live,
            now=poll.now,
            idle_since=poll.idle_since,
        )
    )


def _rows_in_short(ended: EndedRuns, goal: Goal) -> list[WatchedRun]:
    """Return runs in short as `row_of` does where the best value counts, without their configurations."""
    best = min if goal is Goal.MINIMIZE else max
    values = [
        best(history) if summary is None and math.isfinite(sum(history)) else _best_finite(history, summary, goal)
        for history, summary in zip(ended.history, ended.summary, strict=True)
    ]
    newest = [history[-1] for history in ended.history]
    times = zip(ended.outcome, ended.started_at, ended.ended_at, strict=True)
    counts = zip(ended.outcome, ended.history, strict=True)
    columns = (
        *(ended.number, ended.run_id, ended.params, ended.state, ended.reason, ended.attempts, ended.failures),
        *(values, newest, ended.started_at, ended.ended_at),
        [lasted_s(outcome, started, end) for outcome, started, end in times],
        [reports if isinstance(reports := outcome.get("reports"), int) else len(rows) for outcome, rows in counts],
        *map(repeat, WatchedRun._field_defaults.values()),
    )
    # As `WatchedRun(*cells)`, which takes three times as long.
    return list(map(tuple.__new__, repeat(WatchedRun), zip(*columns, strict=False)))


def _best_finite(history: Sequence[float], summary: float | None, goal: Goal) -> float | None:
    values = history if summary is None else (*history, summary)
    finite = [value for value in values if math.isfinite(value)]
    return goal.best(finite) if finite else None
