"""Open a record by path or URL. Every way this can fail is a StoreError that says what to do."""

import os
import random
import sqlite3
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from sweepkit.called import typed
from sweepkit.errors import StoreError
from sweepkit.store import schema
from sweepkit.store.backup import copy_beside
from sweepkit.store.file_guard import damage_of
from sweepkit.store.session import WRITE, StoreSession, explain
from sweepkit.store.sql import SqlStore
from sweepkit.store.url import FORMS, parse_url, postgresql_url, shown_url, url_secrets

BUSY_TIMEOUT_S = 30.0
_CONNECT_TIMEOUT_S = 10
# A process that is frozen inside a transaction (SIGSTOP, a lost node) holds its sweep's row lock; the server ends its
# session after this long, half a lease, so that the others go on.
_IDLE_IN_TRANSACTION_S = 30
# A session costs the server memory and one of its `max_connections`: a thousand agents keep one or two each.
_IDLE_S = 20
# A cut network is silence: without these, whoever waits for an answer waits for ever, and the server keeps the locks of
# a client that it cannot hear (Linux's own keepalive begins after two hours). Either side knows within 25 s.
_SILENCE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 25_000}
_SERVER_SIDE = {
    "idle_in_transaction_session_timeout": f"{_IDLE_IN_TRANSACTION_S}s",
    "idle_session_timeout": f"{_IDLE_S}s",  # PostgreSQL 14 and newer
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "25000",  # milliseconds; PostgreSQL 12 and newer
}
_OLDEST_SQLITE = (3, 35, 0)  # RETURNING
_SQLITE_HEAD = b"SQLite format 3\0"
_NO_DATABASE = "file is not a database"  # in SQLite's words
_CHECKED_BYTES = 1 << 28  # a larger file is not read as a whole at each start: this much takes about 0.4 s


def open_store(url_or_path: str | Path) -> SqlStore:
    """Open the record, making file, folder and tables when they are not there yet.

    Args:
        url_or_path: A path, `sqlite:///PATH` (four slashes for an absolute one) or `postgresql://USER:PASSWORD@HOST/DB`.
            The file must lie on a local disk: SQLite's WAL does not work over a network file system.

    Raises:
        StoreError: The scheme is unknown, a driver is missing, the server does not answer, the file is no database, the
            folder cannot be written, or a newer sweepkit wrote the store. No message shows a password.
    """
    text = str(url_or_path)
    if isinstance(url_or_path, Path) or ":" not in text.split("/", 1)[0]:
        return _open_sqlite(Path(text))
    url = parse_url(text)
    backend = url.drivername.split("+")[0]
    if url.drivername in ("sqlite", "sqlite+pysqlite"):
        return _open_sqlite(_sqlite_path(url))
    if backend in ("postgresql", "postgres"):
        return _open_postgresql(postgresql_url(url))
    raise StoreError(
        f"--storage {shown_url(url)}: must be {FORMS}, got the scheme {url.drivername!r}; use one of these"
    )


def make_database(server: str, name: str) -> None:
    """Make an empty database on a PostgreSQL server, unless it is there.

    Args:
        server: The URL of any of its databases.
        name: Letters, digits and `_`.

    Raises:
        StoreError: The server does not take a connection, or refuses.
    """
    url = postgresql_url(parse_url(server)).set(database="postgres")
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", connect_args=connection_arguments(url, "sweepkit"))
    try:
        with engine.connect() as connection:
            known = sa.text("SELECT 1 FROM pg_database WHERE datname = :name")
            if connection.execute(known, {"name": name}).first() is None:
                connection.execute(sa.text(f'CREATE DATABASE "{name}"'))
    except sa.exc.SQLAlchemyError as error:
        raise StoreError(f"--storage {shown_url(url)}: the database {name} cannot be made: {error}") from error
    finally:
        engine.dispose()


def _sqlite_path(url: sa.URL) -> Path:
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise StoreError(
            f"--storage {shown_url(url)}: must name a file, got {url.database or 'none'}; "
            "a record in memory could be shared by no other process"
        )
    return Path(url.database)


# --- SQLite ---------------------------------------------------------------------------------------------------------
def _open_sqlite(path: Path) -> SqlStore:
    label = f"store {path}"
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise StoreError(
            f"{label}: SQLite must be 3.35 or newer, got {sqlite3.sqlite_version}; use a newer Python or PostgreSQL"
        )
    path = path.expanduser()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        real = str(path.resolve())
    except OSError as error:
        raise StoreError(
            f"{label}: its folder must be there or be made, got: {error}; name another --storage or --output-dir"
        ) from None
    _refuse_damage(real, label)
    try:
        _prepare_file(real, label)
    except sqlite3.Error as error:
        raise StoreError(explain(error, label)) from error
    engine = sa.create_engine(
        sa.URL.create("sqlite+pysqlite", database=real),
        connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False, "isolation_level": None},
        pool_size=4,
        max_overflow=60,
        pool_use_lifo=True,  # what another connection writes empties the cache of each: let all use one, if they can
    )
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", _begin)
    return _migrated(StoreSession(engine, label=label, path=real, guarded=True), Path(real))


