"""What a store keeps, as values: sweeps, runs, attempts, reports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sweepkit.model.metric import BEST, Goal, Metric
from sweepkit.model.run_names import run_name
from sweepkit.model.runs import RunState


class SweepState(StrEnum):
    """Where a sweep stands (W&B's states, lower case)."""

    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    CANCELLED = "cancelled"

    @property
    def over(self) -> bool:
        """Return whether no further run of it is begun unless it is taken up again."""
        return self in (SweepState.FINISHED, SweepState.CANCELLED)


class AttemptState(StrEnum):
    """Where an attempt stands."""

    LIVE = "live"  # claimed; its process may or may not have started yet
    DONE = "done"  # its outcome is recorded
    LOST = "lost"  # its lease ran out or its process vanished; fenced
    RELEASED = "released"  # unharmed (Ctrl-C); does not count against the retries


STOPPED = "stopped by --stop"  # why a sweep is FINISHED that somebody stopped before its end
CONFIRMATION_KEY = "confirmation"  # of the meta of a sweep that runs the best of another again: its race


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

    @property
    def confirms(self) -> bool:
        """Return whether it runs the best of another sweep again."""
        return CONFIRMATION_KEY in self.meta


def metric_of(sweep: SweepRecord) -> Metric | None:
    """Return the metric that a record names; its target and imputations stand in the YAML only."""
    rule = str(sweep.meta.get("value") or BEST)
    return Metric(name=sweep.metric, goal=Goal(sweep.goal or Goal.MINIMIZE), value=rule) if sweep.metric else None


def metrics_of(sweep: SweepRecord) -> tuple[Metric, ...]:
    """Return the several objectives that a record names, () when it names none."""
    return tuple(Metric(name=item["name"], goal=Goal(item["goal"])) for item in sweep.meta.get("metrics") or ())


_PACKING = "packing"


def packing_key(host: str, device: str) -> str:
    """Return the key of a sweep's meta that has how a GPU stands that several runs share, as a sentence."""
    return f"{_PACKING} {host} {device}"


def packing_of(meta: Mapping[str, Any]) -> tuple[str, ...]:
    """Return how each GPU stands that several runs share, a sentence each, by host and GPU.

    >>> packing_of({packing_key("h", "gpu 0"): "2 runs on gpu 0: 41 of 80 GiB", "program": "train.py"})
    ('h: 2 runs on gpu 0: 41 of 80 GiB',)
    """
    keys = sorted(key for key in meta if key.startswith(f"{_PACKING} "))
    return tuple(f"{key.split(' ', 2)[1]}: {meta[key]}" for key in keys)


# The fact by which a program says that its metric is a running mean, a count or a sum, whose best report means nothing:
# "last" or "mean_of_last N". What it says to W&B by `define_metric(…, summary=…)` stands there too, where the YAML's
# `sweepkit.value` says nothing: `model.metric.rule_of_summary`.
VALUE_FACT = "value"
# The fact by which it says what each report is a mean over so far, in the singular: "fold".
MEAN_OVER_FACT = "mean_over"
SEED_FACT = "seed"  # the seed that it trained with


def lasted_s(outcome: Mapping[str, Any], started_at: float | None, ended_at: float | None) -> float | None:
    """Return how long the last attempt of a run that is done took, in seconds from 0; None when nobody knows.

    Args:
        outcome: What it ended with: what was measured where it ran counts before the record's two times.
        started_at: Seconds since the epoch, or None.
        ended_at: Likewise; by a clock that was set back in between no time is under 0.

    >>> lasted_s({"duration_s": 2.5}, 10.0, 13.0), lasted_s({}, 10.0, 13.0)
    (2.5, 3.0)
    >>> lasted_s({}, 13.0, 10.0), lasted_s({}, None, 3.0)
    (0.0, None)
    """
    measured = outcome.get("duration_s")
    if isinstance(measured, int | float):
        return float(measured)
    return None if started_at is None or ended_at is None else max(0.0, ended_at - started_at)


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

    @property
    def value_rule(self) -> str:
        """Return what its own program says that its value is of its reports; "": the metric's rule holds."""
        return self._said(VALUE_FACT)

    @property
    def mean_over(self) -> str:
        """Return what its program says that each report is a mean over so far ("fold"); "": of nothing."""
        return self._said(MEAN_OVER_FACT)

    def _said(self, name: str) -> str:
        """Return a fact that its program reported: noted while it runs, kept with how it ended."""
        facts = self.outcome.get("facts")
        known = facts if isinstance(facts, Mapping) and name in facts else self.proposal
        return str(known.get(name, ""))

    @property
    def duration_s(self) -> float | None:
        """Return how long its last attempt took, in seconds; None while it is not done, or when nobody knows."""
        return lasted_s(self.outcome, self.started_at, self.ended_at) if self.state.done else None

    @property
    def name(self) -> str:
        """Return its name for people: what its last attempt was called, else what W&B would have made up for it."""
        return str(self.outcome.get("name") or run_name(self.run_id, self.number))


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
class GpuAttempt:
    """A live attempt that was claimed for GPUs: what agents on one host let each other know of what they have there.

    Args:
        attempt_id: `<run_id>-<ordinal>`.
        run: Its run as it is recorded.
        gpus: Names of the GPUs, the same for all agents of the host (UUIDs).
        claimed_at: Seconds since the epoch, database clock.
    """

    attempt_id: str
    run: RunRecord
    gpus: tuple[str, ...]
    claimed_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """One attempt as recorded, live or over: why a run was made again, and where.

    Args:
        attempt_id: `<run_id>-<ordinal>`.
        ordinal: 1 for the run's first attempt.
        state: Where it stands.
        reason: Why it ended, in words; "" while it is live.
        agent_id, host: Who claimed it.
        pid, device: Its process, once `started` was recorded; None and "" before.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsent:
    """What is recorded of an attempt together with its end, as if it had been before.

    Args:
        pid: Its process; None when the record knows it.
        device: Where it ran.
        age_s: How long ago it began, in seconds.
        reports: What it reported beyond what the record has.
        metric: The metric whose values are the run's history.
        goal: "minimize" or "maximize".
    """

    pid: int | None = None
    device: str = ""
    age_s: float = 0.0
    reports: Sequence[Report] = ()
    metric: str | None = None
    goal: str | None = None
