"""Optimization history: every run at its value, the best so far, and what noise and luck explain."""

from collections.abc import Sequence
from typing import Any

from sweepkit.analysis.history import best_so_far, expected_best, in_time, seed_sd
from sweepkit.analysis.table import Row, RunTable
from sweepkit.model.configurations import Configuration
from sweepkit.model.metric import Goal
from sweepkit.model.runs import ENDED_WELL, RunState
from sweepkit.reports.figures.base import (
    STATE_COLOURS,
    STATE_SYMBOLS,
    Drawn,
    axis,
    layout,
    log_sensible,
    lost_points,
    nothing,
    number,
    plain_row,
    points,
    value_axis,
)

_MOST_POINTS = 1000  # of one state

NAME, TITLE = "optimization_history", "Optimization history"


def optimization_history(table: RunTable) -> Drawn:
    """Return the figure; several objectives are stacked. Runs without a value are marks at the foot."""
    rows = in_time(table)
    if not table.metrics or not any(row.counts for row in rows):
        return nothing(NAME, TITLE, "No run has ended with a value yet.")
    count = len(table.metrics)
    data: list[dict[str, Any]] = []
    extra: dict[str, Any] = {}
    gap = 0.06
    for index in range(count):
        suffix = "" if index == 0 else str(index + 1)
        values = [_value(row, index) for row in rows]
        shown = [value for value in values if value is not None]
        data.extend(_panel(table, rows, index))
        top = 1 - index * (1 / count)
        low = top - 1 / count + (gap if index < count - 1 else (0.07 if _lost(rows) else 0.0))
        extra[f"yaxis{suffix}"] = value_axis(shown, table.metrics[index].name) | {"domain": [max(0.0, low), top]}
    if lost := _lost(rows):
        place = str(count + 1)
        data.append(lost_points([rows[at - 1] for at in lost], table, lost, yaxis=f"y{place}"))
        extra[f"yaxis{place}"] = axis(domain=[0, 0.045], visible=False, range=[-1, 1], fixedrange=True)
    extra["xaxis"] = axis(
        "runs, in the order in which they ended", range=[0.5 - 0.02 * len(rows), len(rows) * 1.02 + 0.5]
    )
    extra["xaxis"] |= {"anchor": "free", "position": 0}
    return Drawn(
        name=NAME,
        title=TITLE,
        caption=_caption(table, rows),
        data=tuple(data),
        layout=layout(**extra),
        rows=tuple(_csv_rows(table, rows)),
        height=360 + 200 * (count - 1),
    )


def _value(row: Row, index: int) -> float | None:
    return row.objective(index) if row.counts else None


def _lost(rows: list[Row]) -> list[int]:
    return [at for at, row in enumerate(rows, 1) if row.state.ended_badly or not row.counts]


def _panel(table: RunTable, rows: list[Row], index: int) -> list[dict[str, Any]]:
    """Return the traces of one objective: noise band, points by state, best so far, expected best."""
    goal = table.metrics[index].goal
    on = "y" if index == 0 else f"y{index + 1}"
    values = [_value(row, index) for row in rows]
    best = best_so_far(values, goal)
    traces: list[dict[str, Any]] = []
    if index == 0 and (noise := seed_sd(table)) is not None:
        traces.append(_band(best, noise[0], on))
    for state in ENDED_WELL:
        at = [place for place, row in enumerate(rows) if row.state is state and values[place] is not None]
        count = len(at)
        at = _seen(at, values, best)
        if at:
            mark = {"color": STATE_COLOURS[state], "symbol": STATE_SYMBOLS[state], "size": 7, "opacity": 0.75}
            look: dict[str, Any] = {"name": f"{state.value} ({count})", "marker": mark, "yaxis": on}
            look |= {"legendgroup": state.value, "showlegend": index == 0}
            here = [rows[place] for place in at]
            traces.append(points(here, table, [place + 1 for place in at], [values[place] for place in at], **look))
    line = {"type": "scatter", "mode": "lines", "yaxis": on, "showlegend": index == 0}
    ends = {0, len(best) - 1}  # between two steps a line needs no point
    known = [
        (place + 1, value)
        for place, value in enumerate(best)
        if value is not None and (place in ends or value != best[place - 1])
    ]
    traces.append(
        line
        | {
            "name": "best so far",
            "x": [x for x, _ in known],
            "y": [y for _, y in known],
            "line": {"shape": "hv", "color": "--best", "width": 2.5},
            "hovertemplate": "best of the first %{x}: %{y:.5g}<extra></extra>",
        }
    )
    plain = [
        value for row, value in zip(rows, values, strict=True) if row.state is RunState.FINISHED and value is not None
    ]
    stopped = any(row.state is RunState.STOPPED for row in rows)  # the finished ones are a selection then
    if table.exchangeable and not stopped and len(plain) >= 10:
        curve = expected_best(plain, goal)
        traces.append(
            line
            | {
                "name": "expected best of k random runs",
                "x": list(range(1, len(curve) + 1)),
                "y": curve,
                "line": {"dash": "dot", "color": "--muted", "width": 2},
                "hovertemplate": "best of %{x} random runs, on average: %{y:.5g}<extra></extra>",
            }
        )
    return traces


