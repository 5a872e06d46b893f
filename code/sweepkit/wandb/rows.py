"""What W&B has of a sweep and its runs, in our words: states, parameters, histories. Pure.

Three rules, each against a way to be wrong about a W&B sweep. What W&B does not have stays absent: a run that never
logged the metric has no value, not 0. A run that was ended from W&B's side (early_terminate, or a person) is stopped,
whatever exit code its program made of that. And a run's parameters are those that the sweep searches: what else the
script put into `wandb.config` is kept beside them, so that a table has the same columns as that of a local sweep.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sweepkit.model.records import RunRecord, SweepState
from sweepkit.model.runs import RunState
from sweepkit.model.watched import WatchedAttempt
from sweepkit.tracking.rows import as_number, as_step, as_time, numbers

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
_REASONS = {
    "preempted": "it was preempted and waits for an agent to resume it",
    "preempting": "it is being preempted",
    "failed": "its program failed; W&B keeps no reason",
    "crashed": "it crashed: W&B heard nothing of it for five minutes",
    "killed": "it was ended by W&B: early_terminate, or a person",
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
# What the server and the client keep in a configuration for themselves.
_W_AND_B_KEYS = frozenset({"_wandb", "wandb_version"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRun:
    """One run as W&B's API returns it.

    Args:
        name: Its id.
        state: W&B's word.
        config: Its configuration, values plain.
        summary: Its summary, nested as W&B has it.
        created_at, heartbeat_at: ISO 8601, or None.
        stopped: W&B was asked to stop it.
        exit_code: Of its program, None when W&B has none.
    """

    name: str
    state: str
    config: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    created_at: Any = None
    heartbeat_at: Any = None
    stopped: bool = False
    exit_code: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedHistory:
    """What a run logged, kept so that it can grow: the rows themselves are dropped.

    Args:
        history: The metric's value in each row that has one, in order (NaN, infinities kept).
        best: All numbers of the row at which the metric was best; {} without one.
        last: The newest number under every name.
        last_step: W&B's step of the newest row; -1 before the first.
        first_at, last_at: When the first and the newest row were logged, seconds since the epoch, or None.
    """

    history: tuple[float, ...] = ()
    best: Mapping[str, float] = field(default_factory=dict)
    last: Mapping[str, float] = field(default_factory=dict)
    last_step: int = -1
    first_at: float | None = None
    last_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchTarget:
    """What a sweep searches and for what.

    Args:
        metric: The metric's dotted name, or None.
        maximize: Its direction.
        parameters: The `parameters` of its YAML; None when it has none (its search space is a program), and then all of
            a run's configuration counts.
    """

    metric: str | None = None
    maximize: bool = False
    parameters: Mapping[str, Any] | None = None


def run_state(state: str, *, stopped: bool = False) -> tuple[RunState, str]:
    """Return our state of a run and why it is in it, "" without a reason.

    A state that this client does not know counts as running: W&B does not call the run over.

    >>> run_state("failed", stopped=True)[0].value, run_state("finished", stopped=True)[0].value
    ('stopped', 'finished')
    """
    known = _STATES.get(state.lower())
    if known is None:
        return RunState.RUNNING, f"W&B says it is {state!r}, which is not known here"
    if known is RunState.FAILED and stopped:
        return RunState.STOPPED, _REASONS["killed"]
    return known, _REASONS.get(state.lower(), "")


def sweep_state(state: str) -> SweepState:
    """Return our state of a sweep; one that waits for its first agent is running."""
    return _SWEEP_STATES.get(state.upper(), SweepState.RUNNING)


def split_config(
    config: Mapping[str, Any], parameters: Mapping[str, Any] | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a run's parameters, nested as the sweep nests them, and what else its configuration holds.

    >>> split_config({"opt": {"lr": 1, "eps": 2}, "epochs": 3}, {"opt": {"parameters": {"lr": {"value": 1}}}})
    ({'opt': {'lr': 1}}, {'opt': {'eps': 2}, 'epochs': 3})
    """
    mine: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for key, value in config.items():
        if key in _W_AND_B_KEYS:
            continue
        if parameters is None:
            mine[key] = value
            continue
        wanted = parameters.get(key)
        inner = wanted.get("parameters") if isinstance(wanted, Mapping) else None
        if key not in parameters:
            others[key] = value
        elif isinstance(inner, Mapping) and isinstance(value, Mapping):
            mine[key], rest = split_config(value, inner)
            if rest:
                others[key] = rest
        else:
            mine[key] = value
    return mine, others


