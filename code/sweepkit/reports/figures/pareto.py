"""Pareto front of two or three objectives: the runs that no other run beats in everything."""

from collections.abc import Sequence
from typing import Any

from sweepkit.analysis.pareto import front
from sweepkit.analysis.table import Row, RunTable
from sweepkit.model.metric import Goal
from sweepkit.reports.figures.base import (
    Drawn,
    clipped,
    layout,
    log_sensible,
    nothing,
    plain_row,
    points,
    safe,
    value_axis,
)

NAME, TITLE = "pareto_front", "Pareto front"


def pareto_front(table: RunTable) -> Drawn:
    """Return the figure of the first three objectives; further ones only decide which runs are on the front."""
    rows = [row for row in table.rows if row.counts and row.objectives and len(row.objectives) == len(table.metrics)]
    if len(table.metrics) < 2:
        return nothing(NAME, TITLE, "The sweep has one objective: its best run is its front.")
    if not rows:
        return nothing(NAME, TITLE, "No run has ended with a value of every objective yet.")
    members = set(front([row.objectives or () for row in rows], [metric.goal for metric in table.metrics]))
    on_front = [index in members for index in range(len(rows))]
    best = sorted((row for row, on in zip(rows, on_front, strict=True) if on), key=lambda row: row.objectives or ())
    rest = [row for row, on in zip(rows, on_front, strict=True) if not on]
    draw = _flat if len(table.metrics) == 2 else _solid
    goals = ", ".join(f"{metric.name} ({metric.goal.value}d)" for metric in table.metrics)
    caption = f"{len(best)} of {len(rows)} runs are on the front of {goals}: none beats them in everything."
    data, figure = draw(table, best, rest)
    return Drawn(
        name=NAME,
        title=TITLE,
        caption=caption,
        data=tuple(data),
        layout=figure,
        rows=tuple({"on_front": on, **plain_row(row, table)} for row, on in zip(rows, on_front, strict=True)),
        height=440 if len(table.metrics) == 2 else 560,
    )


def _marks(table: RunTable, rows: Sequence[Row], *, on_front: bool) -> dict[str, Any]:
    """Return the trace of the runs by their first two objectives."""
    mark = (
        {"color": "--best", "size": 9, "opacity": 1.0} if on_front else {"color": "--muted", "size": 6, "opacity": 0.55}
    )
    name = f"on the front ({len(rows)})" if on_front else f"beaten ({len(rows)})"
    return points(rows, table, _at(rows, 0), _at(rows, 1), name=name, marker=mark)


def _at(rows: Sequence[Row], index: int) -> list[float]:
    return [row.objectives[index] for row in rows if row.objectives]


def _flat(table: RunTable, best: Sequence[Row], rest: Sequence[Row]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return traces and layout for two objectives; the line goes where the front's corners are."""
    everything = [*best, *rest]
    # Between two runs of the front nothing better is known than the worse of both: the corner points to the bad side.
    shape = "hv" if table.metrics[0].goal is Goal.MINIMIZE else "vh"
    line = {
        "type": "scatter",
        "mode": "lines",
        "x": _at(best, 0),
        "y": _at(best, 1),
        "line": {"shape": shape, "color": "--best", "width": 1.5},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    traces = [_marks(table, rows, on_front=rows is best) for rows in (rest, best) if rows]
    first, second = table.metrics
    figure = layout(
        xaxis=value_axis(_at(everything, 0), f"{first.name}, {first.goal.value}d"),
        yaxis=value_axis(_at(everything, 1), f"{second.name}, {second.goal.value}d"),
    )
    return [line, *traces], figure


def _solid(table: RunTable, best: Sequence[Row], rest: Sequence[Row]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return traces and layout for three objectives; drag to turn."""
    traces = []
    for rows in (rest, best):
        if rows:
            marks = _marks(table, rows, on_front=rows is best)
            marks["marker"] |= {"size": 5 if rows is best else 3}
            traces.append(marks | {"type": "scatter3d", "z": _at(rows, 2)})
    scene: dict[str, Any] = {"bgcolor": "rgba(0,0,0,0)", "camera": {"eye": {"x": 1.6, "y": 1.6, "z": 0.9}}}
    for index, letter in enumerate("xyz"):
        metric = table.metrics[index]
        scene[f"{letter}axis"] = {
            "title": {"text": safe(clipped(f"{metric.name}, {metric.goal.value}d"))},
            "gridcolor": "--grid",
            "color": "--ink",
            "type": "log" if log_sensible(_at([*best, *rest], index)) else "linear",
        }
    return traces, layout(scene=scene, margin={"l": 0, "r": 0, "t": 24, "b": 0})
