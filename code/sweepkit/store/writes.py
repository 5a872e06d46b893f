"""The parts that the record's transactions share. Every function runs inside one and gets its connection."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from sweepkit.errors import FencedError, StoreError
from sweepkit.store import records
from sweepkit.store import statements as q
from sweepkit.store.base import Attempt, AttemptState, Report, RunRecord, Unsent
from sweepkit.store.cells import mapping


class Undo(Exception):  # noqa: N818 - no error: it ends a transaction that found nothing to do
    """Roll back; the call returns None."""


def unknown_sweep(sweep_id: str) -> StoreError:
    """Return the error for a sweep id that the store does not have."""
    return StoreError(f"sweep {sweep_id}: must be in the store, got no such id; take it from `sweeps()`")


def fenced(attempt: Attempt) -> FencedError:
    """Return the error for a write of an attempt that is not live any more."""
    return FencedError(
        f"attempt {attempt.attempt_id}: must be the live attempt of run {attempt.run.run_id} to write, "
        "but it has ended, was released or was declared lost; end its process, its results are not kept"
    )


def fence(attempt: Attempt) -> dict[str, Any]:
    """Return the parameters of a fenced statement."""
    return {"b_run": attempt.run.run_id, "b_attempt": attempt.attempt_id, "b_token": attempt.token}


def claimed_reason(ordinal: int | str, host: str) -> str:
    """Return why a run is RUNNING, in words."""
    return f"attempt {ordinal} on {host}"


def bump(connection: sa.Connection, sweep_id: str, statement: Any = q.BUMP, **key: Any) -> tuple[int, float]:
    """Lock the sweep; return its new change number and the database's time.

    Raises:
        Undo: The sweep is there, but the statement's own conditions do not hold.
        StoreError: There is no such sweep.
    """
    row = connection.execute(statement, {"b_sweep": sweep_id, **key}).first()
    if row is not None:
        return row.change, row.now
    _require_sweep(connection, sweep_id)
    raise Undo


def _require_sweep(connection: sa.Connection, sweep_id: str) -> None:
    """Raise StoreError unless the sweep is there."""
    if connection.execute(q.SWEEP_EXISTS, {"b_sweep": sweep_id}).first() is None:
        raise unknown_sweep(sweep_id)


def any_pending(connection: sa.Connection, sweep_id: str) -> bool:
    """Return whether a run waits; raises StoreError when there is no such sweep."""
    if connection.execute(q.ANY_PENDING, {"b_sweep": sweep_id}).first() is not None:
        return True
    _require_sweep(connection, sweep_id)
    return False


def bump_add(connection: sa.Connection, sweep_id: str, number: int, cap: int | None) -> tuple[int, float]:
    """Do `bump` and count one more run. Raises Undo when number, cap or state forbid it."""
    if cap is None:
        return bump(connection, sweep_id, q.BUMP_ADD, b_number=number)
    return bump(connection, sweep_id, q.BUMP_ADD_CAPPED, b_number=number, b_cap=cap)


def insert_run(connection: sa.Connection, row: dict[str, Any]) -> RunRecord:
    """Insert a run; every other column has its first value. Returns it as `runs()` would."""
    full = {**_FRESH_RUN, **row}
    connection.execute(q.INSERT_RUN, full)
    return records.run_record(_Row(full))


_FRESH_RUN: Mapping[str, Any] = {
    "state": "pending",
    "reason": "",
    "history": "",
    "n_chunks": 0,
    "next_seq": 0,
    "summary": None,
    "best_metrics": "{}",
    "last_metrics": "{}",
    "attempts": 0,
    "failures": 0,
    "attempt_id": None,
    "token": None,
    "started_at": None,
    "ended_at": None,
    "outcome": "{}",
}


class _Row:
    """A mapping read like a database row, so that a run just written needs no query to be returned."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.__dict__.update(values)


def insert_attempt(
    connection: sa.Connection,
    run: RunRecord,
    token: str,
    who: Mapping[str, str],
    lease: tuple[float, float],
    *,
    gpus: Sequence[str] = (),
) -> Attempt:
    """Insert the live attempt that `run` (as just claimed) belongs to.

    Args:
        connection: The transaction.
        run: The claimed run; its `attempts` is the ordinal.
        token: The attempt's secret.
        who: `agent_id` and `host`.
        lease: The database's time, and the lease's length in seconds.
        gpus: What it is claimed for; stands where its outcome will.
    """
    attempt = live_attempt(run, token, lease)
    values = {
        "attempt_id": attempt.attempt_id,
        "run_id": run.run_id,
        "sweep_id": run.sweep_id,
        "ordinal": attempt.ordinal,
        "token": token,
        "claimed_at": lease[0],
        "lease_until": attempt.lease_until,
        "outcome": claimed_for(gpus),
        **who,
    }
    connection.execute(q.INSERT_ATTEMPT, values)
    return attempt


