"""Statements without SQLAlchemy's connection give what they give with it."""

import sqlite3

import pytest
import sqlalchemy as sa

from sweepkit.store.quick import transaction

TABLE = sa.Table(
    "t",
    sa.MetaData(),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("n", sa.BigInteger),
    sa.Column("x", sa.Double),
)
INSERT = sa.insert(TABLE).values(n=7)
BY_KEYS = sa.select(TABLE).where(TABLE.c.key.in_(sa.bindparam("keys", expanding=True))).order_by(TABLE.c.key)
RAISE = (
    sa.update(TABLE).where(TABLE.c.key == sa.bindparam("b_key")).values(n=TABLE.c.n + 1).returning(TABLE.c.n, TABLE.c.x)
)


@pytest.fixture
def raw(tmp_path):
    connection = sqlite3.connect(tmp_path / "t.db", isolation_level=None)
    connection.execute("CREATE TABLE t (key TEXT PRIMARY KEY, n BIGINT, x DOUBLE)")
    yield connection
    connection.close()


def in_transaction(raw, work):
    return transaction(raw, work, begin="BEGIN IMMEDIATE")


def test_values_of_a_statement_and_given_ones_go_together(raw):
    in_transaction(raw, lambda c: c.execute(INSERT, {"key": "a", "x": None}))
    in_transaction(raw, lambda c: c.execute(INSERT, [{"key": key, "x": 0.5} for key in "bc"]))
    rows = in_transaction(raw, lambda c: c.execute(BY_KEYS, {"keys": ["a", "c", "z"]}).all())
    assert [(row.key, row.n, row.x) for row in rows] == [("a", 7, None), ("c", 7, 0.5)]
    row = in_transaction(raw, lambda c: c.execute(RAISE, {"b_key": "a"}).one())
    assert (row.n, row.x) == (8, None)
    assert in_transaction(raw, lambda c: c.execute(RAISE, {"b_key": "z"}).first()) is None
    assert list(in_transaction(raw, lambda c: c.scalars(BY_KEYS, {"keys": ["b"]}))) == ["b"]


def test_a_value_that_was_not_given_is_an_error_and_not_null(raw):
    with pytest.raises(sqlite3.ProgrammingError):
        in_transaction(raw, lambda c: c.execute(RAISE, {}))


def test_an_exception_undoes_everything(raw):
    def fails(connection):
        connection.execute(INSERT, {"key": "a", "x": 1.0})
        raise KeyError

    with pytest.raises(KeyError):
        in_transaction(raw, fails)
    assert not raw.in_transaction and raw.execute("SELECT count(*) FROM t").fetchone() == (0,)
