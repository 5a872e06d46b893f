"""The record of sweeps: what every store keeps and promises.

**Words.** A *sweep* has *runs* (one configuration each); a run has *attempts* (one process each). At most one attempt
of a run is live. Every write of an attempt carries its *token*; a write whose token is not the live one's raises
`FencedError` and changes nothing.

**Time** is the database's clock, in seconds since the epoch (UTC), never the host's.

**Transactions.** Each method is one short transaction (SQLite: BEGIN IMMEDIATE), so any of them may be cut by kill -9
and the record is as before or as after. Methods may be called from several threads and processes.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NotRequired, Protocol, TypedDict, Unpack

from sweepkit.model.records import (
    Attempt,
    AttemptRecord,
    AttemptState,
    GpuAttempt,
    LiveAttempt,
    Report,
    RunRecord,
    SweepRecord,
    SweepState,
    Unsent,
)
from sweepkit.model.runs import RunState

__all__ = [
    "Attempt",
    "AttemptRecord",
    "AttemptState",
    "ClaimTerms",
    "GpuAttempt",
    "LiveAttempt",
    "Report",
    "RunRecord",
    "Store",
    "SweepRecord",
    "SweepState",
    "Unsent",
]


class ClaimTerms(TypedDict):
    """What an agent asks for that claims a run.

    Attributes:
        agent_id: Who asks.
        host: Where the attempt will be.
        lease_s: How long it is the agent's without a renewal, in seconds.
        exclude: Ids of runs that are passed over; none by default.
        gpus: What it is claimed for: with them it is one of `Store.gpu_attempts` while it is live.
    """

    agent_id: str
    host: str
    lease_s: float
    exclude: NotRequired[Collection[str]]
    gpus: NotRequired[Sequence[str]]


class Turn(Protocol):
    """Held by one agent at a time; see `Store.turn`."""

    def claim(self, **terms: Unpack[ClaimTerms]) -> Attempt | None:
        """Take what others added while the turn was waited for, as `Store.claim`; recorded when the turn ends.

        Where nobody ever waits it is None: the caller has just looked.
        """
        ...

    @property
    def at_once(self) -> bool:
        """Return whether it came without waiting, as always where nobody waits: what was just read holds."""
        ...

    def waiting(self) -> int:
        """Return how many others wait for their turn: for them runs can be added, which they claim."""
        ...


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

    def rename_sweep(self, sweep_id: str, name: str, *, text: str) -> SweepRecord:
        """Give a sweep another name and YAML, as the first of its own family; return it.

        Raises ConflictError when another sweep has the name.
        """
        ...

    def remove_sweep(self, sweep_id: str, *, force: bool = False) -> None:
        """Forget a sweep with its runs, attempts, reports and kept files.

        Raises ConflictError while a run is under way by its lease, unless `force`; then its agent is fenced off.
        """
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

    def claim(self, sweep_id: str, **terms: Unpack[ClaimTerms]) -> Attempt | None:
        """Make an attempt of the pending run with the lowest number: intent first, before any process exists.

        The run becomes RUNNING and its history is emptied. None when no other run is pending or the sweep is not
        RUNNING.
        """
        ...

    def turn(self, sweep_id: str) -> AbstractContextManager[Turn | None]:
        """Let one after the other propose runs of a sweep: wait for one's turn, and give it back.

        It yields None when the turn did not come within some seconds, or too many wait. A courtesy among many agents,
        which keeps all but one from asking their engines in vain, and no promise: `add_run`, `add_and_claim` and
        `claim` decide.
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

    def started(self, attempt: Attempt, *, pid: int, device: str = "", age_s: float = 0.0) -> None:
        """Record the attempt's process, which began `age_s` seconds ago. Raises FencedError."""
        ...

    def renew(self, attempts: Iterable[Attempt], *, lease_s: float) -> list[str]:
        """Extend the leases; return the ids of those that are no longer live (their processes must be killed)."""
        ...

    def report(self, attempt: Attempt, reports: Sequence[Report], *, metric: str | None, goal: str | None) -> None:
        """Append reports; a `seq` already there is ignored (so a resend is harmless). Raises FencedError.

        Updates the run's history (metric rows), best_metrics (best finite value by `goal`) and last_metrics.
        """
        ...

    def suggested(self, attempt: Attempt, params: Mapping[str, Any], proposal: Mapping[str, Any]) -> None:
        """Replace the parameters of a run, and what its engine noted: an objective's are suggested while it runs.

        Raises FencedError.
        """
        ...

    def begin_anew(self, attempt: Attempt) -> None:
        """Forget the attempt's reports: what its program reports from now on is the run's whole history.

        Raises FencedError. Their `seq` begins at 0 again.
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
        unsent: Unsent | None = None,
    ) -> RunRecord:
        """End the attempt (DONE) and put the run into `state`. Raises FencedError.

        `state` PENDING means another attempt shall be made; `failure` counts this one against the retries. What is
        `unsent` is recorded before, as `started` and `report` do.
        """
        ...

    def release(self, attempt: Attempt, *, reason: str) -> None:
        """Give the run back as PENDING; the attempt is RELEASED and counts for nothing. Raises FencedError."""
        ...

    def live_attempts(self, sweep_id: str) -> list[LiveAttempt]:
        """Return every attempt in state LIVE, with whether its lease is over by the database's clock."""
        ...

    def gpu_attempts(self, host: str) -> list[GpuAttempt]:
        """Return the live attempts of a host, of all sweeps, that were claimed for GPUs and whose lease holds.

        In the order in which they were claimed: of two that do not fit together the later one gives way.
        """
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

    def put_runs(self, sweep_id: str, runs: Sequence[RunRecord]) -> list[RunRecord]:
        """Put runs that a server elsewhere keeps (W&B) into the record, by their ids; return those that changed.

        New ones get the next numbers in the order given; what a run is found with here is overwritten, but its number
        and its parameters. They have no attempts: `claim` passes them over unless they are PENDING, which a caller
        does not give here. Raises StoreError when an id belongs to another sweep or to a run that was made here.
        """
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

    def keep_file(self, owner: str, name: str, data: bytes) -> None:
        """Keep a file in the record itself, for hosts that share no folder; one of that owner and name is replaced.

        An owner is a sweep's or a run's id, or a word of the caller's; a sweep that is removed takes its own along.
        """
        ...

    def kept_file(self, owner: str, name: str) -> bytes | None:
        """Return a kept file, None when there is none."""
        ...

    def forget_file(self, owner: str, name: str) -> None:
        """Take a kept file out of the record; one that is not there is fine."""
        ...

    def kept_files(self, owner: str) -> dict[str, str]:
        """Return the SHA-256 of each kept file of an owner, by its name."""
        ...

    def now(self) -> float:
        """Return the database's clock, seconds since the epoch."""
        ...

    def checkpoint(self) -> None:
        """Carry what is committed into the main file, where a record has one; others may read and write meanwhile."""
        ...

    def close(self) -> None:
        """Release every connection; further calls raise StoreError."""
        ...
