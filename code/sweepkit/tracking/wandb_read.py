"""A sweep on a W&B server as the values that a monitor takes: read through W&B's public API, nothing is written.

Of a run's history W&B sends a sample of at most `SAMPLES` rows; of longer runs a stopping rule's margin is therefore
only an estimate. A run's history is asked for again only when its state or its summary changed.
"""

import importlib.util
import os
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from sweepkit.errors import TrackingError
from sweepkit.spec.json_text import json_text
from sweepkit.spec.records import RunRecord, SweepRecord, SweepState
from sweepkit.spec.runs import RunState
from sweepkit.spec.watched import LiveRun, Look
from sweepkit.tracking.rows import as_number, numbers

SAMPLES = 500
_TIMEOUT_S = 30
_RUNS_A_REQUEST = 200
_PATH = re.compile(r"[^/\s]+/[^/\s]+/[^/\s]+")
_STATES = {
    "running": RunState.RUNNING,
    "preempting": RunState.RUNNING,
    "preempted": RunState.PENDING,
    "pending": RunState.PENDING,
    "finished": RunState.FINISHED,
    "killed": RunState.STOPPED,
    "failed": RunState.FAILED,
    "crashed": RunState.FAILED,
}
_SWEEP_STATES = {
    "PAUSED": SweepState.PAUSED,
    "FINISHED": SweepState.FINISHED,
    "STOPPED": SweepState.FINISHED,
    "CANCELED": SweepState.CANCELLED,
    "CANCELLED": SweepState.CANCELLED,
    "FAILED": SweepState.CANCELLED,
    "CRASHED": SweepState.CANCELLED,
}
_REASONS = {
    "failed": "its program failed; W&B keeps no reason",
    "crashed": "it crashed: W&B heard nothing of it for five minutes",
    "killed": "it was ended by W&B: early_terminate, or a person",
}


