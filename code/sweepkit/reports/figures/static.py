"""Static pictures (PNG) by seaborn on matplotlib's Agg: panels, correlations, parallel coordinates, history, curves.

Every picture is drawn on a figure of its own and leaves matplotlib's settings as they were. Hangul is shown where one
of the usual fonts is installed; characters that no font at hand has are written as escapes.
"""

import functools
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sweepkit.analysis.association import Associations
from sweepkit.analysis.curves import curve_rows
from sweepkit.analysis.encoding import causes
from sweepkit.analysis.history import best_so_far, in_time, seed_sd
from sweepkit.analysis.importance_result import Gate, Importance, Verdict
from sweepkit.analysis.table import Column, Row, RunTable
from sweepkit.model.runs import RunState
from sweepkit.reports.figures.base import clipped, log_sensible, number
from sweepkit.reports.figures.curves import stopping_limits
from sweepkit.reports.figures.heat import cells
from sweepkit.reports.figures.page import write_csv
from sweepkit.reports.figures.parallel import picked, scaled
from sweepkit.reports.figures.slices import learning_rate, median_line, top_range
from sweepkit.reports.figures.study import reading_order

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BATCH = re.compile(r"(^|[._/])(per_device_(train_)?|train_)?batch_?size$|(^|[._/])batch$", re.IGNORECASE)
_ACCUMULATION = re.compile(r"(grad(ient)?_)?accum(ulation|ulate)?(_steps|_grad_batches)?$", re.IGNORECASE)
_BLUE, _LIGHT, _GREY, _RED, _DARK = "#2f6db5", "#8fb4dd", "#b9bfc6", "#b3261e", "#4a545d"
_BEHIND = {"fc": "white", "alpha": 0.7, "lw": 0, "pad": 0.5}
_COLOURS = {RunState.FINISHED.value: _BLUE, RunState.STOPPED.value: "#b7791f"}
_MARKS = {RunState.FINISHED.value: "o", RunState.STOPPED.value: "D"}
_DPI = 110
_CURVES = 200
_BINS = 4
_TICKS = 48  # letters that fit below the heat map
# What has Hangul on Linux, macOS and Windows, in the order in which it is looked for.
_HANGUL_FONTS = (
    *("Noto Sans CJK KR", "Noto Sans KR", "NanumGothic", "NanumBarunGothic"),
    *("Apple SD Gothic Neo", "AppleGothic", "Malgun Gothic"),
)


_HANGUL_FILE = re.compile(r"(noto ?sans ?(cjk|kr)|nanum|gothic ?neo|applegothic|malgun)[^/]*$", re.IGNORECASE)


@functools.cache
def _fonts() -> list[str]:
    """Return the fonts to draw with: matplotlib's own, then one that has Hangul where there is one."""
    from matplotlib.font_manager import findSystemFonts, fontManager

    known = {font.name for font in fontManager.ttflist}
    if not known & set(_HANGUL_FONTS):  # matplotlib's list is a cache: of fonts installed since it knows nothing
        for file in filter(_HANGUL_FILE.search, findSystemFonts()):
            fontManager.addfont(file)
        known = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *[name for name in _HANGUL_FONTS if name in known][:1]]


@functools.cache
def _glyphs() -> frozenset[int]:
    """Return the code points that these fonts can show."""
    from matplotlib.font_manager import findfont, get_font

    return frozenset(point for name in _fonts() for point in get_font(findfont(name)).get_charmap())


def _label(text: object, longest: int = 28) -> str:
    r"""Return text that the fonts at hand can show, cut in its middle.

    >>> print(_label("lr"), _label("cost $"), _label("\ue000"))  # the last is in no font
    lr cost \$ \ue000
    """
    cut = clipped(str(text), longest)
    shown = [c if ord(c) in _glyphs() else c.encode("ascii", "backslashreplace").decode() for c in cut]
    return "".join(shown).replace("$", r"\$")


