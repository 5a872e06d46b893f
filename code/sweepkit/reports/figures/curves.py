"""Learning curves: the metric of every run over its reports, steps or time, and where a stopping rule drew the line."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sweepkit.analysis.curves import curve_rows
from sweepkit.analysis.encoding import causes
from sweepkit.analysis.table import Column, Row, RunTable
from sweepkit.errors import SweepKitError
from sweepkit.model.metric import Goal, Metric
from sweepkit.model.objectives import value_in
from sweepkit.model.runs import RunState, RunView
from sweepkit.reports.figures.base import (
    STATE_COLOURS,
    Drawn,
    axis,
    clipped,
    layout,
    log_sensible,
    nothing,
    number,
    safe,
)
from sweepkit.reports.table import short
from sweepkit.stopping.make import limits

_NAME, _TITLE = "learning_curves", "Learning curves"
_AXES = {"report": "report", "step": "step", "time": "seconds since the first report"}
RAMP = tuple(f"--ramp{letter}" for letter in "abcdefghi")  # from the worst to the best, or from low to high
_MOST = 200
_POINTS = 60
_MOST_COLOURS = 8
_FADED = 0.32


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveStyle:
    """How curves are drawn at first; a page's controls change it.

    Args:
        x: "report", "step" or "time".
        colour: "state", "value" (the final value), or a parameter's name.
        smoothing: Weight of the value before in an exponential moving average, in [0, 1).
        log_y: Whether the metric's axis is logarithmic; None: where that is sensible.
        most: Curves at most (running runs alone may be more).
        runs: Numbers of the runs to show; None: the best and a spread of others.
        points: Points of a curve at most; a longer one is _thinned, its ends, least and greatest value kept.
    """

    x: str = "report"
    colour: str = "state"
    smoothing: float = 0.0
    log_y: bool | None = None
    most: int = _MOST
    runs: frozenset[int] | None = None
    points: int = _POINTS


def learning_curves(table: RunTable, look: CurveStyle | None = None) -> Drawn:
    """Return the curves of the first metric: stopped runs are faded and end in a diamond that says why.

    Raises:
        SweepKitError: `look` names an axis or a colour that there is not.
    """
    look = look or CurveStyle()
    if look.x not in _AXES:
        raise SweepKitError(f"learning curves: x must be one of {', '.join(_AXES)}, got {look.x!r}")
    rows = curve_rows(table, look.most) if look.runs is None else [r for r in table.rows if r.number in look.runs]
    rows = [row for row in rows if row.history]
    if table.metric is None or not rows:
        return nothing(_NAME, _TITLE, "No run has reported the metric yet.")
    colours = _colours(table, rows)
    if look.colour not in colours:
        raise SweepKitError(f"learning curves: colour must be one of {', '.join(colours)}, got {look.colour!r}")
    traces = [_curve(row, place, table.metric, colours, look) for place, row in enumerate(rows)]
    traces += [trace for trace in (_limits(table, rows), _ends(rows, look)) if trace]
    values = [value for trace in traces[: len(rows)] for value in trace["y"] if math.isfinite(value)]
    log = log_sensible(values) if look.log_y is None else look.log_y
    known = {"report", *(("step",) if all(row.steps for row in rows) else ())}
    known |= {"time"} if all(row.times for row in rows) else set()
    return Drawn(
        name=_NAME,
        title=_TITLE,
        caption=_caption(table, rows),
        data=tuple(traces),
        layout=layout(
            xaxis=axis(_AXES[look.x]),
            yaxis=axis(clipped(table.metric.name, 32), **({"type": "log"} if log else {}), **_view(values, log)),
            showlegend=False,
            hovermode="closest",
            meta={"x": [name for name in _AXES if name in known], "colours": list(colours), "axes": _AXES},
        ),
        rows=tuple(_csv_rows(rows)),
        height=420,
    )


def _view(values: Sequence[float], log: bool) -> dict[str, Any]:
    """Return the range that holds the bulk of the values: one run that blew up does not flatten the others."""
    if len(values) < 8:
        return {}
    low, high = (float(at) for at in np.quantile(values, [0.005, 0.97]))
    least, greatest = min(values), max(values)
    spread = high - low
    if log or spread <= 0 or greatest - least < 4 * spread:
        return {}
    return {"range": [max(least, low - spread) - 0.05 * spread, min(greatest, high + spread) + 0.05 * spread]}


def _curve(row: Row, place: int, metric: Metric, colours: dict[str, list[str]], look: CurveStyle) -> dict[str, Any]:
    kept = _thinned(row.history, look.points)
    reports = [at + 1 for at in kept]
    meta: dict[str, Any] = {"run": row.number, "id": row.run_id, "state": row.state.value, "report": reports}
    meta["y"] = [_rounded(row.history[at]) for at in kept]
    for name, values in (("step", row.steps), ("time", row.times)):
        if values:
            meta[name] = [_rounded(values[at]) for at in kept]
    meta["colours"] = {name: listed[place] for name, listed in colours.items()}
    stopped = row.state.cut_short
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(kept) == 1 else "lines",
        "name": f"run {row.number}",
        "x": meta.get(look.x, reports),
        "y": _smoothed(meta["y"], look.smoothing),
        "line": {"width": 1.5, "color": colours[look.colour][place]},
        "marker": {"size": 5},
        "opacity": _FADED if stopped else 0.9,
        "hovertemplate": f"<b>run {row.number}</b> {safe(clipped(row.run_id, 20))} · {row.state.value}<br>"
        f"%{{x:.6~g}}: {safe(clipped(metric.name, 30))} = %{{y:.5~g}}<extra></extra>",
        "meta": meta,
    }


def _thinned(values: Sequence[float], most: int) -> list[int]:
    """Return the places of at most about `most` values: first, last, and the least and greatest of each stretch.

    >>> _thinned([3.0, 1.0, 2.0], 10), _thinned([float(n % 7) for n in range(1000)], 6)
    ([0, 1, 2], [0, 6, 7, 335, 336, 671, 672, 999])
    """
    if len(values) <= most:
        return list(range(len(values)))
    cuts = np.linspace(1, len(values) - 1, max(2, most // 2 + 1)).astype(int)
    kept = {0, len(values) - 1}
    numbers = np.asarray(values, dtype=float)
    for start, end in zip(cuts, cuts[1:], strict=False):
        part = numbers[start:end]
        if len(part) and not np.isnan(part).all():
            kept |= {start + int(np.nanargmin(part)), start + int(np.nanargmax(part))}
    return sorted(int(at) for at in kept)


def _smoothed(values: Sequence[float], weight: float) -> list[float]:
    """Return the exponential moving average, begun unbiased as TensorBoard's; gaps stay gaps.

    >>> _smoothed([1.0, 3.0], 0.5)
    [1.0, 2.3333333333333335]
    """
    if not weight:
        return list(values)
    found, kept, mass = [], 0.0, 0.0
    for value in values:
        if not math.isfinite(value):
            found.append(value)
            continue
        kept, mass = weight * kept + (1 - weight) * value, weight * mass + 1 - weight
        found.append(kept / mass)
    return found


def _rounded(value: float) -> float:
    return float(f"{value:.5g}") if math.isfinite(value) else math.nan


def _colours(table: RunTable, rows: Sequence[Row]) -> dict[str, list[str]]:
    """Return what curves can be coloured by: name → the colour of each row."""
    assert table.metric is not None
    found = {
        "state": [STATE_COLOURS[row.state] for row in rows],
        "value": _ramped([_final(row, table.metric) for row in rows], reverse=table.metric.goal is Goal.MINIMIZE),
    }
    for column in causes(table)[:_MOST_COLOURS]:
        found.setdefault(column.name, _by_parameter(column, rows))
    return found


def _final(row: Row, metric: Metric) -> float | None:
    if row.value is not None or not row.history:
        return row.value
    return value_in(tuple(row.history), metric.goal, metric.value)


def _by_parameter(column: Column, rows: Sequence[Row]) -> list[str]:
    if column.numeric:
        values = [None if (value := row.params.get(column.name)) is None else float(value) for row in rows]
        if column.log:
            values = [None if value is None or value <= 0 else math.log10(value) for value in values]
        return _ramped(values, ranks=False)
    levels = list(column.levels)
    return _ramped(
        [float(levels.index(str(row.params[column.name]))) if column.name in row.params else None for row in rows],
        ranks=False,
    )


def _ramped(values: Sequence[float | None], *, reverse: bool = False, ranks: bool = True) -> list[str]:
    """Return a colour of the ramp for each value, by its rank or its place between the ends; "--muted" without one."""
    known = sorted({value for value in values if value is not None and math.isfinite(value)})
    if not known:
        return ["--muted"] * len(values)
    place = {value: at / max(1, len(known) - 1) for at, value in enumerate(known)}
    low, width = known[0], (known[-1] - known[0]) or 1.0
    found = []
    for value in values:
        if value is None or value not in place:
            found.append("--muted")
            continue
        share = place[value] if ranks else (value - low) / width
        share = 1 - share if reverse else share
        found.append(RAMP[min(len(RAMP) - 1, int(share * len(RAMP)))])
    return found


def _run_views(rows: Sequence[Row]) -> list[RunView]:
    """Return runs as a stopping rule sees them."""
    return [
        RunView(number=row.number, run_id=row.run_id, params={}, state=row.state, history=tuple(row.history))
        for row in rows
    ]


def stopping_limits(table: RunTable) -> list[tuple[int, float]]:
    """Return (report, value) of the line that the sweep's stopping rule draws now; [] where it draws none."""
    if table.stopping is None or table.metric is None:
        return []
    return limits(table.stopping, table.metric.goal, _run_views(table.rows), study=table.name)


