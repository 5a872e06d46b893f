"""`sweepkit report`: one page of a sweep, and its figures."""

import argparse
from pathlib import Path

from sweepkit.cli import advanced_analysis
from sweepkit.cli.parsing import CommandLine, Parser
from sweepkit.cli.source_options import add_source_options, source_options
from sweepkit.text.shown import say


def _add(parser: Parser, output_dir: Path | None) -> None:
    add_source_options(parser, output_dir=output_dir)
    parser.add_argument("--figures", action="store_true", help="every figure as a file of its own, too, with its data")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="where it goes (default: the sweep's folder; figures: its analysis/)",
    )


def _act(parser: Parser, given: argparse.Namespace) -> int:
    if given.figures:
        return advanced_analysis.COMMAND.act(parser, given)
    from sweepkit.analysis.importance import importances
    from sweepkit.reports.files import relative
    from sweepkit.runner.sweep_report import REPORT_NAME, write_sweep_report
    from sweepkit.sources.table_sources import load

    source = load(source_options(given))
    importance = importances(source.table) if source.table.metrics else None
    file = (given.output or source.folder).absolute() / REPORT_NAME
    say(relative(write_sweep_report(source, file, importance=importance)))
    return 0


COMMAND = CommandLine(
    name="report",
    add=_add,
    act=_act,
    epilog="""\
examples:
  {call} my
  {call} my --figures --output figures
  {call} runs.csv --metric eval/rougeL --parameters lr batch_size
  {call} wandb:entity/project/id
""",
)