def _picture(path: Path, size: tuple[float, float], draw: "Callable[[Figure], Sequence[dict[str, Any]]]") -> Path:
    """Draw on a figure of its own, write it and, beside it, its data as CSV; return its path.

    Args:
        path: The PNG.
        size: Width and height in inches.
        draw: Draws on the figure; returns the rows that it shows.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"font.family": _fonts()}):
        figure = Figure(figsize=size, dpi=_DPI, layout="constrained")
        FigureCanvasAgg(figure)
        rows = draw(figure)
        figure.savefig(path, format="png")
    write_csv(path.with_suffix(".csv"), rows)
    return path


def four_panels(table: RunTable, importance: Importance, path: Path) -> Path:
    """Write importance, learning rate, batch size by accumulation, distribution; their data as CSV beside it."""

    def draw(figure: "Figure") -> list[dict[str, Any]]:
        grid = figure.subplots(2, 2)
        figure.suptitle(_label(table.name, 200), wrap=True)
        return [
            *_importance(grid[0, 0], importance),
            *_learning_rate(grid[0, 1], table),
            *_heat_map(grid[1, 0], table, importance),
            *_distribution(grid[1, 1], table),
        ]

    return _picture(path, (13, 9), draw)


def correlation_matrix(found: Associations, path: Path) -> Path:
    """Write the matrix of associations; cells that chance explains have a dot; data as CSV beside it."""
    side = max(5.0, 0.62 * len(found.names) + 2.5)
    return _picture(path, (side + 1, side), lambda figure: _correlations(figure, found))


def _correlations(figure: "Figure", found: Associations) -> list[dict[str, Any]]:
    import pandas as pd
    import seaborn as sns

    axes = figure.subplots()
    if names := list(found.names):
        matrix = pd.DataFrame(index=names, columns=names, dtype=float)
        for cell in found.cells:
            for a, b in ((cell.a, cell.b), (cell.b, cell.a)):
                if cell.shown or found.line is None:
                    matrix.loc[a, b] = cell.value
                else:
                    axes.plot(names.index(b) + 0.5, names.index(a) + 0.5, ".", ms=3, color=_GREY)
        bar = {"shrink": 0.7, "label": "association"}
        style = {"cmap": "RdBu_r", "vmin": -1, "vmax": 1, "square": True, "cbar_kws": bar}
        style |= {"annot": True, "fmt": f".{_decimals(found)}f", "annot_kws": {"fontsize": 8}}
        shown = [_label(name, 24) for name in names]
        style |= {"linewidths": 0.5, "linecolor": "#e3e6ea", "xticklabels": shown, "yticklabels": shown}
        sns.heatmap(matrix, ax=axes, **style)
        for label in axes.get_xticklabels():  # matplotlib 3.11 has a mode for it, older ones do not
            label.set(rotation=45, ha="right", rotation_mode="anchor")
        axes.tick_params("y", rotation=0)
        axes.spines[:].set_visible(True)
    # Of the figure, which it may fill: it is wider than the matrix.
    figure.suptitle(_correlations_title(found), fontsize=9, wrap=True)
    return [
        {"a": c.a, "b": c.b, "kind": c.kind, "value": c.value, "runs": c.n, "beyond_chance": c.shown}
        for c in found.cells
    ]


def _decimals(found: Associations) -> int:
    """Return the decimals of the cells, two or more: with so many none that is beyond the line looks level with it."""
    if found.line is None:
        return 2
    beyond = [abs(cell.value) for cell in found.cells if cell.shown and cell.kind == "spearman"]
    return next((n for n in range(2, 6) if all(round(v, n) > round(found.line, n) for v in beyond)), 6)


def _correlations_title(found: Associations) -> str:
    """Return what the cells are, what they cannot see, and which of them chance does not explain."""
    how = (
        "Spearman: what rises or falls, not an optimum inside the range; with a category: correlation ratio;\n"
        "two categories: Cramer's V"
    )
    if found.line is None:
        return f"{found.n} finished runs that an engine chose: no cell is told from chance, for it links values\n{how}"
    nothing = "" if any(cell.shown for cell in found.cells) else "\nnothing is beyond chance"
    dots = f"dots: no more than chance (a correlation beyond {found.line:.{_decimals(found)}f} is more)"
    return f"{found.n} finished runs; {dots}\n{how}{nothing}"


def parallel_picture(table: RunTable, importance: Importance | None, path: Path) -> Path:
    """Write parallel coordinates, the best tenth drawn last."""
    rows = list(reversed(table.ranked()))
    columns = picked(table, reading_order(importance)) if rows else []
    size = (max(8.0, 1.5 * (len(columns) + 1)), 5.5)
    return _picture(path, size, lambda figure: _parallel(figure, table, columns, rows))


def _parallel(
    figure: "Figure", table: RunTable, columns: Sequence[Column], rows: Sequence[Row]
) -> list[dict[str, Any]]:
    axes = figure.subplots()
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    if not rows or table.metric is None:
        return []
    heights = []
    for index, column in enumerate(columns):
        places, ticks, low, high = scaled(column, rows)
        heights.append([(place - low) / (high - low) for place in places])
        _upright(axes, index, [((t - low) / (high - low), _label(text, 12)) for t, text in ticks])
    values = np.array([float(row.value or 0.0) for row in rows])
    values = np.log10(values) if log_sensible(values.tolist()) else values
    share = (values - values.min()) / (float(np.ptp(values)) or 1.0)
    heights.append((share if table.metric.goal.better(1.0, 0.0) else 1 - share).tolist())
    ends = [(1.0, number(rows[-1].value)), (0.0, number(rows[0].value))]
    _upright(axes, len(columns), ends if len(rows) > 1 else ends[:1])
    top = max(1, round(0.1 * len(rows)))
    for index, line in enumerate(zip(*heights, strict=True)):
        best = index >= len(rows) - top
        axes.plot(line, color=_RED if best else _LIGHT, alpha=0.9 if best else 0.45, lw=1.4 if best else 0.7)
    names = [*(_label(column.name, 20) for column in columns), _label(table.metric.name, 20)]
    axes.set_xticks(range(len(names)), names, rotation=20, ha="right")
    return [
        {"run": row.run_id, "value": row.value, **{c.name: row.params.get(c.name) for c in columns}} for row in rows
    ]


def _upright(axes: "Axes", at: int, ticks: Sequence[tuple[float, str]]) -> None:
    axes.axvline(at, color=_GREY, lw=0.8, zorder=0)
    beside: dict[str, Any] = {
        "xytext": (3, 0),
        "textcoords": "offset points",
        "va": "center",
        "zorder": 5,
        "bbox": _BEHIND,
    }
    for height, text in ticks:
        axes.annotate(text, (at, height), fontsize=7, color=_DARK, **beside)


def history_picture(table: RunTable, path: Path) -> Path:
    """Write the optimization history with the seed-noise band, where it is known."""
    return _picture(path, (9, 5), lambda figure: _history(figure, table))


def _history(figure: "Figure", table: RunTable) -> list[dict[str, Any]]:
    axes = figure.subplots()
    rows = in_time(table)
    if table.metric is None or not any(row.counts for row in rows):
        axes.set_title("no run has ended with a value")
        return []
    values = [row.value if row.counts else None for row in rows]
    best = best_so_far(values, table.metric.goal)
    _scatter(axes, range(1, len(rows) + 1), rows)
    known = [(i, value) for i, value in enumerate(best, 1) if value is not None]
    x, y = [i for i, _ in known], np.array([value for _, value in known])
    axes.step(x, y, where="post", color=_RED, lw=1.8, label="best so far")
    if (noise := seed_sd(table)) is not None:
        band: dict[str, Any] = {"step": "post", "color": _RED, "alpha": 0.15, "label": "noise between seeds"}
        axes.fill_between(x, y - noise[0], y + noise[0], **band)
    if log_sensible([value for value in values if value is not None]):
        axes.set_yscale("log")
    axes.set(xlabel="runs, in the order in which they ended", ylabel=_label(table.metric.name))
    axes.legend(fontsize=8)
    return [{"run": row.run_id, "value": v, "best_so_far": b} for row, v, b in zip(rows, values, best, strict=True)]


def curves_picture(table: RunTable, path: Path) -> Path:
    """Write the learning curves by report: the best run bold, stopped runs faded, the stopping rule's line dashed."""
    return _picture(path, (9, 5), lambda figure: _curves(figure, table))


