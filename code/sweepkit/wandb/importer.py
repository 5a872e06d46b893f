"""The runs of a W&B sweep in our record and our files, while it runs and afterwards: what all else here reads.

Polling twice changes nothing; what was killed in the middle is made good by the next poll.
"""

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from sweepkit.agents.results import write_result
from sweepkit.agents.slots import Slot
from sweepkit.errors import TrackingError
from sweepkit.model.events import Event, Notice, RunEnded, RunReported, RunStarted
from sweepkit.model.records import RunRecord, SweepRecord, SweepState
from sweepkit.model.runs import RunState
from sweepkit.model.watched import PollResult
from sweepkit.paths import SweepPaths
from sweepkit.store.base import Store
from sweepkit.wandb.agent_process import Order

EVERY_S = 10.0  # W&B's server counts requests
_SOON_S = 2.0
_ORDERS = {
    SweepState.RUNNING: Order.WORK,
    SweepState.PAUSED: Order.PAUSE,
    SweepState.FINISHED: Order.END,
    SweepState.CANCELLED: Order.END,
}


class SweepSource(Protocol):
    """What is asked of W&B: `poll` of its reader."""

    def poll(self, sweep_id: str, since: int = 0) -> PollResult:
        """Return the sweep and its runs that changed after `since`. Raises TrackingError."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ImportTarget:
    """Where runs are put.

    Args:
        store: The record.
        sweep: The recorded sweep.
        paths: Its files.
        surroundings: What every result file carries: host, versions, commit.
        placements: The slot of each run that agents of this host have begun.
    """

    store: Store
    sweep: SweepRecord
    paths: SweepPaths
    surroundings: Mapping[str, Any]
    placements: Callable[[], Mapping[str, Slot]]


class Importer:
    """Puts what W&B has into the record and the files. Not for use by several threads at once.

    Attributes:
        state: Where the sweep stands at W&B, None before the first poll.

    Args:
        server: W&B.
        target: Where it goes.
    """

    def __init__(self, server: SweepSource, target: ImportTarget) -> None:
        self.state: SweepState | None = None
        self._server = server
        self._target = target
        self._change = 0
        self._states: dict[str, RunState] = {}

    def poll(self) -> list[Event]:
        """Ask W&B, write what changed; return it as events.

        Raises:
            TrackingError: W&B cannot be asked. What was written before stays.
        """
        target = self._target
        found = self._server.poll(target.sweep.meta["wandb"]["path"], self._change)
        slots = target.placements()
        placed = [self._placed(run, slots.get(run.run_id)) for run in found.changed]
        changed = target.store.put_runs(target.sweep.sweep_id, placed)
        for run in changed:
            if run.state.done:
                write_result(target.paths, run, seed=target.sweep.seed, surroundings=target.surroundings)
        self._change, self.state = found.change, found.sweep.state  # written: the next poll need not return it
        return [event for run in changed for event in self._events(run, slots.get(run.run_id))]

    def missing_results(self) -> int:
        """Write the result files that a kill prevented; return how many."""
        target, written = self._target, 0
        for run in target.store.runs(target.sweep.sweep_id):
            self._states[run.run_id] = run.state
            if run.state.done and not target.paths.result(run.run_id).exists():
                write_result(target.paths, run, seed=target.sweep.seed, surroundings=target.surroundings)
                written += 1
        return written

    def running(self) -> list[str]:
        """Return the runs that W&B counts as running, of those that agents of this host have begun."""
        mine = self._target.placements()
        return [run_id for run_id, state in self._states.items() if not state.done and run_id in mine]

    def _placed(self, run: RunRecord, slot: Slot | None) -> RunRecord:
        """Return a run with the slot that it occupied, when that was one of ours."""
        device = {"device": slot.device} if slot is not None else {"device": None, "host": None}
        return dataclasses.replace(run, outcome={**run.outcome, "backend": "wandb", **device})

    def _events(self, run: RunRecord, slot: Slot | None) -> list[Event]:
        before = self._states.get(run.run_id)
        self._states[run.run_id] = run.state
        index, device = (slot.index, slot.device) if slot is not None else (-1, "elsewhere")
        events: list[Event] = []
        if before in (None, RunState.PENDING) and run.state is not RunState.PENDING:
            events.append(RunStarted(run=run, slot=index, device=device, warm=False, ordinal=1))
        if run.state.done and (before is None or not before.done):
            duration_s = float(run.outcome.get("duration_s") or 0.0)
            events.append(RunEnded(run=run, slot=index, duration_s=duration_s, messages={}))
        elif run.state is RunState.RUNNING and run.history:
            values, reports = dict(run.last_metrics), len(run.history)
            events.append(
                RunReported(
                    run_id=run.run_id,
                    number=run.number,
                    slot=index,
                    values=values,
                    value=run.history[-1],
                    reports=reports,
                    margin=None,
                )
            )
        return events


class Collector:
    """Polls every ten seconds, and soon when it is asked to, in a thread; a server that is away is asked again.

    Args:
        importer: What is polled.
        emit: Takes the events, in the collector's thread.
        every_s: Seconds between polls.
    """

    def __init__(self, importer: Importer, emit: Callable[[Event], None], *, every_s: float = EVERY_S) -> None:
        self._importer = importer
        self._emit = emit
        self._every_s = every_s
        self._known: tuple[float, SweepState] | None = None
        self._asked = threading.Event()
        self._stopped = threading.Event()
        self._fault = ""
        self._failing_since: float | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._keep, name="wandb-collector", daemon=True)

    def start(self) -> None:
        """Begin to poll."""
        self._thread.start()

    def stop(self) -> None:
        """End; a poll under way is waited for. Raises what ended the thread."""
        self._stopped.set()
        self._asked.set()
        if self._thread.is_alive():
            self._thread.join()
        self.check()

    def check(self) -> None:
        """Raise what ended the thread: a record that cannot be written, or a defect."""
        if self._error is not None:
            raise self._error

    def soon(self) -> None:
        """Ask for a poll within two seconds: something has begun or ended."""
        self._asked.set()

    def order(self, since: float) -> Order | None:
        """Return what W&B wants, as known at `since` (monotonic clock) or later; None when nobody knows yet."""
        known = self._known
        if known is not None and known[0] >= since:
            return _ORDERS[known[1]]
        self.soon()
        return None

    def fault(self, for_s: float) -> str:
        """Return why no poll of the last `for_s` seconds could be read; "" when one could, or none was made."""
        since = self._failing_since
        return self._fault if since is not None and time.monotonic() - since > for_s else ""

    def poll(self) -> bool:
        """Poll once, in the caller's thread while the collector does not run; return whether W&B answered."""
        asked_at = time.monotonic()
        try:
            events = self._importer.poll()
        except TrackingError as error:
            if self._failing_since is None:
                self._failing_since = asked_at
            if str(error) != self._fault:
                self._fault = str(error)
                self._emit(Notice(text=f"{error}; trying again", warning=True))
            return False
        if self._fault:
            self._fault = ""
            self._emit(Notice(text="W&B answers again"))
        self._failing_since = None
        if self._importer.state is not None:
            self._known = (asked_at, self._importer.state)
        for event in events:
            self._emit(event)
        return True

    def _keep(self) -> None:
        try:
            while not self._stopped.is_set():
                self.poll()
                self._asked.wait(self._every_s)
                self._stopped.wait(_SOON_S)  # what is asked for at once is asked of W&B once
                self._asked.clear()
        except BaseException as error:
            self._error = error
