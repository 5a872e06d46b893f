"""Static pictures (PNG) by matplotlib's Agg: the guide's four panels, correlations, parallel coordinates, history.

No pyplot, so nothing global is touched. Texts that the default font has no glyphs for are written as escapes.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sweepkit.analysis.association import Associations
from sweepkit.analysis.encoding import causes
from sweepkit.analysis.history import best_so_far, in_time, seed_sd
from sweepkit.analysis.importance_result import Gate, Importance, Verdict
from sweepkit.analysis.table import Column, Row, RunTable
from sweepkit.model.runs import RunState
from sweepkit.reports.figures.base import clipped, log_sensible, number
from sweepkit.reports.figures.page import write_csv
from sweepkit.reports.figures.parallel import picked, scaled
from sweepkit.reports.figures.slices import learning_rate, median_line, top_range
from sweepkit.reports.table import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BATCH = re.compile(r"(^|[._/])(per_device_(train_)?|train_)?batch_?size$|(^|[._/])batch$", re.IGNORECASE)
_ACCUMULATION = re.compile(r"(grad(ient)?_)?accum(ulation|ulate)?(_steps|_grad_batches)?$", re.IGNORECASE)
_BLUE, _LIGHT, _GREY, _RED, _DARK = "#2f6db5", "#8fb4dd", "#b9bfc6", "#b3261e", "#4a545d"
_BEHIND = {"fc": "white", "alpha": 0.7, "lw": 0, "pad": 0.5}
_DPI = 110
_CELLS = 8
_BINS = 4


def ascii_text(text: object, longest: int = 28) -> str:
    r"""Return text that every font can show, cut in its middle.

    >>> ascii_text("lr"), ascii_text("학습률")
    ('lr', '\\ud559\\uc2b5\\ub960')
    """
    cut = clipped(str(text), longest).replace("…", "...")
    return cut.encode("ascii", "backslashreplace").decode().replace("$", r"\$")


def four_panels(table: RunTable, importance: Importance, path: Path) -> Path:
    """Write importance, learning rate, batch size by accumulation, distribution; their data as CSV beside it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 9), dpi=_DPI, layout="constrained")
    grid = figure.subplots(2, 2)
    data = [
        *_importance(grid[0, 0], importance),
        *_learning_rate(grid[0, 1], table),
        *_heat_map(grid[1, 0], table, importance),
        *_distribution(grid[1, 1], table),
    ]
    figure.suptitle(ascii_text(table.name, 80))
    return _saved(figure, path, data)


def correlation_matrix(found: Associations, path: Path) -> Path:
    """Write the matrix of associations; cells that chance explains are blank; data as CSV beside it."""
    from matplotlib.figure import Figure

    count = len(found.names)
    side = max(5.0, 0.62 * count + 2.5)
    figure = Figure(figsize=(side + 1, side), dpi=_DPI, layout="constrained")
    axes = figure.subplots()
    matrix = np.full((count, count), np.nan)
    at = {name: index for index, name in enumerate(found.names)}
    for cell in found.cells:
        if cell.shown:
            matrix[at[cell.a], at[cell.b]] = matrix[at[cell.b], at[cell.a]] = cell.value
    if count:
        image = axes.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
        figure.colorbar(image, ax=axes, shrink=0.7)
    names = [ascii_text(name, 24) for name in found.names]
    for cell in found.cells:
        if not cell.shown:
            for i, j in ((at[cell.a], at[cell.b]), (at[cell.b], at[cell.a])):
                axes.text(j, i, "·", ha="center", va="center", color=_GREY)
    axes.set_xticks(range(count), names, rotation=45, ha="right")
    axes.set_yticks(range(count), names)
    for i, j in np.argwhere(np.isfinite(matrix)):
        dark = abs(matrix[i, j]) > 0.6
        axes.text(j, i, f"{matrix[i, j]:.2f}", ha="center", va="center", fontsize=8, color="white" if dark else "black")
    axes.set_title(
        f"{found.n} finished runs; dots: no more than chance (a correlation beyond {found.line:.2f} is more)\n"
        "Spearman; with a category: correlation ratio; two categories: Cramer's V"
        + ("" if any(cell.shown for cell in found.cells) else "\nnothing is beyond chance"),
        fontsize=9,
    )
    rows = [
        {"a": c.a, "b": c.b, "kind": c.kind, "value": c.value, "runs": c.n, "beyond_chance": c.shown}
        for c in found.cells
    ]
    return _saved(figure, path, rows)


