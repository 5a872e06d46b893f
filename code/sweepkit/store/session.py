"""Transactions on either database: who may write when, what is tried again, and what an error means to a user."""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy import event, exc

from sweepkit.called import typed
from sweepkit.errors import RecordLostError, StoreError
from sweepkit.store.file_guard import FileFault, FileGuard
from sweepkit.store.quick import transaction

T = TypeVar("T")
WRITE = "sweepkit_write"
RESCUED = ".rescued-"  # in the name of a copy that was made when a file was removed under its sweep
_RETRIES = 5
_MOST_IDLE = 4
# PostgreSQL: serialization_failure, deadlock_detected. Nothing of the transaction was kept, so it may run again.
_RETRY_STATES = {"40001", "40P01"}
# Pools that a fork copied: kept, never closed. Closing a SQLite connection of the parent in the child would drop the
# parent's file locks; closing a PostgreSQL one would end the parent's session.
_parents_pools: list[tuple[sa.Pool, list[sa.PoolProxiedConnection]]] = []
_file_locks: dict[str, threading.Lock] = {}
_held_over_fork: list[threading.Lock] = []
# Longer than SQLite's busy timeout: the holder has ended by then, or is the forking thread itself.
_FORK_WAIT_S = 35.0


def file_lock(path: str) -> threading.Lock:
    """Return this process's lock for writes to a SQLite file, named by its real path.

    SQLite's busy handler sleeps up to 100 ms between tries; threads of one process should hand over at once instead.
    """
    return _file_locks.setdefault(path, threading.Lock())


def _before_fork() -> None:
    # SQLite keeps the locks of a process's connections in memory, which a fork copies: a child made in the middle of
    # another thread's transaction would find the file locked for ever.
    _held_over_fork.extend(lock for lock in list(_file_locks.values()) if lock.acquire(timeout=_FORK_WAIT_S))


def _after_fork_in_parent() -> None:
    while _held_over_fork:
        _held_over_fork.pop().release()


def _after_fork_in_child() -> None:
    _held_over_fork.clear()
    _file_locks.clear()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