def _curves(figure: "Figure", table: RunTable) -> list[dict[str, Any]]:
    axes = figure.subplots()
    rows = [row for row in curve_rows(table, _CURVES) if row.history]
    if table.metric is None or not rows:
        axes.set_title("no run has reported the metric")
        return []
    ranked = table.ranked()
    best = ranked[0].run_id if ranked else None
    for row in sorted(rows, key=lambda row: row.run_id == best):  # the best last: later lines lie above
        faded = row.state is not RunState.FINISHED
        look: dict[str, Any] = (
            {"color": _RED, "lw": 2.2} if row.run_id == best else {"color": _COLOURS.get(row.state.value, _GREY)}
        )
        label = f"best: run {row.number}" if row.run_id == best else None
        reports = range(1, len(row.history) + 1)
        axes.plot(reports, row.history, **{"lw": 0.9, "alpha": 0.35 if faded else 0.8, **look}, label=label)
    if limits := stopping_limits(table):
        x, y = zip(*limits, strict=True)
        axes.step(
            x,
            y,
            where="post",
            color=_DARK,
            ls="--",
            lw=1.4,
            label=f"limit of {table.stopping.type if table.stopping else ''}",
        )
    if log_sensible([value for row in rows for value in row.history]):
        axes.set_yscale("log")
    axes.set(xlabel="report", ylabel=_label(table.metric.name))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8)
    return [{"run": row.run_id, "report": at, "value": v} for row in rows for at, v in enumerate(row.history, 1)]


