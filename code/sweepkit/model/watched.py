"""What a monitor is given of a sweep, as values: by our own record or by W&B's server alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sweepkit.model.records import RunRecord, SweepRecord
from sweepkit.model.runs import RunState


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedAttempt:
    """A live attempt and what it reported.

    Args:
        run_id: The run that it executes.
        attempt_id: Its own id.
        ordinal: 1 for the run's first attempt.
        agent_id, host: Who claimed it.
        pid, device: Its process, None and "" before it started.
        claimed_at: Seconds since the epoch by the record's clock; `started_at` likewise, None before it started.
        expired: Its lease is over: no agent has renewed it in time.
        reports: Reports so far.
        step: The program's own step at the newest report, None when it told none.
        first_report_at, last_report_at: Seconds since the epoch by the program's host; None without a report.
    """

    run_id: str
    attempt_id: str
    ordinal: int
    agent_id: str
    host: str
    pid: int | None
    device: str
    claimed_at: float
    started_at: float | None
    expired: bool
    reports: int
    step: int | None
    first_report_at: float | None
    last_report_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedRuns:
    """Runs that ended well, with a history each, and whose value needs nothing but these columns: what most runs are.

    Args:
        number, run_id, params, state, reason, attempts, failures, history, summary, outcome: As of `RunRecord`.
        started_at: When each was last started, seconds since the epoch.
        ended_at: When each ended, or None.
    """

    number: Sequence[int]
    run_id: Sequence[str]
    params: Sequence[Mapping[str, Any]]
    state: Sequence[RunState]
    reason: Sequence[str]
    attempts: Sequence[int]
    failures: Sequence[int]
    history: Sequence[tuple[float, ...]]
    summary: Sequence[float | None]
    started_at: Sequence[float]
    ended_at: Sequence[float | None]
    outcome: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PollResult:
    """What a reader of a sweep found, all of it from one state of the database.

    Args:
        sweep: As it is now.
        changed: The runs that changed since the poll before (the first one: all), by number.
        ended: Of these such as can be had in short, where that was asked for; they are not among `changed`.
        live: Its live attempts.
        now: The record's clock, seconds since the epoch.
        idle_since: When its last attempt ended, None while one is live or when none was ever made.
        change: The change counter to hand to the next poll.
    """

    sweep: SweepRecord
    changed: Sequence[RunRecord]
    live: Sequence[WatchedAttempt]
    now: float
    idle_since: float | None
    change: int
    ended: EndedRuns | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessUse:
    """What an attempt's process tree uses: CPU in percent of one core (None: not known yet), memory in MiB."""

    cpu_percent: float | None
    memory_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuUse:
    """What is used of one GPU of this machine: utilisation in percent (None: unknown, as of MIG's), memory in MiB."""

    index: int
    name: str
    percent: float | None
    memory_mb: float
    total_mb: float
