"""Parallel coordinates: one line per run through all its parameters, the best drawn last."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sweepkit.analysis.encoding import causes
from sweepkit.analysis.table import Column, Row, RunTable
from sweepkit.model.numbers import how_many
from sweepkit.reports.figures.base import FEW, Drawn, clipped, layout, log_sensible, nothing, number, plain_row, safe
from sweepkit.reports.figures.curves import RAMP

NAME, TITLE = "parallel_coordinate", "Parallel coordinates"
_MOST = 14
_MOST_LEVELS = 24
_MOST_LINES = 600
_SCALE = [(at / (len(RAMP) - 1), colour) for at, colour in enumerate(RAMP)]


def parallel_coordinate(table: RunTable, *, order: Sequence[str] = ()) -> Drawn:
    """Return the figure: at most 14 parameters, those in `order` first; drag along an axis to pick runs."""
    rows = list(reversed(table.ranked()))  # the best last: later lines lie above
    columns = picked(table, order)
    if not rows or not columns or table.metric is None:
        return nothing(NAME, TITLE, "No run has ended with a value yet.")
    dimensions = [_dimension(column, rows) for column in columns]
    dimensions.append(_metric_axis(table, rows))
    line = _coloured(table, dimensions[-1])
    meta: dict[str, Any] = {"runs": [[run.number for run in item.members] for item in reversed(table.configurations())]}
    if len(rows) > _MOST_LINES:  # a page still brushes all of them
        meta["values"] = [[float(f"{value:.6g}") for value in item["values"]] for item in dimensions]
        drawn = _spread(len(rows))
        dimensions = [{**item, "values": [item["values"][at] for at in drawn]} for item in dimensions]
        line["color"] = dimensions[-1]["values"]
    trace = {
        "type": "parcoords",
        "dimensions": dimensions,
        "line": line,
        "labelangle": -20,
        "labelside": "top",
        "labelfont": {"size": 12, "color": "--ink"},
        "tickfont": {"size": 11, "color": "--ink"},
        "rangefont": {"size": 10, "color": "--muted"},
        "meta": meta,
        "unselected": {"line": {"color": "--muted", "opacity": 0.06}},
    }
    left = len(causes(table)) - len(columns)
    caption = (
        f"{_counted(rows)} that ended with a value, the best drawn last; the colour is the metric. Drag along an "
        'axis to pick runs, drag a name to move its axis. "n/a": the run does not have the parameter.'
    )
    if "values" in meta:
        caption += f" {_MOST_LINES} lines are drawn: the best half, and a spread of the others."
    if left > 0:
        caption += f" {left} parameters are not shown; the CSV has them."
    return Drawn(
        name=NAME,
        title=TITLE,
        caption=caption,
        data=(trace,),
        layout=layout(margin={"l": 70, "r": 110, "t": 96, "b": 24}),
        rows=tuple(plain_row(row, table) for row in reversed(rows)),
        height=460,
        min_width=110 * (len(columns) + 1),
    )


def _counted(rows: Sequence[Row]) -> str:
    """Return how many lines there are: of several seeds a configuration's runs are one."""
    return how_many(len(rows), "configuration" if any(row.seeds > 1 for row in rows) else "run")


