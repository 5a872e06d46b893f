"""Reading (dialogue, summary) pairs from a CSV file. Everything wrong with a file is told with its row."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sweepkit.errors import DataError
from sweepkit.paths import ROOT_DIR


@dataclass(frozen=True, slots=True)
class Pair:
    """One example: what is summarized and how."""

    dialogue: str
    summary: str


def locate(name: str, key: str) -> Path:
    """Return the data file that `name` means: as written, or below the root of the checkout.

    Args:
        name: The path as the user wrote it.
        key: The configuration's field, for the message.

    Raises:
        DataError: There is no such file.
    """
    for path in (Path(name).expanduser(), ROOT_DIR / name):
        if path.is_file():
            return path
    raise DataError(f"{key}: must be a CSV file, got {name!r}, which does not exist here or below {ROOT_DIR}")


def _text(path: Path) -> str:
    """Return the file's text; refuse what is not UTF-8 with the row that shows it."""
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}:{row}: must be UTF-8, got byte {content[error.start]:#04x}; "
            f"if it is a Korean Windows file, convert it: iconv -f cp949 -t utf-8 {path.name}"
        ) from None


def _columns(path: Path, header: list[str] | None, wanted: tuple[str, str]) -> tuple[int, int]:
    """Return the positions of the two columns, or say which is missing and what there is."""
    if not header:
        raise DataError(f"{path}: must begin with a header of column names, got an empty file")
    missing = [name for name in wanted if name not in header]
    if missing:
        separators = [mark for mark in (";", "\t", "|") if len(header) == 1 and mark in header[0]]
        hint = "name others with data.dialogue_column and data.summary_column"
        if separators:
            hint = f"they look separated by {separators[0]!r}, write commas"
        rule = f"must have the columns {' and '.join(map(repr, wanted))}"
        raise DataError(f"{path}:1: {rule}, got {', '.join(map(repr, header))}; {hint}")
    return header.index(wanted[0]), header.index(wanted[1])


def _rows(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each record with the 1-based line it begins on."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    begin = 1
    try:
        for row in reader:
            yield begin, row
            begin = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: must be a CSV file, {error}") from None


def read_pairs(path: Path, dialogue_column: str, summary_column: str) -> list[Pair]:
    """Return the pairs of a CSV file, in order; at least one.

    Args:
        path: A UTF-8 file (a byte order mark is allowed) with a header; fields may hold line breaks inside quotes.
        dialogue_column: Name of the input column.
        summary_column: Name of the target column.

    Raises:
        DataError: Not UTF-8, not CSV, a column is missing, a row is short, a text is empty, or there is no row.
    """
    rows = _rows(path, _text(path))
    _, header = next(rows, (1, None))
    dialogue_at, summary_at = _columns(path, header, (dialogue_column, summary_column))
    pairs: list[Pair] = []
    for line, row in rows:
        if not row:
            continue
        if len(row) <= max(dialogue_at, summary_at):
            raise DataError(f"{path}:{line}: must have {len(header or [])} fields as the header does, got {len(row)}")
        pair = Pair(row[dialogue_at], row[summary_at])
        for name, value in ((dialogue_column, pair.dialogue), (summary_column, pair.summary)):
            if not value.strip():
                raise DataError(f"{path}:{line}: {name} must not be empty; fill it or remove the row")
        pairs.append(pair)
    if not pairs:
        raise DataError(f"{path}: must have at least one row below its header, got none")
    return pairs
