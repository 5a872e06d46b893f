"""Runs that a server elsewhere (W&B) keeps, put into the record as they are there, so that all else reads them here.

They have no attempts of ours: nobody claims them, no lease or token guards them, and the server's word is what counts.
Putting the same runs twice changes nothing, so whoever was killed in the middle starts again.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from sweepkit.errors import StoreError
from sweepkit.model.records import RunRecord
from sweepkit.store import records, writes
from sweepkit.store.schema import RUNS, SWEEPS

_OF_SWEEP = sa.select(RUNS).where(RUNS.c.sweep_id == sa.bindparam("b_sweep"))
_OWNER = sa.select(RUNS.c.sweep_id).where(RUNS.c.run_id == sa.bindparam("b_run"))
_COUNT = sa.update(SWEEPS).where(SWEEPS.c.sweep_id == sa.bindparam("b_sweep")).values(n_runs=sa.bindparam("b_n"))


def put_runs(connection: sa.Connection, sweep_id: str, runs: Sequence[RunRecord]) -> list[RunRecord]:
    """Write runs by their ids in the caller's transaction; see `Store.put_runs`.

    Raises:
        Undo: Nothing has changed.
        StoreError: A run is another sweep's, or was made here.
    """
    change, now = writes.bump(connection, sweep_id)
    known = {row.run_id: row for row in connection.execute(_OF_SWEEP, {"b_sweep": sweep_id})}
    number = max((row.number for row in known.values()), default=-1) + 1
    changed = []
    for run in runs:
        values = _values(run)
        row = known.get(run.run_id)
        if row is None:
            _check_free(connection, run)
            values |= {"run_id": run.run_id, "sweep_id": sweep_id, "number": number, "change": change}
            values |= {"params": records.dump(run.params, f"run {run.run_id}: params"), "proposal": "{}"}
            changed.append(writes.insert_run(connection, {**values, "created_at": run.created_at or now}))
            number += 1
            continue
        if row.attempts and row.attempt_id is not None:
            raise StoreError(f"run {run.run_id}: was made here, so it cannot be read from elsewhere; use another sweep")
        if all(getattr(row, name) == value for name, value in values.items()):
            continue
        update = sa.update(RUNS).where(RUNS.c.run_id == run.run_id).values(**values, change=change).returning(RUNS)
        changed.append(records.run_record(connection.execute(update).one()))
    if not changed:
        raise writes.Undo
    connection.execute(_COUNT, {"b_sweep": sweep_id, "b_n": number})
    return changed


def _values(run: RunRecord) -> dict[str, Any]:
    """Return the columns that the server may change."""
    what = f"run {run.run_id}"
    return {
        "state": run.state.value,
        "reason": records.clean(run.reason),
        "history": records.tail_text(run.history),
        "n_chunks": 0,
        "next_seq": len(run.history),
        "summary": None if run.summary is None else records.dump(records.number(run.summary), f"{what}: summary"),
        "best_metrics": records.dump(run.best_metrics, f"{what}: best metrics"),
        "last_metrics": records.dump(run.last_metrics, f"{what}: last metrics"),
        "attempts": run.attempts,
        "failures": run.failures,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "outcome": records.dump(run.outcome, f"{what}: outcome"),
    }


def _check_free(connection: sa.Connection, run: RunRecord) -> None:
    """Refuse an id that a run of another sweep has: files and records are found by it."""
    if connection.execute(_OWNER, {"b_run": run.run_id}).first() is not None:
        raise StoreError(
            f"run {run.run_id}: is recorded in another sweep already; read this one into another record: "
            "--output-dir or --storage names one"
        )
