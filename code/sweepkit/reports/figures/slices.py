"""One parameter against the metric: where the good values lie, and whether the range was wide enough."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sweepkit.analysis.encoding import causes
from sweepkit.analysis.table import Column, Row, RunTable
from sweepkit.errors import SweepKitError
from sweepkit.model.runs import ENDED_WELL, RunState
from sweepkit.reports.figures.base import (
    STATE_SYMBOLS,
    Drawn,
    clipped,
    layout,
    lost_points,
    nothing,
    number,
    parameter_axis,
    place,
    points,
    value_axis,
)

_NAME = "slice"
_MOST = 9
_LINE_POINTS = 200  # of a running median: windows between them would look the same
_MOST_POINTS = 500
_TOP = 0.1
_EDGE = 0.1
_WIDEST = 0.7  # a region of the best runs that is wider than this share of the range says nothing
_OUTER = 0.25
_FEWEST_FOR_A_LINE = 12
_LEARNING_RATE = ("learning_rate", "lr", "base_lr", "max_lr", "learningrate")


def learning_rate(table: RunTable) -> Column | None:
    """Return the parameter that is a learning rate by its name, None without one that varies."""
    for wanted in _LEARNING_RATE:
        for column in table.varying():
            last = column.name.replace("/", ".").rpartition(".")[2].lower()
            if column.numeric and last == wanted:
                return column
    return None


def slices(table: RunTable, *, order: Sequence[str] = ()) -> list[Drawn]:
    """Return a figure per varying parameter, those in `order` first, a learning rate before the rest; at most 9."""
    if table.metric is None or not table.ranked():
        return []
    first = learning_rate(table)
    rank = {name: index for index, name in enumerate(order)}
    columns = sorted(
        causes(table), key=lambda column: (rank.get(column.name, len(rank)), first is None or column.name != first.name)
    )
    return [_slice_of(table, column, index) for index, column in enumerate(columns[:_MOST])]


def slice_of(table: RunTable, parameter: str) -> Drawn:
    """Return one parameter's figure.

    Raises:
        SweepKitError: The sweep has no such parameter.
    """
    try:
        return _slice_of(table, table.column(parameter))
    except KeyError:
        known = ", ".join(column.name for column in table.columns)
        raise SweepKitError(f"slice: must be of a parameter of the sweep, got {parameter!r}; it has {known}") from None


def _slice_of(table: RunTable, column: Column, index: int = 0) -> Drawn:
    """Return one parameter's figure; `index` makes the name of its files unique."""
    rows = [row for row in table.rows if column.name in row.params]
    scored = [row for row in rows if row.counts]
    title = clipped(column.name, 60)
    name = f"{_NAME}_{index + 1}"
    if table.metric is None or not scored:
        return nothing(name, title, "No run with this parameter has ended with a value.")
    data = [_points(table, column, scored, state) for state in ENDED_WELL]
    lost = [row for row in rows if row.state.ended_badly]
    if lost:
        data.append(lost_points(lost, table, [place(row, column) for row in lost], yaxis="y2"))
    if (line := _median_line(column, scored)) is not None:
        data.append(line)
    values = [row.value for row in scored if row.value is not None]
    figure = layout(
        xaxis=parameter_axis(column, rows) | {"anchor": "free", "position": 0},
        yaxis=value_axis(values, table.metric.name) | {"domain": [0.06 if lost else 0.0, 1.0]},
        yaxis2={"domain": [0, 0.05], "visible": False, "range": [-1, 1], "fixedrange": True},
        shapes=_best_region(table, column),
        showlegend=False,
        margin={"l": 56, "r": 12, "t": 12, "b": 44},
    )
    return Drawn(
        name=name,
        title=title,
        caption=" ".join(_words(table, column, rows)),
        data=tuple(trace for trace in data if trace),
        layout=figure,
        rows=tuple(
            {"run_id": row.run_id, "state": row.state.value, column.name: row.params[column.name], "value": row.value}
            for row in rows
        ),
        height=300,
    )