def start_attempt(connection: sa.Connection, attempt: Attempt, process: tuple[int, str], at: tuple[float, int]) -> None:
    """Note an attempt's process.

    Args:
        connection: The transaction.
        attempt: The attempt.
        process: Its process and its device.
        at: The database's time at which it began, and the change number.

    Raises:
        FencedError: It is not live any more.
    """
    (pid, device), (began_at, change) = process, at
    run = {**fence(attempt), "started_at": began_at, "change": change}
    if not connection.execute(q.STARTED_RUN, run).rowcount:
        raise fenced(attempt)
    values = {"b_attempt": attempt.attempt_id, "pid": pid, "device": records.clean(device), "started_at": began_at}
    connection.execute(q.STARTED_ATTEMPT, values)


def take_unsent(connection: sa.Connection, attempt: Attempt, unsent: Unsent, at: tuple[float, int]) -> None:
    """Note what is unsent of an attempt; `at` is the database's time and the change number. Raises FencedError."""
    now, change = at
    if unsent.pid is not None:
        start_attempt(connection, attempt, (unsent.pid, unsent.device), (now - unsent.age_s, change))
    if unsent.reports:
        take_reports(connection, attempt, ordered(unsent.reports), (unsent.metric, unsent.goal), change)


def live_attempt(run: RunRecord, token: str, lease: tuple[float, float]) -> Attempt:
    """Return the attempt of a run as just claimed; `lease` is the database's time and the lease's length."""
    return Attempt(
        attempt_id=f"{run.run_id}-{run.attempts}",
        token=token,
        run=run,
        ordinal=run.attempts,
        lease_until=lease[0] + lease[1],
    )


def claimed_for(gpus: Sequence[str]) -> str:
    """Return what stands where the outcome of a live attempt will."""
    return records.dump({"gpus": list(gpus)} if gpus else {}, "gpus")


def end_attempt(
    connection: sa.Connection, attempt_id: str, state: AttemptState, end: tuple[str, float], outcome: str = "{}"
) -> None:
    """End an attempt whose fence was checked already; `end` is its reason and the database's time."""
    reason, now = end
    values = {"state": state.value, "reason": records.clean(reason), "outcome": outcome, "ended_at": now}
    connection.execute(q.END_ATTEMPT, {"b_attempt": attempt_id, **values})


def with_history(connection: sa.Connection, row: Any) -> RunRecord:
    """Return a row of `runs` as a value, its older history included."""
    older = ""
    if row.n_chunks:
        older = ",".join(connection.scalars(q.CHUNKS_OF, {"b_attempt": row.attempt_id}))
    return records.run_record(row, older)


def ordered(reports: Sequence[Report]) -> list[Report]:
    """Return reports by seq, as they are kept; the first of several with one seq counts, as in calls of their own."""
    given: dict[int, Report] = {}
    for report in reports:
        given.setdefault(report.seq, records.plain_report(report))
    return [given[seq] for seq in sorted(given)]


def take_reports(
    connection: sa.Connection,
    attempt: Attempt,
    reports: Sequence[Report],
    metric: tuple[str | None, str | None],
    change: int,
) -> bool:
    """Append reports to an attempt and its run; return whether any was new.

    Args:
        connection: The transaction.
        attempt: Whose they are.
        reports: By seq, each once (`ordered`).
        metric: Name and goal.
        change: The change number.

    Raises:
        FencedError: It is not live any more.
    """
    row = connection.execute(q.FENCED_RUN, fence(attempt)).first()
    if row is None:
        raise fenced(attempt)
    new = _unknown_reports(connection, attempt, reports, row.next_seq)
    if not new:
        return False
    insert_reports(connection, attempt, new)
    if new[0].seq >= row.next_seq:
        update = append_reports(connection, attempt, row, new, metric)
    else:
        update = _rebuild_reports(connection, attempt, row, metric)
    connection.execute(q.REPORTED_RUN, {"b_run": attempt.run.run_id, **update, "change": change})
    return True


