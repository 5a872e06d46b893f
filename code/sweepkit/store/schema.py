"""The tables of the record and their versioned migrations.

Two descriptions stand here on purpose: the SQLAlchemy Core tables, which statements are built from, and the DDL text of
each migration, which is frozen once released (a later migration alters what an earlier one made). A test compares the
two on SQLite and on PostgreSQL.

JSON is kept as TEXT (see `records.dump`): NaN and infinities survive, Korean stays readable, and both databases agree.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles

from sweepkit.errors import StoreError

METADATA = sa.MetaData()
# Of many that make tables on PostgreSQL at once one does, until its transaction ends. Any constant will do; it only has
# to be the same in every sweepkit. "swkt" in ASCII.
ADVISORY_LOCK = "SELECT pg_advisory_xact_lock(1937206132)"

SWEEPS = sa.Table(
    "sweeps",
    METADATA,
    sa.Column("sweep_id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("family", sa.Text, nullable=False),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("yaml", sa.Text, nullable=False),
    sa.Column("seed", sa.Text, nullable=False),  # text: a seed may exceed 64 bits
    sa.Column("metric", sa.Text),
    sa.Column("goal", sa.Text),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("meta", sa.Text, nullable=False),
    # Every write to a run of the sweep updates this row first. That makes `n_runs` exact, hands out `change` in the
    # order of commits (a sequence would let a reader see 6 before 5 and miss 5), and gives one lock order.
    sa.Column("n_runs", sa.BigInteger, nullable=False),
    sa.Column("change", sa.BigInteger, nullable=False),
)

RUNS = sa.Table(
    "runs",
    METADATA,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("sweep_id", sa.Text, sa.ForeignKey("sweeps.sweep_id"), nullable=False),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("params", sa.Text, nullable=False),
    sa.Column("proposal", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("history", sa.Text, nullable=False),  # the newest values, "1.0,NaN"; older ones in history_chunks
    sa.Column("n_chunks", sa.BigInteger, nullable=False),
    sa.Column("next_seq", sa.BigInteger, nullable=False),  # one more than the highest report of the last attempt
    sa.Column("summary", sa.Text),  # JSON number: SQLite has no NaN
    sa.Column("best_metrics", sa.Text, nullable=False),
    sa.Column("last_metrics", sa.Text, nullable=False),
    sa.Column("attempts", sa.BigInteger, nullable=False),
    sa.Column("failures", sa.BigInteger, nullable=False),
    sa.Column("attempt_id", sa.Text),  # the last attempt; with `token` the fence of every write
    sa.Column("token", sa.Text),  # the live attempt's token; NULL when none is live
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("started_at", sa.Double),
    sa.Column("ended_at", sa.Double),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("change", sa.BigInteger, nullable=False),
    sa.Index("runs_by_number", "sweep_id", "number", unique=True),
    sa.Index("runs_by_change", "sweep_id", "change"),
    sa.Index("runs_by_state", "sweep_id", "state", "number"),
)

ATTEMPTS = sa.Table(
    "attempts",
    METADATA,
    sa.Column("attempt_id", sa.Text, primary_key=True),
    sa.Column("run_id", sa.Text, sa.ForeignKey("runs.run_id"), nullable=False),
    sa.Column("sweep_id", sa.Text, sa.ForeignKey("sweeps.sweep_id"), nullable=False),
    sa.Column("ordinal", sa.BigInteger, nullable=False),
    sa.Column("token", sa.Text, nullable=False),
    sa.Column("agent_id", sa.Text, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("pid", sa.BigInteger),
    sa.Column("device", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("claimed_at", sa.Double, nullable=False),
    sa.Column("started_at", sa.Double),
    sa.Column("ended_at", sa.Double),
    sa.Column("lease_until", sa.Double, nullable=False),
    sa.Index("attempts_by_run", "run_id", "ordinal", unique=True),
)
# Both only `WHERE state = 'live'`, which the migrations' text has: to say it here, too, would import PostgreSQL's
# drivers, a tenth of a second of each command. The database itself refuses a second live attempt of a run, whatever the
# code above it does.
sa.Index("attempts_one_live", ATTEMPTS.c.run_id, unique=True)
sa.Index("attempts_live", ATTEMPTS.c.sweep_id)

REPORTS = sa.Table(
    "reports",
    METADATA,
    sa.Column("attempt_id", sa.Text, sa.ForeignKey("attempts.attempt_id"), primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("metrics", sa.Text, nullable=False),
    sa.Column("step", sa.BigInteger),
    sa.Column("reported_at", sa.Double, nullable=False),
)

HISTORY_CHUNKS = sa.Table(
    "history_chunks",
    METADATA,
    sa.Column("attempt_id", sa.Text, sa.ForeignKey("attempts.attempt_id"), primary_key=True),
    sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("history", sa.Text, nullable=False),
)

MIGRATIONS_TABLE = sa.Table(
    "migrations",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("applied_at", sa.Double, nullable=False),
)


class db_now(sa.sql.functions.FunctionElement[float]):  # noqa: N801 - reads as a function in a statement
    """The database's clock in seconds since the epoch, as a SQL expression."""

    type = sa.Double()
    inherit_cache = True


@compiles(db_now, "sqlite")
def _sqlite_now(element: db_now, compiler: Any, **_: Any) -> str:
    # julianday has a resolution of 1 ms; unixepoch('subsec') needs SQLite 3.42.
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(db_now, "postgresql")
def _postgresql_now(element: db_now, compiler: Any, **_: Any) -> str:
    # clock_timestamp() moves on inside a transaction that waited for a lock; now() would not.
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)"


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema, applied once and recorded by its name (never renamed after a release)."""

    name: str
    apply: Callable[[sa.Connection], None]


_M001 = """
CREATE TABLE sweeps (
    sweep_id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL UNIQUE, family TEXT NOT NULL, generation BIGINT NOT NULL,
    yaml TEXT NOT NULL, seed TEXT NOT NULL, metric TEXT, goal TEXT, state TEXT NOT NULL, reason TEXT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL, meta TEXT NOT NULL, n_runs BIGINT NOT NULL, change BIGINT NOT NULL);