def _seen(table: RunTable, scored: Sequence[Row]) -> Sequence[Row]:
    """Return the runs that are drawn: all, or of too many the best half of so many and a spread of the others."""
    if len(scored) <= _MOST_POINTS:
        return scored
    value = {row.number: (row.value or 0.0) * (table.metric.goal.sign if table.metric else 1.0) for row in scored}
    ordered = sorted(scored, key=lambda row: value[row.number])
    best, rest = ordered[: _MOST_POINTS // 2], ordered[_MOST_POINTS // 2 :]
    return [*best, *(rest[at * len(rest) // len(best)] for at in range(len(best)))]


def _points(table: RunTable, column: Column, scored: Sequence[Row], state: RunState) -> dict[str, Any]:
    rows = [row for row in _seen(table, scored) if row.state is state]
    if not rows:
        return {}
    top = {row.run_id for row in table.ranked()[: _top_count(table)]}
    mark = {
        "color": ["--best" if row.run_id in top else "--finished" for row in rows],
        "symbol": STATE_SYMBOLS[state],
        "size": [9 if row.run_id in top else 6 for row in rows],
        "opacity": 0.8 if state is RunState.FINISHED else 0.5,
    }
    x = [place(row, column) for row in rows]
    return points(rows, table, x, [row.value for row in rows], name=state.value, marker=mark)


def _top_count(table: RunTable) -> int:
    return max(1, round(_TOP * len(table.ranked())))


def top_range(table: RunTable, column: Column) -> tuple[float, float] | None:
    """Return where the best tenth of the runs (at least 3) lies, None for categories or fewer than 10 runs."""
    ranked = table.ranked()
    top = [row.params[column.name] for row in ranked[: max(3, _top_count(table))] if column.name in row.params]
    if not column.numeric or len(ranked) < 10 or not top:
        return None
    numbers = [float(value) for value in top]
    return min(numbers), max(numbers)


def _best_region(table: RunTable, column: Column) -> list[dict[str, Any]]:
    where = top_range(table, column)
    if where is None:
        return []
    numbers = [float(row.params[column.name]) for row in table.rows if column.name in row.params]
    if _width(column, where) > _WIDEST * _width(column, (min(numbers), max(numbers))):
        return []  # the best runs lie everywhere: there is no region to show
    box = {"type": "rect", "x0": where[0], "x1": where[1], "yref": "paper", "y0": 0, "y1": 1}
    return [box | {"fillcolor": "--band", "line": {"width": 0}, "layer": "below"}]


def _width(column: Column, ends: tuple[float, float]) -> float:
    return float(np.log10(ends[1] / ends[0])) if column.log else ends[1] - ends[0]


def _median_line(column: Column, scored: Sequence[Row]) -> dict[str, Any] | None:
    """Return a running median over a fifth of the runs, None where there is nothing to smooth."""
    points = median_line(column, scored)
    if not points:
        return None
    points = points[:: 1 + len(points) // _MOST_POINTS]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "running median",
        "x": [x for x, _ in points],
        "y": [y for _, y in points],
        "line": {"color": "--muted", "width": 2, "dash": "dot"},
        "hoverinfo": "skip",
    }


def median_line(column: Column, scored: Sequence[Row]) -> list[tuple[float, float]]:
    """Return the running median of the metric along a parameter, over windows of a fifth of the runs; [] below 12."""
    pairs = (
        sorted((float(row.params[column.name]), float(row.value or 0.0)) for row in scored) if column.numeric else []
    )
    if len(pairs) < _FEWEST_FOR_A_LINE or len({x for x, _ in pairs}) < 6:
        return []
    width = max(5, len(pairs) // 5)
    found = []
    for start in range(0, len(pairs) - width + 1, max(1, (len(pairs) - width) // _LINE_POINTS)):
        window = np.array(pairs[start : start + width])
        found.append((float(np.median(window[:, 0])), float(np.median(window[:, 1]))))
    return found


def _words(table: RunTable, column: Column, rows: Sequence[Row]) -> list[str]:
    """Return what to read from the figure: the best value, and a range that the best runs press against."""
    ranked = table.ranked()
    best = next((row for row in ranked if column.name in row.params), None)
    if best is None:
        return []
    value = best.params[column.name]
    which = "Best run" if best is ranked[0] else "Best run of those that have it"
    said = [f"{which}: {value if isinstance(value, str) else number(value)}."]
    if warning := edge_warning(table, column):
        said.append(warning)
    missing = len(table.rows) - len(rows)
    if missing:
        said.append("1 run does not have it." if missing == 1 else f"{missing} runs do not have it.")
    return said


def _wider(ends: tuple[float, float], way: str) -> str:
    """Return which way to widen a range, with the doubt that a rate, a share or a probability may end there.

    >>> _wider((0.0, 0.3), "lower"), _wider((0.1, 0.3), "lower")
    ('widen it downward if it can be less than 0', 'widen it downward')
    """
    if way == "lower":
        return "widen it downward" + (" if it can be less than 0" if ends[0] == 0 else "")
    return "widen it upward" + (" if it can be more than 1" if ends[1] == 1 and ends[0] >= 0 else "")


def edge_warning(table: RunTable, column: Column) -> str:
    """Return a sentence when the best runs press against an end of the range; "" when not.

    The best run lies within a tenth of the range from the end, and most of the best tenth (at least three) within a
    quarter: one run alone lies there by chance in one sweep of five.
    """
    ranked = [row for row in table.ranked() if column.name in row.params]
    if not column.numeric or column.low is None or column.high is None or len(ranked) < 10:
        return ""
    ends = (column.low, column.high)
    tried = {float(row.params[column.name]) for row in ranked}
    if len(tried) < 3:
        return ""  # of two values one is the best
    if ends[1] <= ends[0] or (column.log and ends[0] <= 0):
        return ""
    top = [float(row.params[column.name]) for row in ranked[: max(3, _top_count(table))]]
    shares = np.array([_width(column, (ends[0], at)) for at in top]) / _width(column, ends)
    for sides, end, way in ((shares, ends[0], "lower"), (1 - shares, ends[1], "upper")):
        if way == "lower" and end in (0.0, 1.0) and all(value.is_integer() for value in tried):
            continue  # a count, and there is none below
        if sides[0] < _EDGE and np.mean(sides < _OUTER) > 0.5:
            return f"The best runs lie at the {way} end of the range ({number(end)}): {_wider(ends, way)}."
    return ""
