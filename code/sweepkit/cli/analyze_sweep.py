"""`analysis/analyze_sweep.py`: the result table, the best configuration, and best against second best in words."""

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sweepkit.called import typed
from sweepkit.cli.guard import guarded
from sweepkit.cli.options import natural
from sweepkit.cli.parsing import CommandLine, Parser
from sweepkit.cli.source_options import add_source_options, source_options
from sweepkit.errors import SweepKitError
from sweepkit.paths import database
from sweepkit.sources.options import SourceOptions
from sweepkit.text.shown import say

if TYPE_CHECKING:
    from sweepkit.analysis.table import RunTable

_FIRST_SWEEP = "first_sweep"

_EPILOG = """\
examples:
  {call} first_sweep
  {call} first_sweep --json | jq .best.params
  {call} first_sweep --replay-stopping
  {call} 'optuna:sqlite:///study.db#mine'
  {call} wandb_export.csv --metric eval/rougeL --parameters lr

Writes report.html into the sweep's folder: one file without network, with figures, importance, a table to sort and
filter, what was stopped, failures and methods. --no-report leaves it out; the answer then comes seconds sooner.

exit codes: 0 done, also when no run has a value; 2 wrong input
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _AnalyzeOptions:
    """The command line of analyze_sweep.py.

    Args:
        source: Which runs.
        limit: Rows of the table; None shows all.
        json: Answer with one JSON object.
        report: Write report.html.
        output: Where it goes; None for the sweep's folder.
        replay: Show what stopping rules would have done instead.
    """

    source: SourceOptions
    limit: int | None
    json: bool
    report: bool
    output: Path | None
    replay: bool = False


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    return COMMAND.run(argv, "analysis/analyze_sweep.py")


@guarded
def main_first(argv: Sequence[str] | None = None) -> int:
    """Run the command line of `analyze_first_sweep.py`; return the exit code."""
    script = "analysis/analyze_first_sweep.py"
    parser = replace(COMMAND, epilog=_EPILOG.replace(f"{{call}} {_FIRST_SWEEP}", "{call}")).parser(script)
    options = _options(parser.parse_args(argv), sweep=_FIRST_SWEEP)
    record = database(options.source.storage, options.source.output_dir)
    if "://" not in record and not Path(record).exists():
        raise SweepKitError(
            f"{record}: {_FIRST_SWEEP} must have been run, got no database there; run "
            f"{typed('run', _FIRST_SWEEP)} (three minutes), or name its --output-dir"
        )
    return _analyze(options)


def _add(parser: Parser, output_dir: Path | None) -> None:
    add_source_options(parser, output_dir=output_dir)
    how = parser.add_argument_group("how")
    how.add_argument("--limit", type=natural, default=30, metavar="N", help="rows of the table (default: 30; 0: all)")
    how.add_argument("--json", action="store_true", help="all of it as one JSON object on stdout")
    how.add_argument("--replay-stopping", action="store_true", help="show what stopping rules would have done, no more")
    how.add_argument("--no-report", action="store_true", help="do not write report.html")
    how.add_argument("--output", type=Path, metavar="DIR", help="where report.html goes (default: the sweep's folder)")


def _options(given: argparse.Namespace, *, sweep: str | None = None) -> _AnalyzeOptions:
    """Return what is asked for; `sweep` is meant when the command line names none."""
    return _AnalyzeOptions(
        source=source_options(given, sweep=sweep),
        limit=given.limit or None,
        json=given.json,
        report=not given.no_report,
        output=given.output,
        replay=given.replay_stopping,
    )


def _analyze(options: _AnalyzeOptions) -> int:
    """Show what came out of the sweep that the options name, write its report; return the exit code.

    Raises:
        SweepKitError: There is no such sweep, or it cannot be read.
    """
    from sweepkit.analysis.importance import importances
    from sweepkit.analysis.lead import lead
    from sweepkit.reports.files import relative
    from sweepkit.reports.sweep_analysis import analysis_plain, analysis_text
    from sweepkit.runner.sweep_report import REPORT_NAME, write_sweep_report
    from sweepkit.sources.table_sources import load
    from sweepkit.text.json_text import json_text

    source = load(options.source)
    source.print_notes(json=options.json)
    if options.replay:
        return _show_replay(source.table, json=options.json)
    found = lead(source.table)
    if not options.json:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        say(analysis_text(source, found, limit=options.limit, width=width))
    report = None
    if options.report:
        importance = importances(source.table) if source.table.metrics else None
        file = Path(os.path.abspath(options.output or source.folder)) / REPORT_NAME
        report = write_sweep_report(source, file, importance=importance)
    if options.json:
        say(json_text(analysis_plain(source, found, report)))
    elif report is not None:
        say(f"\nreport: {relative(report)}")
    return 0


def replay_stopping(options: SourceOptions, *, json: bool) -> int:
    """Show what stopping rules would have done with a recorded sweep; return the exit code. Raises SweepKitError."""
    return _analyze(_AnalyzeOptions(source=options, limit=None, json=json, report=False, output=None, replay=True))


def _show_replay(table: "RunTable", *, json: bool) -> int:
    from sweepkit.analysis.stopping_replay import replayed_or_refused
    from sweepkit.reports.stopping_replay import replay_plain, replay_text
    from sweepkit.text.json_text import json_text

    shown = json_text({"sweep": table.name, "rules": replay_plain(replayed_or_refused(table))}) if json else None
    say(shown or replay_text(table))
    return 0


COMMAND = CommandLine(
    name="analyze",
    add=_add,
    act=lambda _, given: _analyze(_options(given)),
    epilog=_EPILOG,
    common=(
        *("--output-dir", "--storage", "--metric", "--goal", "--parameters", "--limit", "--json"),
        *("--replay-stopping", "--no-report"),
    ),
)
