"""The runs of a sweep as one agent sees them: the record's, with the newest reports of its own runs on top."""

import dataclasses
import threading

from sweepkit.spec.runs import RunState, RunView
from sweepkit.store.base import RunRecord, Store


def view_of(run: RunRecord) -> RunView:
    """Return what a decider may know of a recorded run."""
    return RunView(
        number=run.number,
        run_id=run.run_id,
        params=run.params,
        state=run.state,
        history=run.history,
        summary=run.summary,
    )


class Board:
    """A thread-safe cache of run views, refreshed by the record's change counter."""

    def __init__(self, store: Store, sweep_id: str) -> None:
        self._store = store
        self._sweep_id = sweep_id
        self._lock = threading.Lock()
        self._views: dict[int, RunView] = {}
        self._change = 0

    def refresh(self) -> list[RunView]:
        """Read what changed in the record; return the changed views, by number."""
        with self._lock:
            changed = self._store.runs(self._sweep_id, since=self._change)
            views = [view_of(run) for run in changed]
            for run, view in zip(changed, views, strict=True):
                self._views[view.number] = view
                self._change = max(self._change, run.change)
            return views

    def extend(self, number: int, values: tuple[float, ...]) -> RunView:
        """Append metric values to a running run of ours before the record's next refresh; return its view."""
        with self._lock:
            view = self._views[number]
            self._views[number] = dataclasses.replace(view, history=view.history + values)
            return self._views[number]

    def begin(self, run: RunRecord) -> None:
        """Note a run that was just claimed: running, nothing reported."""
        with self._lock:
            self._views[run.number] = dataclasses.replace(view_of(run), state=RunState.RUNNING, history=())

    def views(self) -> list[RunView]:
        """Return all views, by number."""
        with self._lock:
            return [self._views[number] for number in sorted(self._views)]

    def __len__(self) -> int:
        with self._lock:
            return len(self._views)