def _refuse_damage(real: str, label: str) -> None:
    """Raise StoreError when the file was a record and is damaged: found now, not in the middle of a run."""
    try:
        size = os.stat(real).st_size
    except OSError:
        return  # there is none, or it cannot be read: said in its place
    if not size or size > _CHECKED_BYTES:
        return
    # By SQLite alone: whoever closes a file of his own lets go of all locks that his process has on it, those of its
    # other connections too, and the next process to leave would take the log away from under them.
    damage = damage_of(real)
    if damage == _NO_DATABASE and not _was_record(real):
        return
    if damage and not any(words in damage for words in ("locked", "readonly", "unable to open")):
        raise StoreError(
            f"{label}: must be a whole SQLite database, got a damaged one ({damage}); "
            f"run `{typed('db', 'repair')}`, which keeps it and makes a whole one"
        )


def _was_record(real: str) -> bool:
    """Return whether a file that SQLite takes for no database begins as one, or with what a lost block leaves."""
    with open(real, "rb") as file:
        return file.read(len(_SQLITE_HEAD)) in (_SQLITE_HEAD, bytes(len(_SQLITE_HEAD)))


def _prepare_file(real: str, label: str) -> None:
    connection = sqlite3.connect(real, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    try:
        switch_to_wal(connection, label)
    finally:
        connection.close()


def switch_to_wal(connection: sqlite3.Connection, label: str) -> None:
    """Put the file into WAL mode, however many processes try it at once.

    SQLite may answer "locked" without calling its busy handler where two waiting for each other would never end, so the
    switch is tried again for `BUSY_TIMEOUT_S`. (A precaution: 60 rounds of 8
    first starts with SQLite 3.40 did not need it.)

    Raises:
        StoreError: The file system has no shared memory for it, as network file systems.
        sqlite3.Error: The file is no database, cannot be written, or stays locked.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
            if mode != "wal":
                (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
            break
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(random.uniform(0.001, 0.02))
    if mode != "wal":
        raise StoreError(
            f"{label}: SQLite must be able to use its write-ahead log (WAL) there, got journal mode {mode!r}; "
            "the file system is probably a network one: put the store on a local disk, or use PostgreSQL"
        )


def _set_pragmas(connection: Any, _: Any) -> None:
    # NORMAL: a kill loses nothing, a power cut may lose the last commits but never the file; FULL is 50 times slower.
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin(connection: sa.Connection) -> None:
    # A transaction that reads before it writes cannot wait for its lock (SQLITE_BUSY_SNAPSHOT): writers ask first.
    write = connection.get_execution_options().get(WRITE)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


# --- PostgreSQL -----------------------------------------------------------------------------------------------------
def _open_postgresql(url: sa.URL) -> SqlStore:
    label = f"store {shown_url(url.set(drivername='postgresql'))}"
    engine = sa.create_engine(
        url,
        isolation_level="READ COMMITTED",
        pool_pre_ping=True,  # a server that was restarted, or a session it ended, costs no call
        pool_size=4,
        max_overflow=28,
        pool_use_lifo=True,  # so that those that are not needed fall idle, and the server ends them
        connect_args=connection_arguments(url, "sweepkit"),
        hide_parameters=True,
    )
    event.listen(engine, "connect", set_session)
    session = StoreSession(engine, label=label, secrets=url_secrets(url))
    encoding = session.read(lambda connection: connection.exec_driver_sql("SHOW server_encoding").scalar_one())
    if encoding != "UTF8":
        session.close()
        raise StoreError(
            f"{label}: the database must be encoded in UTF8, got {encoding}; "
            "make one: createdb --encoding=UTF8 --template=template0 NAME"
        )
    return _migrated(session)


def connection_arguments(url: sa.URL, application: str) -> dict[str, Any]:
    """Return what a connection to PostgreSQL is made with; what the URL says itself is left to it.

    Args:
        url: The database's.
        application: What the server shows of who is connected.
    """
    usual = {"connect_timeout": _CONNECT_TIMEOUT_S, "application_name": application, **_SILENCE}
    return {name: value for name, value in usual.items() if name not in url.query}


def set_session(connection: Any, _: Any = None) -> None:
    """Have the server give up a session that is silent: a listener of an engine's `connect`."""
    rows = ", ".join(["(%s, %s)"] * len(_SERVER_SIDE))
    known = (
        f"SELECT set_config(s.name, v.value, false) FROM pg_settings s JOIN (VALUES {rows}) v(name, value) USING (name)"
    )
    with connection.cursor() as cursor:
        cursor.execute(known, [word for pair in _SERVER_SIDE.items() for word in pair])
    connection.commit()


def _migrated(session: StoreSession, path: Path | None = None) -> SqlStore:
    try:
        # Looking first keeps every later start out of the queue for the write lock.
        if session.read(lambda connection: schema.missing(connection, session.label)):
            if path is not None and session.read(schema.applied):
                copy_beside(path)  # of the record as the older sweepkit wrote it
            session.write(lambda connection: schema.migrate(connection, session.label))
    except BaseException:
        session.close()
        raise
    return SqlStore(session)