def _limits(table: RunTable, rows: Sequence[Row]) -> dict[str, Any]:
    """Return the trace of the stopping rule's line, {} without one."""
    found = stopping_limits(table)
    rule = table.stopping
    if rule is None:
        return {}
    longest = max(len(row.history) for row in rows)
    bounds = [bound for bound in (rule.lower, rule.upper) if rule.type == "threshold" and bound is not None]
    if not found and not bounds:
        return {}
    x: list[int | None] = [report for report, _ in found]
    y: list[float | None] = [_rounded(value) for _, value in found]
    for bound in bounds:
        x += [1, longest, None]
        y += [bound, bound, None]
    meta: dict[str, Any] = {"limit": True, "report": x, "y": y}
    if (steps := _common_steps(rows)) and not bounds:
        meta["step"] = [steps.get(report) for report, _ in found]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": f"limit of {rule.type}",
        "x": x,
        "y": y,
        "line": {"color": "--stopped", "width": 2, "dash": "dash", "shape": "hv"},
        "marker": {"symbol": "line-ew-open", "size": 16, "color": "--stopped", "line": {"width": 3}},
        "hovertemplate": f"<b>{safe(rule.type)}</b>: a run must be at least as good as %{{y:.5~g}} "
        "at report %{x}<extra></extra>",
        "meta": meta,
    }


