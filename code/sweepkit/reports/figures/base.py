"""What every interactive figure is made of: a value that holds plotly's JSON, its caption and its data.

A figure is built as plain dictionaries, so it is a value like any other; plotly itself is only needed for the
JavaScript that draws it (`page`). A text that is just `--name` is a CSS variable of the page, so that a figure follows
light and dark.
"""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from sweepkit.analysis.table import Column, Row, RunTable
from sweepkit.model.runs import RunState
from sweepkit.reports.table import short

LONGEST = 28
_METRIC = 32  # letters that fit beside the lowest figure
_WEBGL = 1000
FEW = 8  # so many different values are an axis's ticks
STATE_COLOURS = {
    RunState.FINISHED: "--finished",
    RunState.STOPPED: "--stopped",
    RunState.DIVERGED: "--diverged",
    RunState.FAILED: "--failed",
    RunState.RUNNING: "--running",
    RunState.PENDING: "--muted",
}
STATE_SYMBOLS = {RunState.FINISHED: "circle", RunState.STOPPED: "diamond", RunState.RUNNING: "circle-open"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One figure.

    Args:
        name: The stem of its files, e.g. "optimization_history".
        title: What it shows; plain text.
        caption: What to read from it, or why there is nothing to draw; plain text.
        data: plotly's traces; () when there is nothing to draw.
        layout: plotly's layout.
        rows: What was drawn, as rows of the CSV beside it.
        height: Pixels.
        min_width: Pixels; a narrower page scrolls the figure.
    """

    name: str
    title: str
    caption: str
    data: tuple[Mapping[str, Any], ...] = ()
    layout: Mapping[str, Any] | None = None
    rows: tuple[Mapping[str, Any], ...] = ()
    height: int = 420
    min_width: int = 0


def layout(**extra: Any) -> dict[str, Any]:
    """Return the layout that all figures share, changed by `extra`."""
    base: dict[str, Any] = {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": "--ink", "family": "system-ui, sans-serif", "size": 12},
        "margin": {"l": 56, "r": 16, "t": 24, "b": 48},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "hoverlabel": {"bgcolor": "--panel", "bordercolor": "--line", "font": {"color": "--ink"}, "align": "left"},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": "--muted", "activecolor": "--ink"},
        "xaxis": axis(),
        "yaxis": axis(),
    }
    return base | extra


def axis(title: str = "", **extra: Any) -> dict[str, Any]:
    """Return an axis in the page's colours."""
    base: dict[str, Any] = {"gridcolor": "--grid", "linecolor": "--line", "zerolinecolor": "--line", "automargin": True}
    if title:
        base["title"] = {"text": safe(clipped(title, 48)), "standoff": 8}
    return base | extra


def safe(text: object) -> str:
    """Return text as plotly shows it unchanged: it takes a part of HTML for markup."""
    return html.escape(str(text), quote=False)


def clipped(text: str, longest: int = LONGEST) -> str:
    """Return text that is cut in its middle to `longest` characters.

    >>> clipped("optimizer.a_very_long_parameter_name", 20)
    'optimizer.…eter_name'
    """
    if len(text) <= longest:
        return text
    head = (longest - 1 + 1) // 2
    return f"{text[:head]}…{text[len(text) - (longest - 1 - head) :]}"


def bin_names(edges: Sequence[float]) -> list[str]:
    """Return names of the bins between rising edges, with as many digits as tell the edges apart.

    >>> bin_names([0.00071, 0.00093, 0.0012]), bin_names([0.9101, 0.9104, 0.9112])
    (['0.00071–0.00093', '0.00093–0.0012'], ['0.9101–0.9104', '0.9104–0.9112'])
    """
    for digits in range(2, 18):
        shown = [f"{edge:.{digits}g}" for edge in edges]
        if len(set(shown)) == len(edges):
            break
    return [f"{low}–{high}" for low, high in pairwise(shown)]


def number(value: float | None) -> str:
    """Return a number for people; "–" without one."""
    return "–" if value is None else f"{value:.5g}"


def _hover(row: Row, table: RunTable, varying: Sequence[Column]) -> str:
    """Return what a point says of its run: number, state, metric, parameters."""
    lines = [f"<b>run {row.number}</b> {safe(clipped(row.run_id, 40))} · {row.state.value}"]
    for index, metric in enumerate(table.metrics):
        lines.append(f"{safe(clipped(metric.name, 40))} = {number(row.objective(index))}")
    columns = [column for column in varying if column.name in row.params][:20]
    lines.extend(f"{safe(clipped(c.name, 40))} = {safe(clipped(short(row.params[c.name]), 40))}" for c in columns)
    return "<br>".join(lines)


MOST_MARKS = 1000  # of one colour in a picture: more are a solid patch, and a page that takes a browser minutes


def points(rows: Sequence[Row], table: RunTable, x: Sequence[Any], y: Sequence[Any], **look: Any) -> dict[str, Any]:
    """Return the trace of runs as marks that say what they are under the pointer."""
    varying = table.varying()  # once: it looks at every run
    shown = sampled(y)
    hover = {"text": [_hover(rows[at], table, varying) for at in shown], "hoverinfo": "text"}
    places = {"x": [x[at] for at in shown], "y": [y[at] for at in shown]}
    of = {"meta": {"runs": [rows[at].number for at in shown]}}  # so that a page finds a run's point again
    kind = "scattergl" if len(shown) > _WEBGL else "scatter"  # so many marks would be as many nodes of the page
    return {"type": kind, "mode": "markers"} | places | hover | of | look


def sampled(values: Sequence[Any]) -> list[int]:
    """Return which of many values are drawn, as positions: all up to `MOST_MARKS`, else the extremes and every n-th.

    >>> sampled([3.0, 1.0, 2.0]), len(sampled(range(10 * MOST_MARKS))) <= MOST_MARKS
    ([0, 1, 2], True)
    """
    count = len(values)
    if count <= MOST_MARKS:
        return list(range(count))
    known = [at for at in range(count) if isinstance(values[at], int | float)]
    known.sort(key=values.__getitem__)
    few = MOST_MARKS // 10
    spread = range(0, count, -(-count // (MOST_MARKS - 2 * few)))
    return sorted({*known[:few], *known[-few:], *spread})


def lost_points(rows: Sequence[Row], table: RunTable, x: Sequence[Any], *, yaxis: str) -> dict[str, Any]:
    """Return the crosses at the foot, for runs without a value: many of them are fainter, no solid bar."""
    mark = {"symbol": "x-thin", "size": 7, "line": {"width": 2, "color": "--failed"}, "color": "--failed"}
    mark |= {"opacity": max(0.2, min(1.0, 40 / len(rows)))}
    return points(rows, table, x, [0] * len(rows), name=f"no value ({len(rows)})", marker=mark, yaxis=yaxis)


def plain_row(row: Row, table: RunTable) -> dict[str, Any]:
    """Return a run as a row of a CSV: what it is, its objectives, its parameters."""
    found: dict[str, Any] = {"number": row.number, "run_id": row.run_id, "state": row.state.value}
    found |= {metric.name: row.objective(index) for index, metric in enumerate(table.metrics)}
    return found | {f"params.{column.name}": row.params.get(column.name) for column in table.columns}


def log_sensible(values: Sequence[float]) -> bool:
    """Return whether values are read better on a logarithmic axis: all positive, their bulk over more than 30 : 1.

    >>> log_sensible([0.5, 0.6, 0.7]), log_sensible([0.01, 0.1, 1, 10]), log_sensible([-1, 1, 100])
    (False, True, False)
    """
    if len(values) < 3 or min(values) <= 0:
        return False
    low, high = np.quantile(values, [0.05, 0.95])
    return bool(high / low > 30)


def value_axis(values: Sequence[float], title: str) -> dict[str, Any]:
    """Return the axis of a metric, logarithmic where that is sensible."""
    title = clipped(title, _METRIC)
    return axis(title, type="log", exponentformat="power") if log_sensible(values) else axis(title)


def place(row: Row, column: Column) -> float | str | None:
    """Return where a run lies on a parameter's axis: a number or a level's text; None when it does not have it."""
    value = row.params.get(column.name)
    if value is None or column.numeric:
        return value
    return safe(clipped(str(value), 16))


def parameter_axis(column: Column, rows: Sequence[Row]) -> dict[str, Any]:
    """Return the axis of a parameter: logarithmic, linear, or its levels in their order; few values are its ticks."""
    if not column.numeric:
        levels = [safe(clipped(level, 16)) for level in column.levels]
        return axis("", type="category", categoryorder="array", categoryarray=levels)
    values = sorted({row.params[column.name] for row in rows if column.name in row.params}, key=float)
    found = axis("", type="log", exponentformat="power", dtick=1) if column.log else axis("")
    if 2 <= len(values) <= FEW:
        found |= {"tickmode": "array", "tickvals": values, "ticktext": [short(value) for value in values]}
    elif column.log and float(values[-1]) / float(values[0]) < 100:
        found.pop("dtick")
    return found


def nothing(name: str, title: str, why: str) -> Drawn:
    """Return a figure that says why there is nothing to draw."""
    return Drawn(name=name, title=title, caption=why, height=0)