def _spread(count: int) -> list[int]:
    """Return the lines that are drawn where there are too many: the best half of them, and a spread of the others."""
    best = _MOST_LINES // 2
    rest = count - best
    return [at * rest // best for at in range(best)] + list(range(rest, count))


def _coloured(table: RunTable, metric: Mapping[str, Any]) -> dict[str, Any]:
    """Return lines coloured by the metric, from the worst to the best; the worst twentieth shares one colour."""
    assert table.metric is not None
    values = metric["values"]
    minimizes = not table.metric.goal.better(1.0, 0.0)
    low, high = (float(at) for at in np.quantile(values, [0.0, 0.95] if minimizes else [0.05, 1.0]))
    bar = {"thickness": 10, "outlinewidth": 0, "x": 1.0, "xpad": 22, "tickfont": {"size": 10, "color": "--ink"}}
    bar |= {"tickvals": metric["tickvals"], "ticktext": metric["ticktext"]}
    scale = [(1 - at, colour) for at, colour in reversed(_SCALE)] if minimizes else _SCALE
    look = {"color": values, "colorscale": scale, "cmin": low, "cmax": high if high > low else low + 1.0}
    return look | {"showscale": True, "colorbar": bar}


def picked(table: RunTable, order: Sequence[str]) -> list[Column]:
    """Return the parameters to show: varying ones, those in `order` first, no category of more than 24 levels."""
    columns = [c for c in causes(table) if c.numeric or len(c.levels) <= _MOST_LEVELS]
    rank = {name: index for index, name in enumerate(order)}
    return sorted(columns, key=lambda column: rank.get(column.name, len(rank)))[:_MOST]


def _dimension(column: Column, rows: Sequence[Row]) -> dict[str, Any]:
    """Return a parameter's axis for plotly's parcoords, which knows numbers on linear axes only.

    Logarithmic values are their exponents with the values as ticks, categories their positions; a run without the
    parameter lies below the axis's first tick, at one of its own.
    """
    values, ticks, low, high = scaled(column, rows)
    texts = [text for _, text in ticks]
    return {
        "label": safe(clipped(column.name, 22)),
        "values": values,
        "tickvals": [at for at, _ in ticks],
        "ticktext": texts,
        "range": [low, high],
    }


def scaled(column: Column, rows: Sequence[Row]) -> tuple[list[float], list[tuple[float, str]], float, float]:
    """Return (positions, ticks, least, greatest) of a parameter's axis on a linear scale."""
    present = [row.params[column.name] for row in rows if column.name in row.params]
    if column.numeric:
        numbers = [float(value) for value in present]
        at = {value: float(np.log10(value)) if column.log else value for value in numbers}
        low, high = min(at.values(), default=0.0), max(at.values(), default=1.0)
        if len(at) <= FEW:
            ticks = [(place, f"{value:.4g}") for value, place in sorted(at.items())]
        else:
            ticks = _log_ticks(low, high) if column.log else _linear_ticks(low, high)
        span = high - low or 1.0
    else:
        levels = [level for level in column.levels if level in set(present)]
        at = {level: float(index) for index, level in enumerate(levels)}  # type: ignore[misc]
        low, high = 0.0, float(max(0, len(levels) - 1))
        ticks = [(float(index), clipped(level, 16)) for index, level in enumerate(levels)]
        span = max(high, 1.0)
    absent = low - (0.15 * span if column.numeric else 1.0)
    positions = [at[row.params[column.name]] if column.name in row.params else absent for row in rows]  # type: ignore[index]
    if len(present) < len(rows):
        return positions, [(absent, "n/a"), *ticks], absent, high if high > low else low + 0.5 * span
    if high <= low:
        low, high = low - 0.5 * span, high + 0.5 * span
    return positions, ticks, low, high


def _log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Return ticks between two exponents of ten: decades, the ends, and 2 and 5 where there are few decades."""
    marks = [1.0] if high - low > 2 else [1.0, 2.0, 5.0]
    exponents = range(int(np.floor(low)), int(np.ceil(high)) + 1)
    inner = [(e + float(np.log10(m)), f"{m * 10.0**e:.3g}") for e in exponents for m in marks]
    span = high - low
    kept = [(at, text) for at, text in inner if low + 0.06 * span < at < high - 0.06 * span]
    return [(low, f"{10**low:.3g}"), *kept, (high, f"{10**high:.3g}")] if span > 0 else [(low, f"{10**low:.3g}")]


def _linear_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Return five ticks of a linear axis."""
    return [(float(at), f"{at:.3g}") for at in np.linspace(low, high, 5)]


def _metric_axis(table: RunTable, rows: Sequence[Row]) -> dict[str, Any]:
    """Return the metric's axis, the better end at the top."""
    assert table.metric is not None
    values = [float(row.value or 0.0) for row in rows]
    log = log_sensible(values)
    at = [float(np.log10(value)) if log else value for value in values]
    low, high = min(at), max(at)
    pad = 0.0 if high > low else 0.5
    ticks = _log_ticks(low, high) if log else [(float(t), number(float(t))) for t in np.linspace(low, high, 5)]
    ends = [low - pad, high + pad]
    return {
        "label": safe(clipped(table.metric.name, 22)),
        "values": at,
        "tickvals": [place for place, _ in ticks],
        "ticktext": [text for _, text in ticks],
        "range": ends if table.metric.goal.better(1.0, 0.0) else ends[::-1],
    }
