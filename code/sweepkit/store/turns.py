"""Of many agents that want a run at once one proposes, for all of them; the others wait for their turn and claim.

Who proposes without this finds that nearly always another agent was faster, and has asked its engine in vain. A turn is
a lock of PostgreSQL by the sweep's name, until the end of a transaction. In that transaction its owner claims a run, if
one waits: an agent that needs no more uses one connection for all. On SQLite, where few share a file, a turn comes at
once and nobody waits.

No more than a few wait in the database: each of hundreds in one queue asks after a second whether it is a deadlock,
which stops all locks of the server for as long as the queue is; and so 1,000 agents had 8 runs after five minutes. Who
finds no seat there comes again.
"""

import contextlib
import hashlib
from collections.abc import Iterator
from typing import Unpack

import sqlalchemy as sa
from sqlalchemy import exc

from sweepkit.store import writes
from sweepkit.store.base import Attempt, ClaimTerms
from sweepkit.store.claims import Claim
from sweepkit.store.session import StoreSession

_PATIENCE_S = 10
_SEATS = 32
# Locks of their own, beside that of the turn, whose key is their number 0.
_SEAT = sa.text(
    f"SELECT seat FROM generate_series(1, {_SEATS}) AS seat WHERE pg_try_advisory_xact_lock(:key + seat) LIMIT 1"
)
_LOCK_TIMEOUT = "55P03"  # PostgreSQL's lock_not_available
# In this order: the other locks of a turn are waited for as those of any transaction.
_LOCK = sa.text(
    "SELECT set_config('lock_timeout', :patience, true), pg_advisory_xact_lock(:key), "
    "set_config('lock_timeout', '0', true)"
)
# How PostgreSQL shows the lock of a key of 64 bits: its halves, without a sign.
_WAITING = sa.text(
    """
SELECT count(*) FROM pg_locks
WHERE locktype = 'advisory' AND NOT granted AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (CAST(CAST(classid AS BIGINT) AS BIT(64)) << 32) | CAST(CAST(objid AS BIGINT) AS BIT(64))
        = CAST(CAST(:key AS BIGINT) AS BIT(64))
"""
)


class SqlTurn:
    """A turn of a sweep, see `base.Turn`.

    Args:
        session: The record's.
        connection: Holds the turn until its transaction ends; None on SQLite.
        key: Of the lock.
        sweep_id: Whose runs are claimed.
    """

    def __init__(self, session: StoreSession, connection: sa.Connection | None, key: int, sweep_id: str) -> None:
        self._session = session
        self._connection = connection
        self._key = key
        self._sweep_id = sweep_id
        self.claimed = False

    def claim(self, **terms: Unpack[ClaimTerms]) -> Attempt | None:
        """Do as `Store.claim`; on PostgreSQL it is recorded when the turn ends."""
        claim = Claim(sweep_id=self._sweep_id, **terms)
        if self._connection is None:
            return None
        with self._session.errors():
            try:
                with self._connection.begin_nested():  # undone, it locks nothing while a run is proposed
                    made = claim.made_at_once(self._connection)
            except writes.Undo:
                return None
            self.claimed = True
            return made

    @property
    def at_once(self) -> bool:
        """Return whether nobody ever waits."""
        return self._connection is None

    def waiting(self) -> int:
        """Return how many wait for their turn."""
        if self._connection is None:
            return 0
        with self._session.errors():
            return int(self._connection.execute(_WAITING, {"key": self._key}).scalar_one())


def key_of(sweep_id: str) -> int:
    """Return the key of a sweep's turn; the numbers after it are those of the seats."""
    return int.from_bytes(hashlib.sha256(sweep_id.encode()).digest()[:8], signed=True) // 64 * 64


@contextlib.contextmanager
def turn(session: StoreSession, sweep_id: str) -> Iterator[SqlTurn | None]:
    """Wait for one's turn to propose runs of a sweep, some seconds at most; yield None when it did not come.

    At once where too many wait.

    Who stands still in his turn loses it with his session (`idle_in_transaction_session_timeout`).

    Raises:
        StoreError: The database refused; what was claimed in the turn may or may not be recorded.
    """
    key = key_of(sweep_id)
    if not session.is_shared:
        yield SqlTurn(session, None, key, sweep_id)
        return
    with session.connected() as connection:
        with session.errors():
            is_ours = _locked(connection, key)
        ours = SqlTurn(session, connection, key, sweep_id)
        yield ours if is_ours else None
        if ours.claimed:
            with session.errors():
                connection.commit()


def _locked(connection: sa.Connection, key: int) -> bool:
    """Take PostgreSQL's lock of a key until the transaction's end; return whether that succeeded in time."""
    if connection.execute(_SEAT, {"key": key}).first() is None:
        return False
    try:
        connection.execute(_LOCK, {"patience": f"{_PATIENCE_S}s", "key": key})
    except exc.DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_TIMEOUT:
            raise
        return False
    return True
