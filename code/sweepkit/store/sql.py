"""The record in SQL, for SQLite and PostgreSQL alike. The promises stand in `base.Store`.

**Locks.** Each write of a run updates its sweep's row first (`statements.BUMP`). On PostgreSQL that row lock serialises
the writers of one sweep, gives one lock order (so no deadlock), and makes change numbers visible in order. On SQLite
BEGIN IMMEDIATE does the same for the file.

**Cost.** A call is one transaction of three or four statements, each by primary key or index. A run's history is text
on the run's row, so `runs()` is one query; beyond `records.TAIL_CHARS` the older part moves to `history_chunks`, so
appending stays linear in the number of reports, and each such long run costs `runs()` one query more.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar, Unpack

import sqlalchemy as sa

from sweepkit.errors import ConflictError
from sweepkit.model.runs import RunState
from sweepkit.store import imported, kept_files, records, writes
from sweepkit.store import statements as q
from sweepkit.store.base import (
    Attempt,
    AttemptRecord,
    AttemptState,
    ClaimTerms,
    GpuAttempt,
    LiveAttempt,
    Report,
    RunRecord,
    SweepRecord,
    SweepState,
    Unsent,
)
from sweepkit.store.cells import SWEEP_CELLS, DamagedCell, damaged_cells, damaged_in, mapping
from sweepkit.store.claims import Claim
from sweepkit.store.mend import mend_attempts
from sweepkit.store.report_at_once import report_at_once
from sweepkit.store.restore import RestoredRun, restore
from sweepkit.store.session import StoreSession
from sweepkit.store.turns import SqlTurn, turn

T = TypeVar("T")
_STATES = frozenset(state.value for state in RunState)


class SqlStore:
    """The record over a `StoreSession`. Made by `sweepkit.store.open.open_store`; may be used as a context manager."""

    def __init__(self, session: StoreSession) -> None:
        self._session = session

    @property
    def label(self) -> str:
        """Return how messages name the store: its path, or its URL without the password."""
        return self._session.label

    def __enter__(self) -> "SqlStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- sweeps -----------------------------------------------------------------------------------------------------
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
        """Return the sweep of that name and whether this call made it; see `Store.create_sweep`."""
        row: dict[str, Any] = {
            "name": records.clean(name),
            "family": records.clean(name if family is None else family),
            "generation": generation,
            "yaml": records.clean(text),
            "seed": str(seed),
            "metric": None if metric is None else records.clean(metric),
            "goal": goal,
            "meta": records.dump(meta or {}, f"sweep {name}: meta"),
        }

        def work(connection: sa.Connection) -> tuple[SweepRecord, bool]:
            found = connection.execute(q.SWEEP_BY_NAME, {"b_name": row["name"]}).first()
            if found is None:
                # PostgreSQL: somebody else may insert the name between; then the whole transaction runs again.
                connection.execute(q.INSERT_SWEEP, {**row, "sweep_id": records.new_id()})
                made = connection.execute(q.SWEEP_BY_NAME, {"b_name": row["name"]}).one()
                return records.sweep_record(made), True
            return records.sweep_record(found), False

        return self._session.write(work)

    def sweep(self, name: str) -> SweepRecord | None:
        """Return the sweep of that name, or None."""
        row = self._session.read(lambda c: c.execute(q.SWEEP_BY_NAME, {"b_name": records.clean(name)}).first())
        return None if row is None else records.sweep_record(row)

    def sweeps(self, family: str | None = None) -> list[SweepRecord]:
        """Return all sweeps (by family), or those of a family, oldest generation first."""
        if family is None:
            rows = self._session.read(lambda c: c.execute(q.ALL_SWEEPS).all())
            # One that is damaged is named where it is asked for; the others are not kept from their users by it.
            rows = [row for row in rows if not damaged_in(row, "sweeps", "sweep_id", SWEEP_CELLS)]
        else:
            rows = self._session.read(lambda c: c.execute(q.FAMILY, {"b_family": records.clean(family)}).all())
        return [records.sweep_record(row) for row in rows]

    def update_sweep(
        self,
        sweep_id: str,
        *,
        text: str | None = None,
        state: SweepState | None = None,
        reason: str | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> SweepRecord:
        """Change the given fields (`meta` key by key) and return the sweep; StoreError when there is none."""

        def work(connection: sa.Connection) -> SweepRecord:
            old = connection.execute(q.SWEEP_LOCKED, {"b_sweep": sweep_id}).first()
            if old is None:
                raise writes.unknown_sweep(sweep_id)
            merged = {**records.sweep_record(old).meta, **(meta or {})}
            new = {
                "yaml": old.yaml if text is None else records.clean(text),
                "state": old.state if state is None else SweepState(state).value,
                "reason": old.reason if reason is None else records.clean(reason),
                "meta": records.dump(merged, f"sweep {old.name}: meta"),
            }
            return records.sweep_record(connection.execute(q.UPDATE_SWEEP, {"b_sweep": sweep_id, **new}).one())

        return self._session.write(work)

    def rename_sweep(self, sweep_id: str, name: str, *, text: str) -> SweepRecord:
        """Give a sweep another name and YAML, as the first of its own family; see `Store.rename_sweep`."""

        def work(connection: sa.Connection) -> SweepRecord:
            taken = connection.execute(q.SWEEP_BY_NAME, {"b_name": records.clean(name)}).first()
            if taken is not None and taken.sweep_id != sweep_id:
                raise ConflictError(f"sweep {name!r}: must be a name that is free, got another sweep's; choose another")
            given = {"b_sweep": sweep_id, "b_name": records.clean(name), "yaml": records.clean(text)}
            row = connection.execute(q.RENAME_SWEEP, given).first()
            if row is None:
                raise writes.unknown_sweep(sweep_id)
            return records.sweep_record(row)

        return self._session.write(work)

    def remove_sweep(self, sweep_id: str, *, force: bool = False) -> None:
        """Forget a sweep with its runs, attempts and reports; see `Store.remove_sweep`."""

        def work(connection: sa.Connection) -> None:
            key = {"b_sweep": sweep_id}
            sweep = connection.execute(q.SWEEP_LOCKED, key).first()
            if sweep is None:
                raise writes.unknown_sweep(sweep_id)
            live = [row for row in connection.execute(q.LIVE_ATTEMPTS, key) if not row.expired]
            if live and not force:
                raise ConflictError(
                    f"sweep {sweep.name}: must have no run under way, got {len(live)}; stop or cancel it first"
                )
            kept_files.drop_of_sweep(connection, sweep_id)
            for statement in q.REMOVALS:
                connection.execute(statement, key)

        self._session.write(work)

    # --- runs -------------------------------------------------------------------------------------------------------
    def add_run(
        self,
        sweep_id: str,
        number: int,
        params: Mapping[str, Any],
        *,
        proposal: Mapping[str, Any] | None = None,
        cap: int | None = None,
    ) -> RunRecord | None:
        """Add a pending run, or return None; see `Store.add_run`."""
        row = _new_run(sweep_id, number, params, proposal)

        def work(connection: sa.Connection) -> RunRecord:
            change, now = writes.bump_add(connection, sweep_id, number, cap)
            values = {**row, "run_id": records.new_id(), "change": change, "created_at": now}
            return writes.insert_run(connection, values)

        return self._try(work)

    def claim(self, sweep_id: str, **terms: Unpack[ClaimTerms]) -> Attempt | None:
        """Make an attempt of the first pending run, or return None; see `Store.claim`."""
        # A look without the write lock first: idle agents ask often, and must not queue with those that write.
        if not self._session.read_quickly(lambda c: writes.any_pending(c, sweep_id)):
            return None
        claim = Claim(sweep_id=sweep_id, **terms)
        if self._session.is_shared:
            return self._try(claim.made_at_once)
        return self._try(claim.made, quickly=True)

    def turn(self, sweep_id: str) -> AbstractContextManager[SqlTurn | None]:
        """Let one after the other propose runs of a sweep; see `Store.turn`."""
        return turn(self._session, sweep_id)

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
        """Add a run and make its first attempt, or return None; see `Store.add_and_claim`."""
        row = _new_run(sweep_id, number, params, proposal)
        who = {"agent_id": records.clean(agent_id), "host": records.clean(host)}

        def work(connection: sa.Connection) -> Attempt:
            change, now = writes.bump_add(connection, sweep_id, number, cap)
            run_id, token = records.new_id(), records.new_token()
            values = {
                **row,
                "run_id": run_id,
                "state": RunState.RUNNING.value,
                "reason": writes.claimed_reason(1, who["host"]),
                "attempts": 1,
                "attempt_id": f"{run_id}-1",
                "token": token,
                "change": change,
                "created_at": now,
            }
            run = writes.insert_run(connection, values)
            return writes.insert_attempt(connection, run, token, who, (now, lease_s))

        return self._try(work, quickly=True)

    def retry(self, sweep_id: str, states: Iterable[RunState]) -> list[RunRecord]:
        """Put every run in one of those done states back to PENDING; see `Store.retry`. ValueError: one not done."""
        wanted = sorted({RunState(state) for state in states})
        if not_done := [state.value for state in wanted if not state.done]:
            raise ValueError(f"retry: states must be done ones, got {not_done}")
        if not wanted:
            return []

        def work(connection: sa.Connection) -> list[RunRecord]:
            change, _ = writes.bump(connection, sweep_id)
            values = {"b_sweep": sweep_id, "b_states": [state.value for state in wanted], "change": change}
            rows = connection.execute(q.RETRY_RUNS, values).all()
            if not rows:
                raise writes.Undo
            return sorted((writes.with_history(connection, row) for row in rows), key=lambda run: run.number)

        return self._try(work) or []

    def put_runs(self, sweep_id: str, runs: Sequence[RunRecord]) -> list[RunRecord]:
        """Put runs that a server elsewhere keeps into the record; see `Store.put_runs`."""
        return self._try(lambda connection: imported.put_runs(connection, sweep_id, runs)) or []

    def runs(self, sweep_id: str, *, since: int = 0) -> list[RunRecord]:
        """Return the runs changed after change counter `since`, by number."""
        key = {"b_sweep": sweep_id, "b_since": since}

        def work(connection: sa.Connection) -> list[RunRecord]:
            rows = connection.execute(q.RUNS_SINCE, key).all()
            if not any(row.n_chunks for row in rows):
                return [records.run_record(row) for row in rows]
            return [writes.with_history(connection, row) for row in rows]

        return self._session.read_quickly(work)

    def counts(self, sweep_id: str) -> dict[RunState, int]:
        """Return the number of runs in each state."""
        rows = self._session.read_quickly(lambda c: c.execute(q.COUNTS, {"b_sweep": sweep_id}).all())
        known: dict[RunState, int] = {}
        for text, count in rows:
            state = RunState(text) if text in _STATES else RunState.FAILED  # damaged: as `run_record` has it
            known[state] = known.get(state, 0) + count
        return known

    # --- attempts ---------------------------------------------------------------------------------------------------
    def started(self, attempt: Attempt, *, pid: int, device: str = "", age_s: float = 0.0) -> None:
        """Record the attempt's process; see `Store.started`. Raises FencedError."""

        def work(connection: sa.Connection) -> None:
            change, now = writes.bump(connection, attempt.run.sweep_id)
            writes.start_attempt(connection, attempt, (pid, device), (now - age_s, change))

        self._session.write_quickly(work)

    def renew(self, attempts: Iterable[Attempt], *, lease_s: float) -> list[str]:
        """Extend the leases; return the ids of those that are no longer live, in the order given."""
        mine = list(attempts)
        if not mine:
            return []

        def work(connection: sa.Connection) -> set[str]:
            lost = set()
            for attempt in sorted(mine, key=lambda attempt: attempt.attempt_id):  # one order: no deadlock
                values = {"b_attempt": attempt.attempt_id, "b_token": attempt.token, "b_lease": lease_s}
                if not connection.execute(q.RENEW, values).rowcount:
                    lost.add(attempt.attempt_id)
            return lost

        lost = self._session.write(work)
        return [attempt.attempt_id for attempt in mine if attempt.attempt_id in lost]

    def report(self, attempt: Attempt, reports: Sequence[Report], *, metric: str | None, goal: str | None) -> None:
        """Append reports; see `Store.report`. Raises FencedError."""
        ordered = writes.ordered(reports)
        if self._session.is_shared and report_at_once(self._session, attempt, ordered, (metric, goal)):
            return

        def work(connection: sa.Connection) -> None:
            change, _ = writes.bump(connection, attempt.run.sweep_id)
            if not writes.take_reports(connection, attempt, ordered, (metric, goal), change):
                raise writes.Undo

        self._try(work, quickly=True)

    def suggested(self, attempt: Attempt, params: Mapping[str, Any], proposal: Mapping[str, Any]) -> None:
        """Record what a run was suggested while it ran; see `Store.suggested`. Raises FencedError."""
        row = _new_run(attempt.run.sweep_id, attempt.run.number, params, proposal)
        new = {"params": row["params"], "proposal": row["proposal"]}

        def work(connection: sa.Connection) -> None:
            change, _ = writes.bump(connection, attempt.run.sweep_id)
            if not connection.execute(q.SUGGESTED_RUN, {**writes.fence(attempt), **new, "change": change}).rowcount:
                raise writes.fenced(attempt)

        self._session.write(work)

    def begin_anew(self, attempt: Attempt) -> None:
        """Forget the attempt's reports; see `Store.begin_anew`. Raises FencedError."""

        def work(connection: sa.Connection) -> None:
            change, _ = writes.bump(connection, attempt.run.sweep_id)
            if connection.execute(q.FENCED_RUN, writes.fence(attempt)).first() is None:
                raise writes.fenced(attempt)
            update = writes.drop_reports(connection, attempt)
            connection.execute(q.REPORTED_RUN, {"b_run": attempt.run.run_id, **update, "change": change})

        self._try(work)

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
        """End the attempt and put the run into `state`; see `Store.finish`. ValueError for RUNNING."""
        if state is RunState.RUNNING:
            raise ValueError("finish: state must be PENDING or a done one, got RUNNING")
        outcome_text = records.dump(outcome or {}, f"run {attempt.run.run_id}: outcome")
        values = {
            **writes.fence(attempt),
            "state": state.value,
            "reason": records.clean(reason) if state.done else "",
            "outcome": outcome_text,
            "summary": None if summary is None else records.dump(records.number(summary), "summary"),
            "b_failed": int(failure),
        }

        if unsent is not None and self._session.is_shared:
            self._send(attempt, unsent)
            unsent = None

        def work(connection: sa.Connection) -> RunRecord:
            change, now = writes.bump(connection, attempt.run.sweep_id)
            if unsent is not None:
                writes.take_unsent(connection, attempt, unsent, (now, change))
            row = connection.execute(
                q.FINISHED_RUN, {**values, "change": change, "ended_at": now if state.done else None}
            ).first()
            if row is None:
                raise writes.fenced(attempt)
            writes.end_attempt(connection, attempt.attempt_id, AttemptState.DONE, (reason, now), outcome_text)
            return writes.with_history(connection, row)

        return self._session.write_quickly(work)

    def _send(self, attempt: Attempt, unsent: Unsent) -> None:
        """Record what is unsent by itself: on PostgreSQL the lock of the sweep's row is not held for all of it."""
        if unsent.pid is not None:
            self.started(attempt, pid=unsent.pid, device=unsent.device, age_s=unsent.age_s)
        if unsent.reports:
            self.report(attempt, unsent.reports, metric=unsent.metric, goal=unsent.goal)

    def release(self, attempt: Attempt, *, reason: str) -> None:
        """Give the run back as PENDING; the attempt is RELEASED. Raises FencedError."""

        def work(connection: sa.Connection) -> None:
            change, now = writes.bump(connection, attempt.run.sweep_id)
            if not connection.execute(q.GIVE_BACK_RUN, {**writes.fence(attempt), "change": change}).rowcount:
                raise writes.fenced(attempt)
            writes.end_attempt(connection, attempt.attempt_id, AttemptState.RELEASED, (reason, now))

        self._session.write(work)

    def live_attempts(self, sweep_id: str) -> list[LiveAttempt]:
        """Return every attempt in state LIVE, with whether its lease is over by the database's clock."""
        rows = self._session.read(lambda c: c.execute(q.LIVE_ATTEMPTS, {"b_sweep": sweep_id}).all())
        return [
            LiveAttempt(
                attempt_id=row.attempt_id,
                token=row.token,
                run_id=row.run_id,
                agent_id=row.agent_id,
                host=row.host,
                pid=row.pid,
                lease_until=row.lease_until,
                expired=bool(row.expired),
            )
            for row in rows
        ]

    def gpu_attempts(self, host: str) -> list[GpuAttempt]:
        """Return the live attempts of a host that were claimed for GPUs; see `Store.gpu_attempts`."""
        rows = self._session.read(lambda c: c.execute(q.GPU_ATTEMPTS, {"b_host": records.clean(host)}).all())
        return [
            GpuAttempt(
                attempt_id=row.live_id,
                run=records.run_record(row),
                gpus=_claimed_for(row.claimed_for),
                claimed_at=row.claimed_at,
            )
            for row in rows
        ]

    def attempts(self, run_id: str) -> list[AttemptRecord]:
        """Return every attempt of a run, first to last."""
        rows = self._session.read(lambda c: c.execute(q.ATTEMPTS_OF_RUN, {"b_run": run_id}).all())
        return [records.attempt_record(row) for row in rows]

    def lose(self, attempt_id: str, token: str, *, reason: str) -> bool:
        """Mark a LIVE attempt LOST and its run PENDING, by compare-and-set; False when it was not live any more."""
        key = {"b_attempt": attempt_id, "b_token": token}

        def work(connection: sa.Connection) -> bool:
            found = connection.execute(q.LIVE_ATTEMPT, key).first()
            if found is None:
                raise writes.Undo
            change, now = writes.bump(connection, found.sweep_id)
            if not connection.execute(q.GIVE_BACK_RUN, {"b_run": found.run_id, **key, "change": change}).rowcount:
                raise writes.Undo  # another agent was faster, between the look and the lock
            writes.end_attempt(connection, attempt_id, AttemptState.LOST, (reason, now))
            return True

        return self._try(work) or False

    def reports(self, run_id: str, *, attempt_id: str | None = None) -> list[Report]:
        """Return the reports of an attempt (None: the run's last), by seq."""

        def work(connection: sa.Connection) -> Sequence[sa.Row[Any]]:
            wanted = attempt_id or connection.scalar(q.LAST_ATTEMPT, {"b_run": run_id})
            return connection.execute(q.REPORTS_OF, {"b_attempt": wanted}).all()

        return [writes.report_record(row) for row in self._session.read(work)]

    def keep_file(self, owner: str, name: str, data: bytes) -> None:
        """Keep a file in the record itself; see `Store.keep_file`."""
        self._session.write(lambda connection: kept_files.put(connection, owner, name, data))

    def kept_file(self, owner: str, name: str) -> bytes | None:
        """Return a kept file, None when there is none."""
        return self._session.read(lambda connection: kept_files.get(connection, owner, name))

    def forget_file(self, owner: str, name: str) -> None:
        """Take a kept file out of the record; see `Store.forget_file`."""
        self._session.write(lambda connection: kept_files.drop(connection, owner, name))

    def kept_files(self, owner: str) -> dict[str, str]:
        """Return the SHA-256 of each kept file of an owner, by its name."""
        return self._session.read(lambda connection: kept_files.listed(connection, owner))

    def now(self) -> float:
        """Return the database's clock, seconds since the epoch; its resolution is 1 ms on SQLite."""
        return float(self._session.read(lambda c: c.execute(q.NOW).scalar_one()))

    def restore(self, sweep: SweepRecord, runs: Sequence[RestoredRun]) -> list[RunRecord]:
        """Put a sweep and its runs into the record as their files have them; return the runs that were put.

        What is recorded and done is kept as it is. Raises StoreError when another sweep has the name.
        """
        return self._session.write(lambda connection: restore(connection, sweep, runs))

    def damaged_cells(self) -> list[DamagedCell]:
        """Return every cell that cannot be read; reads all of the record."""
        return self._session.read(lambda connection: list(damaged_cells(connection)))

    def mend_attempts(self) -> list[DamagedCell]:
        """Put right every damaged cell of an attempt; return them. Reads all attempts."""
        return self._session.write(mend_attempts)

    def checkpoint(self) -> None:
        """Carry what is committed into the main file, where a record has one."""
        self._session.checkpoint()

    def close(self) -> None:
        """Release every connection; further calls raise StoreError."""
        self._session.close()

    def _try(self, work: Callable[[sa.Connection], T], *, quickly: bool = False) -> T | None:
        """Return what `work` returns in a write transaction, or None when it raised Undo."""
        try:
            return self._session.write_quickly(work) if quickly else self._session.write(work)
        except writes.Undo:
            return None


def _new_run(
    sweep_id: str, number: int, params: Mapping[str, Any], proposal: Mapping[str, Any] | None
) -> dict[str, Any]:
    return {
        "sweep_id": sweep_id,
        "number": number,
        "params": records.dump(params, f"run {number}: params"),
        "proposal": records.dump(proposal or {}, f"run {number}: proposal"),
    }


def _claimed_for(text: str) -> tuple[str, ...]:
    """Return the GPUs that a live attempt was claimed for; () when the cell is damaged."""
    try:
        return tuple(map(str, mapping(text).get("gpus", ())))
    except (TypeError, ValueError):
        return ()
