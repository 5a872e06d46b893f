"""Tables of runs from files of any tool: CSV and its kin, Excel, Parquet, JSON lines. One reader for all scripts.

Cells are what the file says: text in CSV, numbers and truth values where a format has them. What a text means is for
the caller to say.
"""

import csv
import io
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from sweepkit.errors import DataError
from sweepkit.extras import needed
from sweepkit.text.csv_text import unquoted
from sweepkit.text.nested_tables import flattened, joined_header, unnested

if TYPE_CHECKING:
    import pandas as pd

_TEXT = (".csv", ".tsv", ".txt", ".tab")
_JSON = (".jsonl", ".ndjson", ".json")
_PARQUET = (".parquet", ".pq")
_EXCEL = (".xlsx", ".xlsm")
_TABLES = (*_TEXT, *_JSON, *_PARQUET, *_EXCEL)
DELIMITER = "sweepkit:delimiter"  # in a table's attrs: what stood between its cells; "" in other formats
READ_AS = "sweepkit:read_as"  # likewise: sentences on what was chosen while it was read
_DELIMITERS = (",", ";", "\t", "|")


def is_table(name: str) -> bool:
    """Return whether a name on the command line is a table's file.

    >>> is_table("runs.CSV"), is_table("first_sweep")
    (True, False)
    """
    return name.lower().endswith(_TABLES)


def read_table(file: Path) -> "pd.DataFrame":
    """Return a table of runs, one a row.

    CSV, TSV and text: UTF-8 with or without a byte order mark, any line ends, `,` `;` tab or `|` between the cells
    (found out from the header), every cell as text and "" where it is empty. Excel (.xlsx): the first sheet that holds
    a table. Parquet and JSON lines: as they are. Objects, and mappings written as text in a column such as `config`,
    become columns by dotted names; the two rows of a header of two levels become one.

    Args:
        file: Its suffix decides the format.

    Raises:
        DataError: The file cannot be read or is not of its format; says what to do.
    """
    suffix = file.suffix.lower()
    try:
        if suffix in _JSON:
            return _marked(_from_json(file))
        if suffix in _PARQUET:
            return _marked(unnested(_from_parquet(file)))
        if suffix in _EXCEL:
            table, said = _from_excel(file)
            return _marked(unnested(table), said=said)
        return _from_text(file)
    except OSError as error:
        raise DataError(
            f"{file}: must be a readable CSV, Excel, Parquet or JSON file, got: {error.strerror or error}"
        ) from None


def _marked(table: "pd.DataFrame", delimiter: str = "", said: str = "") -> "pd.DataFrame":
    table.columns = [str(name).strip() for name in table.columns]
    table.attrs[DELIMITER] = delimiter
    table.attrs[READ_AS] = [said] if said else []
    return table


def _from_text(file: Path) -> "pd.DataFrame":
    """Return a text file's cells; a row may be shorter than the header, what is beyond it must be empty."""
    import pandas as pd

    text = _decoded(file)
    mark = _delimiter(text)
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True) if any(row)]
    except csv.Error as error:
        raise DataError(f"{file}: must be a CSV file, got: {error}; is a quote not closed?") from None
    if not rows:
        return _marked(pd.DataFrame(), mark)
    header = [unquoted(name).strip() for name in rows[0]]
    if len(rows) > 1 and (joined := joined_header(header, rows[1])):
        header, rows = joined, rows[1:]
    for number, row in enumerate(rows[1:], 1):
        if any(row[len(header) :]):
            hint = "a decimal comma in a file of commas needs quotes" if mark == "," else "put such texts in quotes"
            raise DataError(f"{file}: row {number} must have {len(header)} cells, got {len(row)}; {hint}")
    cells = [[unquoted(cell) for cell in row[: len(header)]] + [""] * (len(header) - len(row)) for row in rows[1:]]
    table = pd.DataFrame(cells, columns=header, dtype=object)
    return _marked(unnested(_each_once(table, file)), mark)


def _each_once(table: "pd.DataFrame", file: Path) -> "pd.DataFrame":
    """Return a table with each column once. Raises DataError when two of one name have different cells."""
    kept: dict[str, int] = {}
    for place, name in enumerate(table.columns):
        cells = list(table.iloc[:, place])
        if not name and not any(cells):
            continue  # what a delimiter at the end of every row makes
        if name in kept and list(table.iloc[:, kept[name]]) != cells:
            raise DataError(f"{file}: the column {name!r} must stand once, got two with different cells; rename one")
        kept.setdefault(name, place)
    return table.iloc[:, list(kept.values())]


def _decoded(file: Path) -> str:
    """Return a file's text. Raises DataError when it is not UTF-8, with what to do."""
    data = file.read_bytes()
    name, new = shlex.quote(file.name), shlex.quote(f"utf8_{file.name}")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{file}: must be UTF-8, got UTF-16; iconv -f utf-16 -t utf-8 {name} > {new}")
    if data.startswith(b"PK\x03\x04"):
        raise DataError(f"{file}: must be text, got an Excel workbook; let its name end with .xlsx")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        hint = f"if it is a Korean Windows file: iconv -f cp949 -t utf-8 {name} > {new}"
        raise DataError(f"{file}:{row}: must be UTF-8, got byte {data[error.start]:#04x}; {hint}") from None


def _delimiter(text: str) -> str:
    """Return what stands between the cells: the mark that makes most columns of the header, the first of equals."""
    first = next((line for line in text.splitlines() if line.strip()), "")

    def columns(mark: str) -> int:
        return len(next(csv.reader([first], delimiter=mark), []))

    return max(_DELIMITERS, key=columns)


def _from_json(file: Path) -> "pd.DataFrame":
    """Return JSON lines, or one array of objects, as a table."""
    import json

    import pandas as pd

    text = _decoded(file)
    try:
        found = (
            json.loads(text)
            if text.lstrip().startswith("[")
            else [*map(json.loads, filter(str.strip, text.split("\n")))]
        )
    except ValueError as error:
        raise DataError(f"{file}: must be JSON, one object a line, got: {error}") from None
    if not all(isinstance(row, dict) for row in found):
        raise DataError(f"{file}: must be JSON, one object a line, got other values")
    return pd.DataFrame([flattened(row) for row in found], dtype=object)


def _from_parquet(file: Path) -> "pd.DataFrame":
    import pandas as pd

    try:
        table: pd.DataFrame = pd.read_parquet(file)
    except (ValueError, ImportError) as error:
        raise DataError(f"{file}: must be a Parquet file, got: {str(error).splitlines()[0]}") from None
    return table if isinstance(table.index, pd.RangeIndex) else table.reset_index()


def _from_excel(file: Path) -> tuple["pd.DataFrame", str]:
    """Return the first sheet with rows of several columns, and a sentence where another has such, too."""
    import pandas as pd

    needed("excel", f"{file}, a workbook")
    try:
        sheets = pd.read_excel(file, sheet_name=None, dtype=object, engine="openpyxl")
    except (ValueError, KeyError) as error:
        raise DataError(f"{file}: must be an Excel workbook, got: {str(error).splitlines()[0]}") from None
    name, *others = [key for key, table in sheets.items() if len(table) and len(table.columns) > 1] or list(sheets)
    shown = ", ".join(repr(other) for other in others)
    said = f"{file.name}: the sheet {name!r} is read, not {shown}; keep another in a file of its own" if others else ""
    return sheets[name], said
