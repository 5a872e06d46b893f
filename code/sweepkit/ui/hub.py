"""All sweeps of a database as the page knows them: opened when somebody looks, read again when somebody waits."""

import threading
import time
from pathlib import Path
from typing import Any

from sweepkit.agents.control import (
    SweepCommand,
    annotate,
    ask,
    retry_failed,
    stop_run,
    whoami,
)
from sweepkit.errors import SweepKitError
from sweepkit.model.records import SweepRecord
from sweepkit.runner.find_sweep import locate
from sweepkit.store.open import open_store
from sweepkit.store.watch import open_watch
from sweepkit.ui.live_sweep import LiveSweep
from sweepkit.ui.options import UiOptions

_LEAST_S = 0.2  # between two readings of one sweep, however many look
_CONTROLS = {"pause", "resume", "stop", "cancel"}


class Hub:
    """The sweeps of one database. A context manager; any thread may use it."""

    def __init__(self, options: UiOptions) -> None:
        self._storage, output_dir, _ = locate(None, output_dir=options.output_dir, storage=options.storage)
        self.output_dir = Path(output_dir)
        self._watch = open_watch(self._storage)
        self.label = self._watch.label
        self.closing = False  # streams end, so that the server can
        self._lock = threading.Lock()
        self._live: dict[str, LiveSweep] = {}
        self._read_at: dict[str, float] = {}

    def __enter__(self) -> "Hub":
        return self

    def __exit__(self, *_: object) -> None:
        self._watch.close()

    def records(self) -> list[SweepRecord]:
        """Return the records of all sweeps, the newest first."""
        return sorted(self._watch.sweeps(), key=lambda sweep: -sweep.created_at)

    def sweep(self, name: str) -> LiveSweep:
        """Return a sweep by its name, as it is now.

        Raises:
            SweepKitError: There is none, or it cannot be read now.
        """
        record = self._watch.sweep(name)
        if record is None:
            raise SweepKitError(f"sweep {name!r}: must be in {self.label}, got no such name")
        return self._read(record.sweep_id)

    def _read(self, sweep_id: str) -> LiveSweep:
        with self._lock:
            live = self._live.get(sweep_id)
            if live is None:
                live = self._live[sweep_id] = LiveSweep(self._watch, sweep_id, self.output_dir)
                self._read_at[sweep_id] = time.monotonic() + _LEAST_S
                return live
        with live.lock:
            began = time.monotonic()
            if began > self._read_at[sweep_id]:
                live.refresh()
                now = time.monotonic()
                self._read_at[sweep_id] = now + max(_LEAST_S, 2 * (now - began))  # a third of the time at most
        return live

    def sweeps(self) -> list[dict[str, Any]]:
        """Return the line of every sweep, the newest first; of one that cannot be read its name and why."""
        return [self._tried(record) for record in self.records()]

    def _tried(self, record: SweepRecord) -> dict[str, Any]:
        try:
            return self._read(record.sweep_id).line()
        except SweepKitError as error:
            return {"name": record.name, "family": record.family, "state": "unreadable", "reason": str(error)}

    def attempts(self, run_id: str) -> list[dict[str, Any]]:
        """Return the attempts of a run, first to last."""
        return [
            {
                "attempt_id": item.attempt_id,
                "state": item.state.value,
                "reason": item.reason,
                "host": item.host,
                "device": item.device,
                "pid": item.pid,
                "claimed_at": item.claimed_at,
                "started_at": item.started_at,
                "ended_at": item.ended_at,
            }
            for item in self._watch.attempts(run_id)
        ]

    def act(self, name: str, action: str, given: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked, as the command line does it; return what was done.

        Args:
            name: The sweep.
            action: pause, resume, stop, cancel, stop_run, retry_failed or annotate.
            given: `run` for stop_run; `note`, `tags`, `archived` and `run` for annotate.

        Raises:
            SweepKitError: It cannot be done, and why.
        """
        try:
            return self._done(name, action, given)
        finally:
            self._read_at = dict.fromkeys(self._read_at, 0.0)  # whoever asked wants to see it

    def _done(self, name: str, action: str, given: dict[str, Any]) -> dict[str, Any]:
        who = f"{whoami()} (page)"
        run_id = str(given.get("run") or "")
        with open_store(self._storage) as store:
            led = store.sweep(name)  # the very one: a name typed means the newest of its family, one clicked does not
            if led is None:
                raise SweepKitError(f"sweep {name!r}: must be in {self.label}, got no such name")
            if action in _CONTROLS:
                if led.meta.get("wandb", {}).get("path"):
                    from sweepkit.wandb.backend import control_at_wandb

                    control_at_wandb(led, action)
                return {"state": ask(store, led, SweepCommand(action), who=who).state.value}
            if action == "stop_run":
                return {"attempt": stop_run(store, led, run_id, who=who)}
            if action == "retry_failed":
                return {"runs": retry_failed(store, led, who=who)}
            if action == "annotate":
                changes: dict[str, Any] = {key: given[key] for key in ("note", "tags", "archived") if key in given}
                return {"meta": annotate(store, led, changes, run_id=run_id, who=who).name}
        raise SweepKitError(f"action: must be one of the page's, got {action!r}")
