"""The runs of a sweep as one agent sees them: the record's, with the newest reports of its own runs on top."""

import dataclasses
import threading

from sweepkit.spec.objectives import OUTCOME
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
        objectives=tuple((value,) for value in run.outcome.get(OUTCOME, {}).values()) if run.state.done else (),
        info=run.proposal,
    )


class Board:
    """A thread-safe cache of run views, refreshed by the record's change counter."""

    def __init__(self, store: Store, sweep_id: str) -> None:
        self._store = store
        self._sweep_id = sweep_id
        self._lock = threading.Lock()
        self._views: dict[int, RunView] = {}
        # By number of a run of ours: its attempts when it was claimed, and what was reported since. The record may be
        # behind that (it was away) or ahead of it (the report that is about to be judged is already written).
        self._own: dict[int, tuple[int, tuple[float, ...]]] = {}
        self._change = 0

    def refresh(self) -> list[RunView]:
        """Read what changed in the record; return the changed views, by number."""
        with self._lock:
            changed = self._store.runs(self._sweep_id, since=self._change)
            views = [self._current(run) for run in changed]
            for run, view in zip(changed, views, strict=True):
                self._views[view.number] = view
                self._change = max(self._change, run.change)
            return views

    def _current(self, run: RunRecord) -> RunView:
        """Return the recorded run, while it is ours with our own history."""
        attempts, history = self._own.get(run.number, (0, ()))
        if run.state is RunState.RUNNING and run.attempts == attempts:
            return dataclasses.replace(view_of(run), history=history)
        self._own.pop(run.number, None)
        return view_of(run)

    def extend(self, number: int, values: tuple[float, ...]) -> RunView:
        """Append metric values to a running run of ours before the record's next refresh; return its view."""
        with self._lock:
            view = self._views[number]
            if number in self._own:
                attempts, history = self._own[number]
                self._own[number] = (attempts, history + values)
            self._views[number] = dataclasses.replace(view, history=view.history + values)
            return self._views[number]

    def begin(self, run: RunRecord) -> None:
        """Note a run that was just claimed: running, nothing reported."""
        with self._lock:
            self._own[run.number] = (run.attempts, ())
            self._views[run.number] = dataclasses.replace(view_of(run), state=RunState.RUNNING, history=())

    def views(self) -> list[RunView]:
        """Return all views, by number."""
        with self._lock:
            return [self._views[number] for number in sorted(self._views)]

    def __len__(self) -> int:
        with self._lock:
            return len(self._views)
