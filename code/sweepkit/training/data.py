"""Reading dialogues and their summaries from a file. Everything wrong with a file is said with its row."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweepkit.errors import DataError
from sweepkit.paths import ROOT_DIR, as_written_or_ours
from sweepkit.training.readers import is_csv, rows

_MOST_NAMED = 50  # rows that are wrong
_SURROGATE = re.compile("[\ud800-\udfff]")  # JSON can say half a pair; no tokenizer can take it


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which columns of a file are used.

    Args:
        dialogue: Name of the input column.
        references: Names of the target columns, at least one; the first is what a model is trained on.
    """

    dialogue: str
    references: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """One row: what is summarized, and how; one reference or several, none of them empty."""

    dialogue: str
    references: tuple[str, ...]


def locate(name: str, key: str) -> Path:
    """Return the data file that `name` means: as written, or below the root of the checkout.

    Args:
        name: The path as the user wrote it.
        key: The configuration's field, for the message.

    Raises:
        DataError: There is no such file.
    """
    if (path := as_written_or_ours(name)) is not None:
        return path
    raise DataError(
        f"{key}: must be a CSV file, JSON lines (.jsonl) or Parquet (.parquet), got {name!r}, "
        f"which does not exist here or below {ROOT_DIR}"
    )


def read(path: Path, columns: Columns, delimiter: str | None = None) -> Iterator[Example]:
    """Yield the examples of a file in order; at least one. Read to the end, it has checked all of them.

    Args:
        path: UTF-8 CSV with a header (a byte order mark is allowed; fields may hold line breaks inside quotes), JSON
            lines, or Parquet, by its name: see `readers`.
        columns: What is read.
        delimiter: Between the fields of a CSV file, one character; None finds it out from the header.

    Raises:
        DataError: Not of its format, a column is missing, a value is no text or empty, or there is no row. That texts
            are empty is reported at the end, with the places; so is every other row that is wrong, each with its place.
    """
    names = (columns.dialogue, *columns.references)
    empty: dict[str, list[str]] = {}
    wrong: list[str] = []
    count = 0
    for where, values in rows(path, names, delimiter):
        count += 1
        if isinstance(values, str):
            wrong.append(values)
            continue
        found = [said for name, value in zip(names, values, strict=True) if (said := _check(where, name, value))]
        wrong += found
        for name, value in zip(names, values, strict=True):
            if not found and not value.strip():
                empty.setdefault(name, []).append(where)
        if not (empty or wrong):
            yield Example(values[0], tuple(values[1:]))
    if not count:
        rule = "must have at least one row below its header" if is_csv(path) else "must have at least one row"
        raise DataError(f"{path}: {rule}, got none")
    wrong += [_empty_texts(path, name, places, count) for name, places in empty.items()]
    if wrong:
        more = [f"… and {len(wrong) - _MOST_NAMED} more rows are wrong"] if len(wrong) > _MOST_NAMED else []
        raise DataError("\n".join([*wrong[:_MOST_NAMED], *more]))


def _check(where: str, name: str, value: Any) -> str:
    """Return why a value is no text that could be tokenized, "" when it is one."""
    if not isinstance(value, str):
        kinds = {type(None): "null", bool: "a truth value", int: "a number", float: "a number"}
        return f"{where}: {name} must be a text, got {kinds.get(type(value), 'a list or an object')}"
    if "\0" in value:
        return f"{where}: {name} must be text, got a NUL character; remove it"
    if _SURROGATE.search(value):
        return f"{where}: {name} must be Unicode text, got half of a surrogate pair; remove it"
    return ""


def _empty_texts(path: Path, name: str, places: list[str], count: int) -> str:
    """Return what to say of a column's empty texts."""
    if len(places) == count > 1:
        hint = "fill them, or name another column in the configuration's data section"
        return f"{path}: {name} must not be empty, got {count} rows without a text in it; {hint}"
    others = [where[len(str(path)) :].lstrip(":").strip() for where in places[1:]]  # the place within the file
    shown = ", ".join(others[:_MOST_NAMED]) + (", …" if len(others) > _MOST_NAMED else "")
    rows_are = "row is" if len(others) == 1 else "rows are"
    more = f" ({len(others)} more {rows_are} like it: {shown})" if others else ""
    return f"{places[0]}: {name} must not be empty; fill it or remove the row{more}"
