"""Our figures as plotly's own objects, for notebooks: in the light page's colours."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sweepkit.reports.figures.base import Drawn
from sweepkit.reports.figures.page import colours

_LEAST = 200  # pixels, of a figure that only says why there is nothing to draw


def as_plotly(drawn: Sequence[Drawn]) -> Any:
    """Return a plotly figure; of several the first, with the others below it as traces of one grid.

    Args:
        drawn: At least one. One that has nothing to draw is an empty figure whose title says why.
    """
    import plotly.graph_objects as go  # type: ignore[import-untyped]
    from plotly.subplots import make_subplots  # type: ignore[import-untyped]

    if len(drawn) == 1:
        return _one(drawn[0], go)
    grid = make_subplots(rows=len(drawn), cols=1, subplot_titles=[item.title for item in drawn])
    for row, item in enumerate(drawn, 1):
        figure = _one(item, go)
        for trace in figure.data:
            grid.add_trace(trace, row=row, col=1)
        grid.update_xaxes(figure.layout.xaxis.to_plotly_json(), row=row, col=1)
        grid.update_yaxes(figure.layout.yaxis.to_plotly_json(), row=row, col=1)
    grid.update_layout(height=300 * max(1, len(drawn)), showlegend=False)
    return grid


def _one(drawn: Drawn, go: Any) -> Any:
    figure = go.Figure(data=_dressed(list(drawn.data)), layout=_dressed(dict(drawn.layout or {})))
    title = drawn.title if drawn.data else f"{drawn.title}: {drawn.caption}"
    figure.update_layout(title={"text": title}, height=drawn.height or _LEAST, margin={"t": 64})
    return figure


@cache
def _colours() -> Mapping[str, str]:
    """Return the colours of the page when it is light, by their names in a figure."""
    return colours()


def _dressed(value: Any) -> Any:
    """Return a value with each name of a colour replaced by the colour."""
    if isinstance(value, str):
        return _colours().get(value, value)
    if isinstance(value, Mapping):
        return {key: _dressed(item) for key, item in value.items()}
    return [_dressed(item) for item in value] if isinstance(value, list | tuple) else value
