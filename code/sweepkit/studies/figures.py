"""The figures and the report of a study: the one place here that knows who draws them."""

import contextlib
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sweepkit.studies.results import StudyResult

_REPORT_NAME = "optuna_study_report.html"
_VERSIONS_OF = ("sweepkit", "optuna", "torch", "transformers")


def write_figures(folder: Path, result: "StudyResult") -> list[Path]:
    """Write the figures of a study and its report, each as one HTML file that needs no network.

    They are optimization_history.html, param_importances.html, parallel_coordinate.html, slice.html, with several
    objectives pareto_front.html, and optuna_study_report.html with all of them.

    Returns:
        The files.
    """
    from sweepkit.analysis.importance import importances
    from sweepkit.analysis.table import from_runs
    from sweepkit.reports.figures.study import write_figures as write
    from sweepkit.reports.methods import methods
    from sweepkit.reports.study_report import ReportContext, write_study_report

    table = from_runs(result.spec, result.runs)
    found = importances(table) if table.metrics and table.rows else None
    how = methods(result.spec, table, found)
    context = ReportContext(title="Optuna study", importance=found, methods=how, environment=_versions())
    return [*write(folder, table, found), write_study_report(folder / _REPORT_NAME, table, context)]


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _VERSIONS_OF:
        with contextlib.suppress(PackageNotFoundError):  # run from a checkout that is not installed
            found[name] = version(name)
    return found
