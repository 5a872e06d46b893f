"""The figures of a sweep as plotly figures, which notebooks show."""

import difflib
from typing import TYPE_CHECKING, Any

from sweepkit.errors import SweepKitError

if TYPE_CHECKING:
    import pandas as pd

    from sweepkit.reports.figures.base import Drawn
    from sweepkit.reports.source import Source

_KINDS = ("history", "curves", "importance", "parallel", "pareto", "slices")


def figure_of(source: "Source", kind: str) -> Any:
    """Return a figure.

    Args:
        source: The sweep's runs.
        kind: "history" (value by run), "importance", "parallel" (coordinates), "pareto" (of several metrics) or
            "slices" (value by each parameter).

    Raises:
        SweepKitError: There is no such kind.
    """
    from sweepkit.reports.figures.shown import as_plotly

    if kind not in _KINDS:
        near = difflib.get_close_matches(kind, _KINDS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"they are {', '.join(_KINDS)}"
        raise SweepKitError(f"figure: must be one that there is, got {kind!r}; {hint}")
    drawn = _drawn(source, kind)
    if not drawn:
        raise SweepKitError(f"figure: {kind} needs runs with values of parameters that differ, got none")
    return as_plotly(drawn)


def _drawn(source: "Source", kind: str) -> "list[Drawn]":
    from sweepkit.analysis.importance import importances
    from sweepkit.reports.figures.history import optimization_history
    from sweepkit.reports.figures.importances import param_importances
    from sweepkit.reports.figures.parallel import parallel_coordinate
    from sweepkit.reports.figures.pareto import pareto_front
    from sweepkit.reports.figures.slices import slices

    table = source.table
    if kind == "history":
        return [optimization_history(table)]
    if kind == "parallel":
        return [parallel_coordinate(table)]
    if kind == "pareto":
        return [pareto_front(table)]
    if kind == "slices":
        return slices(table)
    return [param_importances(importances(table))]


def curves(source: "Source", history: "pd.DataFrame") -> Any:
    """Return the first metric over the steps of each run, or over its reports where not all of them name a step.

    It is the figure of the report and of the live page, coloured by the runs' values.

    Args:
        source: The sweep's runs.
        history: As `api.frames.history_frame` returns it.

    Raises:
        SweepKitError: The sweep has no metric.
    """
    from sweepkit.analysis.curves import with_reports
    from sweepkit.model.records import Report
    from sweepkit.reports.figures.curves import CurveStyle
    from sweepkit.reports.figures.library import figure
    from sweepkit.reports.figures.shown import as_plotly

    table = source.table
    if table.metric is None:
        raise SweepKitError("figure: curves are those of a metric, got a sweep without one")
    name = table.metric.name
    mine = history[history["metric"] == name]
    stepped = len(mine) > 0 and bool(mine["step"].notna().all())
    said = {
        run: [
            Report(seq=at, values={name: float(value)}, step=int(step) if stepped else None)
            for at, (step, value) in enumerate(zip(rows["step"], rows["value"], strict=True))
        ]
        for run, rows in mine.groupby("run_id")
    }
    look = CurveStyle(x="step" if stepped else "report", colour="value" if said else "state")
    return as_plotly([figure("curves", with_reports(table, said), look=look)])
