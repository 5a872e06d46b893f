"""A `RunTable` from a frame of any tool: our own runs.csv, Optuna's trials_dataframe, a W&B export, a table. Pure.

What a column is, is read from its name (`params.lr`, `params_lr`) and from what the caller says; everything else is
told by its values: a column of numbers is numeric, positive numbers over two decades are logarithmic.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sweepkit.analysis.table import ATTRS, Column, Row, RunTable, is_number, levels_column, numbers_column, text_of
from sweepkit.errors import DataError
from sweepkit.model.distributions import content_key
from sweepkit.model.metric import Goal, Metric
from sweepkit.model.runs import RunState

if TYPE_CHECKING:
    import pandas as pd

# Words of W&B and Optuna for what we call otherwise.
_STATES = {
    "complete": RunState.FINISHED,
    "completed": RunState.FINISHED,
    "success": RunState.FINISHED,
    "terminated": RunState.FINISHED,  # Ray Tune: it ended by itself
    "pruned": RunState.STOPPED,
    "early_stopped": RunState.STOPPED,
    "fail": RunState.FAILED,
    "crashed": RunState.FAILED,
    "error": RunState.FAILED,
    "killed": RunState.FAILED,
    "waiting": RunState.PENDING,
    "preempted": RunState.PENDING,
}
_DURATIONS = ("duration_s", "runtime", "duration", "_runtime", "time_total_s")
_IDS = ("run_id", "id", "trial_id", "name", "run")
_OTHERS = re.compile(
    r"^(number|state|status|created|created_at|start|end|datetime_.*|timestamp|_timestamp|_step|step|user|tags|notes|"
    r"sweep|group|host|hostname|reason|attempts|value|values_\d+|(user|system)_attrs_.*|(user|system)_attr.*|"
    r"intermediate_values|github|git.*|agent|updated|end time|start time|description|commit|jobtype|job type|"
    r"unnamed: \d+)$",  # an index that pandas wrote
    re.IGNORECASE,
)
_PREFIX = re.compile(r"^(params?|config)[._/]", re.IGNORECASE)


def from_rows(rows: Sequence[Mapping[str, Any]], **chosen: Any) -> RunTable:
    """Return a table of plain rows, column name → value: `from_frame` of them, with the same choices."""
    import pandas as pd

    return from_frame(pd.DataFrame([dict(row) for row in rows], dtype=object), **chosen)


def from_frame(
    frame: "pd.DataFrame",
    *,
    metric: str | None = None,
    goal: Goal | None = None,
    parameters: Sequence[str] = (),
    name: str = "",
) -> RunTable:
    """Return the table of a frame with one run a row: our own, Optuna's `trials_dataframe()`, any other.

    Args:
        frame: Text that reads as a number, true, false or JSON is taken as that, but in a categorical column, whose
            text stays a category; "" and what is NA is missing.
        metric: The column to optimize; None takes `value` (ours, Optuna's), then `values_0`.
        goal: Its direction; None takes that of `RunTable.to_frame`, else maximize.
        parameters: The parameter columns, as written or without their prefix; () takes those that begin with `params.`,
            `params_` or `config.`, and without any such all that are neither the metric nor known bookkeeping.
        name: What to call the table; "" takes the name of `RunTable.to_frame`.

    Raises:
        DataError: There is no row, no such metric, a named parameter is missing, or no parameter is left.

    Example:
        >>> import pandas as pd
        >>> table = from_frame(pd.DataFrame({"params.lr": [0.1, 0.2], "value": [0.9, 0.6]}))
        >>> [row.params for row in table.ranked()]
        [{'lr': 0.1}, {'lr': 0.2}]
    """
    own = frame.attrs.get(ATTRS, {})
    name = name or own.get("name", "")
    where = name or "table"
    if frame.empty:
        raise DataError(f"{where}: must hold at least one run, got none")
    plain = _cells(frame)
    headers = list(plain[0])
    asked = metric or own.get("metric")
    ours = asked == own.get("metric")  # its values stand in `value`, but for several metrics
    value_at = _metric_column(headers, None if ours and "value" in headers else asked, where)
    chosen = _parameters(headers, value_at, parameters, where)
    columns = [(key, _column(short, [row[key] for row in plain])) for key, short in chosen]
    rows = [_row(index, row, value_at, columns) for index, row in enumerate(plain)]
    if len({row.number for row in rows}) < len(rows):  # two sweeps in one file
        rows = [replace(row, number=index) for index, row in enumerate(rows)]
    known = own.get("goal", Goal.MAXIMIZE) if ours else Goal.MAXIMIZE
    return RunTable(
        name=name,
        metrics=(Metric(name=asked or value_at, goal=goal or Goal(known)),),
        columns=tuple(column for _, column in columns),
        rows=tuple(rows),
        method=own.get("method", ""),
    )


def _cells(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """Return the rows as plain values, None where one is missing; of columns of one name the last counts."""
    plain = {}
    for place, key in enumerate(frame.columns):
        cells = frame.iloc[:, place]
        if cells.dtype.kind == "m":
            cells = cells.dt.total_seconds()  # Optuna's durations
        held = cells.astype(object).where(cells.notna(), None)
        plain[str(key)] = list(held) if cells.dtype.name == "category" else [_value(value) for value in held]
    return [dict(zip(plain, row, strict=True)) for row in zip(*plain.values(), strict=True)]


def _value(value: Any) -> Any:
    """Return a cell as the value that it stands for; None where it is empty."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text == "" or text.lower() == "nan":  # not "none": optimizers and schedulers are called so
        return None
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return float(text)  # .5 and 1. are numbers, and no JSON
    except ValueError:
        return value


def _metric_column(headers: Sequence[str], metric: str | None, where: str) -> str:
    wanted = ["value", "values_0"]
    if metric:
        wanted = [metric, f"best.{metric}", f"metrics.{metric}", f"objective.{metric}"]
    for candidate in wanted:
        if candidate in headers:
            return candidate
    shown = ", ".join(headers[:20])
    raise DataError(f"{where}: must have a column of the metric {metric or 'value'!r}, got: {shown}; name it: --metric")


def _parameters(headers: Sequence[str], value_at: str, wanted: Sequence[str], where: str) -> list[tuple[str, str]]:
    """Return (column, parameter name) of each parameter."""
    if wanted:
        found = []
        for name in wanted:
            key = next((h for h in headers if h == name or _PREFIX.sub("", h) == name), None)
            if key is None:
                raise DataError(f"{where}: the parameter {name!r} must be a column, got: {', '.join(headers[:20])}")
            found.append((key, name))
        return found
    prefixed = [(key, _PREFIX.sub("", key)) for key in headers if _PREFIX.match(key)]
    if prefixed:
        return prefixed
    known = {value_at, *_IDS, *_DURATIONS}
    others = [key for key in headers if key.lower() not in known and key not in known and not _OTHERS.match(key)]
    others = [key for key in others if not key.startswith(("best.", "metrics.", "objective."))]
    if not others:
        raise DataError(
            f"{where}: must have columns of parameters, got none beside the metric; name them: --parameters"
        )
    return [(key, key) for key in others]


def _column(name: str, cells: Sequence[Any]) -> Column:
    values = [value for value in cells if value is not None]
    missing = len(values) < len(cells)
    if values and all(is_number(value) for value in values):
        return numbers_column(name, values, missing=missing)
    return levels_column(name, values, missing=missing)


def _row(index: int, row: Mapping[str, Any], value_at: str, columns: Sequence[tuple[str, Column]]) -> Row:
    lower = {key.lower(): value for key, value in row.items()}
    raw = row.get(value_at)
    value = float(raw) if is_number(raw) else None
    params: dict[str, float | str] = {}
    for key, column in columns:
        if (item := row.get(key)) is not None:
            params[column.name] = item if column.numeric else text_of(item)
    number = lower.get("number")
    duration = next((lower[key] for key in _DURATIONS if is_number(lower.get(key))), None)
    run_id = next((lower[key] for key in _IDS if lower.get(key) is not None), index)
    seed = lower.get("seed")
    return Row(
        number=number if isinstance(number, int) else index,
        run_id=text_of(run_id),
        state=_state(lower.get("state", lower.get("status")), value),
        params=params,
        value=value,
        objectives=None if value is None else (value,),
        metrics={key[5:]: float(item) for key, item in row.items() if key.startswith("best.") and is_number(item)},
        duration_s=float(duration) if duration is not None else None,
        attempts=int(lower["attempts"]) if is_number(lower.get("attempts")) else 1,
        seed=seed if isinstance(seed, int) and not isinstance(seed, bool) else None,
        reason=text_of(lower["reason"]) if lower.get("reason") is not None else "",
        order=float(index),
        configuration=tuple(
            (column.name, content_key(params[column.name]))
            for _, column in columns
            if column.name in params and not column.seed
        ),
        name=text_of(lower.get("name") or ""),
    )


def _state(word: Any, value: float | None) -> RunState:
    """Return the state that another tool's word means; without one, a run with a value has finished."""
    if word is None:
        return RunState.FAILED if value is None else RunState.FINISHED
    word = str(word).lower().rpartition(".")[2]  # Optuna's enum prints as TrialState.COMPLETE
    try:
        return _STATES.get(word) or RunState(word)
    except ValueError:
        return RunState.FAILED if value is None else RunState.FINISHED