def parallel_picture(table: RunTable, importance: Importance | None, path: Path) -> Path:
    """Write parallel coordinates, the best tenth drawn last."""
    from matplotlib.figure import Figure

    order = importance.top(len(importance.shares)) if importance is not None and importance.gate is Gate.OPEN else []
    rows = list(reversed(table.ranked()))
    columns = picked(table, order) if rows else []
    figure = Figure(figsize=(max(8.0, 1.5 * (len(columns) + 1)), 5.5), dpi=_DPI, layout="constrained")
    axes = figure.subplots()
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    if not rows or table.metric is None:
        return _saved(figure, path, [])
    heights = []
    for index, column in enumerate(columns):
        places, ticks, low, high = scaled(column, rows)
        heights.append([(place - low) / (high - low) for place in places])
        _upright(axes, index, [((t - low) / (high - low), ascii_text(text, 12)) for t, text in ticks])
    values = np.array([float(row.value or 0.0) for row in rows])
    values = np.log10(values) if log_sensible(values.tolist()) else values
    span = float(np.ptp(values)) or 1.0
    share = (values - values.min()) / span
    heights.append((share if table.metric.goal.better(1.0, 0.0) else 1 - share).tolist())
    ends = [(1.0, number(rows[-1].value)), (0.0, number(rows[0].value))]
    _upright(axes, len(columns), ends if len(rows) > 1 else ends[:1])
    top = max(1, round(0.1 * len(rows)))
    for index, line in enumerate(zip(*heights, strict=True)):
        best = index >= len(rows) - top
        axes.plot(line, color=_RED if best else _LIGHT, alpha=0.9 if best else 0.45, lw=1.4 if best else 0.7)
    names = [*(ascii_text(column.name, 20) for column in columns), ascii_text(table.metric.name, 20)]
    axes.set_xticks(range(len(names)), names, rotation=20, ha="right")
    data = [
        {"run": row.run_id, "value": row.value, **{c.name: row.params.get(c.name) for c in columns}} for row in rows
    ]
    return _saved(figure, path, data)


def _upright(axes: "Axes", at: int, ticks: Sequence[tuple[float, str]]) -> None:
    axes.axvline(at, color=_GREY, lw=0.8, zorder=0)
    for height, text in ticks:
        axes.annotate(
            text,
            (at, height),
            xytext=(3, 0),
            textcoords="offset points",
            fontsize=7,
            va="center",
            color=_DARK,
            zorder=5,
            bbox=_BEHIND,
        )


