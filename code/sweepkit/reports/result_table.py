"""The result table of any source for a terminal, and the best configuration as text."""

from typing import TYPE_CHECKING

from sweepkit.analysis.table import Row, RunTable
from sweepkit.model.configurations import Configuration
from sweepkit.model.runs import RunState
from sweepkit.reports.table import STATE_STYLES, short

if TYPE_CHECKING:
    from rich.table import Table


def result_table(table: RunTable, *, limit: int | None = None) -> "Table":
    """Return the table of the runs, those of the best configuration first; `rank` is the configuration's.

    Args:
        table: The runs.
        limit: At most this many rows; None shows all.
    """
    from rich.table import Table

    from sweepkit.reports.terminal import plain

    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column("rank", justify="right")
    shown.add_column("#", justify="right")
    shown.add_column("run", overflow="fold")
    named = any(row.name for row in table.rows)
    if named:
        shown.add_column("name", overflow="fold")
    shown.add_column("state", no_wrap=True)
    for metric in table.metrics:
        shown.add_column(plain(metric.name), justify="right")
    moments = len(table.metrics) == 1 and any(row.reports > 1 for row in table.rows)
    if moments:  # which report the value is of, and what the last one was
        shown.add_column("at report", justify="right", no_wrap=True)
        shown.add_column("last", justify="right")
    columns = table.varying()
    for column in columns:
        shown.add_column(plain(column.name), justify="right", overflow="fold")
    shown.add_column("seconds", justify="right", no_wrap=True)
    shown.add_column("reason", overflow="fold")
    places = {row.number: rank for rank, item in enumerate(table.configurations(), 1) for row in item.members}
    for row in table.best_first()[:limit]:
        shown.add_row(
            str(places.get(row.number, "")),
            str(row.number),
            plain(row.run_id),
            *([plain(row.name)] if named else []),
            plain(row.state.value, style=STATE_STYLES.get(row.state, "")),
            *(_value(row, index) for index in range(len(table.metrics))),
            *([_moment(row), "" if row.last is None else f"{row.last:.5g}"] if moments else []),
            *(plain(short(row.params[c.name])) if c.name in row.params else "" for c in columns),
            "" if row.duration_s is None else f"{row.duration_s:.1f}",
            plain("" if row.state is RunState.FINISHED else row.reason),
        )
    return shown


def _moment(row: Row) -> str:
    """Return at which of its reports a run had its value."""
    return f"{row.at}/{row.reports}" if row.at is not None and row.reports else ""


def _value(row: Row, index: int) -> str:
    value = row.objective(index)
    return "" if value is None else f"{value:.5g}"


def shown_params(best: Configuration[Row], table: RunTable) -> dict[str, float | str]:
    """Return the parameters of a configuration in the space's order; without its seeds where it has several runs."""
    alone, held = len(best.runs) == 1, best.first.params
    return {c.name: held[c.name] for c in table.columns if c.name in held and (alone or not c.seed)}


def best_lines(best: Configuration[Row], table: RunTable) -> list[str]:
    """Return the best configuration, a parameter a line, in the space's order."""
    shown = shown_params(best, table)
    width = max((min(48, len(name)) for name in shown), default=0)
    return [f"  {name:<{width}}  {short(value)}" for name, value in shown.items()]
