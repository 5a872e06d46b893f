"""Tables with nested columns made plain: mappings in cells, a header of two levels."""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

# Columns that tools fill with a mapping each row; a mapping as text elsewhere is one value of a parameter.
_HOLDERS = re.compile(
    r"(config|summary(_metrics)?|params?|parameters|h(yper)?param(eter)?s|metrics?|results?|values?|"
    r"(user|system)_attrs|intermediate_values|tags)",
    re.IGNORECASE,
)
_NOT_A_NUMBER = re.compile(r"(?<=[\[:,(]\s)nan\b|(?<=[\[(])nan\b")  # as Python prints it; no literal of its own


def flattened(row: Mapping[str, Any], prefix: str = "", *, keep_empty: bool = True) -> dict[str, Any]:
    """Return nested mappings as one, by dotted names; an empty one stays if it is to be kept.

    >>> flattened({"config": {"lr": 0.1, "model": {"name": "t5"}}, "seed": 1})
    {'config.lr': 0.1, 'config.model.name': 't5', 'seed': 1}
    """
    found: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping) and (value or not keep_empty):
            found |= flattened(value, f"{prefix}{name}.", keep_empty=keep_empty)
        else:
            found[f"{prefix}{name}"] = value
    return found


def unnested(table: "pd.DataFrame") -> "pd.DataFrame":
    """Return a table whose columns of mappings are columns of their own, by dotted names.

    Args:
        table: Cells that hold a mapping are dicts, or, in a column such as `config` or `summary`, JSON or what Python
            prints of a dict: W&B's documented way to export the runs of a project leaves a CSV of those.
    """
    import pandas as pd

    parts: list[pd.DataFrame] = []
    found = False
    for place, name in enumerate(table.columns):
        column = table.iloc[:, [place]]
        rows = _mappings(str(name), list(column.iloc[:, 0]))
        if rows is not None:
            found = True
            plain = [flattened({str(name): row}) if row else {} for row in rows]
            column = pd.DataFrame(plain, index=table.index, dtype=object)
        parts.append(column)
    if not found:
        return table
    whole = pd.concat(parts, axis=1)
    whole.attrs = dict(table.attrs)
    return whole


def _mappings(name: str, cells: Sequence[Any]) -> list[dict[str, Any] | None] | None:
    """Return the mappings of a column, None for an empty cell; None when it is no column of mappings."""
    as_text = _HOLDERS.fullmatch(name) is not None
    found: list[dict[str, Any] | None] = []
    for cell in cells:
        if isinstance(cell, str) and as_text and cell.strip():
            cell = _read(cell.strip())
        if isinstance(cell, dict):
            found.append(cell)
        elif cell is None or isinstance(cell, float | str) and (cell == "" or cell != cell):  # noqa: PLR0124 - NaN
            found.append(None)
        else:
            return None
    return found if any(found) else None


def _read(text: str) -> Any:
    """Return the mapping that a text stands for, else the text."""
    if not text.startswith("{"):
        return text
    for read in (json.loads, ast.literal_eval, _python_with_nan):
        try:
            return read(text)
        except (ValueError, SyntaxError, RecursionError):
            continue
    return text


def _python_with_nan(text: str) -> Any:
    return ast.literal_eval(_NOT_A_NUMBER.sub("None", text))


def joined_header(header: Sequence[str], below: Sequence[str]) -> list[str] | None:
    """Return the names of a header of two rows as `trials_dataframe(multi_index=True)` leaves; None when it has one.

    >>> joined_header(["number", "params", "params"], ["", "lr", "opt"])
    ['number', 'params_lr', 'params_opt']
    >>> joined_header(["number", "params"], ["0", "lr"]) is None
    True
    """
    second = [*below, *([""] * (len(header) - len(below)))]
    if len(second) > len(header) or "number" not in header or second[header.index("number")]:
        return None
    pairs = list(zip(header, second, strict=True))
    if not any(second) or not all(_HOLDERS.fullmatch(name) for name, cell in pairs if cell):
        return None
    return [f"{name}_{cell}" if cell else name for name, cell in pairs]