class StoreSession:
    """One engine with its rules for transactions. Safe for threads; a forked child gets connections of its own.

    A process that forks while another of its threads reads is on its own, as with any library: fork first.

    Args:
        engine: SQLite (pysqlite) or PostgreSQL (psycopg 3).
        label: How messages name the store; holds no password.
        secrets: Texts that no message may show (passwords).
        path: The SQLite file's real path, "" for PostgreSQL.
        guarded: The file is written here: look with every transaction whether it is still the same and whole.
    """

    def __init__(
        self, engine: sa.Engine, *, label: str, secrets: tuple[str, ...] = (), path: str = "", guarded: bool = False
    ) -> None:
        self.label = label
        self._engine = engine
        self._writer = engine.execution_options(**{WRITE: True})
        self._at_once = engine if path else engine.execution_options(isolation_level="AUTOCOMMIT")
        self._secrets = secrets
        self._path = path
        self._lock = file_lock(path) if path else None
        self._pid = os.getpid()
        self._closed = False
        self._guard = FileGuard(path) if guarded else None
        self._lost: RecordLostError | None = None
        self._idle: list[sa.PoolProxiedConnection] = []
        if self._guard is not None:
            event.listen(engine, "close", self._forget_log)

    def write(self, work: Callable[[sa.Connection], T]) -> T:
        """Return what `work` returns, in one transaction that holds SQLite's write lock.

        `work` runs again when PostgreSQL asks for it (deadlock, serialization) or when a random id was taken, so it
        must draw its ids itself and touch nothing but the connection. An exception that it raises undoes everything.

        Raises:
            StoreError: The database refused; the record is as before.
        """
        self._check()

        def once() -> T:
            with self._lock or contextlib.nullcontext(), self._writer.begin() as connection:
                return work(connection)

        with self.errors(), self._guarded():
            return _tried(once)

    def read(self, work: Callable[[sa.Connection], T]) -> T:
        """Return what `work` returns; on SQLite all its statements see one state of the record.

        Raises:
            StoreError: The database refused.
        """
        self._check()
        with self.errors(), self._guarded(), self._reading() as connection:
            return work(connection)

    def write_quickly(self, work: Callable[[sa.Connection], T]) -> T:
        """Do `write`; on SQLite with a connection that can do no more than `quick` says."""
        lock = self._lock
        if lock is None:
            return self.write(work)
        self._check()

        def once() -> T:
            with lock:
                return self._quickly(work, begin="BEGIN IMMEDIATE")

        with self.errors(), self._guarded():
            return _tried(once)

    def read_quickly(self, work: Callable[[sa.Connection], T]) -> T:
        """Do `read`; on SQLite with a connection that can do no more than `quick` says."""
        if not self._path:
            return self.read(work)
        self._check()
        with self.errors(), self._guarded():
            return self._quickly(work, begin="BEGIN")

    def _quickly(self, work: Callable[[sa.Connection], T], *, begin: str) -> T:
        return self._with_raw(lambda raw: transaction(raw, work, begin=begin))

    def _with_raw(self, use: Callable[[sqlite3.Connection], T]) -> T:
        """Return what `use` returns of SQLite's own connection, which it leaves outside of a transaction.

        The ways out of the engine's pool and back cost as much as a short transaction: a few stay out of it, and the
        newest is taken first, for what one connection writes empties the caches of all others.
        """
        try:
            pooled = self._idle.pop()
        except IndexError:
            pooled = self._engine.raw_connection()
        try:
            found = use(cast(sqlite3.Connection, pooled.driver_connection))
        except BaseException:
            pooled.close()
            raise
        if self._guard is not None and len(self._idle) < _MOST_IDLE:  # who only reads may have to open the file anew
            self._idle.append(pooled)
        else:
            pooled.close()
        return found

    def _reading(self) -> AbstractContextManager[sa.Connection]:
        """Return a connection to read by, without a transaction on PostgreSQL.

        There each statement sees what is committed by then, in one or not, whose begin and end are two ways more.
        """
        return self._engine.begin() if self._path else self._at_once.connect()

    @property
    def is_shared(self) -> bool:
        """Whether many hosts may write, and wait for each other: PostgreSQL."""
        return not self._path

    def read_at_once(self, statement: sa.Executable, values: Mapping[str, Any]) -> sa.Row[Any] | None:
        """Return the first row of a statement that is a transaction by itself; PostgreSQL's alone.

        Raises:
            StoreError: The database refused.
        """
        self._check()
        with self.errors(), self._at_once.connect() as connection:
            return connection.execute(statement, values).first()

    def write_at_once(self, statement: sa.Executable, values: Mapping[str, Any]) -> int:
        """Return how many rows a statement wrote that is a transaction by itself; PostgreSQL's alone.

        Tried again as `write` does.

        Raises:
            StoreError: The database refused; the record is as before.
        """
        self._check()

        def once() -> int:
            with self._at_once.connect() as connection:
                return connection.execute(statement, values).rowcount

        with self.errors():
            return _tried(once)

    @contextmanager
    def connected(self) -> Iterator[sa.Connection]:
        """Yield a connection of the caller's own, in a transaction that he ends; PostgreSQL's alone.

        What happens inside is not looked at; an error of the database is to be taken through `errors`.

        Raises:
            StoreError: The database refused.
        """
        self._check()
        with self.errors():
            connection = self._engine.connect()
        try:
            yield connection
        finally:
            with contextlib.suppress(exc.SQLAlchemyError):  # its session was ended
                connection.close()

    def checkpoint(self) -> None:
        """Carry what is committed from SQLite's write-ahead log into the file, as far as nobody reads the older state.

        A copy of the file alone (`cp`) then holds nearly all of the record. Waits for nobody.

        Raises:
            StoreError: The database refused.
        """
        if not self._path:
            return
        self._check()
        with self.errors(), self._guarded(), self._engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")

    def close(self) -> None:
        """Close the connections; later calls raise StoreError. Closing twice is harmless."""
        self._closed = True
        if os.getpid() == self._pid:
            while self._idle:
                self._idle.pop().close()
            self._engine.dispose()

    def _check(self) -> None:
        if self._closed:
            raise StoreError(f"{self.label}: is closed; open it again")
        if os.getpid() != self._pid:
            self._after_fork()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Look at the file before a transaction, and again after it: what was committed may be in a file without name.

        Raises:
            RecordLostError: It is not there any more, is another one, or was cut.
        """
        if self._guard is None:
            yield
            return
        self._look(connected=False)
        yield
        self._look(connected=True)

    def _look(self, *, connected: bool) -> None:
        assert self._guard is not None
        if self._lost is None:
            fault = self._guard.look(connected=connected)
            if fault is None:
                return
            self._lost = self._lose(fault)
        raise self._lost

    def _lose(self, fault: FileFault) -> RecordLostError:
        """Save what the connections still hold; return the error that says where it is and what to do."""
        copy = self._rescue() if fault.readable else None
        saved = f" (what it held is saved in {copy})" if copy else ""
        return RecordLostError(
            f"{self.label}: the file must stay as it is while sweeps run, but {fault.what}; no further run is started, "
            "and the ends of those under way are kept beside their logs; when they have ended, run "
            f"`{typed('db', 'repair')}`{saved}, then the same command again"
        )

    def _rescue(self) -> str | None:
        """Copy the record from the file without a name to one beside its old place; None where that cannot be done."""
        copy = f"{self._path}{RESCUED}{os.getpid()}"
        try:
            with contextlib.closing(sqlite3.connect(copy)) as target:
                self._with_raw(lambda raw: raw.backup(target))
        except (sqlite3.Error, exc.SQLAlchemyError, OSError):
            return None
        return copy

    def _after_fork(self) -> None:
        _parents_pools.append((self._engine.pool, self._idle))
        self._idle = []
        self._engine.dispose(close=False)
        self._lock = file_lock(self._path) if self._path else None
        self._pid = os.getpid()
        self._forget_log()

    def _forget_log(self, *_: object) -> None:
        if self._guard is not None:
            self._guard.forget_log()

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn an error of the database into a StoreError that says what to do."""
        try:
            yield
        except (exc.SQLAlchemyError, sqlite3.Error) as error:
            kind = RecordLostError if self._guard is not None and _is_damage(error) else StoreError
            raise kind(explain(error, self.label, self._secrets)) from error
        except UnicodeDecodeError as error:  # sqlite3 fails to say what is malformed: its message names a damaged text
            kind = StoreError if self._guard is None else RecordLostError
            damage = sqlite3.DatabaseError("malformed: a text in it is no UTF-8")
            raise kind(explain(damage, self.label, self._secrets)) from error