def _seen(at: list[int], values: Sequence[float | None], best: Sequence[float | None]) -> list[int]:
    """Return the places of the runs that are drawn: all; of too many those that were the best so far, and each n-th."""
    if len(at) <= _MOST_POINTS:
        return at
    apart = -(-len(at) // _MOST_POINTS)
    return [place for number, place in enumerate(at) if not number % apart or values[place] == best[place]]


def _band(best: list[float | None], sd: float, on: str) -> dict[str, Any]:
    """Return the band of one seed standard deviation around the best so far."""
    steps: list[tuple[float, float]] = []
    for place, value in enumerate(best):
        if value is not None:
            if steps:
                steps.append((place + 1, steps[-1][1]))
            steps.append((place + 1, value))
    return {
        "type": "scatter",
        "mode": "none",
        "name": f"noise between seeds (sd {number(sd)})",
        "x": [x for x, _ in steps] + [x for x, _ in reversed(steps)],
        "y": [y + sd for _, y in steps] + [y - sd for _, y in reversed(steps)],
        "fill": "toself",
        "fillcolor": "--band",
        "hoverinfo": "skip",
        "yaxis": on,
    }


def _caption(table: RunTable, rows: list[Row]) -> str:
    words = [] if table.metric is None else [_best(rows, table.metric.goal, table.configurations()[0])]
    noise = seed_sd(table)
    if noise is not None:
        words.append(
            f"Runs of one configuration differ by a standard deviation of {number(noise[0])} "
            f"({noise[1]} degrees of freedom): steps inside the band may be luck."
        )
    else:
        words.append("No configuration had two seeds among these runs: they do not show how much of each step is luck.")
    values = [row.value for row in rows if row.counts and row.value is not None]
    if log_sensible(values):
        words.append("Logarithmic axis.")
    return " ".join(words)


def _best(rows: list[Row], goal: Goal, best: Configuration[Row]) -> str:
    """Return the best of the runs that are shown; where configurations have seeds, what the best mean is, too."""
    at, row = min(
        ((at, row) for at, row in enumerate(rows, 1) if row.counts),
        key=lambda item: (goal.sign * (item[1].value or 0.0), item[1].number),
    )
    several = len(best.runs) > 1
    words = f"{'Best single run' if several else 'Best'}: {number(row.value)} in run {row.number}, "
    words += f"the {_ordinal(at)} to end of {len(rows)}"
    return words + (f"; the best mean is {number(best.value)} over {len(best.runs)} seeds." if several else ".")


def _ordinal(number: int) -> str:
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _csv_rows(table: RunTable, rows: list[Row]) -> list[dict[str, Any]]:
    found = []
    bests = [best_so_far([_value(row, i) for row in rows], metric.goal) for i, metric in enumerate(table.metrics)]
    for place, row in enumerate(rows):
        words = {"ended": place + 1, **plain_row(row, table)}
        words |= {f"best_so_far.{metric.name}": bests[i][place] for i, metric in enumerate(table.metrics)}
        found.append(words)
    return found
