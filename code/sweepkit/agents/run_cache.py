"""The runs of a sweep as one agent sees them: the record's, with the newest reports of its own runs on top."""

import dataclasses
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sweepkit.model.audit import AUDIT
from sweepkit.model.columns import RunViews
from sweepkit.model.course import Course, course_of
from sweepkit.model.objectives import OUTCOME
from sweepkit.model.records import MEAN_OVER_FACT, VALUE_FACT, Report
from sweepkit.model.runs import Decision, RunState, RunView
from sweepkit.stopping.base import StoppingRule
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
        value_rule=run.value_rule,
        mean_over=run.mean_over,
        # One that was ended says nothing of how long it would have taken.
        seconds=run.duration_s if run.state is RunState.FINISHED else None,
    )


def _finished_length(run: RunView) -> float | None:
    return len(run.history) if run.state is RunState.FINISHED else None


def _ended_by_rule(run: RunView) -> float | None:
    return 1.0 if run.state is RunState.STOPPED or AUDIT in run.info else None


def _finished_with_value(run: RunView) -> float | None:
    return 1.0 if run.state is RunState.FINISHED and has_value(run) else None


def has_value(run: RunView) -> bool:
    """Return whether a run has a value of its metric, or of one of its objectives, be it NaN."""
    return bool(run.history or run.summary is not None or any(run.objectives))


@dataclass(frozen=True, slots=True)
class _Own:
    """What a run of ours has reported since it was claimed as its attempt number `attempts`."""

    attempts: int
    history: Course = field(default_factory=Course)
    instances: Course = field(default_factory=Course)


class RunCache:
    """A thread-safe cache of run views, refreshed by the record's change counter.

    Args:
        store: The record.
        sweep_id: Which sweep.
        instances: Names of the metric and of what is reported of one instance alone, when the stopping rule asks for
            that: then every finished run has it, at the cost of one query each, and our running ones too.
    """

    def __init__(self, store: Store, sweep_id: str, *, instances: tuple[str, str] | None = None) -> None:
        self._store = store
        self._sweep_id = sweep_id
        self._names = instances
        self._lock = threading.Lock()
        self._views = RunViews()
        # By number of a run of ours. The record may be behind that (it was away) or ahead of it (the report that is
        # about to be judged is already written).
        self._own: dict[int, _Own] = {}
        self._pending: set[int] = set()
        self._running: set[int] = set()
        self._most_running = 0
        self._change = 0

    def refresh(self) -> list[RunView]:
        """Read what changed in the record; return the changed views, by number."""
        with self._lock:
            changed = self._store.runs(self._sweep_id, since=self._change)
            views = [self._current(run) for run in changed]
            for run, view in zip(changed, views, strict=True):
                self._put(view)
                self._change = max(self._change, run.change)
            return views

    def _put(self, view: RunView) -> None:
        self._views.put(view)
        if view.state is RunState.PENDING:
            self._pending.add(view.number)
        else:
            self._pending.discard(view.number)
        if view.state is RunState.RUNNING:
            self._running.add(view.number)
            self._most_running = max(self._most_running, len(self._running))
        else:
            self._running.discard(view.number)

    @property
    def most_running(self) -> int:
        """Return how many runs were under way at once, at most, as far as was seen."""
        return self._most_running

    def _current(self, run: RunRecord) -> RunView:
        """Return the recorded run, while it is ours with our own history."""
        own = self._own.get(run.number)
        if own is not None and run.state is RunState.RUNNING and run.attempts == own.attempts:
            return dataclasses.replace(view_of(run), history=own.history, instances=own.instances)
        self._own.pop(run.number, None)
        if self._names is None or run.state is not RunState.FINISHED:
            return view_of(run)
        return dataclasses.replace(view_of(run), instances=self.instances(self._store.reports(run.run_id)))

    def extend(self, number: int, values: tuple[float, ...], instances: tuple[float, ...] = ()) -> RunView:
        """Append metric values to a running run of ours before the record's next refresh; return its view."""
        with self._lock:
            view = self._views.of_number(number)
            own = self._own.get(number)
            # Nothing is copied, be the history ever so long. The view of an attempt of ours has that attempt's history.
            history, newer = course_of(view.history).extended(values), course_of(view.instances).extended(instances)
            if own is not None:
                alike = own.history is view.history and own.instances is view.instances
                kept = (history, newer) if alike else (own.history.extended(values), own.instances.extended(instances))
                self._own[number] = dataclasses.replace(own, history=kept[0], instances=kept[1])
            view = dataclasses.replace(view, history=history, instances=newer)
            self._put(view)
            return view

    def judge(self, rule: StoppingRule, view: RunView) -> Decision:
        """Return what a stopping rule says of a run, compared with all others as they stand."""
        with self._lock:
            return rule.decide(view, self._views)

    def has_made_all(self, view: RunView) -> bool:
        """Return whether a run has made its last report: as many as every run that has finished made."""
        with self._lock:
            lengths = self._views.column("lengths of finished runs", _finished_length).values
            return bool(lengths) and lengths[0] == lengths[-1] == len(view.history)

    def note_value(self, number: int, facts: Mapping[str, str]) -> None:
        """Note of a run of ours, before the record's next refresh, what its program says that its value is."""
        with self._lock:
            view = self._views.of_number(number)
            rule, over = facts.get(VALUE_FACT, view.value_rule), facts.get(MEAN_OVER_FACT, view.mean_over)
            self._put(dataclasses.replace(view, value_rule=rule, mean_over=over))

    def note_audit(self, number: int, said: Mapping[str, Any]) -> None:
        """Note of a run of ours, before the record's next refresh, that it is finished though a rule would stop it."""
        with self._lock:
            view = self._views.of_number(number)
            self._put(dataclasses.replace(view, info={**view.info, AUDIT: said}))

    def stops(self) -> int:
        """Return how many runs a rule has ended, or would have but for the audit."""
        with self._lock:
            return len(self._views.column("runs that a rule ended", _ended_by_rule).values)

    def any_valued(self) -> bool:
        """Return whether any run that finished has a value."""
        with self._lock:
            return bool(self._views.column("finished runs with a value", _finished_with_value).values)

    def pending(self) -> list[RunView]:
        """Return the runs that wait to be claimed, by number."""
        with self._lock:
            return [self._views.of_number(number) for number in sorted(self._pending)]

    def all_failed(self, *, but: int) -> bool:
        """Return whether every run that is done has failed, the one of number `but` left out."""
        with self._lock:
            return all(view.state is RunState.FAILED for view in self._views if view.state.done and view.number != but)

    def instances(self, reports: Iterable[Report]) -> tuple[float, ...]:
        """Return what was reported of each instance, in order, with the metric; () when no rule asks for it."""
        if self._names is None:
            return ()
        metric, name = self._names
        return tuple(float(one.values[name]) for one in reports if metric in one.values and name in one.values)

    def begin(self, run: RunRecord) -> None:
        """Note a run that was just claimed: running, nothing reported."""
        with self._lock:
            own = self._own[run.number] = _Own(run.attempts)
            mine = dataclasses.replace(
                view_of(run), state=RunState.RUNNING, history=own.history, instances=own.instances
            )
            self._put(mine)

    def views(self) -> list[RunView]:
        """Return all views, by number."""
        with self._lock:
            return list(self._views)

    def __len__(self) -> int:
        with self._lock:
            return len(self._views)
