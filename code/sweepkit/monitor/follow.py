"""Follow one sweep from snapshot to snapshot: what changed is read, the rest is remembered."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from sweepkit.agents.run_cache import view_of
from sweepkit.analysis.progress import (
    Snapshot,
    Watched,
    WatchedRun,
    snapshot,
    total_of,
)
from sweepkit.analysis.short_rows import ShortRows, best_counts
from sweepkit.errors import SweepKitError
from sweepkit.model.columns import RunViews
from sweepkit.model.metric import Metric
from sweepkit.model.records import SweepRecord, metric_of, metrics_of
from sweepkit.model.runs import Decision, RunState
from sweepkit.model.watched import PollResult, WatchedAttempt
from sweepkit.reports.table import STATE_STYLES
from sweepkit.stopping.base import StoppingRule
from sweepkit.sweep_config.read import read_recorded
from sweepkit.sweep_config.sweep import SweepSpec
from sweepkit.text.canvas import Line


class SweepReader(Protocol):
    """Where a sweep is read from: a database, or W&B's server."""

    def poll(self, sweep_id: str, since: int = 0, *, in_short: bool = False) -> PollResult | None:
        """Return what changed after the change counter `since`; None when there is no such sweep.

        Runs that ended may come as `PollResult.ended` where they are wanted in short.
        """
        ...


class Follower:
    """One sweep as it goes on. The cost of a snapshot is that of what changed.

    Args:
        source: Where it is read from.
        sweep_id: Which sweep.
        in_short: Its learning curves are not asked for: where nothing else needs whole runs, they are read in short.
    """

    def __init__(self, source: SweepReader, sweep_id: str, *, in_short: bool = False) -> None:
        self._source = source
        self._sweep_id = sweep_id
        self._since = 0
        self._text: str | None = None
        self.spec: SweepSpec | None = None
        self._metric: Metric | None = None
        self._metrics: tuple[Metric, ...] = ()
        self._rule: StoppingRule | None = None
        self._total: int | None = None
        self._rows = ShortRows()
        self._views = RunViews()
        self._in_short = in_short
        self.live: Sequence[WatchedAttempt] = ()
        self._sweep: SweepRecord | None = None
        self._last: Snapshot | None = None

    def snapshot(self) -> Snapshot:
        """Return how the sweep stands now.

        Raises:
            SweepKitError: The sweep is gone, or the source cannot be read now.
        """
        found = self._poll()
        if found is None:
            raise SweepKitError(f"sweep {self._sweep_id}: must be in the database, got no such id; it was deleted")
        if (
            self._last is not None
            and self._last.ended
            and found.sweep == self._sweep
            and not (found.changed or found.ended)
        ):
            return dataclasses.replace(self._last, now=found.now)  # of all sweeps of a record most have ended
        self._read_spec(found.sweep)
        seed = None if self.spec is None else self.spec.extensions.seed_parameter
        self._rows.read(found, self._metric, self._metrics, seed)
        for run in () if self._in_short else found.changed:
            self._views.put(view_of(run))
        self._since = found.change
        self.live, self._sweep = found.live, found.sweep
        self._last = snapshot(
            Watched(
                sweep=found.sweep,
                metric=self._metric,
                metrics=self._metrics,
                total=self._total,
                rows=self._rows.all(),
                live=found.live,
                now=found.now,
                idle_since=found.idle_since,
                verdicts=self._verdicts(found),
            )
        )
        return self._last

    def _poll(self) -> PollResult | None:
        """Return what changed: in short while that is all that a snapshot needs."""
        found = self._source.poll(self._sweep_id, self._since, in_short=self._in_short)
        if found is None or not self._in_short:
            return found
        self._read_spec(found.sweep)
        if best_counts(found.sweep) and not (self._rule is not None and found.live):  # a rule compares whole runs
            return found
        self._in_short, self._since = False, 0
        self._rows = ShortRows()
        return self._source.poll(self._sweep_id)

    def newest(self, most: int, others: Collection[int] = ()) -> list[WatchedRun]:
        """Return the newest runs that reported something, those that run last, and others of these numbers."""
        rows = [row for row in self._rows.all() if row.newest is not None]
        rows.sort(key=lambda row: (row.state is RunState.RUNNING, row.number))
        return [*(row for row in rows[:-most] if row.number in others), *rows[-most:]]

    def curves(self, best: int | None, most: int) -> list[Line]:
        """Return the learning curves of the newest runs: ended ones, then running ones, at last the best one.

        Args:
            best: The best run's number, None without one.
            most: So many runs at most.
        """
        views = [view for view in self._views if view.history]
        newest = sorted(views, key=lambda view: (view.state is RunState.RUNNING, view.number))[-most:]
        lines = [
            Line(values=view.history, style=STATE_STYLES.get(view.state, "dim"))
            for view in newest
            if view.number != best
        ]
        lines += [Line(values=view.history, style="bold") for view in views if view.number == best]
        return lines

    def _read_spec(self, sweep: SweepRecord) -> None:
        """Take in the YAML, when it is new or was extended."""
        if sweep.text == self._text:
            return
        self._text, self._metric, self._rule, self._total = sweep.text, metric_of(sweep), None, sweep.meta.get("total")
        self._metrics = metrics_of(sweep)
        self.spec = read_recorded(sweep)
        try:
            # Of folds by themselves a snapshot knows nothing, and their means so far would give another verdict.
            wanted = self.spec.early_terminate or self.spec.extensions.early_terminate
            if self.spec.metric is not None and wanted and self.spec.instance_names is None:
                from sweepkit.stopping.make import make_rule  # few sweeps have one

                self._rule = make_rule(self.spec, study=sweep.name)
            self._total = total_of(self.spec) if self._total is None else self._total
        except SweepKitError:  # W&B, or another sweepkit, takes what we do not: then no margin and no total is known
            return

    def _verdicts(self, found: PollResult) -> Mapping[str, Decision]:
        """Return what the sweep's own stopping rule says of the running runs; its YAML names none: {}."""
        if self._rule is None:
            return {}
        running = {attempt.run_id for attempt in found.live}
        return {
            view.run_id: self._rule.decide(view, self._views)
            for view in self._views
            if view.run_id in running and view.history
        }
