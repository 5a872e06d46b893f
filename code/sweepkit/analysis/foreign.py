"""A `RunTable` from a frame of any tool: our own runs.csv, Optuna's trials_dataframe, a W&B export, a table. Pure.

What a column is, is read from its name (`analysis.columns`) and from what the caller says, what its cells mean from
`analysis.cells`; everything else is known by its values: a column of numbers is numeric, positive numbers over two
decades are logarithmic. What was inferred is said.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import StatisticsError, correlation
from typing import TYPE_CHECKING, Any

from sweepkit.analysis.cells import (
    column_values,
    is_empty,
    require_numbers,
    run_states,
    seconds,
    without_words,
)
from sweepkit.analysis.columns import assign, bare, column_of, direction_of, is_bookkeeping, is_result
from sweepkit.analysis.table import ATTRS, Column, Row, RunTable, levels_column, numbers_column, text_of
from sweepkit.errors import DataError
from sweepkit.model.distributions import content_key
from sweepkit.model.metric import BEST, LAST, Goal, Metric
from sweepkit.model.numbers import is_finite
from sweepkit.model.runs import RunState
from sweepkit.model.seeds import is_seed
from sweepkit.text.nested_tables import unnested
from sweepkit.text.table_files import DELIMITER, READ_AS

if TYPE_CHECKING:
    import pandas as pd

_DURATIONS = ("duration_s", "runtime", "duration", "_runtime", "time_total_s")
_IDS = ("run_id", "run id", "id", "trial_id", "name", "run_name", "run", "number")
_NAMES = frozenset(_IDS) - {"number"}  # texts whatever they look like: a run's id may read as a number, 1e5 or 0010
_STAMPS = (("datetime_start", "datetime_complete"), ("start_time", "end_time"))
_OF_A_STUDY = "custom"  # as a study is read from its storage: nobody knows what sampled it
_LEAST_RELATED = 10  # runs before a relation says anything


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
    notes: list[str] | None = None,
    ask_goal: bool = True,
    seed_parameter: str | None = None,
) -> RunTable:
    """Return the table of a frame with one run a row: our own, Optuna's `trials_dataframe()`, any other.

    Args:
        frame: Text that reads as a number, true, false or JSON is taken as that, but in a categorical column, whose
            text stays a category; "" and what is NA is missing. Percent and decimal commas are read as `analysis.cells`
            says.
        metric: The column to optimize; None takes `value` (ours, Optuna's, optuna-dashboard's), then `values_0`.
        goal: Its direction; None takes that of `RunTable.to_frame`, else what the metric's name says, else maximize.
        parameters: The parameter columns, as written or without their prefix; () takes those that begin with `params.`,
            `params_`, `config.`, `config/` or `Param `, and without any such all that are no result and no bookkeeping
            by their names.
        name: What to call the table; "" takes the name of `RunTable.to_frame`.
        notes: Takes a sentence for everything that was inferred: roles of columns, direction, formats of numbers.
        ask_goal: With notes: refuse a metric whose direction its name does not say.
        seed_parameter: The parameter that holds seeds; None takes those that are called so.

    Raises:
        DataError: There is no row, no such metric, a named parameter is missing, no parameter is left, a score is no
            number, a state is unknown, or a column without a prefix follows the metric nearly perfectly.

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
    said: list[str] = list(frame.attrs.get(READ_AS, ()))
    plain = _cells(_plain_columns(frame), said)
    headers = list(plain[0])
    asked = metric or own.get("metric")
    ours = asked == own.get("metric")  # its values stand in `value`, but for several metrics
    value_at = _metric_column(headers, None if ours and "value" in headers else asked, where)
    scores = [row[value_at] for row in plain]
    require_numbers(value_at, without_words(scores), where)
    chosen = _parameters(plain, value_at, parameters, where, said)
    columns = [(key, _column(short, [row[key] for row in plain], seed_parameter)) for key, short in chosen]
    states, sentence = run_states({key: [row[key] for row in plain] for key in headers}, scores, where)
    said += [sentence] if sentence else []
    rows = [_row(index, row, value_at, columns, states[index]) for index, row in enumerate(plain)]
    if len({row.number for row in rows}) < len(rows):  # two sweeps in one file
        rows = [replace(row, number=index) for index, row in enumerate(rows)]
    known = Goal(own["goal"]) if ours and "goal" in own else None
    direction = goal or known or _direction(asked or value_at, where, said, must=ask_goal and notes is not None)
    if notes is not None:
        notes += said
    return RunTable(
        name=name,
        metrics=(Metric(name=asked or value_at, goal=direction),),
        columns=tuple(column for _, column in columns),
        rows=tuple(rows),
        method=own.get("method", _OF_A_STUDY if _is_study(headers) else ""),
    )