class WandbSweep:
    """One sweep on a W&B server. `look` is that of `sweepkit.store.watch.Watch`.

    Args:
        path: entity/project/id.
        api: A `wandb.Api`.
        clock: Seconds since the epoch.
    """

    def __init__(self, path: str, api: Any, *, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._api = api
        self._clock = clock
        self._runs: dict[str, RunRecord] = {}
        self._seen: dict[str, tuple[Any, ...]] = {}
        self._change = 0
        self._known: Any = None

    def look(self, sweep_id: str, since: int = 0) -> Look:
        """Return what changed after the change counter `since`.

        Raises:
            TrackingError: There is no such sweep, or the server cannot be read.
        """
        try:
            record = self._sweep(self._fetch())
            found = sorted(self._fetch_runs(), key=lambda run: (str(run.created_at), run.id))
            live = [attempt for run in found if (attempt := self._take(run, record)) is not None]
        except Exception as error:  # W&B's client raises its own, requests' and ValueError, and changes which
            got = " ".join(str(error).split()) or type(error).__name__
            raise TrackingError(
                f"--wandb {self._path}: the sweep must be on the server and open to your key, got: {got}; "
                "check the path, WANDB_BASE_URL and WANDB_API_KEY"
            ) from error
        ends = [run.ended_at for run in self._runs.values() if run.ended_at is not None]
        return Look(
            sweep=record,
            changed=[run for run in self._runs.values() if run.change > since],
            live=live,
            now=self._clock(),
            idle_since=None if live else max(ends, default=None),
            change=self._change,
        )

    def _fetch(self) -> Any:
        """Return the sweep as the server has it now: `Api.sweep` answers from memory after the first time."""
        if self._known is None:
            self._known = self._api.sweep(self._path)
        else:
            self._known.load(force=True)
        return self._known

    def _fetch_runs(self) -> Any:
        self._api.flush()  # it remembers runs
        entity, project, sweep_id = self._path.split("/")
        filters = {"$and": [{"sweep": sweep_id}]}
        return self._api.runs(
            f"{entity}/{project}", filters=filters, order="+created_at", per_page=_RUNS_A_REQUEST, lazy=False
        )

    def _sweep(self, sweep: Any) -> SweepRecord:
        config: Mapping[str, Any] = sweep.config or {}
        metric = config.get("metric") or {}
        expected = sweep.expected_run_count
        return SweepRecord(
            sweep_id=self._path,
            name=str(sweep.name),
            family=str(sweep.name),
            generation=1,
            text=json_text(config),  # JSON is YAML
            seed=0,
            state=_SWEEP_STATES.get(str(sweep.state).upper(), SweepState.RUNNING),
            reason="",
            created_at=_seconds(sweep._attrs.get("createdAt")) or self._clock(),
            metric=metric.get("name"),
            goal=metric.get("goal", "minimize") if metric.get("name") else None,
            meta={} if expected is None else {"total": int(expected)},
        )

    def _take(self, run: Any, sweep: SweepRecord) -> LiveRun | None:
        """Take in a run; return its attempt when it runs."""
        state = _STATES.get(run.state, RunState.RUNNING)
        summary = numbers(_plain(run.summary))
        signature = (run.state, json_text(summary))
        if self._seen.get(run.id) != signature:
            self._seen[run.id] = signature
            self._change += 1
            self._runs[run.id] = self._record(run, state, summary, sweep)
        return self._live(run, summary) if state is RunState.RUNNING else None

    def _record(self, run: Any, state: RunState, summary: Mapping[str, float], sweep: SweepRecord) -> RunRecord:
        began = _seconds(run.created_at) or sweep.created_at
        runtime_s = summary.get("_runtime")
        ended = None
        if state.done:
            ended = began + runtime_s if runtime_s is not None else _seconds(run._attrs.get("heartbeatAt")) or began
        known = self._runs.get(run.id)
        return RunRecord(
            run_id=run.id,
            sweep_id=sweep.sweep_id,
            number=len(self._runs) if known is None else known.number,
            params=dict(run.config),
            state=state,
            reason=_REASONS.get(run.state, ""),
            history=self._history(run, sweep.metric),
            summary=summary.get(sweep.metric) if sweep.metric else None,
            last_metrics={name: value for name, value in summary.items() if not name.startswith("_")},
            attempts=1,
            created_at=began,
            started_at=began,
            ended_at=ended,
            outcome={} if runtime_s is None or not state.done else {"duration_s": runtime_s},
            change=self._change,
        )

    def _history(self, run: Any, metric: str | None) -> tuple[float, ...]:
        if metric is None:
            return ()
        rows = run.history(keys=[metric], samples=SAMPLES, pandas=False)
        values = [as_number(row.get(metric)) for row in rows]
        return tuple(float(value) for value in values if value is not None)

    def _live(self, run: Any, summary: Mapping[str, float]) -> LiveRun:
        record = self._runs[run.id]
        step = summary.get("_step")
        last = summary.get("_timestamp")
        return LiveRun(
            run_id=run.id,
            attempt_id=run.id,
            ordinal=1,
            agent_id="",
            host="W&B",
            pid=None,
            device="W&B",
            claimed_at=record.created_at,
            started_at=record.created_at,
            expired=False,  # W&B itself calls a silent run crashed
            reports=len(record.history),
            step=None if step is None else int(step),
            first_report_at=None if last is None else record.created_at,
            last_report_at=last,
        )


def _plain(summary: Any) -> dict[str, Any]:
    """Return a summary as plain dictionaries: W&B's own type looks values up lazily."""
    return dict(getattr(summary, "_json_dict", None) or {})


def _seconds(text: Any) -> float | None:
    """Return W&B's time (ISO 8601, UTC, with or without Z) in seconds since the epoch; None when it is none.

    >>> _seconds("2026-01-01T00:00:01Z") == _seconds("2026-01-01T00:00:01")
    True
    """
    try:
        moment = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def open_wandb_sweep(path: str) -> WandbSweep:
    """Return a sweep on the W&B server that WANDB_BASE_URL (default: W&B's own) and the user's key lead to.

    Args:
        path: entity/project/id.

    Raises:
        TrackingError: The path has another form, wandb is not installed, or there is no key.
    """
    if not _PATH.fullmatch(path):
        raise TrackingError(
            f"--wandb {path}: must be ENTITY/PROJECT/ID, got {path!r}; the sweep's page on the server shows all three"
        )
    spec = importlib.util.find_spec("wandb")
    if spec is None or spec.origin is None:  # a folder named wandb/ is no package
        raise TrackingError("--wandb: needs the package wandb, got none; install it: pip install wandb")
    os.environ.setdefault("WANDB_SILENT", "true")
    import wandb

    try:
        return WandbSweep(path, wandb.Api(timeout=_TIMEOUT_S))
    except Exception as error:  # no key, or a server that does not answer
        got = " ".join(str(error).split()) or type(error).__name__
        raise TrackingError(
            f"--wandb {path}: the server must accept your key, got: {got}; set WANDB_API_KEY"
        ) from error