CREATE TABLE runs (
    run_id TEXT NOT NULL PRIMARY KEY, sweep_id TEXT NOT NULL REFERENCES sweeps (sweep_id), number BIGINT NOT NULL,
    params TEXT NOT NULL, proposal TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL, history TEXT NOT NULL,
    n_chunks BIGINT NOT NULL, next_seq BIGINT NOT NULL, summary TEXT, best_metrics TEXT NOT NULL,
    last_metrics TEXT NOT NULL, attempts BIGINT NOT NULL, failures BIGINT NOT NULL, attempt_id TEXT, token TEXT,
    created_at DOUBLE PRECISION NOT NULL, started_at DOUBLE PRECISION, ended_at DOUBLE PRECISION,
    outcome TEXT NOT NULL, change BIGINT NOT NULL);
CREATE UNIQUE INDEX runs_by_number ON runs (sweep_id, number);
CREATE INDEX runs_by_change ON runs (sweep_id, change);
CREATE INDEX runs_by_state ON runs (sweep_id, state, number);
CREATE TABLE attempts (
    attempt_id TEXT NOT NULL PRIMARY KEY, run_id TEXT NOT NULL REFERENCES runs (run_id),
    sweep_id TEXT NOT NULL REFERENCES sweeps (sweep_id), ordinal BIGINT NOT NULL, token TEXT NOT NULL,
    agent_id TEXT NOT NULL, host TEXT NOT NULL, pid BIGINT, device TEXT NOT NULL, state TEXT NOT NULL,
    reason TEXT NOT NULL, outcome TEXT NOT NULL, claimed_at DOUBLE PRECISION NOT NULL, started_at DOUBLE PRECISION,
    ended_at DOUBLE PRECISION, lease_until DOUBLE PRECISION NOT NULL);
CREATE UNIQUE INDEX attempts_by_run ON attempts (run_id, ordinal);
CREATE UNIQUE INDEX attempts_one_live ON attempts (run_id) WHERE state = 'live';
CREATE INDEX attempts_live ON attempts (sweep_id) WHERE state = 'live';
CREATE TABLE reports (
    attempt_id TEXT NOT NULL REFERENCES attempts (attempt_id), seq BIGINT NOT NULL, metrics TEXT NOT NULL,
    step BIGINT, reported_at DOUBLE PRECISION NOT NULL, PRIMARY KEY (attempt_id, seq));
CREATE TABLE history_chunks (
    attempt_id TEXT NOT NULL REFERENCES attempts (attempt_id), position BIGINT NOT NULL, history TEXT NOT NULL,
    PRIMARY KEY (attempt_id, position));
"""


def m001_initial(connection: sa.Connection) -> None:
    """Create sweeps, runs, attempts, reports and history_chunks."""
    for statement in _M001.split(";"):
        if statement.strip():
            connection.exec_driver_sql(statement)


MIGRATIONS = (Migration("m001_initial", m001_initial),)


def applied(connection: sa.Connection) -> list[str]:
    """Return the names of the migrations that the database has; [] for an empty one.

    A record whose list of them is gone is known by its tables: those of the newest schema have had all of them.
    """
    names: list[str] = []
    if sa.inspect(connection).has_table(MIGRATIONS_TABLE.name):
        names = list(connection.scalars(sa.select(MIGRATIONS_TABLE.c.name).order_by(MIGRATIONS_TABLE.c.name)))
    return names or ([migration.name for migration in MIGRATIONS] if _has_our_tables(connection) else [])


def _has_our_tables(connection: sa.Connection) -> bool:
    found = sa.inspect(connection)
    tables = [table for table in METADATA.sorted_tables if table is not MIGRATIONS_TABLE]
    return all(
        found.has_table(table.name)
        and {column["name"] for column in found.get_columns(table.name)} == set(table.columns.keys())
        for table in tables
    )


def missing(connection: sa.Connection, label: str) -> list[Migration]:
    """Return the migrations still to apply, in order.

    Args:
        connection: Any connection to the database.
        label: How messages name the store.

    Raises:
        StoreError: The database has a migration that this sweepkit does not know.
    """
    names = applied(connection)
    # As text: a damaged record may hold anything for a name.
    unknown = sorted({str(name) for name in names} - {migration.name for migration in MIGRATIONS})
    if unknown:
        raise StoreError(
            f"{label}: was written by a newer sweepkit, got the unknown migration {', '.join(unknown)}; "
            "update sweepkit, or name another store with --storage"
        )
    return [migration for migration in MIGRATIONS if migration.name not in names]


def migrate(connection: sa.Connection, label: str) -> None:
    """Bring the schema up to date inside the caller's write transaction.

    The caller holds the database's write lock (SQLite) or takes the advisory lock here (PostgreSQL), so that of many
    first starts one creates the tables and the others find them.

    Raises:
        StoreError: As `missing`.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(ADVISORY_LOCK)
    todo = missing(connection, label)
    if not todo:
        return
    if not sa.inspect(connection).has_table(MIGRATIONS_TABLE.name):
        MIGRATIONS_TABLE.create(connection)
    for migration in todo:
        migration.apply(connection)
        connection.execute(MIGRATIONS_TABLE.insert().values(name=migration.name, applied_at=db_now()))