def extend_history(
    rows: Iterable[Mapping[str, Any]], searched: SearchTarget, before: LoggedHistory | None = None
) -> LoggedHistory:
    """Return what was logged up to the end of rows, from what was logged before them.

    Args:
        rows: Of W&B's history, in order of their steps; names that begin with "_" are W&B's own.
        searched: Which metric is meant.
        before: What was logged up to here.
    """
    before = before or LoggedHistory()
    history, best, last = list(before.history), before.best, dict(before.last)
    record = _best(before.history, searched.maximize)
    step, first_at, last_at = before.last_step, before.first_at, before.last_at
    for row in rows:
        logged = {name: value for name, value in numbers(row).items() if not name.startswith("_")}
        last.update(logged)
        number = as_number(row.get("_step"))
        step = int(number) if number is not None and math.isfinite(number) else step
        at = as_time(row.get("_timestamp"))
        if at is not None:
            first_at, last_at = at if first_at is None else first_at, at
        value = logged.get(searched.metric) if searched.metric is not None else None
        if value is None:
            continue
        history.append(float(value))
        if math.isfinite(value) and (record is None or (value > record if searched.maximize else value < record)):
            record, best = value, logged
    return LoggedHistory(
        history=tuple(history), best=best, last=last, last_step=step, first_at=first_at, last_at=last_at
    )


def _best(values: Sequence[float], maximize: bool) -> float | None:
    finite = [value for value in values if math.isfinite(value)]
    return (max if maximize else min)(finite) if finite else None


def run_record(raw: RawRun, logged: LoggedHistory, searched: SearchTarget, *, number: int, sweep_id: str) -> RunRecord:
    """Return a run of W&B as a run of ours.

    `outcome` holds what W&B knows of its end: `wandb_state`, `exit_code`, `duration_s`, the `seed` when its
    configuration names one, and under `config` what its configuration holds beside the parameters.
    """
    state, reason = run_state(raw.state, stopped=raw.stopped)
    params, others = split_config(raw.config, searched.parameters)
    summary = numbers(raw.summary)
    value = summary.get(searched.metric) if searched.metric is not None else None
    shown = {name: number for name, number in summary.items() if not name.startswith("_")}
    created = seconds(raw.created_at) or 0.0
    waits = raw.state.lower() == "pending"
    started = None if waits else _started_at(raw) or created
    ended = _ended_at(raw) if state.done else None
    return RunRecord(
        run_id=raw.name,
        sweep_id=sweep_id,
        number=number,
        params=params,
        state=state,
        reason=reason,
        history=logged.history,
        summary=None if value is None else float(value),
        best_metrics=logged.best,
        last_metrics={**shown, **logged.last},
        attempts=0 if waits else 1,
        failures=int(state is RunState.FAILED),
        created_at=created,
        started_at=started,
        ended_at=ended,
        outcome=_outcome(raw, others, None if started is None or ended is None else max(0.0, ended - started)),
    )


def _outcome(raw: RawRun, others: Mapping[str, Any], duration_s: float | None) -> dict[str, Any]:
    outcome: dict[str, Any] = {"wandb_state": raw.state}
    if duration_s is not None:
        outcome["duration_s"] = duration_s
    if raw.exit_code is not None:
        outcome["exit_code"] = raw.exit_code
    seed = raw.config.get("seed")
    if isinstance(seed, int) and not isinstance(seed, bool):
        outcome["seed"] = seed
    if others:
        outcome["config"] = dict(others)
    return outcome


def watched_attempt(run: RunRecord, raw: RawRun, logged: LoggedHistory) -> WatchedAttempt:
    """Return the attempt of a run that runs; W&B knows neither its host nor its process."""
    step = as_step(raw.summary.get("_step")) if logged.last_step < 0 else logged.last_step
    began = run.created_at if run.started_at is None else run.started_at
    return WatchedAttempt(
        run_id=run.run_id,
        attempt_id=run.run_id,
        ordinal=1,
        agent_id="",
        host="W&B",
        pid=None,
        device="W&B",
        claimed_at=began,
        started_at=began,
        expired=False,  # W&B itself calls a silent run crashed
        reports=len(run.history),
        step=step,
        first_report_at=logged.first_at,
        last_report_at=_time(raw, "_timestamp") if logged.last_at is None else logged.last_at,
    )


def _started_at(raw: RawRun) -> float | None:
    """Return when a run's program began: W&B makes a run of a sweep before an agent takes it up."""
    created = seconds(raw.created_at)
    at, took = _time(raw, "_timestamp"), _time(raw, "_runtime")
    if at is None or took is None:
        return created
    return at - took if created is None else max(created, at - took)


def _ended_at(raw: RawRun) -> float | None:
    """Return when a run was over: after its runtime; without one at its last sign of life; None when W&B has neither.

    W&B counts in `_wandb.runtime` the whole run, in whole seconds, and in `_runtime` up to the last row.
    """
    began = _started_at(raw)
    inner = raw.summary.get("_wandb")
    whole = as_time(inner.get("runtime")) if isinstance(inner, Mapping) else None
    took = [length for length in (whole, _time(raw, "_runtime")) if length is not None]
    if began is not None and took:
        return began + max(took)
    beat = seconds(raw.heartbeat_at)
    return beat if beat is None or began is None else max(began, beat)


def _time(raw: RawRun, name: str) -> float | None:
    return as_time(raw.summary.get(name))


def seconds(text: Any) -> float | None:
    """Return W&B's time (ISO 8601, UTC, with or without Z) in seconds since the epoch; None when it is none.

    >>> seconds("2026-01-01T00:00:01Z") == seconds("2026-01-01T00:00:01")
    True
    """
    try:
        moment = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
