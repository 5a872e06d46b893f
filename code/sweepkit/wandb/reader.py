"""A sweep on a W&B server, read through W&B's public API (`wandb.Api`): once and whole, or again and again.

`fetch_sweep` reads it whole: all histories with `scan_history`, row by row, because what W&B's `history` gives is a
sample. `WandbWatch` polls it, at the cost of what changed: for the sweep, for its runs in pages, and for the new rows
of those runs that went on since the poll before. The first poll of a sweep of hundreds of runs would take minutes:
with a budget it ends earlier, and the polls after it read the rest; until then such a run has its summary only.

Nothing is written. The user's key is taken by the client from its own places (environment, netrc); nothing here holds
it and no message repeats it.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sweepkit.errors import TrackingError
from sweepkit.model.records import RunRecord, SweepRecord
from sweepkit.model.runs import RunState
from sweepkit.model.watched import PollResult
from sweepkit.text.json_text import json_text
from sweepkit.wandb.client import SweepClient, client_errors, connect, raw_run, rows_of
from sweepkit.wandb.rows import LoggedHistory, SearchTarget, run_record, seconds, sweep_state, watched_attempt

# What the client and the server put into a sweep's configuration for themselves.
_ADDED = frozenset({"_wandb", "wandb_version", "settings"})


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedSweep:
    """One sweep as W&B's server has it.

    Args:
        record: The sweep as one of ours: its `sweep_id` is entity/project/id, its text the YAML as JSON (which is YAML
            too) without what W&B added, its metric the first of several; `meta` holds the `total` of runs where W&B
            knows one, and the `metrics` of several objectives.
        config: Its YAML as a mapping.
        runs: In the order in which W&B made them; `number` counts them from 0, `run_id` is W&B's.
    """

    record: SweepRecord
    config: Mapping[str, Any]
    runs: tuple[RunRecord, ...] = ()

    @property
    def path(self) -> str:
        """Return entity/project/id."""
        return self.record.sweep_id

    @property
    def sweep_id(self) -> str:
        """Return its id at W&B, the last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def target(self) -> SearchTarget:
        """Return what it searches and for what."""
        parameters = self.config.get("parameters")
        return SearchTarget(
            metric=self.record.metric,
            maximize=self.record.goal == "maximize",
            parameters=parameters if isinstance(parameters, Mapping) else None,
        )


def fetch_sweep(path: str, *, metric: str | None = None, goal: str | None = None) -> FetchedSweep:
    """Return a sweep with all its runs and their whole histories.

    Args:
        path: entity/project/id, with or without `sweeps/` before the id, or the URL of its page.
        metric: Whose history the runs carry, instead of the sweep's own metric.
        goal: Its direction, "minimize" or "maximize"; None for what the sweep says, which then must name the metric.

    Raises:
        TrackingError: The path has another form, wandb is not installed, there is no key or the server refuses it,
            there is no such sweep, or the server cannot be reached.
    """
    server = connect(path)
    with client_errors(server.path):
        sweep = sweep_of(server.path, server.sweep(), metric=metric, goal=goal)
        found = server.runs()
        histories = server.histories(found, sweep.target, {})
        runs = tuple(
            run_record(raw_run(run), histories[run.id], sweep.target, number=number, sweep_id=sweep.path)
            for number, run in enumerate(found)
        )
    return replace(sweep, runs=runs)


def sweep_of(path: str, sweep: Any, *, metric: str | None = None, goal: str | None = None) -> FetchedSweep:
    """Return a sweep of the client as a value, without its runs.

    Args:
        path: entity/project/id.
        sweep: A `wandb.apis.public.Sweep`, or what has its attributes.
        metric: As `fetch_sweep` takes it.
        goal: Likewise.

    Raises:
        TrackingError: The sweep does not name the metric, and there is no goal.
    """
    given: Mapping[str, Any] = sweep.config or {}
    config = {key: value for key, value in given.items() if key not in _ADDED and value is not None}
    several = [item for item in config.get("metrics") or () if isinstance(item, Mapping)]
    own = config.get("metric") or (several[0] if several else {})
    goals: dict[str | None, str] = {}
    for item in [own, *several]:  # W&B minimizes what says nothing else
        known = (item.get("goal"), goals.get(item.get("name")))
        goals[item.get("name")] = "maximize" if "maximize" in known else "minimize"
    name = metric or own.get("name")
    if goal is None and name is not None and name not in goals:
        raise TrackingError(
            f"wandb {path}: a metric that the sweep does not name must come with its goal, got {name!r} alone; "
            "give --goal maximize or --goal minimize, too"
        )
    meta: dict[str, Any] = {"restart": f"start an agent for it: wandb agent {path}"}
    if sweep.expected_run_count is not None:
        meta["total"] = int(sweep.expected_run_count)
    if several:
        meta["metrics"] = [{"name": item.get("name"), "goal": item.get("goal") or "minimize"} for item in several]
    record = SweepRecord(
        sweep_id=path,
        name=str(sweep.name),
        family=str(sweep.name),
        generation=1,
        text=json_text(config, indent=2) + "\n",
        seed=0,
        state=sweep_state(str(sweep.state)),
        reason="",
        created_at=seconds(sweep._attrs.get("createdAt")) or 0.0,
        metric=name,
        goal=(goal or goals[name]) if name else None,
        meta=meta,
    )
    return FetchedSweep(record=record, config=config)


