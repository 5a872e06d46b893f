"""A sweep on a W&B server, looked at again and again: what a monitor takes, at the cost of what changed.

A poll asks for the sweep, for its runs in pages, and for the new rows of those runs that went on since the poll before.
The first poll of a sweep of hundreds of runs would take minutes: with a budget it ends earlier, and the polls after it
read the rest; until then such a run has the values of its summary only.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunState
from sweepkit.model.watched import PollResult
from sweepkit.text.json_text import json_text
from sweepkit.wandb.api import FetchedSweep, fetched, searched_by
from sweepkit.wandb.client import SweepClient, client_errors, connect, raw_run, rows_of
from sweepkit.wandb.rows import LoggedHistory, live_run, run_record, seconds


class WandbWatch:
    """One sweep on a W&B server. `poll` is that of `sweepkit.store.watch.Watch`.

    Args:
        server: The server, for this sweep.
        budget_s: Seconds that the histories of one poll may take, about; None for all the time they need.
        clock: Seconds since the epoch.

    Attributes:
        vanished: Whether the last poll found runs gone (deleted at W&B): the others were numbered anew, and who keeps
            what earlier looks gave must begin again.
    """

    def __init__(
        self, server: SweepClient, *, budget_s: float | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._server = server
        self._budget_s = budget_s
        self._clock = clock
        self._runs: dict[str, RunRecord] = {}
        self._seen: dict[str, str] = {}
        self._told: dict[str, LoggedHistory] = {}
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
        """Return how many runs have rows that the budget of the looks so far did not reach."""
        return len(self._left)

    def poll(self, sweep_id: str, since: int = 0) -> PollResult:
        """Return what changed after the change counter `since`.

        Raises:
            TrackingError: There is no such sweep any more, or the server cannot be read.
        """
        with client_errors(self._server.path):
            sweep = fetched(self._server.path, self._server.sweep())
            found = self._server.runs()
            self._take(sweep, found)
        live = [
            live_run(self._runs[run.id], raw_run(run), self._told.get(run.id, LoggedHistory()))
            for run in found
            if self._runs[run.id].state is RunState.RUNNING
        ]
        ends = [run.ended_at for run in self._runs.values() if run.ended_at is not None]
        return PollResult(
            sweep=sweep.record(),
            changed=[run for run in self._runs.values() if run.change > since],
            live=live,
            now=self._clock(),
            idle_since=None if live else max(ends, default=None),
            change=self._change,
        )

    def _take(self, sweep: FetchedSweep, found: Sequence[Any]) -> None:
        """Take in the runs as they are now; when the server fails midway, nothing is."""
        self._forget(found)
        searched = searched_by(sweep)
        signs = {run.id: _sign(run) for run in found}
        changed = {run.id for run in found if self._seen.get(run.id) != signs[run.id]}
        # Its last rows may come to W&B after the word of its end: a run is read once more when its state changes.
        behind = sorted((run for run in found if self._read.get(run.id) != _extent(run)), key=_reading_order)
        # Fewer rows than before: it was rewound, and what it told after that point no longer holds.
        whole = {run.id for run in behind if run.id in self._read and self._read[run.id][0] <= rows_of(run)}
        known = {run_id: self._told[run_id] for run_id in whole}
        told = self._server.histories(behind, searched, known, until=self._spent())
        self._told |= told
        self._read |= {run.id: _extent(run) for run in behind if run.id in told}
        self._left = {run.id for run in behind} - told.keys()
        for number, run in enumerate(found):
            if run.id not in changed and run.id not in told:
                continue
            self._change += 1
            self._seen[run.id] = signs[run.id]
            was = self._runs.get(run.id)
            record = run_record(
                raw_run(run),
                self._told.get(run.id, LoggedHistory()),
                searched,
                number=number if was is None else was.number,
                sweep_id=sweep.path,
            )
            self._runs[run.id] = replace(record, change=self._change)

    def _forget(self, found: Sequence[Any]) -> None:
        """Number the runs anew when one of them is gone."""
        self.vanished = bool(self._runs.keys() - {run.id for run in found})
        if self.vanished:
            self._runs, self._seen = {}, {}

    def _spent(self) -> Callable[[], bool]:
        if self._budget_s is None:
            return lambda: False
        end = self._clock() + self._budget_s
        return lambda: self._clock() >= end


def _sign(run: Any) -> str:
    """Return what tells a run that went on from the same run at the poll before."""
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
