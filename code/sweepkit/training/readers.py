"""The rows of a CSV, JSON lines or Parquet file, each with the place where it stands. Knows no tokenizer, no model.

A name that ends with .parquet or .pq is Parquet, .jsonl, .ndjson or .json is JSON lines; any other is CSV, .tsv and
.txt among them. Files are read as a stream: no more than a row (CSV, JSON lines) or a batch of rows (Parquet) is held.
"""

import codecs
import csv
import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sweepkit.errors import DataError
from sweepkit.sweep_config.fields import suggestion

# Where it stands, for messages; the values of the wanted columns in the order asked for, or what is wrong with the row.
Row = tuple[str, list[Any] | str]
_DELIMITERS = (",", ";", "\t", "|")
_JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
_PARQUET_SUFFIXES = (".parquet", ".pq")
_CHUNK_BYTES = 1 << 20
csv.field_size_limit(1 << 30)  # the library's own 128 KiB are less than a long dialogue
_BATCH_ROWS = 1024
# How files begin that are no text, what they are, and what to do; longer beginnings first.
_OTHER_KINDS = (
    (codecs.BOM_UTF32_LE, "UTF-8", "UTF-32", "convert it: iconv -f utf-32 -t utf-8 {name} > {new}"),
    (codecs.BOM_UTF16_LE, "UTF-8", "UTF-16", "convert it: iconv -f utf-16 -t utf-8 {name} > {new}"),
    (codecs.BOM_UTF16_BE, "UTF-8", "UTF-16", "convert it: iconv -f utf-16 -t utf-8 {name} > {new}"),
    (b"PAR1", "text", "a Parquet file", "let its name end with .parquet"),
    (b"PK\x03\x04", "text", "a zip archive or an Excel workbook", "save it as CSV UTF-8"),
    (b"\x1f\x8b", "text", "a gzip archive", "unpack it: gunzip {name}"),
)


def is_csv(path: Path) -> bool:
    """Return whether a file of this name is read as CSV.

    >>> [is_csv(Path(name)) for name in ("a.csv", "a.tsv", "a", "a.jsonl", "a.PARQUET")]
    [True, True, True, False, False]
    """
    return path.suffix.lower() not in (*_JSON_SUFFIXES, *_PARQUET_SUFFIXES)


def rows(path: Path, wanted: Sequence[str], delimiter: str | None = None) -> Iterator[Row]:
    """Yield the values of the wanted columns of each row; whatever type a JSON or Parquet file gives them.

    A row that is wrong by itself is yielded as what is wrong with it, so that all of them can be said.

    Args:
        path: The file; its name decides its format.
        wanted: Names of the columns.
        delimiter: Between the fields of a CSV file, one character; None finds it out from the header.

    Raises:
        DataError: The file cannot be read, is not of its format, or lacks a column.
    """
    try:
        if path.suffix.lower() in _PARQUET_SUFFIXES:
            yield from _parquet_rows(path, wanted)
        elif path.suffix.lower() in _JSON_SUFFIXES:
            yield from _json_rows(path, wanted)
        else:
            yield from _csv_rows(path, wanted, delimiter)
    except OSError as error:
        raise DataError(f"{path}: must be a file that can be read, got: {error.strerror or error}") from None


