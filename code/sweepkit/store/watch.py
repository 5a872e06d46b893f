"""Read a record that others write: nothing is made, migrated or changed, on SQLite and PostgreSQL alike.

**SQLite.** A file in WAL mode that is open elsewhere is joined read-only. One that nobody has open (no write-ahead log
beside it) is read as immutable, so that not even SQLite's own files appear in its folder; each poll opens it anew, so a
writer that comes later is seen at the next poll.

**PostgreSQL.** The server itself refuses writes of the session.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.pool import NullPool

from sweepkit.errors import StoreError
from sweepkit.model.records import VALUE_FACT, RunRecord
from sweepkit.model.runs import ENDED_WELL, OPEN
from sweepkit.model.seeds import CONFIGURATION
from sweepkit.model.watched import EndedRuns, PollResult, WatchedAttempt
from sweepkit.store import records, schema, writes
from sweepkit.store import statements as q
from sweepkit.store.base import AttemptState
from sweepkit.store.cells import RUN_CELLS, UNREADABLE, mappings, moment_or_none, summary_value, tails
from sweepkit.store.open import (
    BUSY_TIMEOUT_S,
    connection_arguments,
    set_session,
)
from sweepkit.store.schema import ATTEMPTS, REPORTS, RUNS, SWEEPS, db_now
from sweepkit.store.session import StoreSession
from sweepkit.store.sql import SqlStore
from sweepkit.store.url import parse_url, postgresql_url, shown_url, url_secrets

_first, _last = REPORTS.alias("first"), REPORTS.alias("newest")
_SWEEP = sa.select(SWEEPS, db_now().label("now")).where(SWEEPS.c.sweep_id == sa.bindparam("b_sweep"))
# `next_seq` leads to the newest report by primary key: a poll costs the same however many reports there are.
_LIVE = (
    sa.select(
        ATTEMPTS,
        q.EXPIRED,
        RUNS.c.next_seq.label("reports"),
        _first.c.reported_at.label("first_report_at"),
        _last.c.reported_at.label("last_report_at"),
        _last.c.step.label("step"),
    )
    .join(RUNS, RUNS.c.run_id == ATTEMPTS.c.run_id)
    .outerjoin(_first, sa.and_(_first.c.attempt_id == ATTEMPTS.c.attempt_id, _first.c.seq == 0))
    .outerjoin(_last, sa.and_(_last.c.attempt_id == ATTEMPTS.c.attempt_id, _last.c.seq == RUNS.c.next_seq - 1))
    .where(
        ATTEMPTS.c.sweep_id == sa.bindparam("b_sweep"),
        ATTEMPTS.c.state == sa.literal_column(f"'{AttemptState.LIVE.value}'"),  # literal: the partial index is used
    )
    .order_by(RUNS.c.number)
)
# The last attempt of a run that is done ended with it: only those of the others, few by an index, are looked at.
_idle_ends = sa.union_all(
    sa.select(sa.func.max(RUNS.c.ended_at).label("ended_at")).where(RUNS.c.sweep_id == sa.bindparam("b_sweep")),
    sa.select(sa.func.max(ATTEMPTS.c.ended_at))
    .join(RUNS, RUNS.c.run_id == ATTEMPTS.c.run_id)
    .where(RUNS.c.sweep_id == sa.bindparam("b_sweep"), RUNS.c.state.in_(OPEN)),
).subquery()
_IDLE_SINCE = sa.select(sa.func.max(_idle_ends.c.ended_at))

# Runs that need no look at anything but these columns: neither do they say themselves what their value is, nor is their
# configuration one that the engine numbered, nor is a part of their history elsewhere.
_in_short = sa.and_(
    RUNS.c.state.in_(ENDED_WELL),
    RUNS.c.n_chunks == 0,
    RUNS.c.history != "",
    RUNS.c.started_at.is_not(None),
    RUNS.c.params.not_like("%NaN%"),  # which no two runs share, as Python compares it
    RUNS.c.outcome.not_like(f'%"{VALUE_FACT}"%'),
    RUNS.c.proposal.not_like(f'%"{CONFIGURATION}"%'),
)
_SHORT = tuple(field.name for field in fields(EndedRuns))
_PLAIN = {name: RUN_CELLS[name] for name in ("number", "reason", "attempts", "failures", "started_at", "ended_at")}
_WELL = {state.value: state for state in ENDED_WELL}
_ENDED = sa.select(*(RUNS.c[name] for name in _SHORT)).where(
    RUNS.c.sweep_id == sa.bindparam("b_sweep"), RUNS.c.change > sa.bindparam("b_since"), _in_short
)
_CHANGED = sa.select(sa.func.count()).where(  # by its index: a tenth of a look at the rows
    RUNS.c.sweep_id == sa.bindparam("b_sweep"), RUNS.c.change > sa.bindparam("b_since")
)
_OTHERS = q.RUNS_SINCE.where(sa.not_(_in_short))


class Watch(SqlStore):
    """A record opened for reading: `runs`, `sweeps`, … as in `Store`; every write raises StoreError."""

    def poll(self, sweep_id: str, since: int = 0, *, in_short: bool = False) -> PollResult | None:
        """Return what a monitor needs of a sweep; None when there is no such sweep.

        The cost is that of the runs changed after `since` and of the live attempts, not of the whole sweep.

        Args:
            sweep_id: Which sweep.
            since: The change counter of the poll before.
            in_short: Return most runs that ended well as `PollResult.ended`, in a tenth of the time.
        """
        key = {"b_sweep": sweep_id}

        def work(connection: sa.Connection) -> PollResult | None:
            row = connection.execute(_SWEEP, key).first()
            if row is None:
                return None
            ended, changed = _changed(connection, {**key, "b_since": since}, in_short=in_short)
            live = connection.execute(_LIVE, key).all()
            return PollResult(
                sweep=records.sweep_record(row),
                changed=changed,
                live=[_watched_attempt(attempt) for attempt in live],
                now=float(row.now),
                idle_since=None if live else _time_or_none(connection.scalar(_IDLE_SINCE, key)),
                change=max(since, row.change),
                ended=ended,
            )

        return self._session.read(work)


def _changed(
    connection: sa.Connection, key: Mapping[str, Any], *, in_short: bool
) -> tuple[EndedRuns | None, list[RunRecord]]:
    """Return the runs that changed: in short those that can be had so, where they are wanted so, and the others."""
    ended, others = None, _OTHERS if in_short else q.RUNS_SINCE
    if in_short and (rows := connection.execute(_ENDED, key).all()):
        try:
            ended = _in_columns(rows)
        except UNREADABLE:  # a cell is damaged: which, is said below
            others = q.RUNS_SINCE
        else:
            if connection.scalar(_CHANGED, key) == len(rows):
                return ended, []
    runs = connection.execute(others, key).all()
    return ended, [writes.with_history(connection, run) if run.n_chunks else records.run_record(run) for run in runs]


def _in_columns(rows: Sequence[sa.Row[Any]]) -> EndedRuns:
    """Return runs in short, each column decoded in one go. Raises ValueError and others when a cell is damaged."""
    columns = dict(zip(_SHORT, zip(*rows, strict=True), strict=True))
    for name, read in _PLAIN.items():
        for cell in set(columns[name]):
            read(cell)
    return EndedRuns(
        **{name: columns[name] for name in ("number", "run_id", "reason", "attempts", "failures")},
        params=mappings(columns["params"]),
        state=[_WELL[text] for text in columns["state"]],
        history=tails(columns["history"]),
        summary=[text and summary_value(text) for text in columns["summary"]],
        started_at=columns["started_at"],
        ended_at=columns["ended_at"],
        outcome=mappings(columns["outcome"]),
    )


def _time_or_none(value: Any) -> float | None:
    """Return the newest of several times; None without one, and where a damaged cell is taken for it."""
    try:
        return moment_or_none(value)
    except ValueError:
        return None


def _watched_attempt(row: sa.Row[Any]) -> WatchedAttempt:
    cells, _ = records.attempt_cells(row)  # which are damaged `sweepkit db check` says
    told = ("ordinal", "agent_id", "host", "pid", "device", "claimed_at", "started_at")
    return WatchedAttempt(
        run_id=row.run_id,
        attempt_id=row.attempt_id,
        **{column: cells[column] for column in told},
        expired=bool(row.expired),
        reports=row.reports,
        step=row.step,
        first_report_at=row.first_report_at,
        last_report_at=row.last_report_at,
    )


def open_watch(url_or_path: str | Path) -> Watch:
    """Open a record for reading.

    Args:
        url_or_path: As `open_store` takes it.

    Raises:
        StoreError: There is no record, an older or newer sweepkit wrote it, or it cannot be read. Nothing was made.
    """
    text = str(url_or_path)
    if isinstance(url_or_path, Path) or ":" not in text.split("/", 1)[0]:
        return _checked(_sqlite(Path(text)))
    url = parse_url(text)
    backend = url.drivername.split("+")[0]
    if backend == "sqlite" and url.database:
        return _checked(_sqlite(Path(url.database)))
    if backend in ("postgresql", "postgres"):
        return _checked(_postgresql(postgresql_url(url)))
    raise StoreError(
        f"--storage {shown_url(url)}: must be a file path, sqlite:///PATH or postgresql://USER@HOST/DATABASE, "
        f"got the scheme {url.drivername!r}; use one of these"
    )


def sqlite_url(path: Path) -> str:
    """Return the URL of a SQLite file, whatever characters its path has."""
    return sa.URL.create("sqlite", database=str(path.resolve())).render_as_string(hide_password=False)


def _sqlite(path: Path) -> StoreSession:
    path = path.expanduser()
    label = f"store {path}"
    if not path.is_file():
        raise StoreError(
            f"{label}: a record must be there to be watched, got no such file; "
            "start a sweep first, or name its --output-dir or --storage"
        )
    real = path.resolve()
    engine = sa.create_engine("sqlite+pysqlite://", creator=lambda: connect_read_only(real), poolclass=NullPool)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return StoreSession(engine, label=label, path=str(real))


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Return a connection to a SQLite file that cannot write, nor make the files of a write-ahead log beside it."""
    log = path.with_name(path.name + "-wal")
    try:
        in_use = log.stat().st_size > 0
    except OSError:
        in_use = False
    how = "mode=ro" if in_use else "mode=ro&immutable=1"
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?{how}",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        check_same_thread=False,
        isolation_level=None,
    )
    connection.execute("PRAGMA query_only=ON")
    return connection


def _postgresql(url: sa.URL) -> StoreSession:
    engine = sa.create_engine(
        url,
        isolation_level="REPEATABLE READ",  # all statements of a poll see one state
        pool_pre_ping=True,
        pool_size=2,
        connect_args=connection_arguments(url, "sweepkit monitor"),
        hide_parameters=True,
    )
    event.listen(engine, "connect", _set_read_only)
    label = f"store {shown_url(url.set(drivername='postgresql'))}"
    return StoreSession(engine, label=label, secrets=url_secrets(url))


def _set_read_only(connection: Any, _: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
    connection.commit()
    set_session(connection)


def _checked(session: StoreSession) -> Watch:
    """Return the record when this sweepkit can read it."""
    try:
        if not session.read(schema.applied):
            raise StoreError(
                f"{session.label}: a record must be there to be watched, got a database without one; "
                "start a sweep first, or name another --storage"
            )
        if todo := session.read(lambda connection: schema.missing(connection, session.label)):
            raise StoreError(
                f"{session.label}: must be as this sweepkit writes it, got one without {todo[0].name}; "
                "an older sweepkit made it: run its sweep with this one, which brings it up to date"
            )
    except BaseException:
        session.close()
        raise
    return Watch(session)
