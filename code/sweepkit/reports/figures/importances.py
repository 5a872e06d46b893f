"""Parameter importances: bars with the refits' whiskers, the noise floor, and how far the model can be trusted."""

from typing import Any

from sweepkit.analysis.importance_result import Gate, Importance, Share, Verdict
from sweepkit.reports.figures.base import Drawn, axis, clipped, layout, nothing, safe

NAME, TITLE = "param_importances", "Parameter importance"
_MOST = 20
_COLOURS = {
    Verdict.CLEAR: "--clear",
    Verdict.WEAK: "--weak",
    Verdict.TOGETHER: "--weak",
    Verdict.NONE: "--noise",
    Verdict.UNJUDGED: "--weak",
}


def _heading(result: Importance) -> str:
    """Return the title with what it rests on: the estimator, R² and n."""
    parts = [result.basis]
    if result.r2 is not None:
        parts.append(f"out-of-bag R² {result.r2:.2f}" if result.estimator == "forest" else f"R² {result.r2:.2f}")
    if result.gate is not Gate.OPEN:
        parts.append(result.gate.value)
    how = {"forest": "", "eps_squared": " (rank statistic, no model)"}.get(result.estimator, f" ({result.estimator})")
    return f"{TITLE}{how}: {', '.join(parts)}"


def _axis_title(result: Importance) -> str:
    """Return what a bar's length is."""
    return {
        "forest": "share of the variance",  # the legend and the floor's own name say the rest
        "anova": "share of the variance",
        "gp": "share of the variance",
        "eps_squared": "share of the ranks",
    }.get(result.estimator, f"importance by {result.estimator}")


def _colour(share: Share, result: Importance) -> str:
    """Return a bar's colour: grey where the gate is shut."""
    return "--noise" if result.gate is not Gate.OPEN else _COLOURS[share.verdict]


def param_importances(result: Importance) -> Drawn:
    """Return the figure, the most important parameter at the top, at most 20 of them (the CSV has all)."""
    if not result.shares:
        return nothing(NAME, TITLE, " ".join(result.sentences))
    shares = list(reversed(result.shares[:_MOST]))
    names = [_label(share.name, index) for index, share in enumerate(shares)]
    data = [*_bars(result, shares, names), *_whiskers(shares, names)]
    shapes, notes = [], []
    if result.floor is not None:
        shapes.append(
            {
                "type": "line",
                "x0": result.floor,
                "x1": result.floor,
                "y0": 0,
                "y1": 1,
                "yref": "paper",
                "line": {"dash": "dash", "color": "--failed", "width": 1.5},
            }
        )
        notes.append(
            {
                "text": "noise floor",
                "x": result.floor,
                "y": 1,
                "yref": "paper",
                "yanchor": "bottom",
                "xanchor": "left",
                "showarrow": False,
                "font": {"color": "--failed", "size": 11},
            }
        )
    figure = layout(
        xaxis=axis(_axis_title(result), rangemode="tozero", nticks=6),
        yaxis=axis(type="category", categoryorder="array", categoryarray=names, showgrid=False),
        barmode="overlay",
        bargap=0.35,
        shapes=shapes,
        annotations=notes,
        margin={"l": 60, "r": 16, "t": 40, "b": 88},
        legend={"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0},
    )
    figure["xaxis"]["zeroline"] = True
    return Drawn(
        name=NAME,
        title=_heading(result),
        caption=_caption(result),
        data=tuple(data),
        layout=figure,
        rows=tuple(_csv_rows(result)),
        height=190 + 28 * len(shares),
    )


def _label(name: str, index: int) -> str:
    """Return a category's text, unique even when two long names are cut to the same one."""
    return safe(clipped(name)) + "\u200b" * index


def _bars(result: Importance, shares: list[Share], names: list[str]) -> list[dict[str, Any]]:
    """Return one trace per verdict, so that the legend explains the colours."""
    found = []
    for verdict in Verdict:
        at = [index for index, share in enumerate(shares) if share.verdict is verdict]
        if not at:
            continue
        found.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": verdict.value,
                "x": [shares[index].value for index in at],
                "y": [names[index] for index in at],
                "marker": {"color": [_colour(shares[index], result) for index in at]},
                "text": [_share_text(shares[index]) for index in at],
                "textposition": "none",
                "hoverinfo": "text",
                "showlegend": verdict is not Verdict.UNJUDGED,
            }
        )
    return found


def _share_text(share: Share) -> str:
    lines = [f"<b>{safe(share.name)}</b>", f"{share.value:.3f}, {share.verdict.value}"]
    if share.low is not None and share.high is not None:
        lines.append(f"± standard error {share.se:.3f}: {share.low:.3f} to {share.high:.3f}")
    lines.append(f"{share.active} configurations have it")
    return "<br>".join(lines)


def _whiskers(shares: list[Share], names: list[str]) -> list[dict[str, Any]]:
    x: list[float | None] = []
    y: list[str | None] = []
    for share, name in zip(shares, names, strict=True):
        if share.low is not None and share.high is not None:
            x += [share.low, share.high, None]
            y += [name, name, None]
    if not x:
        return []
    return [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": "± standard error",
            "x": x,
            "y": y,
            "line": {"color": "--ink", "width": 1.5},
            "marker": {"symbol": "line-ns", "size": 8, "line": {"width": 1.5, "color": "--ink"}, "color": "--ink"},
            "hoverinfo": "skip",
        }
    ]


def _caption(result: Importance) -> str:
    more = len(result.shares) - _MOST
    return " ".join([*result.sentences, *([f"{more} more parameters are in the CSV."] if more > 0 else [])])


def _csv_rows(result: Importance) -> list[dict[str, Any]]:
    return [
        {
            "parameter": share.name,
            "importance": share.value,
            "standard_error": share.se,
            "low": share.low,
            "high": share.high,
            "verdict": share.verdict.value,
            "configurations": share.active,
            "estimator": result.estimator,
            "floor": result.floor,
            "r2": result.r2,
            "n": result.sample_size,
        }
        for share in result.shares
    ]