def _direction(metric: str, where: str, said: list[str], *, must: bool) -> Goal:
    """Return which way a metric is better, from its name; `must`: refuse a name that does not say."""
    found = direction_of(metric)
    if found is None and must:
        raise DataError(f"{where}: --goal must say whether {metric} is to maximize or to minimize, got none")
    if found is not None:
        said.append(f"{metric} is to {found.value}, by its name; --goal says otherwise")
    return found or Goal.MAXIMIZE


def _plain_columns(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Return a frame with one name a column: levels of names are joined, mappings spread."""
    if frame.columns.nlevels > 1:
        names = ["_".join(str(part) for part in key if str(part)) for key in frame.columns]
        frame = frame.set_axis(names, axis=1)
    return unnested(frame)


def _cells(frame: "pd.DataFrame", said: list[str]) -> list[dict[str, Any]]:
    """Return the rows as plain values, None where one is missing; of columns of one name the last counts."""
    plain: dict[str, list[Any]] = {}
    delimiter = frame.attrs.get(DELIMITER, "")
    for place, key in enumerate(frame.columns):
        cells = frame.iloc[:, place]
        if cells.dtype.kind == "m":
            cells = cells.dt.total_seconds()  # Optuna's durations
        held = cells.astype(object).where(cells.notna(), None)
        if cells.dtype.name == "category" or str(key).lower() in _NAMES:
            plain[str(key)] = list(held)
            continue
        plain[str(key)], sentence = column_values(str(key), list(held), delimiter)
        said += [sentence] if sentence else []
    return [dict(zip(plain, row, strict=True)) for row in zip(*plain.values(), strict=True)]


def _metric_column(headers: Sequence[str], metric: str | None, where: str) -> str:
    for candidate in [metric] if metric else ["value", "values_0", "Value 0", "Objective 0"]:
        if (found := column_of(headers, candidate)) is not None:
            return found
    results = [key for key in headers if is_result(key) and not is_bookkeeping(key)]
    shown = f"results by their names are {', '.join(results)}" if results else f"got: {', '.join(headers)}"
    raise DataError(f"{where}: must have a column of the metric {metric or 'value'!r}, {shown}; name it: --metric")


def _parameters(
    plain: Sequence[Mapping[str, Any]], value_at: str, wanted: Sequence[str], where: str, said: list[str]
) -> list[tuple[str, str]]:
    """Return (column, parameter name) of each parameter."""
    headers = list(plain[0])
    if wanted:
        found = []
        for name in wanted:
            key = next((h for h in headers if h == name or bare(h) == name), None)
            if key is None:
                raise DataError(f"{where}: the parameter {name!r} must be a column, got: {', '.join(headers)}")
            found.append((key, name))
        return found
    roles, doubtful = assign(headers, value_at, _related(plain, value_at), _naming(plain))
    if doubtful:
        raise DataError(
            f"{where}: {', '.join(doubtful)} must be known as parameters or results, for {value_at} follows them "
            f"nearly perfectly; name the parameters: --parameters {' '.join(key for key, _ in roles.parameters)}"
        )
    if not roles.parameters:
        raise DataError(
            f"{where}: must have columns of parameters, got none beside the metric; name them: --parameters"
        )
    said.append(roles.sentence())
    return list(roles.parameters)


def _naming(plain: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the columns of texts that are another one in each of many rows: they name the runs."""
    if len(plain) < _LEAST_RELATED:
        return []
    texts = {key: {row[key] for row in plain if isinstance(row[key], str)} for key in plain[0]}
    return [key for key, values in texts.items() if len(values) == len(plain)]


def _related(plain: Sequence[Mapping[str, Any]], value_at: str) -> dict[str, float]:
    """Return how closely each numeric column goes with the metric: the squared correlation's root, in [0, 1].

    Columns of few values are left out: a parameter that is all that matters may well order the scores.
    """
    found = {}
    for key in plain[0]:
        pairs = [(row[key], row[value_at]) for row in plain if is_finite(row[key]) and is_finite(row[value_at])]
        if key != value_at and len(pairs) >= _LEAST_RELATED and len({x for x, _ in pairs}) > len(pairs) / 2:
            with contextlib.suppress(StatisticsError):
                found[key] = abs(correlation([x for x, _ in pairs], [y for _, y in pairs]))
    return found


def _column(name: str, cells: Sequence[Any], seed_parameter: str | None) -> Column:
    values = [value for value in cells if value is not None]
    numeric = bool(values) and all(is_finite(value) for value in values)
    made = (numbers_column if numeric else levels_column)(name, values, missing=len(values) < len(cells))
    return replace(made, seed=is_seed(name, seed_parameter))


def _counted(row: Mapping[str, Any]) -> tuple[str, dict[str, float]]:
    """Return which report counts in one of our own tables, "best" or "last", and what it held, by name."""
    for report in (BEST, LAST):
        prefix = f"{report}."
        found = {key.removeprefix(prefix): row[key] for key in row if key.startswith(prefix) and is_finite(row[key])}
        if found:
            return report, {name: float(value) for name, value in found.items()}
    return BEST, {}


def _row(
    index: int, row: Mapping[str, Any], value_at: str, columns: Sequence[tuple[str, Column]], state: RunState
) -> Row:
    lower = {key.lower(): value for key, value in row.items()}
    counted, metrics = _counted(row)
    raw = row.get(value_at)
    value = float(raw) if is_finite(raw) else None
    params: dict[str, float | str] = {}
    for key, column in columns:
        if (item := row.get(key)) is not None:
            params[column.name] = item if column.numeric else text_of(item)
    number = lower.get("number")
    run_id = next((lower[key] for key in _IDS if lower.get(key) is not None), index)
    seed = lower.get("seed")
    return Row(
        number=number if isinstance(number, int) else index,
        run_id=text_of(run_id),
        state=state,
        params=params,
        value=value,
        objectives=None if value is None else (value,),
        metrics=metrics,
        counted=counted,
        duration_s=_duration(lower),
        attempts=int(lower["attempts"]) if is_finite(lower.get("attempts")) else 1,
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


def _duration(row: Mapping[str, Any]) -> float | None:
    """Return how long a run took, in seconds: from start to end where both are said, for a workbook has days.

    >>> _duration({"start_time": "2026-01-02 10:00:00", "end_time": "2026-01-02 10:01:30"})
    90.0
    """
    import pandas as pd

    for start, end in _STAMPS:
        if is_empty(row.get(end)) or is_finite(row[end]):
            continue
        with contextlib.suppress(ValueError, TypeError):
            took = (pd.Timestamp(row[end]) - pd.Timestamp(row.get(start))).total_seconds()
            if is_finite(took):
                return took
    return next((took for key in _DURATIONS if (took := seconds(row.get(key))) is not None), None)


def _is_study(headers: Sequence[str]) -> bool:
    """Return whether a table is Optuna's `trials_dataframe`, or optuna-dashboard's export."""
    names = set(headers)
    optunas = {"number", "state", "datetime_start"} <= names and any(name.startswith("params_") for name in names)
    return optunas or ({"Number", "State"} <= names and any(name.startswith("Param ") for name in names))