class WandbWatch:
    """One sweep on a W&B server. `poll` is that of `sweepkit.store.watch.Watch`.

    Args:
        server: The server, for this sweep.
        budget_s: Seconds that the histories of one poll may take, about; None for all the time they need.
        clock: Seconds since the epoch.

    Attributes:
        vanished: Whether the last poll found runs gone (deleted at W&B): the others were numbered anew, and who keeps
            what earlier polls gave must begin again.
    """

    def __init__(
        self, server: SweepClient, *, budget_s: float | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._server = server
        self._budget_s = budget_s
        self._clock = clock
        self._runs: dict[str, RunRecord] = {}
        self._signatures: dict[str, str] = {}
        self._histories: dict[str, LoggedHistory] = {}
        self._read: dict[str, tuple[int, str]] = {}
        self._change = 0
        self._left: set[str] = set()
        self.vanished = False

    @property
    def path(self) -> str:
        """Return entity/project/id of the sweep."""
        return self._server.path

    @property
    def unread(self) -> int:
        """Return how many runs have rows that the budget of the polls so far did not reach."""
        return len(self._left)

    def poll(self, sweep_id: str, since: int = 0, *, in_short: bool = False) -> PollResult:
        """Return what changed after the change counter `since`, never in short: W&B sends whole runs.

        Raises:
            TrackingError: There is no such sweep any more, or the server cannot be read.
        """
        with client_errors(self._server.path):
            sweep = sweep_of(self._server.path, self._server.sweep())
            found = self._server.runs()
            self._take(sweep, found)
        live = [
            watched_attempt(self._runs[run.id], raw_run(run), self._histories.get(run.id, LoggedHistory()))
            for run in found
            if self._runs[run.id].state is RunState.RUNNING
        ]
        ends = [run.ended_at for run in self._runs.values() if run.ended_at is not None]
        return PollResult(
            sweep=sweep.record,
            changed=[run for run in self._runs.values() if run.change > since],
            live=live,
            now=self._clock(),
            idle_since=None if live else max(ends, default=None),
            change=self._change,
        )

    def _take(self, sweep: FetchedSweep, found: Sequence[Any]) -> None:
        """Take in the runs as they are now; when the server fails midway, nothing is."""
        self._forget(found)
        signatures = {run.id: _signature(run) for run in found}
        changed = {run.id for run in found if self._signatures.get(run.id) != signatures[run.id]}
        # Its last rows may come to W&B after the word of its end: a run is read once more when its state changes.
        behind = sorted((run for run in found if self._read.get(run.id) != _extent(run)), key=_reading_order)
        # Fewer rows than before: it was rewound, and what it logged after that point no longer holds.
        whole = {run.id for run in behind if run.id in self._read and self._read[run.id][0] <= rows_of(run)}
        known = {run_id: self._histories[run_id] for run_id in whole}
        read = self._server.histories(behind, sweep.target, known, until=self._spent())
        self._histories |= read
        self._read |= {run.id: _extent(run) for run in behind if run.id in read}
        self._left = {run.id for run in behind} - read.keys()
        for number, run in enumerate(found):
            if run.id not in changed and run.id not in read:
                continue
            self._change += 1
            self._signatures[run.id] = signatures[run.id]
            was = self._runs.get(run.id)
            record = run_record(
                raw_run(run),
                self._histories.get(run.id, LoggedHistory()),
                sweep.target,
                number=number if was is None else was.number,
                sweep_id=sweep.path,
            )
            self._runs[run.id] = replace(record, change=self._change)

    def _forget(self, found: Sequence[Any]) -> None:
        """Number the runs anew when one of them is gone."""
        self.vanished = bool(self._runs.keys() - {run.id for run in found})
        if self.vanished:
            self._runs, self._signatures = {}, {}

    def _spent(self) -> Callable[[], bool]:
        if self._budget_s is None:
            return lambda: False
        end = self._clock() + self._budget_s
        return lambda: self._clock() >= end


def _signature(run: Any) -> str:
    """Return what differs between a run that went on and the same run at the poll before."""
    raw = raw_run(run)
    return json_text([raw.state, raw.stopped, raw.exit_code, rows_of(run), raw.summary, raw.config])


def _extent(run: Any) -> tuple[int, str]:
    """Return what must change before a run has further rows."""
    return rows_of(run), str(run.state)


def _reading_order(run: Any) -> tuple[bool, float]:
    """Return the key that puts running runs first, then the newest ones."""
    return run.state not in ("running", "preempting"), -(seconds(run.created_at) or 0.0)


def open_wandb_watch(path: str, *, budget_s: float | None = None) -> WandbWatch:
    """Return a sweep on the W&B server that WANDB_BASE_URL (default: W&B's own) and the user's key lead to.

    Args:
        path: entity/project/id, with or without `sweeps/` before the id, or the URL of its page.
        budget_s: As `WandbWatch` takes it.

    Raises:
        TrackingError: The path has another form, wandb is not installed, there is no key, or the server refuses it or
            cannot be reached.
    """
    return WandbWatch(connect(path), budget_s=budget_s)
