"""Files that the record itself carries between hosts that share no folder: a project's code, what a run left.

They lie in a table of their own, made when the first one is kept: a record without any is as it was, and an older
sweepkit reads it. The cluster's room decides what is kept; here it is bytes with an owner and a name.
"""

import hashlib

import sqlalchemy as sa

from sweepkit.store.schema import ADVISORY_LOCK, RUNS, db_now

_FILES = sa.Table(
    "kept_files",
    sa.MetaData(),  # its own: no part of the schema that every record has
    sa.Column("owner", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.Column("kept_at", sa.Double, nullable=False),
)


def put(connection: sa.Connection, owner: str, name: str, data: bytes) -> None:
    """Keep a file under an owner and a name; what was there is replaced."""
    if not _is_there(connection):
        if connection.dialect.name == "postgresql":  # IF NOT EXISTS is no protection between two at once
            connection.exec_driver_sql(ADVISORY_LOCK)
        _FILES.create(connection, checkfirst=True)
    connection.execute(sa.delete(_FILES).where(*_key(owner, name)))
    row = {"owner": owner, "name": name, "sha256": hashlib.sha256(data).hexdigest(), "data": data, "kept_at": db_now()}
    connection.execute(sa.insert(_FILES).values(**row))


def get(connection: sa.Connection, owner: str, name: str) -> bytes | None:
    """Return a file, None when there is none."""
    if not _is_there(connection):
        return None
    found = connection.execute(sa.select(_FILES.c.data).where(*_key(owner, name))).scalar()
    return None if found is None else bytes(found)


def listed(connection: sa.Connection, owner: str) -> dict[str, str]:
    """Return the SHA-256 of each file of an owner, by its name."""
    if not _is_there(connection):
        return {}
    rows = connection.execute(sa.select(_FILES.c.name, _FILES.c.sha256).where(_FILES.c.owner == owner))
    return {row.name: row.sha256 for row in rows.all()}


def drop(connection: sa.Connection, owner: str, name: str) -> None:
    """Forget a file; one that is not there is fine."""
    if _is_there(connection):
        connection.execute(sa.delete(_FILES).where(*_key(owner, name)))


def drop_of_sweep(connection: sa.Connection, sweep_id: str) -> None:
    """Forget all files of a sweep and of its runs."""
    if _is_there(connection):
        its_runs = sa.select(RUNS.c.run_id).where(RUNS.c.sweep_id == sweep_id)
        connection.execute(sa.delete(_FILES).where((_FILES.c.owner == sweep_id) | _FILES.c.owner.in_(its_runs)))


def _is_there(connection: sa.Connection) -> bool:
    return sa.inspect(connection).has_table(_FILES.name)


def _key(owner: str, name: str) -> tuple[sa.ColumnElement[bool], ...]:
    return _FILES.c.owner == owner, _FILES.c.name == name