def _unknown_reports(
    connection: sa.Connection, attempt: Attempt, reports: Sequence[Report], next_seq: int
) -> list[Report]:
    """Return those of `reports` (by seq) that the attempt does not have yet; no query when all are newer."""
    if not reports or reports[0].seq >= next_seq:
        return list(reports)
    known: set[int] = set()
    seqs = [report.seq for report in reports if report.seq < next_seq]
    for start in range(0, len(seqs), 500):  # SQLite limits the parameters of one statement
        key = {"b_attempt": attempt.attempt_id, "b_seqs": seqs[start : start + 500]}
        known.update(connection.scalars(q.KNOWN_SEQS, key))
    return [report for report in reports if report.seq not in known]


def insert_reports(connection: sa.Connection, attempt: Attempt, reports: Sequence[Report]) -> None:
    """Insert reports that are not there yet."""
    connection.execute(q.INSERT_REPORT, [report_row(attempt, report) for report in reports])


def report_row(attempt: Attempt, report: Report) -> dict[str, Any]:
    """Return the columns of a report."""
    return {
        "attempt_id": attempt.attempt_id,
        "seq": report.seq,
        "metrics": records.dump(report.values, f"report {report.seq}"),
        "step": report.step,
        "reported_at": report.time,
    }


def append_reports(
    connection: sa.Connection, attempt: Attempt, row: Any, new: Sequence[Report], metric: tuple[str | None, str | None]
) -> dict[str, Any]:
    """Return the run's columns after `new` reports; moves history to a chunk when the row's text is full.

    Args:
        connection: The transaction.
        attempt: Whose reports they are.
        row: The run's columns as they are (`statements.FENCED_RUN`).
        new: By seq, all newer than the recorded ones.
        metric: Name and goal.
    """
    try:
        update = appended(row, new, metric)
    except (ValueError, TypeError):  # a damaged cell: all that it held follows from the reports
        return _rebuild_reports(connection, attempt, row, metric)
    if len(update["history"]) <= records.TAIL_CHARS:
        return update
    chunk = {"attempt_id": attempt.attempt_id, "position": row.n_chunks, "history": update["history"]}
    connection.execute(q.INSERT_CHUNK, chunk)
    return {**update, "history": "", "n_chunks": row.n_chunks + 1}


def appended(row: Any, new: Sequence[Report], metric: tuple[str | None, str | None]) -> dict[str, Any]:
    """Return the run's columns after `new` reports, all newer than the recorded ones, however long its history is then.

    Args:
        row: The run's columns as they are (`statements.FENCED_RUN`).
        new: By seq.
        metric: Name and goal.

    Raises:
        ValueError, TypeError: A column is damaged.
    """
    best, last = mapping(row.best_metrics), mapping(row.last_metrics)
    before = records.FoldedReports(history=(), best=best, last=last)
    after = records.fold(before, new, metric=metric[0], goal=metric[1])
    text = records.tail_text(after.history) if after.history else ""
    return {
        "history": ",".join(filter(None, (row.history, text))),
        "n_chunks": row.n_chunks,
        "next_seq": max(row.next_seq, new[-1].seq + 1),
        # The same values as before need no new text.
        "best_metrics": row.best_metrics if after.best is before.best else records.dump(after.best, "best metrics"),
        "last_metrics": records.dump(after.last, "last metrics"),
    }


def _rebuild_reports(
    connection: sa.Connection, attempt: Attempt, row: Any, metric: tuple[str | None, str | None]
) -> dict[str, Any]:
    """Return the run's columns made anew from all reports: some came out of order, and history follows seq."""
    connection.execute(q.DROP_CHUNKS, {"b_attempt": attempt.attempt_id})
    reports = [report_record(report) for report in connection.execute(q.REPORTS_OF, {"b_attempt": attempt.attempt_id})]
    return append_reports(connection, attempt, no_reports(row.next_seq), reports, metric)


def no_reports(next_seq: int = 0) -> Any:
    """Return the columns of a run of which nothing was reported, as `append_reports` takes them."""
    return _Row({"history": "", "n_chunks": 0, "next_seq": next_seq, "best_metrics": "{}", "last_metrics": "{}"})


def drop_reports(connection: sa.Connection, attempt: Attempt) -> dict[str, Any]:
    """Delete an attempt's reports; return the run's columns without them."""
    for statement in (q.DROP_CHUNKS, q.DROP_REPORTS):
        connection.execute(statement, {"b_attempt": attempt.attempt_id})
    return {"history": "", "n_chunks": 0, "next_seq": 0, "best_metrics": "{}", "last_metrics": "{}"}


def report_record(row: Any) -> Report:
    """Return a row of `reports` as a value; one that is damaged reports nothing."""
    try:
        values = mapping(row.metrics)
    except (ValueError, TypeError):
        values = {}
    return Report(seq=row.seq, values=values, step=row.step, time=row.reported_at)
