"""The record of sweeps: what every store keeps and promises. Rules: `reference/distributed.md`, section 5.

**Words.** A *sweep* has *runs* (one configuration each); a run has *attempts* (one process each). At most one attempt
of a run is live. Every write of an attempt carries its *token*; a write whose token is not the live one's raises
`FencedError` and changes nothing.

**Time** is the database's clock, in seconds since the epoch (UTC), never the host's.

**Transactions.** Each method is one short transaction (SQLite: BEGIN IMMEDIATE), so any of them may be cut by kill -9
and the record is as before or as after. Methods may be called from several threads and processes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from sweepkit.spec.runs import RunState


class SweepState(StrEnum):
    """Where a sweep stands (W&B's states, lower case)."""

    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    CANCELLED = "cancelled"


class AttemptState(StrEnum):
    """Where an attempt stands."""

    LIVE = "live"  # claimed; its process may or may not have started yet
    DONE = "done"  # its outcome is recorded
    LOST = "lost"  # its lease ran out or its process vanished; fenced
    RELEASED = "released"  # given back unharmed (Ctrl-C); does not count against the retries


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRecord:
    """One sweep as recorded.

    Args:
        sweep_id: Random id, 8 characters of [a-z0-9].
        name: Unique in a store.
        family: The name before `--fresh` numbered it; sweeps of one family share it.
        generation: 1 for the first of a family.
        text: The YAML text, as last extended.
        seed: The search's seed.
        state: Where it stands.
        reason: Why it is in that state.
        created_at: Seconds since the epoch.
        metric: The metric's name, or None. `goal` likewise.
        meta: Anything the shell keeps with it (program, warnings shown, …); JSON.
    """

    sweep_id: str
    name: str
    family: str
    generation: int
    text: str
    seed: int
    state: SweepState
    reason: str
    created_at: float
    metric: str | None
    goal: str | None
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run as recorded.

    Args:
        run_id: Random id, 8 characters of [a-z0-9], usable as a W&B run id.
        number: 0-based, unique in its sweep, without gaps.
        params: Nested configuration.
        state: Where it stands.
        reason: Why it is in that state, in words; "" while pending.
        history: Metric values of its last attempt, in order (NaN, infinities kept).
        summary: The metric's value set without a report, or None.
        best_metrics: All values of the report at which the metric was best; {} without one.
        last_metrics: The newest value of every reported name.
        attempts: Attempts made so far, released and lost ones included.
        failures: Attempts that count against the retries.
        proposal: The engine's reason and numbers.
        created_at, started_at, ended_at: Seconds since the epoch, or None.
        outcome: What the last attempt ended with (exit code, signal, duration_s, device, host, peak_memory_mb, …).
        change: The sweep's change counter at this run's last write; grows with every write.
    """

    run_id: str
    sweep_id: str
    number: int
    params: Mapping[str, Any]
    state: RunState
    reason: str = ""
    history: tuple[float, ...] = ()
    summary: float | None = None
    best_metrics: Mapping[str, float] = field(default_factory=dict)
    last_metrics: Mapping[str, float] = field(default_factory=dict)
    attempts: int = 0
    failures: int = 0
    proposal: Mapping[str, Any] = field(default_factory=dict)
    created_at: float = 0.0
    started_at: float | None = None
    ended_at: float | None = None
    outcome: Mapping[str, Any] = field(default_factory=dict)
    change: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A claimed run: the right to execute it, until the lease ends.

    Args:
        attempt_id: `<run_id>-<ordinal>`, unique.
        token: Random secret that every write of the attempt carries.
        run: The run as it was when claimed (state RUNNING).
        ordinal: 1 for the run's first attempt.
        lease_until: Seconds since the epoch, database clock.
    """

    attempt_id: str
    token: str
    run: RunRecord
    ordinal: int
    lease_until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveAttempt:
    """What the record knows of an attempt that nobody has ended: for reclaiming after a crash."""

    attempt_id: str
    token: str
    run_id: str
    agent_id: str
    host: str
    pid: int | None
    lease_until: float
    expired: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """One attempt as recorded, live or over: why a run was made again, and where.

    Args:
        attempt_id: `<run_id>-<ordinal>`.
        ordinal: 1 for the run's first attempt.
        state: Where it stands.
        reason: Why it ended, in words; "" while it is live.
        agent_id, host: Who claimed it.
        pid, device: Its process, once `started` was told; None and "" before.
        claimed_at: Seconds since the epoch, database clock; `started_at`, `ended_at` likewise, or None.
        lease_until: End of its last lease.
        outcome: As given to `finish`; {} otherwise.
    """

    attempt_id: str
    ordinal: int
    state: AttemptState
    reason: str
    agent_id: str
    host: str
    pid: int | None
    device: str
    claimed_at: float
    started_at: float | None
    ended_at: float | None
    lease_until: float
    outcome: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One row that a program reported.

    Args:
        seq: 0-based position in its attempt.
        values: Name to number (int, float, bool as 0/1); non-numeric values were dropped. NaN and infinities kept.
        step: The program's own step, or None.
        time: Seconds since the epoch by the program's host.
    """

    seq: int
    values: Mapping[str, float]
    step: int | None = None
    time: float = 0.0


class Store(Protocol):
    """The record. One contract suite (`tests/contracts/store_contract.py`) holds for every implementation."""

    def create_sweep(
        self,
        name: str,
        *,
        text: str,
        seed: int,
        metric: str | None,
        goal: str | None,
        family: str | None = None,
        generation: int = 1,
        meta: Mapping[str, Any] | None = None,
    ) -> tuple[SweepRecord, bool]:
        """Return the sweep of that name, made now if there is none; True when this call made it.

        Two processes that create the same name at once get the same sweep, one of them with True.
        """
        ...

    def sweep(self, name: str) -> SweepRecord | None:
        """Return the sweep of that name, or None."""
        ...

    def sweeps(self, family: str | None = None) -> list[SweepRecord]:
        """Return all sweeps, or those of a family, oldest generation first."""
        ...

    def update_sweep(
        self,
        sweep_id: str,
        *,
        text: str | None = None,
        state: SweepState | None = None,
        reason: str | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> SweepRecord:
        """Change the given fields (`meta` is merged key by key) and return the sweep as it is now."""
        ...

    def add_run(
        self,
        sweep_id: str,
        number: int,
        params: Mapping[str, Any],
        *,
        proposal: Mapping[str, Any] | None = None,
        cap: int | None = None,
    ) -> RunRecord | None:
        """Add a pending run.

        Returns None, and adds nothing, when `number` is not exactly the number of runs the sweep has (another agent
        was faster: look again and ask again), when the sweep is not RUNNING, or when it already has `cap` runs.
        """
        ...

    def claim(self, sweep_id: str, *, agent_id: str, host: str, lease_s: float) -> Attempt | None:
        """Make an attempt of the pending run with the lowest number: intent first, before any process exists.

        The run becomes RUNNING and its history is emptied. None when no run is pending or the sweep is not RUNNING.
        """
        ...

    def add_and_claim(
        self,
        sweep_id: str,
        number: int,
        params: Mapping[str, Any],
        *,
        agent_id: str,
        host: str,
        lease_s: float,
        proposal: Mapping[str, Any] | None = None,
        cap: int | None = None,
    ) -> Attempt | None:
        """Do `add_run` and `claim` of just that run in one transaction; None as in `add_run`."""
        ...

    def started(self, attempt: Attempt, *, pid: int, device: str = "") -> None:
        """Record the attempt's process. Raises FencedError."""
        ...

    def renew(self, attempts: Iterable[Attempt], *, lease_s: float) -> list[str]:
        """Extend the leases; return the ids of those that are no longer live (their processes must be killed)."""
        ...

    def report(self, attempt: Attempt, reports: Sequence[Report], *, metric: str | None, goal: str | None) -> None:
        """Append reports; a `seq` already there is ignored (so a resend is harmless). Raises FencedError.

        Updates the run's history (metric rows), best_metrics (best finite value by `goal`) and last_metrics.
        """
        ...

    def finish(
        self,
        attempt: Attempt,
        state: RunState,
        *,
        reason: str,
        outcome: Mapping[str, Any] | None = None,
        summary: float | None = None,
        failure: bool = False,
    ) -> RunRecord:
        """End the attempt (DONE) and put the run into `state`. Raises FencedError.

        `state` PENDING means another attempt shall be made; `failure` counts this one against the retries.
        """
        ...

    def release(self, attempt: Attempt, *, reason: str) -> None:
        """Give the run back as PENDING; the attempt is RELEASED and counts for nothing. Raises FencedError."""
        ...

    def live_attempts(self, sweep_id: str) -> list[LiveAttempt]:
        """Return every attempt in state LIVE, with whether its lease is over by the database's clock."""
        ...

    def attempts(self, run_id: str) -> list[AttemptRecord]:
        """Return every attempt of a run, first to last: the reasons of lost, released and failed ones stand here."""
        ...

    def lose(self, attempt_id: str, token: str, *, reason: str) -> bool:
        """Mark a LIVE attempt LOST and its run PENDING, by compare-and-set; False when it was not live any more."""
        ...

    def retry(self, sweep_id: str, states: Iterable[RunState]) -> list[RunRecord]:
        """Put every run in one of those (done) states back to PENDING, failures reset to 0; return them."""
        ...

    def runs(self, sweep_id: str, *, since: int = 0) -> list[RunRecord]:
        """Return the runs changed after change counter `since`, by number; all of them with 0."""
        ...

    def counts(self, sweep_id: str) -> dict[RunState, int]:
        """Return the number of runs in each state (absent: none)."""
        ...

    def reports(self, run_id: str, *, attempt_id: str | None = None) -> list[Report]:
        """Return the reports of an attempt (None: the run's last), by seq."""
        ...

    def now(self) -> float:
        """Return the database's clock, seconds since the epoch."""
        ...

    def close(self) -> None:
        """Release every connection; further calls raise StoreError."""
        ...
