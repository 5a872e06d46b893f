"""Runs that were looked at unequally often: the best of more reports is better by luck alone. Pure.

Where a run's value is the best of its reports, a run of 40 epochs has 40 draws and one of 2 epochs has 2: on noise
alone the longer one wins, and fresh seeds confirm it, for they look as often. What is compared at equal looks is the
last report of each run: one look a run. (On a metric that is noise, 60 runs of 2 to 40 epochs: benchmarks/truth.py.)
"""

from dataclasses import dataclass, replace

from sweepkit.analysis.table import Row, RunTable
from sweepkit.model.metric import BEST


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """How often runs reported, where that differs and the value is the best of the reports.

    Args:
        fewest, most: Reports of a finished run.
        last: The table with each run's last report as its value.
    """

    fewest: int
    most: int
    last: RunTable


def unequal_looks(table: RunTable) -> Looks | None:
    """Return how unequally often finished runs were looked at; None where that makes no difference."""
    if table.metric is None or len(table.metrics) > 1 or table.metric.value != BEST:
        return None
    rows = [row for row in table.finished() if row.last is not None and row.reports]
    counts = {row.reports for row in rows}
    if len(counts) < 2 or all(row.value == row.last for row in rows):
        return None
    return Looks(fewest=min(counts), most=max(counts), last=replace(table, rows=tuple(map(_at_last, table.rows))))


def looks_sentences(table: RunTable) -> list[str]:
    """Return the warning, with the comparison at equal looks; [] where there is nothing to warn of."""
    found = unequal_looks(table)
    if found is None or table.metric is None:
        return []
    said = (
        f"A run's value is the best of its reports, and runs have {found.fewest} to {found.most} of them: more looks "
        "make a better value by luck alone."
    )
    ranked = found.last.configurations()
    best, names = ranked[0], [row.run_id for row in ranked[0].members]
    same = table.configurations()[0].first.run_id in names
    which = "it is the best one there, too" if same else f"run {best.first.number} ({best.first.run_id}) is the best"
    return [f"{said} At equal looks, by the last report of each, {which} with {best.value:.5g}."]


def _at_last(row: Row) -> Row:
    """Return a run with its last report as its value."""
    if row.value is None or row.last is None:
        return row
    return replace(row, value=row.last, objectives=(row.last,), at=row.reports)
