"""Every figure by its name: one library for the report, the live page and the notebook.

A figure is built from a `RunTable` as a `Drawn` value, whose colours are the CSS variables of `colours`: a page sets
them for light and dark, `shown.as_plotly` fills them in for whoever has no page.
"""

from collections.abc import Callable, Mapping
from typing import Any

from sweepkit.analysis.importance_result import Importance
from sweepkit.analysis.table import RunTable
from sweepkit.errors import SweepKitError
from sweepkit.reports.figures.base import Drawn
from sweepkit.reports.figures.curves import learning_curves
from sweepkit.reports.figures.heat import heat_map
from sweepkit.reports.figures.history import optimization_history
from sweepkit.reports.figures.importances import param_importances
from sweepkit.reports.figures.parallel import parallel_coordinate
from sweepkit.reports.figures.pareto import pareto_front
from sweepkit.reports.figures.slices import slice_of

_KINDS: Mapping[str, Callable[..., Drawn]] = {
    "curves": learning_curves,
    "history": optimization_history,
    "parallel": parallel_coordinate,
    "importance": lambda _, importance: param_importances(importance),
    "slice": slice_of,
    "heat_map": heat_map,
    "pareto": pareto_front,
}
KINDS = tuple(_KINDS)


def figure(kind: str, data: RunTable, **options: Any) -> Drawn:
    """Return a figure of a sweep.

    Args:
        kind: One of `KINDS`.
        data: The sweep's runs (`analysis.table.from_runs`).
        options: What that figure takes: curves `look`; parallel, heat_map `order`; heat_map `pair`; slice `parameter`;
            importance `importance`, which `analysis.importance.importances` computes.

    Raises:
        SweepKitError: There is no such figure, or an option names what the sweep does not have.

    Example:
        >>> drawn = figure("curves", table)                                     # doctest: +SKIP
        >>> as_plotly([drawn])                                                  # doctest: +SKIP
    """
    if kind not in _KINDS:
        raise SweepKitError(f"figure: must be one of {', '.join(KINDS)}, got {kind!r}")
    if kind == "importance" and not isinstance(options.get("importance"), Importance):
        raise SweepKitError("figure importance: needs what analysis.importance.importances found, got none")
    return _KINDS[kind](data, **options)
