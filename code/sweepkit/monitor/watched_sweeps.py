"""The sweeps that a monitor watches: of a database, or one on W&B's server."""

import gc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from sweepkit.monitor.follow import Follower
from sweepkit.monitor.options import MonitorOptions
from sweepkit.paths import SweepPaths
from sweepkit.reports.table import STATE_STYLES
from sweepkit.runner.find_sweep import choose, locate
from sweepkit.text.canvas import Line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sweepkit.analysis.progress import Snapshot, WatchedRun
    from sweepkit.model.records import Report, SweepRecord
    from sweepkit.monitor.dashboard import Dashboard

_MOST_CURVES = 60  # the newest, and the best
_READING_S = 10.0  # histories of a W&B sweep are read so long before the picture is shown


def _curves(follower: Follower, item: "Snapshot") -> dict[str, list[Line]]:
    """Return the curves of the metric that a sweep optimizes, as its runs keep them; {} of several metrics."""
    best = None if item.best is None else item.best.number
    return {} if item.metric is None else {item.metric.name: follower.curves(best, _MOST_CURVES)}


class RecordedSweeps:
    """The sweeps of a database: one, or all of them and those that come later."""

    unread = 0  # a snapshot of a database reads all of it

    def __init__(self, options: MonitorOptions, stack: ExitStack) -> None:
        from sweepkit.store.watch import open_watch

        storage, output_dir, wanted = locate(options.sweep, output_dir=options.output_dir, storage=options.storage)
        self._store = open_watch(storage)
        stack.callback(self._store.close)
        self.storage, self.output_dir = storage, output_dir
        self._all = options.all
        self.followers: dict[str, Follower] = {}
        self._mirror = output_dir / "optuna.db"
        self.notes: list[str] = []
        self._reports: dict[str, tuple[tuple[int, int], Sequence[Report]]] = {}
        if not self._all:
            sweeps = self._store.sweeps()
            if wanted is None and sweeps:
                sweep = self._running_or_newest(sweeps)
            else:
                sweep = choose(sweeps, wanted, output_dir=options.output_dir, label=self._store.label)
            self.followers[sweep.sweep_id] = Follower(self._store, sweep.sweep_id)
            self._mirror = SweepPaths(output_dir, sweep.name).root / "optuna.db"
            family = [other for other in self._store.sweeps(family=sweep.family) if other.generation > sweep.generation]
            if family:
                self.notes.append(f"{family[-1].name} is newer than {sweep.name}: --fresh began it anew")

    def _running_or_newest(self, sweeps: "Sequence[SweepRecord]") -> "SweepRecord":
        """Return the newest sweep of which runs are under way, else the newest; note that there are others."""
        newest_first = sorted(sweeps, key=lambda sweep: sweep.created_at, reverse=True)
        running = [sweep for sweep in newest_first if self._is_running(sweep.sweep_id)]
        chosen = (running or newest_first)[0]
        if others := [sweep.name for sweep in running if sweep is not chosen]:
            self.notes.append(f"running, too: {', '.join(others)}; --all shows all")
        elif len(sweeps) > 1 and not running:
            self.notes.append(f"nothing runs: the newest of {len(sweeps)} sweeps is shown; --all shows all")
        return chosen

    def _is_running(self, sweep_id: str) -> bool:
        return any(not live.expired for live in self._store.live_attempts(sweep_id))

    def snapshots(self) -> "list[Snapshot]":
        """Return how every sweep stands now."""
        with _without_collector():
            for sweep in self._store.sweeps() if self._all else ():
                self.followers.setdefault(sweep.sweep_id, Follower(self._store, sweep.sweep_id, in_short=True))
            return [follower.snapshot() for follower in self.followers.values()]

    def curves(self, item: "Snapshot") -> dict[str, list[Line]]:
        """Return the learning curves of the one sweep that is followed, by metric."""
        follower = next(iter(self.followers.values()))
        if not item.metrics:
            return _curves(follower, item)
        front = {row.number for row in item.front}
        runs = sorted(follower.newest(_MOST_CURVES, front), key=lambda row: row.number in front)
        live = {attempt.run_id: attempt.reports for attempt in follower.live}
        reports = {row.run_id: self._reports_of(row, live.get(row.run_id, -1)) for row in runs}
        found: dict[str, list[Line]] = {}
        for metric in item.metrics:
            for row in runs:
                values = [float(said.values[metric.name]) for said in reports[row.run_id] if metric.name in said.values]
                style = "bold" if row.number in front else STATE_STYLES.get(row.state, "dim")
                found.setdefault(metric.name, []).append(Line(values=values, style=style))
        return found

    def _reports_of(self, row: "WatchedRun", count: int) -> "Sequence[Report]":
        """Return what a run's last attempt reported, read again where there may be more than `count`, -1 at its end."""
        held = self._reports.get(row.run_id)
        if held is None or held[0] != (row.attempts, count):
            held = self._reports[row.run_id] = ((row.attempts, count), self._store.reports(row.run_id))
        return held[1]

    def dashboard(self, port: int | None) -> "Dashboard":
        """Return the dashboard of these sweeps."""
        from sweepkit.monitor.dashboard import Dashboard

        def shown() -> list[tuple[str, Any]]:
            followers = list(self.followers.items())
            return [(sweep_id, item.spec.space if item.spec else None) for sweep_id, item in followers]

        return Dashboard(self._store, self._mirror, shown, port=port)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Read many runs: all of it is kept, and to search it for garbage meanwhile takes a quarter of the time."""
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():  # what was read first is most of it, and is not searched later, either
            gc.freeze()
        gc.enable()


class WandbSweep:
    """A sweep on W&B's server."""

    def __init__(self, options: MonitorOptions) -> None:
        from sweepkit.wandb.reader import open_wandb_watch

        assert options.wandb is not None
        self._watch = open_wandb_watch(options.wandb, budget_s=None if options.once else _READING_S)
        self.followers: dict[str, Follower] = {}
        self._begin()

    def _begin(self) -> None:
        self.followers = {self._watch.path: Follower(self._watch, self._watch.path)}

    @property
    def unread(self) -> int:
        """Return how many runs have rows that no snapshot has reached yet."""
        return self._watch.unread

    @property
    def notes(self) -> list[str]:
        """Return what a person should know of the numbers."""
        if not self.unread:
            return []
        runs = "1 run is" if self.unread == 1 else f"{self.unread} runs are"
        return [f"the histories of {runs} still to be read: until then the last value of each counts as its best"]

    def curves(self, item: "Snapshot") -> dict[str, list[Line]]:
        """Return its learning curves; {} of several metrics, whose histories W&B's server is not asked for."""
        return _curves(next(iter(self.followers.values())), item)

    def snapshots(self) -> "list[Snapshot]":
        """Return how it stands now."""
        found = [follower.snapshot() for follower in self.followers.values()]
        if self._watch.vanished:  # runs were deleted at W&B: what was kept of them must go
            self._begin()
            found = [follower.snapshot() for follower in self.followers.values()]
        return found
