"""What a sweep is known by, as tables of pandas."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_FIRST = ("number", "run_id", "name", "state", "reason", "value")
_LAST = ("duration_s", "attempts", "created_at", "started_at", "ended_at", "host", "device")
_TIMES = ("created_at", "started_at", "ended_at", "time")
_HISTORY = ("number", "run_id", "report", "step", "time")


def runs_frame(rows: Sequence[Mapping[str, Any]]) -> "pd.DataFrame":
    """Return one row a run, in the order of the sweep, with times in UTC.

    Args:
        rows: As `housekeeping.export.exported` returns them.
    """
    ordered = sorted(rows, key=lambda row: row["number"])
    middle = [name for row in ordered for name in row if name not in _FIRST + _LAST]
    return _frame(ordered, [*_FIRST, *middle, *_LAST])


def history_frame(rows: Sequence[Mapping[str, Any]]) -> "pd.DataFrame":
    """Return one row for each metric of each report of each run."""
    long = [
        {**{key: row[key] for key in _HISTORY}, "metric": name, "value": value}
        for row in rows
        for name, value in row.items()
        if name not in _HISTORY
    ]
    return _frame(long, [*_HISTORY, "metric", "value"])


def _frame(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> "pd.DataFrame":
    import pandas as pd

    frame = pd.DataFrame(list(rows), columns=list(dict.fromkeys(columns)))
    for name in _TIMES:
        if name in frame:
            frame[name] = pd.to_datetime(frame[name], unit="s", utc=True)
    return frame
