"""Parallel coordinates: one line per run through all its parameters, the best drawn last."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sweepkit.analysis.encoding import causes
from sweepkit.analysis.table import Column, Row, RunTable
from sweepkit.reports.figures.base import (
    FEW,
    Drawn,
    clipped,
    layout,
    log_sensible,
    nothing,
    number,
    plain_row,
    safe,
    sampled,
)

NAME, TITLE = "parallel_coordinate", "Parallel coordinates"
_MOST = 14
_MOST_LEVELS = 24
_TOP = 0.1
# How often other runs' lines are drawn over by the best ones; the colour of a line is its rank.
_SCALE = [[0, "--faint"], [0.5, "--faint"], [0.899, "--middling"], [0.9, "--best"], [1, "--best"]]


def parallel_coordinate(table: RunTable, *, order: Sequence[str] = ()) -> Drawn:
    """Return the figure: at most 14 parameters, those in `order` first; drag along an axis to pick runs."""
    every = list(reversed(table.ranked()))  # the best last: later lines lie above
    rows = [every[at] for at in sampled(range(len(every)))]
    columns = picked(table, order)
    if not rows or not columns or table.metric is None:
        return nothing(NAME, TITLE, "No run has ended with a value yet.")
    dimensions = [_dimension(column, rows) for column in columns]
    dimensions.append(_metric_axis(table, rows))
    quality = [index / max(1, len(rows) - 1) for index in range(len(rows))]
    trace = {
        "type": "parcoords",
        "dimensions": dimensions,
        "line": {"color": quality, "colorscale": _SCALE, "cmin": 0, "cmax": 1, "showscale": False},
        "labelangle": -20,
        "labelside": "top",
        "labelfont": {"size": 12, "color": "--ink"},
        "tickfont": {"size": 11, "color": "--ink"},
        "rangefont": {"size": 10, "color": "--muted"},
        "unselected": {"line": {"color": "--muted", "opacity": 0.06}},
    }
    left = len(causes(table)) - len(columns)
    caption = (
        f"{_how_many(rows, every)} runs that ended with a value; the best {max(1, round(_TOP * len(rows)))} stand out. "
        "Drag along an axis "
        'to pick runs, drag a name to move its axis. "n/a": the run does not have the parameter.'
    )
    if left > 0:
        caption += f" {left} parameters are not shown; the CSV has them."
    return Drawn(
        name=NAME,
        title=TITLE,
        caption=caption,
        data=(trace,),
        layout=layout(margin={"l": 70, "r": 96, "t": 96, "b": 24}),
        rows=tuple(plain_row(row, table) for row in reversed(every)),
        height=460,
        min_width=110 * (len(columns) + 1),
    )


def _how_many(rows: Sequence[Row], every: Sequence[Row]) -> str:
    return str(len(rows)) if len(rows) == len(every) else f"{len(rows)} of {len(every)}"


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
