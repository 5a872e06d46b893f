"""Learning curves: which runs to show, and their reports on the axes that people ask for. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sweepkit.analysis.table import Row, RunTable
from sweepkit.model.records import Report
from sweepkit.model.runs import RunState


def curve_rows(table: RunTable, most: int) -> list[Row]:
    """Return the runs whose curves are shown, by number: all that run, half of the rest best first, the others spread.

    Args:
        table: The sweep.
        most: So many at most, >= 1; running runs alone may be more.

    Example:
        >>> len(curve_rows(table, 200))                                          # doctest: +SKIP
        200
    """
    rows = [row for row in table.best_first() if any(value == value for value in row.history)]
    if not rows and table.metric is not None:  # of several metrics the record keeps no history: the newest values tell
        rows = [row for row in table.best_first() if table.metric.name in row.metrics]
    running = [row for row in rows if row.state is RunState.RUNNING]
    others = [row for row in rows if row.state is not RunState.RUNNING]
    room = max(0, most - len(running))
    if len(others) > room:
        best, rest = others[: (room + 1) // 2], others[(room + 1) // 2 :]
        spread = room - len(best)
        others = best + [rest[at * len(rest) // spread] for at in range(spread)]
    return sorted([*running, *others], key=lambda row: row.number)


def with_reports(table: RunTable, reports: Mapping[str, Sequence[Report]]) -> RunTable:
    """Return the table whose runs know the steps and times of what they reported.

    Args:
        table: The sweep.
        reports: Run id → what its last attempt reported, by seq; other runs stay as they are.
    """
    if table.metric is None:
        return table
    name = table.metric.name
    return replace(
        table,
        rows=tuple(_filled(row, reports[row.run_id], name) if row.run_id in reports else row for row in table.rows),
    )


def _filled(row: Row, reports: Sequence[Report], metric: str) -> Row:
    """Return the run with the history, steps and times of the reports that hold the metric."""
    held = [report for report in reports if metric in report.values]
    if not held:
        return row
    stepped = all(report.step is not None for report in held)
    return replace(
        row,
        history=tuple(float(report.values[metric]) for report in held),
        steps=tuple(float(report.step or 0) for report in held) if stepped else (),
        times=tuple(report.time - held[0].time for report in held) if held[0].time else (),
    )