def _tried(once: Callable[[], T]) -> T:
    """Return what a transaction returns; it runs again when a random id was taken or PostgreSQL asks for it."""
    for _ in range(_RETRIES - 1):
        try:
            return once()
        except (exc.DBAPIError, sqlite3.IntegrityError) as error:
            if not _may_retry(error):
                raise
    return once()


def _may_retry(error: exc.DBAPIError | sqlite3.IntegrityError) -> bool:
    if isinstance(error, exc.IntegrityError | sqlite3.IntegrityError):
        return True
    return getattr(error.orig, "sqlstate", None) in _RETRY_STATES


def _is_damage(error: Exception) -> bool:
    return any(words in str(error) for words in ("malformed", "not a database"))


_ADVICE = (
    ("locked", "another process kept the file locked for 30 s; find it (fuser FILE), or give each host its own file"),
    ("readonly", "the file or its folder cannot be written; mend its permissions, or name another --storage"),
    ("unable to open", "it may not be opened, or not be made there; mend its permissions, or name another --storage"),
    ("not a database", "the file is something else; name another --storage"),
    ("malformed", f"the file is damaged; run `{typed('db', 'repair')}`, which keeps it and makes a whole one"),
    ("full", "the disk is full; free some space and run the same command again"),
    ("disk i/o", "the disk failed or is full; look at dmesg and df"),
    ("already exists", "it holds tables of another program; name another database"),
    ("no such table", "the file was replaced under us; run the command again"),
    ("password", "check user and password of the URL, or ~/.pgpass"),
    ("does not exist", "create it (createdb NAME), or correct the URL"),
    ("permission denied", "give this user the right to create tables there, or name another database"),
    ("connect", "check that the server runs and that host and port of the URL are right"),
)


def explain(error: Exception, label: str, secrets: tuple[str, ...] = ()) -> str:
    """Return a database error as our message: where, what was got, what to do; never with a password."""
    original = getattr(error, "orig", None) or error
    got = " ".join(str(original).split())
    for secret in secrets:
        got = got.replace(secret, "***")
    lower = got.lower()
    advice = next((text for key, text in _ADVICE if key in lower), "run the command again; if it stays, report it")
    return f"{label}: the store must be readable and writable, got: {got}; {advice}"
