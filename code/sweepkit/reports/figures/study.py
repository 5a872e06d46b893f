"""The figures of a sweep as files: one HTML each, its data as CSV beside it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sweepkit.analysis.importance_result import Gate, Importance
from sweepkit.analysis.table import RunTable
from sweepkit.reports.figures.base import Drawn, clipped
from sweepkit.reports.figures.library import figure
from sweepkit.reports.figures.page import write_figure
from sweepkit.reports.figures.slices import slices


def reading_order(importance: Importance | None) -> list[str]:
    """Return the parameters by importance; [] when that is not known, so that the space's own order stands."""
    return importance.top(len(importance.shares)) if importance is not None and importance.gate is Gate.OPEN else []


def study_figures(table: RunTable, importance: Importance | None, others: Sequence[RunTable] = ()) -> list[Drawn]:
    """Return the figures that stand alone: curves, history, importances, parallel coordinates, heat map, front.

    Args:
        table: The runs.
        importance: Of the first metric; None leaves that figure out.
        others: The runs by further metrics, whose curves follow those of the first.
    """
    order = reading_order(importance)
    curves = [figure("curves", item) for item in (table, *others)]
    if others:
        names = ["" if item.metric is None else clipped(item.metric.name) for item in (table, *others)]
        curves = [replace(drawn, title=f"{drawn.title}: {name}") for drawn, name in zip(curves, names, strict=True)]
        curves[1:] = [replace(drawn, name=f"{drawn.name}_{at}") for at, drawn in enumerate(curves[1:], 2)]
    found = [*curves, figure("history", table)]
    if importance is not None:
        found.append(figure("importance", table, importance=importance))
    found += [figure("parallel", table, order=order), figure("heat_map", table, order=order)]
    if len(table.metrics) > 1:
        found.append(figure("pareto", table))
    return found


def write_figures(folder: Path, table: RunTable, importance: Importance | None) -> list[Path]:
    """Write each figure that stands alone as NAME.html (`learning_curves`, …), and slice.html of the parameters.

    Args:
        folder: Where to; made when it is not there.
        table: The runs.
        importance: Of the first metric; None leaves that figure out.

    Returns:
        The HTML files. A CSV lies beside each.
    """
    title = table.name or "sweep"
    paths = [
        write_figure(folder / f"{drawn.name}.html", [drawn], title=f"{drawn.title} – {title}")
        for drawn in study_figures(table, importance)
    ]
    if drawn := slices(table, order=reading_order(importance)):
        paths.append(write_figure(folder / "slice.html", drawn, title=f"Parameters – {title}"))
    return paths
