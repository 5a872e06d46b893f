"""Damaged cells of attempts, put right from their runs: an attempt has no file of its own to be read from."""

from typing import Any

import sqlalchemy as sa

from sweepkit.model.records import AttemptState, RunRecord
from sweepkit.store import records
from sweepkit.store.cells import ATTEMPT_CELLS, DamagedCell, damaged_in
from sweepkit.store.schema import ATTEMPTS, RUNS

_RUN = sa.select(RUNS).where(RUNS.c.run_id == sa.bindparam("b_run"))
_MEND = sa.update(ATTEMPTS).where(ATTEMPTS.c.attempt_id == sa.bindparam("b_attempt"))


def mend_attempts(connection: sa.Connection) -> list[DamagedCell]:
    """Give every damaged cell of an attempt what its run says of it, or what is written of one that is not known.

    A live attempt whose lease cannot be read keeps none: its run may be taken by the next agent.

    Returns:
        The cells that were mended.
    """
    damaged = [(row, cells) for row in connection.execute(sa.select(ATTEMPTS)) if (cells := _damaged(row))]
    for row, cells in damaged:
        found = connection.execute(_RUN, {"b_run": row.run_id}).one()
        right = _right(row, records.run_record(found), live=found.token is not None)
        values = {cell.column: right[cell.column] for cell in cells}
        connection.execute(_MEND, {"b_attempt": row.attempt_id, **values})
    return [cell for _, cells in damaged for cell in cells]


def _damaged(row: Any) -> list[DamagedCell]:
    return damaged_in(row, ATTEMPTS.name, "attempt_id", ATTEMPT_CELLS)


def _right(row: Any, run: RunRecord, *, live: bool) -> dict[str, Any]:
    """Return the cells of an attempt as its run has them.

    Args:
        row: The attempt's row.
        run: Its run.
        live: An attempt of the run is live.
    """
    ordinal = int(row.attempt_id.rpartition("-")[2])
    last = ordinal == run.attempts
    ended = last and run.state.done
    outcome = run.outcome if ended else {}
    state = AttemptState.LIVE if last and live else AttemptState.DONE if ended else AttemptState.LOST
    began = run.started_at if last and run.started_at is not None else run.created_at
    return {
        "state": state.value,
        "outcome": records.dump(outcome, f"attempt {row.attempt_id}: outcome"),
        "ordinal": ordinal,
        "reason": records.clean(run.reason) if ended else "",
        "agent_id": "",
        "host": str(outcome.get("host", "")),
        "pid": None,
        "device": str(outcome.get("device", "")),
        "claimed_at": began,
        "started_at": run.started_at if last else None,
        "ended_at": run.ended_at if ended else None,
        "lease_until": began,
    }
