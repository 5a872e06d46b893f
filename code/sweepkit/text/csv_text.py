"""CSV in and out, the one set of rules for tables of runs: whatever opens such a file or writes one does it here.

Reading is pandas'. Writing is the standard library's, which is what pandas calls for it: a runner writes its table
while its runs train, and importing pandas would cost it a second, 80 MB and a thread.
"""

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweepkit.errors import DataError
from sweepkit.text.json_text import json_text

if TYPE_CHECKING:
    import pandas as pd


_FORMULA_MARKS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # wide ones are read as narrow ones
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)", re.IGNORECASE)


def read_csv(file: Path) -> "pd.DataFrame":
    """Return a CSV file as a table of text: every cell as it is written, "" where it is empty or its row too short.

    UTF-8, with or without a byte order mark. Cells beyond the last column are dropped, empty lines skipped; of an empty
    file the table is empty. What the text means is for the caller to say: a seed "01" and a name "null" are text.

    Args:
        file: With a header, cells separated by commas.

    Raises:
        DataError: The file cannot be read, is not in UTF-8, or a quote does not end.
    """
    import pandas as pd

    try:
        table = pd.read_csv(
            file,
            encoding="utf-8-sig",
            dtype=str,
            na_filter=False,
            index_col=False,
            usecols=lambda _: True,  # told which columns there are, pandas drops the cells beyond them
        )
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except (OSError, ValueError) as error:  # ParserError and UnicodeDecodeError among them
        raise DataError(
            f"{file}: must be a readable CSV file in UTF-8, got: {error}; name a file with one run a row"
        ) from None
    table.columns = [unquoted(name) for name in table.columns]
    return table.map(unquoted)


def read_rows(file: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file that `csv_text` wrote, without pandas: column name → cell as it was.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not in UTF-8, or no CSV.
    """
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
    except csv.Error as error:
        raise ValueError(f"{file}: must be CSV, got: {error}") from None
    return [{unquoted(name): unquoted(cell) for name, cell in row.items() if name and cell is not None} for row in rows]


def csv_text(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = (), *, raw: bool = False) -> str:
    r"""Return rows as CSV text; missing cells and None are empty, lists, mappings and booleans are JSON.

    Text that a spreadsheet would take for a formula gets an apostrophe before it, which `read_csv` takes away again: a
    table is opened by others than those who named its values. NUL, which a metric's name may have, becomes a backslash
    and a 0.

    Args:
        rows: Column name → value.
        columns: In their order; () takes those of the rows, in order of appearance. Without any the text is empty.
        raw: Write text that looks like a formula as it is.

    >>> csv_text([{"name": "=SUM(A1)", "x": -1}])
    "name,x\n'=SUM(A1),-1\n"
    >>> csv_text([{"lr": 0.1, "tags": ["가"]}, {"ok": True}])
    'lr,tags,ok\n0.1,"[""가""]",\n,,true\n'
    """
    columns = columns or list(dict.fromkeys(name for row in rows for name in row))
    if not columns:
        return ""
    lines = _Lines()
    quoted: Callable[[Any], Any] = (lambda value: value) if raw else _quoted
    writer = csv.writer(  # noqa: TID251 - the one place
        lines, lineterminator="\r\n"
    )  # a cell with either of these is quoted: readers take both for ends
    writer.writerow([quoted(_cell(name)) for name in columns])
    for row in rows:
        writer.writerow([quoted(_cell(row.get(name))) for name in columns])
    return "".join(lines)


class _Lines(list[str]):
    """Takes lines as a file does."""

    def write(self, line: str) -> None:
        self.append(line.removesuffix("\r\n") + "\n")


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\\0")  # as the record writes it: many a reader ends a file at NUL
    return json_text(value) if isinstance(value, list | dict | bool) else value


def _quoted(value: Any) -> Any:
    """Return a cell as a spreadsheet shows it; a number written as text begins with - or + and is none the less one."""
    if not isinstance(value, str) or not value.lstrip("'").startswith(_FORMULA_MARKS) or _NUMBER.fullmatch(value):
        return value
    return f"'{value}"


def unquoted(text: str) -> str:
    """Return a cell without the apostrophe that `csv_text` put before what a spreadsheet would take for a formula."""
    return text[1:] if text[:1] == "'" and text.lstrip("'").startswith(_FORMULA_MARKS) else text