def check_text(path: Path) -> None:
    """Refuse a file that is not UTF-8 text, with the row that shows it.

    Raises:
        DataError: It is none.
        OSError: It cannot be read.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    row = 1
    with path.open("rb") as file:
        _check_beginning(path, file.read(4))
        file.seek(0)
        while True:
            chunk = file.read(_CHUNK_BYTES)
            at = chunk.find(b"\0")
            if at >= 0:
                row += chunk.count(b"\n", 0, at)
                raise DataError(f"{path}:{row}: must be text, got a NUL byte; {_convert(path, 'UTF-16', 'utf-16le')}")
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                row += error.object.count(b"\n", 0, error.start)
                got = f"got byte {error.object[error.start]:#04x}"
                hint = _convert(path, "a Korean Windows file", "cp949")
                raise DataError(f"{path}:{row}: must be UTF-8, {got}; {hint}") from None
            if not chunk:
                return
            row += chunk.count(b"\n")


def _check_beginning(path: Path, head: bytes) -> None:
    """Refuse files that say by their first bytes that they are something else."""
    for beginning, rule, got, hint in _OTHER_KINDS:
        if head.startswith(beginning):
            names = {"name": shlex.quote(path.name), "new": shlex.quote(f"utf8_{path.name}")}
            raise DataError(f"{path}:1: must be {rule}, got {got}; {hint.format(**names)}")


def _convert(path: Path, kind: str, encoding: str) -> str:
    """Return how to make UTF-8 of a file."""
    name, new = shlex.quote(path.name), shlex.quote(f"utf8_{path.name}")
    return f"if it is {kind}, convert it: iconv -f {encoding} -t utf-8 {name} > {new}"


def _check_columns(where: str, names: Sequence[str], wanted: Sequence[str], hint: str = "") -> None:
    """Refuse names that lack a wanted one, or have it twice."""
    quoted = [repr(name) for name in wanted]
    rule = f"must have the columns {', '.join(quoted[:-1])} and {quoted[-1]}"
    for name in wanted:
        if name not in names:
            shown = [repr(known if len(known) <= 40 else known[:39] + "…") for known in names[:20]]
            got = ", ".join([*shown, *(["…"] if len(names) > 20 else [])]) or "none"
            near = suggestion(name, list(names))
            fields = "data.dialogue_column, data.summary_column or data.reference_columns"
            hints = [part for part in (near, hint, f"name others with {fields}") if part]
            raise DataError(f"{where}: {rule}, got {got}; {'; '.join(hints)}")
        if names.count(name) > 1:
            count = names.count(name)
            raise DataError(f"{where}: must name each column once, got {name!r} {count} times; rename or remove one")


def _header(path: Path, delimiter: str) -> list[str]:
    """Return the first record that is not an empty line; [] when there is none or it cannot be read that way."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            return next((row for row in csv.reader(file, delimiter=delimiter, strict=True) if row), [])
        except csv.Error:
            return []


def _delimiter(path: Path, wanted: Sequence[str], given: str | None) -> str:
    """Return the character between fields: as given, else the first one that shows the wanted columns in the header.

    When none does, the one that makes the most columns, so that the message shows them.
    """
    if given is not None:
        mark = "\t" if given == "\\t" else given  # as a command line passes it
        if len(mark) != 1 or mark in '"\r\n':
            raise DataError(f"data.delimiter: must be one character, no quote and no line break, got {given!r}")
        return mark
    headers = {mark: _header(path, mark) for mark in _DELIMITERS}
    for mark, header in headers.items():
        if set(wanted) <= set(header):
            return mark
    return max(_DELIMITERS, key=lambda mark: len(headers[mark]))


def _csv_rows(path: Path, wanted: Sequence[str], delimiter: str | None) -> Iterator[Row]:
    """Yield the rows of a CSV file with the 1-based line each begins on."""
    check_text(path)
    mark = _delimiter(path, wanted, delimiter)
    with path.open(encoding="utf-8-sig", newline="") as file:
        found = records(path, csv.reader(file, delimiter=mark, strict=True))
        line, header = next(found, (1, []))
        if not header:
            raise DataError(f"{path}: must begin with a header of column names, got an empty file")
        wrong = len(header) == 1 and delimiter is not None
        _check_columns(f"{path}:{line}", header, wanted, f"data.delimiter is {mark!r}" if wrong else "")
        places = [header.index(name) for name in wanted]
        for line, fields in found:
            if len(fields) != len(header):
                hint = f"put texts with {mark!r} in double quotes" if len(fields) > len(header) else "fill the row up"
                rule = f"must have {len(header)} fields as the header does"
                yield f"{path}:{line}", f"{path}:{line}: {rule}, got {len(fields)}; {hint}"
                continue
            yield f"{path}:{line}", [fields[place] for place in places]