def _common_steps(rows: Sequence[Row]) -> dict[int, float]:
    """Return the step of each report where all runs agree on it, {} where one does not."""
    longest = max((row.steps for row in rows if row.steps), key=len, default=())
    if any(list(row.steps) != list(longest[: len(row.steps)]) for row in rows):
        return {}
    return {at + 1: step for at, step in enumerate(longest)}


def _ends(rows: Sequence[Row], look: CurveStyle) -> dict[str, Any]:
    """Return the marks at which runs were stopped, each with its reason; {} without one."""
    ended = [row for row in rows if row.state is RunState.STOPPED]
    if not ended:
        return {}
    meta = {
        "ends": True,
        "runs": [row.number for row in ended],
        "report": [len(row.history) for row in ended],
        "y": [_rounded(row.history[-1]) for row in ended],
        "step": [row.steps[-1] if row.steps else None for row in ended],
        "time": [row.times[-1] if row.times else None for row in ended],
    }
    return {
        "type": "scatter",
        "mode": "markers",
        "name": f"stopped early ({len(ended)})",
        "x": meta[look.x],
        "y": meta["y"],
        "marker": {"symbol": "diamond", "size": 7, "color": "--stopped", "opacity": 0.75},
        "text": [f"<b>run {row.number}</b> was stopped<br>{_wrapped(row.reason)}" for row in ended],
        "hoverinfo": "text",
        "meta": meta,
    }


def _wrapped(text: str, width: int = 60) -> str:
    words, lines = clipped(text, 220).split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return "<br>".join(safe(line) for line in lines)


def _caption(table: RunTable, rows: Sequence[Row]) -> str:
    total = sum(bool(row.history) for row in table.rows)
    counted = "1 run" if len(rows) == 1 else f"{len(rows)} runs"
    words = counted if len(rows) == total else f"{len(rows)} of {total} runs: the best and a spread of others"
    said = [words + "; those that were stopped or failed are faded."]
    if table.stopping is not None and table.stopping.type != "none":
        look = "of its bands" if table.stopping.type in ("hyperband", "asha") else "report"
        said.append(f"Dashed: what {table.stopping.type} asks for at each {look} now; a diamond says why it ended.")
    return " ".join(said)


def _csv_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [
        {
            "number": row.number,
            "run_id": row.run_id,
            "state": row.state.value,
            "report": at + 1,
            "step": short(row.steps[at]) if row.steps else "",
            "time": number(row.times[at]) if row.times else "",
            "value": value,
        }
        for row in rows
        for at, value in enumerate(row.history)
    ]
