"""Statements to SQLite without what SQLAlchemy does around each: a tenth of the time of a short one.

The transactions that every run makes use it; a run has a dozen statements. The statement objects are SQLAlchemy's all
the same: each is compiled once. As much of `sa.Connection` is here as those transactions ask for.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

T = TypeVar("T")
_Values = Mapping[str, Any]
_dialect = sqlite.dialect(paramstyle="named")


class _Row:
    """A row: its values by the names of their columns."""

    def __init__(self, names: Sequence[str], values: Sequence[Any]) -> None:
        self.__dict__.update(zip(names, values, strict=True))

    def __iter__(self) -> Iterator[Any]:
        return iter(self.__dict__.values())


class _Result:
    """All rows of a statement. They are fetched at once: SQLite writes a row as its RETURNING is read."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        description = cursor.description
        names = tuple(column[0] for column in description) if description else ()
        self._rows = [_Row(names, values) for values in cursor.fetchall()] if description else []
        self.rowcount = cursor.rowcount

    def all(self) -> list[_Row]:
        return self._rows

    def first(self) -> _Row | None:
        return self._rows[0] if self._rows else None

    def one(self) -> _Row:
        (row,) = self._rows
        return row

    def __iter__(self) -> Iterator[_Row]:
        return iter(self._rows)


class _Compiled:
    """A statement's text for given names of values, and the values that are its own."""

    def __init__(self, statement: Any, names: Sequence[str]) -> None:
        self._compiled = statement.compile(dialect=_dialect, column_keys=list(names))
        binds = self._compiled.bind_names
        self._own = {name: bind.value for bind, name in binds.items() if not bind.required}
        self._expands = "POSTCOMPILE" in str(self._compiled)
        self._text = str(self._compiled)

    def filled(self, values: _Values) -> tuple[str, _Values]:
        """Return text and values to execute."""
        if not self._expands:
            return self._text, {**self._own, **values}
        state = self._compiled.construct_expanded_state({**self._own, **values})
        return state.statement, cast(_Values, state.parameters)


_compiled: dict[tuple[Any, tuple[str, ...]], _Compiled] = {}  # threads that meet here compile twice: no harm


def _of(statement: Any, values: _Values) -> _Compiled:
    key = (statement, tuple(values))
    found = _compiled.get(key)
    if found is None:
        found = _compiled[key] = _Compiled(statement, key[1])
    return found


class _Quick:
    """A connection within a transaction."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw

    def execute(self, statement: Any, values: _Values | Sequence[_Values] = {}) -> _Result:  # noqa: B006 - only read
        if isinstance(values, Mapping):
            return _Result(self._raw.execute(*_of(statement, values).filled(values)))
        filled = [_of(statement, row).filled(row) for row in values]
        return _Result(self._raw.executemany(filled[0][0], [row for _, row in filled]))

    def scalars(self, statement: Any, values: _Values = {}) -> list[Any]:  # noqa: B006 - only read
        return [next(iter(row)) for row in self.execute(statement, values)]


def transaction(raw: sqlite3.Connection, work: Callable[[sa.Connection], T], *, begin: str) -> T:
    """Return what `work` returns in a transaction; an exception that it raises undoes everything.

    Args:
        raw: A connection in autocommit mode.
        work: It may `execute` statements of `statements`, and read `scalars`.
        begin: The statement that begins the transaction.

    Raises:
        sqlite3.Error: The database refused.
    """
    raw.execute(begin)
    try:
        found = work(cast(sa.Connection, _Quick(raw)))
        raw.execute("COMMIT")
    except BaseException:
        if raw.in_transaction:
            raw.execute("ROLLBACK")
        raise
    return found