def _scatter(axes: "Axes", x: Sequence[float], rows: Sequence[Row]) -> None:
    """Draw the values of runs by their state; runs without a value are left out."""
    import seaborn as sns

    points = [(place, row) for place, row in zip(x, rows, strict=True) if row.counts]
    states = [row.state.value for _, row in points]
    marks = {state: mark for state, mark in _MARKS.items() if state in states}
    look = {"hue": states, "style": states, "hue_order": [*marks], "palette": _COLOURS, "markers": marks}
    at = {"x": [place for place, _ in points], "y": [row.value for _, row in points]}
    sns.scatterplot(**at, **look, s=26, alpha=0.75, ax=axes)


# -- the four panels ---------------------------------------------------------------------------------------------------


def _empty(axes: "Axes", why: str) -> list[dict[str, Any]]:
    axes.text(0.5, 0.5, why, ha="center", va="center", transform=axes.transAxes, color=_DARK, wrap=True)
    axes.set_axis_off()
    return []


def _importance(axes: "Axes", result: Importance) -> list[dict[str, Any]]:
    import seaborn as sns

    if not result.shares:
        return _empty(axes, "importance: nothing to explain")
    shares = result.shares[:12]
    grey = result.gate is not Gate.OPEN
    colours = [_GREY if grey else {Verdict.CLEAR: _BLUE, Verdict.NONE: _GREY}.get(s.verdict, _LIGHT) for s in shares]
    names = [_label(share.name, 24) for share in shares]
    style = {"hue": range(len(names)), "palette": colours, "saturation": 1, "legend": False}
    sns.barplot(x=[share.value for share in shares], y=names, ax=axes, **style)
    for index, share in enumerate(shares):
        if share.low is not None and share.high is not None:
            axes.plot([share.low, share.high], [index, index], color="black", lw=1, marker="|")
    if result.floor is not None:
        axes.axvline(result.floor, color=_RED, ls="--", lw=1)
    from matplotlib.patches import Patch

    r2 = "" if result.r2 is None else f", R2 {result.r2:.2f}"
    gate = f" - {result.gate.value}" if result.gate.value else ""
    axes.set_title(f"importance ({result.estimator}), n {result.sample_size}{r2}{gate}", fontsize=10)
    axes.axvline(0, color=_DARK, lw=0.6)
    bars = " (whiskers: standard error; red: noise floor)" if result.floor is not None else ""
    axes.set_xlabel(f"share of the {'ranks' if result.estimator == 'eps_squared' else 'variance'}{bars}", fontsize=8)
    axes.set_ylabel("parameter")
    if not grey:
        told = {share.verdict: colour for share, colour in zip(shares, colours, strict=True)}
        marks = [Patch(color=told[v], label=v.value) for v in Verdict if v in told and v is not Verdict.UNJUDGED]
        axes.legend(handles=marks, fontsize=8, loc="lower right")
    return [{"panel": "importance", "x": s.name, "y": s.value, "low": s.low, "high": s.high} for s in result.shares]


def _learning_rate(axes: "Axes", table: RunTable) -> list[dict[str, Any]]:
    column = learning_rate(table)
    rows = [row for row in table.rows if column is not None and column.name in row.params]
    scored = [row for row in rows if row.counts]
    if column is None or not scored or table.metric is None:
        return _empty(axes, "no learning rate that varies")
    _scatter(axes, [float(row.params[column.name]) for row in scored], scored)
    lost = [float(row.params[column.name]) for row in rows if not row.counts and row.state.done]
    if lost:
        axes.plot(lost, [0.015] * len(lost), "x", color=_RED, transform=axes.get_xaxis_transform(), label="no value")
    if (where := top_range(table, column)) is not None:
        axes.axvspan(*where, color=_BLUE, alpha=0.1)
    line = median_line(column, scored)
    axes.plot([x for x, _ in line], [y for _, y in line], color=_DARK, ls=":", lw=1.5)
    if min(float(row.params[column.name]) for row in scored) > 0:
        axes.set_xscale("log")
    axes.legend(fontsize=8)
    axes.set(xlabel=_label(column.name), ylabel=_label(table.metric.name))
    axes.set_title("learning rate (shaded: the best tenth)", fontsize=10)
    return [{"panel": "learning_rate", "x": row.params[column.name], "y": row.value} for row in scored]


