"""`report.html` of a sweep: written when a sweep ends, and at any time by the analysis scripts."""

import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sweepkit.called import place_words, typed
from sweepkit.paths import SweepPaths
from sweepkit.reports.source import ReadReports, Source, environment_of
from sweepkit.text.shown import say

if TYPE_CHECKING:
    from sweepkit.analysis.importance_result import Importance
    from sweepkit.analysis.table import RunTable
    from sweepkit.model.records import RunRecord, SweepRecord
    from sweepkit.reports.study_report import Section
    from sweepkit.sweep_config.sweep import SweepSpec

REPORT_NAME = "report.html"
# What a forest with its refits costs, measured: 5 s of CPU and 8 ms a configuration up to 250, 6 s for any more; under
# 20 runs it grows none.
_FOREST_S = 5.0
_FOREST_S_PER_RUN = 0.01
_FOREST_MOST_S = 10.0
_LEAST_SHARE = 100  # at the end of a sweep it may cost a hundredth of the time that its runs took
_CURVES = 200  # learning curves in a report, whose steps and times are read


def write_sweep_report(source: Source, path: Path, *, importance: "Importance | None") -> Path:
    """Write the report of any source; return its file.

    Args:
        source: The runs and what is known of their sweep.
        path: The file; its folder is made when it is not there.
        importance: Of the first metric; None says how to get it.

    Raises:
        OSError: The file cannot be written; what was there before is still there.
    """
    from sweepkit.reports.confirmation import labels_of, section_of
    from sweepkit.reports.methods import methods
    from sweepkit.reports.study_report import ReportContext, write_study_report

    environment = environment_of(source)
    how: Sequence[str] = ()
    if source.spec is not None:
        how = methods(
            source.spec,
            source.table,
            importance,
            seed=source.sweep.seed if source.sweep else None,
            points=_points(source.runs),
            versions=environment,
            confirmed=bool(labels_of(source.folder)),
        )
    sections = [section_of(source.folder), _without_importance(source) if importance is None else None]
    context = ReportContext(
        title="Sweep",
        importance=importance,
        methods=how,
        environment=environment,
        sections=[section for section in sections if section is not None],
        confirmed=labels_of(source.folder),
    )
    if source.reports is None:
        return write_study_report(path, source.table, context)
    table, *others = _with_steps(source.table, source.reports)
    return write_study_report(path, table, replace(context, others=others))


def _with_steps(table: "RunTable", reports: "ReadReports") -> "list[RunTable]":
    """Return the table whose runs of the learning curves know the steps and times of their reports.

    Returns:
        The table; of several metrics one for each further one, of the same runs.
    """
    from sweepkit.analysis.curves import curve_rows, with_reports

    said = reports([row.run_id for row in curve_rows(table, _CURVES)])
    return [with_reports(table, said), *(with_reports(table.by(item.name), said) for item in table.metrics[1:])]


def report_at_end(
    paths: SweepPaths,
    spec: "SweepSpec",
    sweep: "SweepRecord",
    runs: "Sequence[RunRecord]",
    reports: "ReadReports | None" = None,
) -> Path | None:
    """Write the report of a sweep that has just ended; return its file, None when there is none.

    It never fails the sweep: what goes wrong is a warning on stderr, and an older report stays. Importance is computed
    only where it costs little against what the runs took.
    """
    try:
        if not runs:
            return None
        from sweepkit.analysis.table import from_runs

        table = from_runs(spec, runs)
        source = Source(table=table, folder=paths.root, spec=spec, sweep=sweep, runs=runs, reports=reports)
        importance = None
        if affordable(table):
            from sweepkit.analysis.importance import importances

            importance = importances(table)
        return write_sweep_report(source, paths.root / REPORT_NAME, importance=importance)
    except Exception as error:  # noqa: BLE001 - days of training are not to end with the exit code of a picture
        where = traceback.extract_tb(error.__traceback__)[-1]
        got = f"{type(error).__name__}: {error} ({Path(where.filename).name}, line {where.lineno})"
        command = typed("analyze", sweep.name, *place_words(paths.root.parent))
        say(
            f"warning: {REPORT_NAME}: could not be written, got: {got}; {command} tries again",
            file=sys.stderr,
        )
        return None


def affordable(table: "RunTable") -> bool:
    """Return whether importance costs little: too few runs for a forest, or runs that took a hundred times as long."""
    from sweepkit.analysis.importance_result import FEWEST

    if not table.metrics:
        return False
    finished = len(table.finished())
    took = sum(row.duration_s for row in table.rows if row.duration_s is not None)
    cost = min(_FOREST_MOST_S, _FOREST_S + _FOREST_S_PER_RUN * finished)
    return finished < FEWEST or took >= _LEAST_SHARE * cost


def _points(runs: "Sequence[RunRecord]") -> int | None:
    """Return how many points the grid has, as its engine told the newest run; None without a grid."""
    for run in reversed(runs):
        points = run.proposal.get("points")
        if isinstance(points, int):
            return points
    return None


def _without_importance(source: Source) -> "Section | None":
    from html import escape

    from sweepkit.reports.study_report import Section

    if not source.table.metrics or not source.table.ranked():
        return None
    command = typed("analyze", source.table.name, *place_words(source.folder.parent))
    text = (
        "Not computed: the runs were so short that it would have taken longer than they did. "
        f"<code>{escape(command)}</code> adds it."
    )
    return Section(anchor="importance", title="Parameter importance", body=f'<p class="note">{text}</p>')