def records(path: Path, reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Yield each record but empty lines with the line it begins on.

    Args:
        path: The file, for messages.
        reader: Of the library `csv`, strict.

    Raises:
        DataError: A record is broken.
    """
    begin = 1
    try:
        for fields in reader:
            if fields:
                yield begin, fields
            begin = reader.line_num + 1
    except csv.Error as error:
        hint = "is a quote not closed, or not doubled within a quoted text?"
        raise DataError(
            f"{path}:{begin}: must be a CSV file, this record is broken in line {reader.line_num}: {error}; {hint}"
        ) from None


def _json_rows(path: Path, wanted: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of a JSON lines file with their 1-based line; empty lines are left out."""
    check_text(path)
    # Only \n ends a line: JSON texts may well hold U+2028 and other characters that Python would split at.
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                where = f"{path}:{number}"
                try:
                    yield where, _json_values(where, line.rstrip(), wanted)
                except DataError as error:
                    yield where, str(error)


class _Object(list[tuple[str, Any]]):
    """A JSON object as its pairs, so that a key that stands there twice is seen."""


def _json_values(where: str, line: str, wanted: Sequence[str]) -> list[Any]:
    """Return the wanted values of the object in a line."""
    rule = "must be one JSON object a line"
    try:
        found = json.loads(line, object_pairs_hook=_Object)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: {rule}, got: {error.msg} at column {error.colno}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: {rule}, got: {error}") from None
    if not isinstance(found, _Object):
        kinds = {list: "an array", str: "a text", bool: "a truth value", type(None): "null"}
        got = kinds.get(type(found), "a number")
        raise DataError(f'{where}: {rule}, got {got}; write e.g. {{"{wanted[0]}": "…", "{wanted[1]}": "…"}}')
    _check_columns(where, [name for name, _ in found], wanted)
    values = dict(found)
    return [values[name] for name in wanted]


def _parquet_rows(path: Path, wanted: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of a Parquet file, counted from 1."""
    import pyarrow  # type: ignore[import-untyped]
    from pyarrow import parquet

    if path.stat().st_size == 0:
        raise DataError(f"{path}: must be a Parquet file, got an empty file")
    try:
        with parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            _check_columns(str(path), schema.names, wanted)
            for name in wanted:
                _check_type(path, name, schema.field(name).type)
            number = 1
            # No threads: a process that will fork or was forked should not start any.
            for batch in file.iter_batches(_BATCH_ROWS, columns=list(wanted), use_threads=False):
                columns = [batch.column(batch.schema.get_field_index(name)) for name in wanted]
                texts = [_texts(path, name, column, number) for name, column in zip(wanted, columns, strict=True)]
                for row, values in enumerate(zip(*texts, strict=True), number):
                    yield f"{path}: row {row}", list(values)
                number += batch.num_rows
    except (pyarrow.ArrowException, OSError) as error:
        if getattr(error, "errno", None):  # the system's own, told like those of other files
            raise
        raise DataError(f"{path}: must be a Parquet file, got: {str(error).splitlines()[0]}") from None


def _check_type(path: Path, name: str, kind: Any) -> None:
    """Refuse a Parquet column of another type than text."""
    from pyarrow import types

    plain = kind.value_type if types.is_dictionary(kind) else kind
    if not (types.is_string(plain) or types.is_large_string(plain) or types.is_string_view(plain)):
        raise DataError(f"{path}: column {name!r} must hold texts, got {kind}; store it as strings")


def _texts(path: Path, name: str, column: Any, first: int) -> list[Any]:
    """Return the Python values of a batch that begins with row `first`; its bytes may be no UTF-8."""
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        row = next(row for row, value in enumerate(column, first) if not _is_text(value))
        hint = "write the file with its texts decoded"
        raise DataError(f"{path}: row {row}: {name} must be UTF-8, got other bytes; {hint}") from None


def _is_text(value: Any) -> bool:
    """Return whether a field of a Parquet file can be decoded."""
    try:
        value.as_py()
    except UnicodeDecodeError:
        return False
    return True
