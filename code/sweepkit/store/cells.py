"""The cells of the record that hold text of our own (JSON, states, histories): read, and found when damaged."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from sweepkit.model.records import AttemptState, SweepState
from sweepkit.model.runs import RunState
from sweepkit.store.schema import ATTEMPTS, HISTORY_CHUNKS, REPORTS, RUNS, SWEEPS

# json.loads also looks for white space around the value, which is never written: half of its time for short texts.
_decode = json.JSONDecoder().raw_decode


def load(text: str) -> Any:
    """Return the value of JSON text written by `records.dump`. Raises ValueError, TypeError for a damaged one."""
    return {} if text == "{}" else _decode(text)[0]


def mapping(text: str) -> dict[str, Any]:
    """Return a mapping written by `records.dump`. Raises ValueError, TypeError for a damaged one."""
    value = load(text)
    if type(value) is not dict:
        raise ValueError(f"no mapping: {text[:40]!r}")
    return value


def mappings(texts: Sequence[str]) -> list[dict[str, Any]]:
    """Return the mappings of a column, decoded in one go: a fifth of the time of one after the other.

    Raises ValueError, TypeError when one of them is damaged; `mapping` of each says which.
    """
    found = _list(",".join(texts), len(texts))
    if not all(type(item) is dict for item in found):
        raise ValueError("no mapping")
    return found


def tails(texts: Sequence[str]) -> list[tuple[float, ...]]:
    """Return the histories of a column as `tail_values` has them, decoded in one go. Raises as `mappings`."""
    return [tuple(map(float, item)) for item in _list("],[".join(texts).join("[]"), len(texts))]


def _list(inner: str, count: int) -> list[Any]:
    text = f"[{inner}]"
    found, end = _decode(text)
    if end != len(text) or len(found) != count:  # texts that are whole only together
        raise ValueError("no list of its cells")
    return list(found)


def tail_values(text: str) -> tuple[float, ...]:
    """Return the values of `records.tail_text`; chunks are joined with commas first. Raises as `mapping`."""
    return tuple(map(float, _decode(f"[{text}]")[0])) if text else ()


def summary_value(text: str | None) -> float | None:
    """Return a summary. Raises as `mapping`."""
    return None if text is None else float(load(text))


def moment(value: Any) -> float:
    """Return a time in seconds since 1970. Raises ValueError for what is none, or none that a calendar has."""
    if type(value) not in (float, int) or not _FIRST_MOMENT < value < LAST_MOMENT:
        raise ValueError(f"no time: {value!r:.40}")
    return float(value)


def moment_or_none(value: Any) -> float | None:
    """Return a time that need not be known. Raises as `moment`."""
    return None if value is None else moment(value)


def whole(value: Any) -> int:
    """Return a whole number. Raises ValueError for anything else."""
    if type(value) is not int:
        raise ValueError(f"no whole number: {value!r:.40}")
    return value


def whole_or_none(value: Any) -> int | None:
    """Return a whole number that need not be known. Raises as `whole`."""
    return None if value is None else whole(value)


def words(value: Any) -> str:
    """Return a text. Raises ValueError for anything else."""
    if type(value) is not str:
        raise ValueError(f"no text: {value!r:.40}")
    return value


UNREADABLE = (ValueError, TypeError, OverflowError, RecursionError)  # what reading a damaged cell raises
_FIRST_MOMENT, LAST_MOMENT = -6e10, 2e11  # the years 69 and 8307, in seconds since 1970
_Read = Callable[[Any], Any]
RUN_CELLS: Mapping[str, _Read] = {
    "state": RunState,
    "params": mapping,
    "proposal": mapping,
    "history": tail_values,
    "summary": summary_value,
    "best_metrics": mapping,
    "last_metrics": mapping,
    "outcome": mapping,
    "number": whole,
    "reason": words,
    "attempts": whole,
    "failures": whole,
    "created_at": moment,
    "started_at": moment_or_none,
    "ended_at": moment_or_none,
    "change": whole,
}
SWEEP_CELLS: Mapping[str, _Read] = {
    "state": SweepState,
    "seed": int,
    "meta": mapping,
    "name": words,
    "family": words,
    "generation": whole,
    "yaml": words,
    "reason": words,
    "created_at": moment,
}
ATTEMPT_CELLS: Mapping[str, _Read] = {
    "state": AttemptState,
    "outcome": mapping,
    "ordinal": whole,
    "reason": words,
    "agent_id": words,
    "host": words,
    "pid": whole_or_none,
    "device": words,
    "claimed_at": moment,
    "started_at": moment_or_none,
    "ended_at": moment_or_none,
    "lease_until": moment,
}
_TOGETHER: Mapping[_Read, _Read] = {mapping: mappings, tail_values: tails}
_AT_ONCE = 1_000  # rows of which a damaged one is looked for among all of them
_TABLES: tuple[tuple[sa.Table, str, Mapping[str, _Read]], ...] = (
    (SWEEPS, "sweep_id", SWEEP_CELLS),
    (RUNS, "run_id", RUN_CELLS),
    (ATTEMPTS, "attempt_id", ATTEMPT_CELLS),
    (REPORTS, "attempt_id", {"metrics": mapping}),
    (HISTORY_CHUNKS, "attempt_id", {"history": tail_values}),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DamagedCell:
    """A cell that cannot be read.

    Args:
        table, row, column: Where it is; the row by its id.
        what: What is wrong with it, in words.
    """

    table: str
    row: str
    column: str
    what: str

    def __str__(self) -> str:
        """Return where it is and what is wrong."""
        return f"{self.table}.{self.column} of {self.row} is damaged ({self.what})"


def damaged_in(row: Any, table: str, key: str, cells: Mapping[str, _Read]) -> list[DamagedCell]:
    """Return the damaged cells of a row."""
    found = []
    for column, read in cells.items():
        try:
            read(getattr(row, column))
        except UNREADABLE as error:
            what = " ".join(str(error).split())[:120]
            found.append(DamagedCell(table=table, row=str(getattr(row, key)), column=column, what=what))
    return found


def damaged_cells(connection: sa.Connection, *only: sa.Table) -> Iterator[DamagedCell]:
    """Yield every damaged cell of a record, or of some of its tables; reads all of them."""
    for table, key, cells in _TABLES:
        if only and table not in only:
            continue
        columns = [table.c[key], *(table.c[column] for column in cells)]
        for rows in connection.execute(sa.select(*columns)).partitions(_AT_ONCE):
            if not _all_whole(rows, cells):
                for row in rows:
                    yield from damaged_in(row, table.name, key, cells)


def _all_whole(rows: Sequence[Any], cells: Mapping[str, _Read]) -> bool:
    """Return whether every cell of some rows can be read, in a third of the time of one after the other."""
    _, *columns = zip(*rows, strict=True)
    try:
        for read, column in zip(cells.values(), columns, strict=True):
            if (together := _TOGETHER.get(read)) is not None:
                together(column)
            else:
                for cell in set(column):
                    read(cell)
    except UNREADABLE:
        return False
    return True
