"""Two parameters against the metric: the median of the finished runs in each cell."""

from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np

from sweepkit.analysis.encoding import causes
from sweepkit.analysis.table import Column, Row, RunTable
from sweepkit.errors import SweepKitError
from sweepkit.model.metric import Goal
from sweepkit.reports.figures.base import Drawn, axis, bin_names, clipped, layout, nothing, safe
from sweepkit.reports.figures.curves import RAMP
from sweepkit.reports.table import short

_NAME, _TITLE = "heat_map", "Two parameters"
_CELLS = 8
_BINS = 5


def heat_map(table: RunTable, *, order: Sequence[str] = (), pair: tuple[str, str] | None = None) -> Drawn:
    """Return the figure of a pair of parameters, without one the first two of `order`, then of the table.

    Raises:
        SweepKitError: `pair` names a parameter that the sweep does not have.
    """
    chosen = _pair(table, order, pair)
    if chosen is None or table.metric is None:
        return nothing(_NAME, _TITLE, "Fewer than two parameters vary.")
    rows = [row for row in table.finished() if all(column.name in row.params for column in chosen)]
    if not rows:
        return nothing(_NAME, _TITLE, "No run with both parameters has finished with a value yet.")
    (across, x), (up, y) = (_named_cells(column, rows) for column in chosen)
    held: dict[tuple[int, int], list[float]] = {}
    for i, j, row in zip(up, across, rows, strict=True):
        held.setdefault((i, j), []).append(float(row.value or 0.0))
    grid = [[median(held[i, j]) if (i, j) in held else None for j in range(len(x))] for i in range(len(y))]
    counts = [[len(held.get((i, j), ())) for j in range(len(x))] for i in range(len(y))]
    colours = RAMP[::-1] if table.metric.goal is Goal.MINIMIZE else RAMP
    trace = {
        "type": "heatmap",
        "x": x,
        "y": y,
        "z": grid,
        "colorscale": [[at / (len(RAMP) - 1), colour] for at, colour in enumerate(colours)],
        "colorbar": {
            "thickness": 12,
            "outlinewidth": 0,
            "tickfont": {"color": "--ink"},
            "title": {"text": safe(clipped(table.metric.name, 24)), "side": "right", "font": {"color": "--ink"}},
        },
        "customdata": counts,
        "texttemplate": "%{z:.4~g}" if len(x) * len(y) <= 40 else "",
        "hovertemplate": f"{safe(clipped(chosen[0].name))} = %{{x}}<br>{safe(clipped(chosen[1].name))} = %{{y}}<br>"
        "median %{z:.5~g} of %{customdata} runs<extra></extra>",
        "xgap": 2,
        "ygap": 2,
    }
    return Drawn(
        name=_NAME,
        title=_TITLE,
        caption=f"Median {clipped(table.metric.name, 48)} of the finished runs; in an empty cell none finished.",
        data=(trace,),
        layout=layout(
            xaxis=axis(chosen[0].name, type="category"),
            yaxis=axis(chosen[1].name, type="category"),
            margin={"l": 70, "r": 16, "t": 16, "b": 56},
        ),
        rows=tuple(_csv_rows(chosen, x, y, grid, counts)),
        height=380,
    )


def _pair(table: RunTable, order: Sequence[str], pair: tuple[str, str] | None) -> tuple[Column, Column] | None:
    columns = {column.name: column for column in causes(table)}
    if pair is not None:
        if missing := [name for name in pair if name not in columns]:
            raise SweepKitError(
                f"heat map: must be of two parameters that vary, got {missing[0]!r}; they are {', '.join(columns)}"
            )
        return columns[pair[0]], columns[pair[1]]
    names = [name for name in dict.fromkeys([*order, *columns]) if name in columns][:2]
    return (columns[names[0]], columns[names[1]]) if len(names) == 2 else None


def _named_cells(column: Column, rows: Sequence[Row]) -> tuple[list[int], list[str]]:
    at, names = cells(column, rows, bins=_BINS)
    return at, names if column.numeric else [safe(clipped(name, 16)) for name in names]


def cells(column: Column, rows: Sequence[Row], *, bins: int) -> tuple[list[int], list[str]]:
    """Return the cell of each run along a parameter, and the cells' names: its values, or bins of equal counts.

    Args:
        column: The parameter, which all of the runs have.
        rows: The runs.
        bins: How many there are at most where numbers have more than eight values.
    """
    values = [row.params[column.name] for row in rows]
    if not column.numeric:
        levels = [level for level in column.levels if level in set(values)]
        return [levels.index(str(value)) for value in values], levels
    numbers = [float(value) for value in values]
    distinct = sorted(set(numbers))
    if len(distinct) <= _CELLS:
        return [distinct.index(value) for value in numbers], [short(value) for value in distinct]
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, bins + 1)))
    at = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, len(edges) - 2)
    return [int(place) for place in at], bin_names(edges.tolist())


def _csv_rows(
    chosen: tuple[Column, Column],
    x: Sequence[str],
    y: Sequence[str],
    grid: Sequence[Sequence[float | None]],
    counts: Sequence[Sequence[int]],
) -> list[dict[str, Any]]:
    return [
        {chosen[0].name: x[j], chosen[1].name: y[i], "median": grid[i][j], "runs": counts[i][j]}
        for i in range(len(y))
        for j in range(len(x))
        if counts[i][j]
    ]
