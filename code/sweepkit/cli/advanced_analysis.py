"""`analysis/advanced_analysis.py`: the figures of a sweep, the five best runs, correlations, where the time went."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweepkit.cli.guard import guarded
from sweepkit.cli.options import make_parser
from sweepkit.paths import OUTPUT_DIR
from sweepkit.sources.table_sources import Source, add_source_options, load

if TYPE_CHECKING:
    from sweepkit.analysis.importance_result import Importance

_TOP = 5

_EPILOG = """\
examples:
  python analysis/advanced_analysis.py first_sweep
  python analysis/advanced_analysis.py ../outputs/sweep_first_sweep --output /tmp/figures
  python analysis/advanced_analysis.py 'optuna:sqlite:///study.db#mine'
  python analysis/advanced_analysis.py wandb_export.csv --metric eval/rougeL --parameters lr batch_size
  python analysis/advanced_analysis.py wandb:team/summaries/ab12cd34

Writes into analysis/ of the sweep's folder (--output names another), each picture with its data as CSV:
  sweep_analysis.png        importance, learning rate, batch size by gradient accumulation, distribution
  correlation_matrix.png    how parameters and metric go together; what chance explains is blank
  parallel_coordinates.png  optimization_history.png
  optimization_history.html param_importances.html parallel_coordinate.html slice.html (pareto_front.html)
  report.html               all of it in one file, with the table of the runs

exit codes: 0 done; 2 wrong input
"""


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the options; argparse exits with code 2 on a wrong one."""
    description = "The figures of a sweep, its five best runs, correlations, and where the time went."
    parser = make_parser("advanced_analysis.py", description, _EPILOG)
    add_source_options(parser, output_dir=OUTPUT_DIR)
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="where the files go (default: analysis/ in the sweep's)"
    )
    return parser.parse_args(argv)


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = parse(argv)
    source = load(options)
    table = source.table
    from sweepkit.analysis.importance import importances
    from sweepkit.analysis.summary import saved, summary
    from sweepkit.reports.confirmation import labels_of
    from sweepkit.reports.files import relative

    importance = importances(table) if table.metrics else None
    print("\n".join(summary(table, confirmed=bool(labels_of(source.folder)))))
    print(_top(source))
    if told := saved(table):
        print(told)
    if importance is not None:
        print("\n" + "\n".join(importance.sentences))
    folder: Path = options.output or source.folder / "analysis"
    written = write_all(folder, source, importance)
    print(f"\nfiles in {relative(folder)}/: {', '.join(path.name for path in written)}, their data as CSV")
    return 0


def write_all(folder: Path, source: Source, importance: "Importance | None") -> list[Path]:
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
    ]
    if importance is not None:
        written.insert(0, static.four_panels(table, importance, folder / "sweep_analysis.png"))
    written += write_figures(folder, table, importance)
    written.append(write_sweep_report(source, folder / REPORT_NAME, importance=importance))
    return written


def _top(source: Source) -> str:
    """Return the five best runs, each with what its confirmation said, or that it has none."""
    from sweepkit.analysis.encoding import causes
    from sweepkit.analysis.lead_words import called, label_of
    from sweepkit.reports.confirmation import labels_of
    from sweepkit.reports.table import short

    table, confirmed = source.table, labels_of(source.folder)
    lines = []
    columns = causes(table)
    for rank, item in enumerate(table.configurations()[:_TOP], 1):
        params = item.first.params
        shown = "  ".join(f"{c.name}={short(params[c.name])}" for c in columns if c.name in params)
        seeds = f"  mean of {len(item.runs)} seeds" if len(item.runs) > 1 else ""
        label = label_of(item, confirmed)
        lines.append(f"{rank}. {called(item)}  {item.value:.5g}{seeds}  {label}  {shown}")
    return "\n".join(["", *lines, ""]) if lines else ""
