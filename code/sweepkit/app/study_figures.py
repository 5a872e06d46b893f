"""The figures and the report of a study: the one place that knows who draws them."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sweepkit.app.study_results import StudyResult


def write_figures(folder: Path, result: "StudyResult") -> list[Path]:
    """Write the figures of a study and its report, each as one HTML file that needs no network; return them."""
    return []