def _heat_map(axes: "Axes", table: RunTable, importance: Importance) -> list[dict[str, Any]]:
    """Draw the median of the metric over two parameters: batch size and accumulation, else the two that matter most."""
    import pandas as pd
    import seaborn as sns

    pair = _heat_pair(table, importance)
    if pair is None or not table.finished():
        return _empty(axes, "no two parameters that vary")
    rows = [row for row in table.finished() if all(column.name in row.params for column in pair)]
    if not rows:
        return _empty(axes, f"no finished run has both {_label(pair[0].name)} and {_label(pair[1].name)}")
    (x, across), (y, up) = (cells(column, rows, bins=_BINS) for column in pair)
    runs = pd.DataFrame({"x": x, "y": y, "value": [float(row.value or 0.0) for row in rows]})
    grid = pd.MultiIndex.from_product([range(len(up)), range(len(across))], names=["y", "x"])
    found = runs.groupby(["y", "x"])["value"].agg(["median", "size"]).reindex(grid)
    counts = found["size"].unstack().fillna(0).astype(int)
    # A grid has one run in each cell: where no cell has more, its value is all there is to show.
    least = 2 if (counts > 1).any(axis=None) else 1
    medians = found["median"].unstack().where(counts >= least)
    words = [[f"{medians.loc[i, j]:.4g}\nn {counts.loc[i, j]}" for j in counts.columns] for i in counts.index]
    style = {"fmt": "", "cmap": "viridis", "annot_kws": {"fontsize": 8}, "annot": np.array(words)}
    names = {"xticklabels": [_label(text, 16) for text in across], "yticklabels": [_label(text, 16) for text in up]}
    named = {"label": _label(table.metric.name)} if table.metric else {}
    sns.heatmap(medians, ax=axes, cbar_kws=named, **style, **names)
    if sum(map(len, across)) > _TICKS:  # else one name runs into the next
        axes.tick_params("x", rotation=20)
    for i, j in (
        np.argwhere(counts.to_numpy() == 1) if least > 1 else ()
    ):  # without a median there is no cell that could hold the word
        axes.text(j + 0.5, i + 0.5, "n 1", ha="center", va="center", fontsize=8, color=_DARK)
    axes.invert_yaxis()
    axes.tick_params("y", rotation=0)
    axes.spines[:].set_visible(True)
    axes.set(xlabel=_label(pair[0].name), ylabel=_label(pair[1].name))
    what = "median of the finished runs (blank: fewer than 2)" if least > 1 else "finished runs, one a cell"
    axes.set_title(what, fontsize=10)
    return [
        {"panel": "heat_map", "x": across[j], "y": up[i], "median": medians.loc[i, j], "runs": counts.loc[i, j]}
        for i in counts.index
        for j in counts.columns
    ]


def _heat_pair(table: RunTable, importance: Importance) -> tuple[Column, Column] | None:
    """Return the parameters of the heat map: batch size and gradient accumulation, else the two most important."""
    columns = causes(table)
    batch = next((column for column in columns if _BATCH.search(column.name)), None)
    accumulation = next((column for column in columns if _ACCUMULATION.search(column.name)), None)
    if batch is not None and accumulation is not None:
        return batch, accumulation
    names = [*importance.top(2), *(column.name for column in columns)]
    first = [table.column(name) for name in dict.fromkeys(names)][:2]
    return (first[0], first[1]) if len(first) == 2 else None


def _distribution(axes: "Axes", table: RunTable) -> list[dict[str, Any]]:
    """Draw the cumulative distribution with every run marked, and the seed noise to scale."""
    import seaborn as sns

    values = sorted(row.value for row in table.rows if row.counts and row.value is not None)
    if not values or table.metric is None:
        return _empty(axes, "no run has ended with a value")
    logarithmic = log_sensible(values)
    sns.ecdfplot(x=values, color=_BLUE, ax=axes)
    sns.rugplot(x=values, color=_DARK, alpha=0.6, ax=axes)
    if logarithmic:
        axes.set_xscale("log")
    elif (noise := seed_sd(table)) is not None:
        middle = float(np.median(values))
        axes.plot([middle - noise[0], middle + noise[0]], [0.5, 0.5], color=_RED, lw=3, label="+- sd between seeds")
        axes.legend(fontsize=8)
    without = sum(1 for row in table.rows if row.state.done and not row.counts)
    axes.set(xlabel=_label(table.metric.name), ylabel="share of runs at or below")
    axes.set_title(f"distribution of {len(values)} runs; {without} ended without a value", fontsize=10)
    share = np.arange(1, len(values) + 1) / len(values)
    return [{"panel": "distribution", "x": value, "y": float(part)} for value, part in zip(values, share, strict=True)]