def history_picture(table: RunTable, path: Path) -> Path:
    """Write the optimization history with the seed-noise band, where it is known."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), dpi=_DPI, layout="constrained")
    axes = figure.subplots()
    rows = in_time(table)
    if table.metric is None or not any(row.counts for row in rows):
        axes.set_title("no run has ended with a value")
        return _saved(figure, path, [])
    values = [row.value if row.counts else None for row in rows]
    best = best_so_far(values, table.metric.goal)
    for state, colour, mark in ((RunState.FINISHED, _BLUE, "o"), (RunState.STOPPED, "#b7791f", "D")):
        at = [i for i, row in enumerate(rows) if row.state is state and values[i] is not None]
        if at:
            axes.scatter(
                [i + 1 for i in at],
                [float(values[i] or 0.0) for i in at],
                s=18,
                c=colour,
                marker=mark,
                alpha=0.7,
                label=state.value,
            )
    known = [(i + 1, value) for i, value in enumerate(best) if value is not None]
    x, y = [i for i, _ in known], np.array([value for _, value in known])
    axes.step(x, y, where="post", color=_RED, lw=1.8, label="best so far")
    if (noise := seed_sd(table)) is not None:
        axes.fill_between(
            x, y - noise[0], y + noise[0], step="post", color=_RED, alpha=0.15, label="noise between seeds"
        )
    if log_sensible([value for value in values if value is not None]):
        axes.set_yscale("log")
    axes.set_xlabel("runs, in the order in which they ended")
    axes.set_ylabel(ascii_text(table.metric.name))
    axes.legend(fontsize=8)
    told = [{"run": row.run_id, "value": v, "best_so_far": b} for row, v, b in zip(rows, values, best, strict=True)]
    return _saved(figure, path, told)


def _saved(figure: Any, path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure)
    figure.savefig(path, format="png")
    write_csv(path.with_suffix(".csv"), rows)
    return path


# -- the four panels ---------------------------------------------------------------------------------------------------


def _empty(axes: "Axes", why: str) -> list[dict[str, Any]]:
    axes.text(0.5, 0.5, why, ha="center", va="center", transform=axes.transAxes, color=_DARK, wrap=True)
    axes.set_axis_off()
    return []


def _importance(axes: "Axes", result: Importance) -> list[dict[str, Any]]:
    if not result.shares:
        return _empty(axes, "importance: nothing to explain")
    shares = list(reversed(result.shares[:12]))
    grey = result.gate is not Gate.OPEN
    colours = [_GREY if grey else {Verdict.CLEAR: _BLUE, Verdict.NONE: _GREY}.get(s.verdict, _LIGHT) for s in shares]
    at = np.arange(len(shares))
    axes.barh(at, [share.value for share in shares], color=colours)
    for index, share in enumerate(shares):
        if share.low is not None and share.high is not None:
            axes.plot([share.low, share.high], [index, index], color="black", lw=1, marker="|")
    if result.floor is not None:
        axes.axvline(result.floor, color=_RED, ls="--", lw=1)
    axes.set_yticks(at, [ascii_text(share.name, 24) for share in shares])
    r2 = "" if result.r2 is None else f", R2 {result.r2:.2f}"
    gate = f" - {result.gate.value}" if result.gate.value else ""
    axes.set_title(f"importance ({result.estimator}), n {result.n}{r2}{gate}", fontsize=10)
    axes.axvline(0, color=_DARK, lw=0.6)
    return [{"panel": "importance", "x": s.name, "y": s.value, "low": s.low, "high": s.high} for s in result.shares]


def _learning_rate(axes: "Axes", table: RunTable) -> list[dict[str, Any]]:
    column = learning_rate(table)
    rows = [row for row in table.rows if column is not None and column.name in row.params]
    scored = [row for row in rows if row.counts]
    if column is None or not scored or table.metric is None:
        return _empty(axes, "no learning rate that varies")
    _scatter(axes, table, column, scored)
    lost = [float(row.params[column.name]) for row in rows if not row.counts and row.state.done]
    if lost:
        axes.plot(lost, [0.015] * len(lost), "x", color=_RED, transform=axes.get_xaxis_transform(), label="no value")
        axes.legend(fontsize=8)
    if (where := top_range(table, column)) is not None:
        axes.axvspan(*where, color=_BLUE, alpha=0.1)
    line = median_line(column, scored)
    axes.plot([x for x, _ in line], [y for _, y in line], color=_DARK, ls=":", lw=1.5)
    if min(float(row.params[column.name]) for row in scored) > 0:
        axes.set_xscale("log")
    axes.set_xlabel(ascii_text(column.name))
    axes.set_ylabel(ascii_text(table.metric.name))
    axes.set_title("learning rate (shaded: the best tenth)", fontsize=10)
    return [{"panel": "learning_rate", "x": row.params[column.name], "y": row.value} for row in scored]


def _scatter(axes: "Axes", table: RunTable, column: Column, scored: Sequence[Row]) -> None:
    for state, mark in ((RunState.FINISHED, "o"), (RunState.STOPPED, "D")):
        here = [row for row in scored if row.state is state]
        if here:
            x, y = [float(row.params[column.name]) for row in here], [float(row.value or 0.0) for row in here]
            axes.scatter(x, y, s=20, marker=mark, color=_BLUE if state is RunState.FINISHED else _LIGHT, alpha=0.8)


def _heat_map(axes: "Axes", table: RunTable, importance: Importance) -> list[dict[str, Any]]:
    """Draw the median of the metric over two parameters: batch size and accumulation, else the two that matter most."""
    pair = heat_pair(table, importance)
    if pair is None or not table.finished():
        return _empty(axes, "no two parameters that vary")
    rows = [row for row in table.finished() if all(column.name in row.params for column in pair)]
    if not rows:
        return _empty(axes, f"no finished run has both {ascii_text(pair[0].name)} and {ascii_text(pair[1].name)}")
    (x, across), (y, up) = _binned(pair[0], rows), _binned(pair[1], rows)
    medians, counts = np.full((len(up), len(across)), np.nan), np.zeros((len(up), len(across)), dtype=int)
    data = []
    for i in range(len(up)):
        for j in range(len(across)):
            values = [float(row.value or 0.0) for row, a, b in zip(rows, x, y, strict=True) if a == j and b == i]
            counts[i, j] = len(values)
            if len(values) >= 2:
                medians[i, j] = float(np.median(values))
            data.append({"panel": "heat_map", "x": across[j], "y": up[i], "median": medians[i, j], "runs": len(values)})
    image = axes.imshow(medians, aspect="auto", origin="lower", cmap="viridis")
    axes.figure.colorbar(image, ax=axes)
    for i, j in np.argwhere(counts > 0):
        told = f"{medians[i, j]:.4g}\nn {counts[i, j]}" if counts[i, j] >= 2 else f"n {counts[i, j]}"
        axes.text(
            j, i, told, ha="center", va="center", fontsize=8, bbox={"fc": "white", "alpha": 0.65, "lw": 0, "pad": 1}
        )
    axes.set_xticks(range(len(across)), [ascii_text(text, 12) for text in across])
    axes.set_yticks(range(len(up)), [ascii_text(text, 12) for text in up])
    axes.set_xlabel(ascii_text(pair[0].name))
    axes.set_ylabel(ascii_text(pair[1].name))
    axes.set_title("median of the finished runs (blank: fewer than 2)", fontsize=10)
    return data


def heat_pair(table: RunTable, importance: Importance) -> tuple[Column, Column] | None:
    """Return the parameters of the heat map: batch size and gradient accumulation, else the two most important."""
    columns = causes(table)
    batch = next((column for column in columns if _BATCH.search(column.name)), None)
    accumulation = next((column for column in columns if _ACCUMULATION.search(column.name)), None)
    if batch is not None and accumulation is not None:
        return batch, accumulation
    names = [*importance.top(2), *(column.name for column in columns)]
    first = [table.column(name) for name in dict.fromkeys(names)][:2]
    return (first[0], first[1]) if len(first) == 2 else None


def _binned(column: Column, rows: Sequence[Row]) -> tuple[list[int], list[str]]:
    """Return the cell of each run along a parameter, and the cells' names: its values, or bins of equal counts."""
    values = [row.params[column.name] for row in rows]
    if not column.numeric:
        levels = [level for level in column.levels if level in set(values)]
        return [levels.index(str(value)) for value in values], levels
    numbers = [float(value) for value in values]
    distinct = sorted(set(numbers))
    if len(distinct) <= _CELLS:
        return [distinct.index(value) for value in numbers], [short(value) for value in distinct]
    edges = np.quantile(numbers, np.linspace(0, 1, _BINS + 1))
    at = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, _BINS - 1)
    return at.tolist(), [f"{a:.2g}-{b:.2g}" for a, b in zip(edges, edges[1:], strict=False)]


def _distribution(axes: "Axes", table: RunTable) -> list[dict[str, Any]]:
    """Draw the cumulative distribution with every run marked, and the seed noise to scale."""
    values = sorted(row.value for row in table.rows if row.counts and row.value is not None)
    if not values or table.metric is None:
        return _empty(axes, "no run has ended with a value")
    heights = np.arange(1, len(values) + 1) / len(values)
    axes.step(values, heights, where="post", color=_BLUE)
    axes.plot(values, [-0.03] * len(values), "|", color=_DARK, alpha=0.6)
    if log_sensible(values):
        axes.set_xscale("log")
    elif (noise := seed_sd(table)) is not None:
        middle = float(np.median(values))
        axes.plot([middle - noise[0], middle + noise[0]], [0.5, 0.5], color=_RED, lw=3, label="+- sd between seeds")
        axes.legend(fontsize=8)
    without = sum(1 for row in table.rows if row.state.done and not row.counts)
    axes.set_xlabel(ascii_text(table.metric.name))
    axes.set_ylabel("share of runs at or below")
    axes.set_title(f"distribution of {len(values)} runs; {without} ended without a value", fontsize=10)
    return [{"panel": "distribution", "x": value, "y": float(h)} for value, h in zip(values, heights, strict=True)]
