"""`analysis/advanced_analysis.py`: the figures of a sweep, the five best runs, correlations, where the time went."""

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sweepkit.cli.guard import guarded
from sweepkit.cli.parsing import CommandLine, Parser
from sweepkit.cli.source_options import add_source_options, source_options
from sweepkit.sources.options import SourceOptions
from sweepkit.text.shown import say

if TYPE_CHECKING:
    from sweepkit.analysis.importance_result import Importance
    from sweepkit.reports.source import Source

_TOP = 5

_EPILOG = """\
examples:
  {call} first_sweep
  {call} ../outputs/sweep_first_sweep --output /tmp/figures
  {call} 'optuna:sqlite:///study.db#mine'
  {call} wandb_export.csv --metric eval/rougeL --parameters lr batch_size
  {call} wandb:team/summaries/ab12cd34

Writes into analysis/ of the sweep's folder (--output names another), each picture with its data as CSV:
  sweep_analysis.png        importance, learning rate, batch size by gradient accumulation, distribution
  correlation_matrix.png    how parameters and metric go together; what chance explains is blank
  parallel_coordinates.png  optimization_history.png
  optimization_history.html param_importances.html parallel_coordinate.html slice.html (pareto_front.html)
  report.html               all of it in one file, with the table of the runs

exit codes: 0 done; 2 wrong input
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _FiguresOptions:
    """The command line of advanced_analysis.py: which runs, and where the files go (None: analysis/ of its folder)."""

    source: SourceOptions
    output: Path | None


def _add(parser: Parser, output_dir: Path | None) -> None:
    add_source_options(parser, output_dir=output_dir)
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="where the files go (default: analysis/ in the sweep's)"
    )


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    return COMMAND.run(argv, "analysis/advanced_analysis.py")


def _show(_: Parser, given: argparse.Namespace) -> int:
    options = _FiguresOptions(source=source_options(given), output=given.output)
    from sweepkit.analysis.importance import importances
    from sweepkit.analysis.summary import saved, summary
    from sweepkit.reports.confirmation import labels_of
    from sweepkit.reports.files import relative
    from sweepkit.reports.sweep_analysis import top_lines
    from sweepkit.sources.table_sources import load

    source = load(options.source)
    source.print_notes()
    table = source.table
    importance = importances(table) if table.metrics else None
    say("\n".join(summary(table, confirmed=bool(labels_of(source.folder)))))
    best = top_lines(source, _TOP)
    say("\n".join(["", *best, ""]) if best else "")
    if sparing := saved(table):
        say(sparing)
    if importance is not None:
        say("\n" + "\n".join(importance.sentences))
    folder = options.output or source.folder / "analysis"
    written = _write_all(folder, source, importance)
    say(f"\nfiles in {relative(folder)}/: {', '.join(path.name for path in written)}, their data as CSV")
    return 0


def _write_all(folder: Path, source: "Source", importance: "Importance | None") -> list[Path]:
    """Write every picture and the report; return their files."""
    from sweepkit.analysis.association import associations
    from sweepkit.reports.figures import static
    from sweepkit.reports.figures.study import write_figures
    from sweepkit.runner.sweep_report import REPORT_NAME, write_sweep_report

    table = source.table
    written = [
        static.correlation_matrix(associations(table), folder / "correlation_matrix.png"),
        static.parallel_picture(table, importance, folder / "parallel_coordinates.png"),
        static.history_picture(table, folder / "optimization_history.png"),
        static.curves_picture(table, folder / "learning_curves.png"),
    ]
    if importance is not None:
        written.insert(0, static.four_panels(table, importance, folder / "sweep_analysis.png"))
    written += [_copied(folder / ours, guide) for ours, guide in _GUIDE_NAMES if (folder / ours).is_file()]
    written += write_figures(folder, table, importance)
    written.append(write_sweep_report(source, folder / REPORT_NAME, importance=importance))
    return written


# The figures whose names the guides know by other ones.
_GUIDE_NAMES = (
    ("sweep_analysis.png", "advanced_sweep_analysis.png"),
    ("correlation_matrix.png", "parameter_correlations.png"),
)


def _copied(file: Path, name: str) -> Path:
    """Copy a file beside itself; return the copy."""
    return Path(shutil.copyfile(file, file.with_name(name)))


COMMAND = CommandLine(
    summary="The figures of a sweep, its five best runs, correlations, and where the time went.",
    add=_add,
    act=_show,
    epilog=_EPILOG,
)
