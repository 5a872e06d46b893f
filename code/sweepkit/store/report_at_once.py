"""A report to PostgreSQL as one statement: the lock of the sweep's row is held for no step of its client.

All writes of a sweep come one after the other, see `schema.SWEEPS`. A transaction of five statements holds that lock
for as many ways to the client and back, and where a hundred agents share a network or a processor this is what they
wait for. What cannot be said so (reports out of order, history that fills a chunk, an attempt that is not live any
more) is left to the transaction.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from sweepkit.store import records, writes
from sweepkit.store import statements as q
from sweepkit.store.base import Attempt, Report
from sweepkit.store.session import StoreSession

# The run's row is looked at when the sweep's is locked, and again as it is written: as it is then, not as it was when
# the statement began.
_REPORT = sa.text(
    """
WITH bumped AS (
    UPDATE sweeps SET change = change + 1
    WHERE sweep_id = :b_sweep AND EXISTS (
        SELECT 1 FROM runs
        WHERE run_id = :b_run AND attempt_id = :b_attempt AND token = :b_token AND next_seq = :b_next)
    RETURNING change
), reported AS (
    UPDATE runs SET history = :history, n_chunks = :n_chunks, next_seq = :next_seq, best_metrics = :best_metrics,
        last_metrics = :last_metrics, change = (SELECT change FROM bumped)
    WHERE run_id = :b_run AND attempt_id = :b_attempt AND token = :b_token AND next_seq = :b_next
        AND EXISTS (SELECT 1 FROM bumped)
    RETURNING attempt_id
)
INSERT INTO reports (attempt_id, seq, metrics, step, reported_at)
SELECT reported.attempt_id, new.* FROM reported, unnest(
    CAST(:seqs AS BIGINT[]), CAST(:metrics AS TEXT[]), CAST(:steps AS BIGINT[]), CAST(:times AS DOUBLE PRECISION[])
) AS new
"""
)


def report_at_once(
    session: StoreSession, attempt: Attempt, reports: Sequence[Report], metric: tuple[str | None, str | None]
) -> bool:
    """Record reports; return whether that was possible so, else nothing was written.

    Args:
        session: Of PostgreSQL.
        attempt: Whose reports they are.
        reports: By seq, each once.
        metric: Name and goal.

    Raises:
        StoreError: The database refused.
    """
    row = session.read_at_once(q.FENCED_RUN, writes.fence(attempt))
    if row is None or not reports or reports[0].seq < row.next_seq:
        return False
    try:
        update = writes.appended(row, reports, metric)
    except (ValueError, TypeError):  # a damaged cell
        return False
    if len(update["history"]) > records.TAIL_CHARS:
        return False
    rows = [writes.report_row(attempt, report) for report in reports]
    columns = {"seqs": "seq", "metrics": "metrics", "steps": "step", "times": "reported_at"}
    values: dict[str, Any] = {name: [row[column] for row in rows] for name, column in columns.items()}
    key = {**writes.fence(attempt), "b_sweep": attempt.run.sweep_id, "b_next": row.next_seq}
    return session.write_at_once(_REPORT, {**key, **update, **values}) > 0
