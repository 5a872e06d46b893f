"""A sweep put back into a record from what its files say. Every function runs in the caller's transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from sweepkit.errors import StoreError
from sweepkit.model.records import Attempt, AttemptState, Report, RunRecord, SweepRecord
from sweepkit.model.runs import RunState
from sweepkit.store import records, writes
from sweepkit.store import statements as q
from sweepkit.store.cells import damaged_cells
from sweepkit.store.schema import ATTEMPTS, REPORTS, RUNS, SWEEPS

# Made once: a statement that is made anew for each run is compiled anew, which takes most of the time of many runs.
_INSERT_RUN, _INSERT_ATTEMPT = sa.insert(RUNS), sa.insert(ATTEMPTS)
_UPDATE_RUN = sa.update(RUNS).where(RUNS.c.run_id == sa.bindparam("b_run"))
_UPDATE_ATTEMPT = sa.update(ATTEMPTS).where(ATTEMPTS.c.attempt_id == sa.bindparam("b_attempt"))
_ATTEMPT_STATE = sa.select(ATTEMPTS.c.state).where(ATTEMPTS.c.attempt_id == sa.bindparam("b_attempt"))
_LOST = "not known: made again from the run's files"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoredRun:
    """A run as its files have it.

    Args:
        run: The run; `number` is a wish, its `history` is that of `reports`.
        reports: What its last attempt reported, by seq.
    """

    run: RunRecord
    reports: tuple[Report, ...] = ()


def restore(connection: sa.Connection, sweep: SweepRecord, runs: Sequence[RestoredRun]) -> list[RunRecord]:
    """Put a sweep and its runs into the record; see `SqlStore.restore`."""
    _put_sweep(connection, sweep)
    key = {"b_sweep": sweep.sweep_id}
    change = connection.execute(
        sa.update(SWEEPS)
        .where(SWEEPS.c.sweep_id == sweep.sweep_id)
        .values(change=SWEEPS.c.change + 1)
        .returning(SWEEPS.c.change)
    ).scalar_one()
    known = {row.run_id: records.run_record(row) for row in connection.execute(q.RUNS_SINCE, {**key, "b_since": -1})}
    free = max((run.number for run in known.values()), default=-1) + 1
    taken = {run.number for run in known.values()}
    damaged = {cell.row for cell in damaged_cells(connection, REPORTS)}
    put = []
    for item in sorted(runs, key=lambda item: item.run.number):
        old = known.get(item.run.run_id)
        whole = old is not None and not old.reason.startswith(records.SET_ASIDE)
        if old is not None and whole and old.state.done:
            if item.reports and f"{old.run_id}-{old.attempts}" in damaged:
                _put_reports(connection, sweep, item)
            continue
        number = old.number if old else item.run.number
        if old is None and number in taken:
            number = free
        taken.add(number)
        free = max(free, number + 1)
        _put_run(connection, sweep, item, (number, change))
        put.append(item.run)
    _close_ranks(connection, sweep.sweep_id)
    return put


def _put_sweep(connection: sa.Connection, sweep: SweepRecord) -> None:
    """Insert the sweep unless it is there."""
    named = connection.execute(sa.select(SWEEPS.c.sweep_id).where(SWEEPS.c.name == sweep.name)).scalar()
    if named == sweep.sweep_id:
        return
    if named is not None:
        raise StoreError(
            f"sweep {sweep.name}: is recorded as another sweep ({named}); give it another record: --storage"
        )
    values = {
        "sweep_id": sweep.sweep_id,
        "name": records.clean(sweep.name),
        "family": records.clean(sweep.family),
        "generation": sweep.generation,
        "yaml": records.clean(sweep.text),
        "seed": str(sweep.seed),
        "metric": sweep.metric,
        "goal": sweep.goal,
        "state": sweep.state.value,
        "reason": sweep.reason,
        "created_at": sweep.created_at,
        "meta": records.dump(sweep.meta, f"sweep {sweep.name}: meta"),
        "n_runs": 0,
        "change": 0,
    }
    connection.execute(sa.insert(SWEEPS).values(**values))


def _put_run(connection: sa.Connection, sweep: SweepRecord, item: RestoredRun, place: tuple[int, int]) -> None:
    """Insert a run, or put it in the place of what is recorded of it; `place` is its number and the change counter."""
    run, (number, change) = item.run, place
    what = f"run {run.run_id}"
    values: dict[str, Any] = {
        "sweep_id": sweep.sweep_id,
        "number": number,
        "params": records.dump(run.params, f"{what}: params"),
        "proposal": records.dump(run.proposal, f"{what}: proposal"),
        "state": run.state.value,
        "reason": records.clean(run.reason),
        "history": "",
        "n_chunks": 0,
        "next_seq": 0,
        "summary": None if run.summary is None else records.dump(records.number(run.summary), f"{what}: summary"),
        "best_metrics": records.dump(run.best_metrics, f"{what}: best metrics"),
        "last_metrics": records.dump(run.last_metrics, f"{what}: last metrics"),
        "attempts": run.attempts,
        "failures": run.failures,
        "attempt_id": f"{run.run_id}-{run.attempts}" if run.attempts else None,
        "token": None,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "outcome": records.dump(run.outcome, f"{what}: outcome"),
        "change": change,
    }
    if not connection.execute(_UPDATE_RUN, {"b_run": run.run_id, **values}).rowcount:
        connection.execute(_INSERT_RUN, {"run_id": run.run_id, **values})
    for ordinal in range(1, run.attempts + 1):
        _put_attempt(connection, sweep, run, ordinal)
    if run.attempts:
        _put_reports(connection, sweep, item)


def _put_attempt(connection: sa.Connection, sweep: SweepRecord, run: RunRecord, ordinal: int) -> None:
    """Record an attempt as over: the last one with what its files say of it, those before as lost unless known."""
    attempt_id, last = f"{run.run_id}-{ordinal}", ordinal == run.attempts
    known = connection.execute(_ATTEMPT_STATE, {"b_attempt": attempt_id}).scalar()
    if known is not None and known != AttemptState.LIVE.value and not last:
        return
    ended = last and run.state is not RunState.PENDING
    values: dict[str, Any] = {
        "state": (AttemptState.DONE if ended else AttemptState.LOST).value,
        "reason": records.clean(run.reason) if ended else _LOST,
        "outcome": records.dump(run.outcome, f"run {run.run_id}: outcome") if ended else "{}",
        "ended_at": run.ended_at if ended else None,
    }
    if known is not None:
        connection.execute(_UPDATE_ATTEMPT, {"b_attempt": attempt_id, **values})
        return
    began = run.started_at if run.started_at is not None else run.created_at
    values |= {
        "attempt_id": attempt_id,
        "run_id": run.run_id,
        "sweep_id": sweep.sweep_id,
        "ordinal": ordinal,
        "token": records.new_token(),
        "agent_id": "",
        "host": str(run.outcome.get("host", "")) if ended else "",
        "device": str(run.outcome.get("device", "")) if ended else "",
        "claimed_at": began,
        "started_at": run.started_at if last else None,
        "lease_until": began,
    }
    connection.execute(_INSERT_ATTEMPT, values)


def _put_reports(connection: sa.Connection, sweep: SweepRecord, item: RestoredRun) -> None:
    """Put the reports of the run's last attempt in the place of those recorded, and what follows from them."""
    run = item.run
    attempt = Attempt(
        attempt_id=f"{run.run_id}-{run.attempts}", token="", run=run, ordinal=run.attempts, lease_until=0.0
    )
    for statement in (q.DROP_CHUNKS, q.DROP_REPORTS):
        connection.execute(statement, {"b_attempt": attempt.attempt_id})
    if not item.reports:
        return
    reports = [records.plain_report(report) for report in item.reports]
    writes.insert_reports(connection, attempt, reports)
    update = writes.append_reports(connection, attempt, writes.no_reports(), reports, (sweep.metric, sweep.goal))
    connection.execute(_UPDATE_RUN, {"b_run": run.run_id, **update})


def _close_ranks(connection: sa.Connection, sweep_id: str) -> None:
    """Number the runs without gaps, in their order, as the sweep counts them."""
    rows = connection.execute(
        sa.select(RUNS.c.run_id, RUNS.c.number).where(RUNS.c.sweep_id == sweep_id).order_by(RUNS.c.number)
    ).all()
    for number, row in enumerate(rows):
        if row.number != number:  # downwards only, in order: no number is taken twice on the way
            connection.execute(_UPDATE_RUN, {"b_run": row.run_id, "number": number})
    connection.execute(sa.update(SWEEPS).where(SWEEPS.c.sweep_id == sweep_id).values(n_runs=len(rows)))
