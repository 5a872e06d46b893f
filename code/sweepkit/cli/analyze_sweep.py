"""`analysis/analyze_sweep.py`: the result table, the best configuration, and best against second best in words."""

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweepkit.cli.guard import guarded
from sweepkit.cli.options import make_parser, natural
from sweepkit.paths import OUTPUT_DIR, STORE_NAME, SweepPaths
from sweepkit.sources.table_sources import Source, add_source_options, load

if TYPE_CHECKING:
    from sweepkit.analysis.lead import Lead
    from sweepkit.analysis.table import Row
    from sweepkit.model.configurations import Configuration
    from sweepkit.model.metric import Metric

FIRST_SWEEP = "first_sweep"

_EPILOG = """\
examples:
  python analysis/analyze_sweep.py first_sweep
  python analysis/analyze_sweep.py first_sweep --json | jq .best.params
  python analysis/analyze_sweep.py 'optuna:sqlite:///study.db#mine'
  python analysis/analyze_sweep.py wandb_export.csv --metric eval/rougeL --parameters lr batch_size

Writes report.html into the sweep's folder: one file without network, with figures, importance, a table to sort and
filter, what was stopped, failures and methods. --no-report leaves it out; the answer then comes seconds sooner.

exit codes: 0 done, also when no run has a value; 2 wrong input
"""


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    return analyze(parse(argv))


@guarded
def main_first(argv: Sequence[str] | None = None) -> int:
    """Run the command line of `analyze_first_sweep.py`; return the exit code."""
    options = parse(argv, script="analyze_first_sweep.py", sweep=FIRST_SWEEP)
    record = options.output_dir / STORE_NAME
    if options.storage is None and not record.exists():
        from sweepkit.errors import SweepKitError

        raise SweepKitError(
            f"{record}: {FIRST_SWEEP} must have been run, got no record there; run "
            f"python code/sweep_runner.py --sweep-config {FIRST_SWEEP} (three minutes), or name its --output-dir"
        )
    return analyze(options)


def parse(
    argv: Sequence[str] | None, *, script: str = "analyze_sweep.py", sweep: str | None = None
) -> argparse.Namespace:
    """Return the options; argparse exits with code 2 on a wrong one.

    Args:
        argv: The command line; None takes this process's.
        script: How it is called.
        sweep: The sweep when the command line names none.
    """
    description = "What came out of a sweep: its table, its best configuration, and how far that leads."
    epilog = _EPILOG if sweep is None else _EPILOG.replace("analyze_sweep.py first_sweep", script)
    parser = make_parser(script, description, epilog)
    add_source_options(parser, output_dir=OUTPUT_DIR)
    how = parser.add_argument_group("how")
    how.add_argument("--limit", type=natural, default=30, metavar="N", help="rows of the table (default: 30; 0: all)")
    how.add_argument("--json", action="store_true", help="all of it as one JSON object on stdout")
    how.add_argument("--no-report", action="store_true", help="do not write report.html")
    how.add_argument("--output", type=Path, metavar="DIR", help="where report.html goes (default: the sweep's folder)")
    options = parser.parse_args(argv)
    if options.sweep is None and options.optuna_storage is None:
        options.sweep = sweep
    return options


def analyze(options: argparse.Namespace) -> int:
    """Show what came out of the sweep that the options name, write its report; return the exit code.

    Raises:
        SweepKitError: There is no such sweep, or it cannot be read.
    """
    source = load(options)
    from sweepkit.analysis.lead import lead

    found = lead(source.table)
    if not options.json:
        _print(source, found, options)
    report = None if options.no_report else _write_report(source, options)
    if options.json:
        from sweepkit.text.json_text import json_text

        sys.stdout.write(json_text(plain(source, found, report)) + "\n")
    elif report is not None:
        from sweepkit.reports.files import relative

        print(f"\nreport: {relative(report)}")
    return 0


def _write_report(source: Source, options: argparse.Namespace) -> Path:
    from sweepkit.analysis.importance import importances
    from sweepkit.runner.sweep_report import REPORT_NAME, write_sweep_report

    folder: Path = options.output or source.folder
    importance = importances(source.table) if source.table.metrics else None
    return write_sweep_report(source, Path(os.path.abspath(folder)) / REPORT_NAME, importance=importance)


# -- as text -----------------------------------------------------------------------------------------------------------


def _print(source: Source, found: "Lead | None", options: argparse.Namespace) -> None:
    from rich.console import Console

    from sweepkit.analysis.summary import counted, reasons, saved
    from sweepkit.model.runs import ENDED_BADLY
    from sweepkit.reports.result_table import result_table

    table = source.table
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 200
    console = Console(width=width, highlight=False)
    print(f"{table.name}: {counted(table)}" if table.name else counted(table))
    if table.rows:
        console.print(result_table(table, limit=options.limit or None))
        if options.limit and len(table.rows) > options.limit:
            print(f"… and {len(table.rows) - options.limit} more; --limit 0 shows all")
    print()
    for line in [*_best_lines(source, found), *filter(None, [saved(table)])]:
        print(line)
    for group in reasons(table, ENDED_BADLY):
        print(f"{len(group.rows)} without a value: {group.reason}")


def _best_lines(source: Source, found: "Lead | None") -> list[str]:
    """Return the best configuration and how it stands against the second."""
    from sweepkit.analysis.lead_words import called, lead_sentences, verdict
    from sweepkit.reports.result_table import best_lines

    metric = source.table.metric
    if metric is None:
        return ["The sweep names no metric: its runs cannot be ranked."]
    if found is None:
        return [f"No run has a value of {metric.name}: there is no best configuration."]
    seeds = len(found.first.runs)
    mean, over = ("mean ", f" over {seeds} seeds") if seeds > 1 else ("", "")
    lines = [f"best configuration: {called(found.first)}, {mean}{metric.name} = {found.first.value:.5g}{over}"]
    lines += [*best_lines(found.first, source.table), *_how_to_train(source)]
    if len(source.table.metrics) > 1:
        lines.append(f"Several objectives: this compares by {metric.name} alone; {_front(source)}.")
    told = [] if source.sweep is None else _confirmed(source)
    by = ", by the sweep's own runs" if told else ""
    lines += [
        "",
        f"best against second best{by}: {verdict(found)}",
        *lead_sentences(found, confirmed=bool(told)),
        *told,
    ]
    if source.sweep is not None and found.second is not None and not told:
        lines.append(f"Fresh seeds decide it: python code/sweep_runner.py --confirm {source.table.name}")
    return [*lines, ""]


def _confirmed(source: Source) -> list[str]:
    """Return what the confirmation of the best runs found, [] when there was none."""
    from sweepkit.reports.confirmation import confirmation_text, from_plain, read_confirmation

    told = read_confirmation(source.folder)
    return [] if told is None else ["", confirmation_text(from_plain(told))]


def _how_to_train(source: Source) -> list[str]:
    """Return the command that trains with the best configuration, where a file of it is there."""
    from sweepkit.reports.files import relative

    if source.sweep is None:
        return []
    file = SweepPaths(source.folder.parent, source.sweep.name).best_config
    if not file.is_file():
        return []
    trains = source.spec is not None and Path(source.spec.program or "").name == "trainer.py"
    return [f"train it: python code/trainer.py --config {relative(file)}" if trains else f"file: {relative(file)}"]


def _front(source: Source) -> str:
    """Return how many runs no other one beats."""
    count = len(front_rows(source))
    return f"{count} run{' is' if count == 1 else 's are'} beaten by no other on all of them"


def front_rows(source: Source) -> "list[Row]":
    """Return the rows of the table that no other one beats on all objectives; the best on the first one leads."""
    from sweepkit.analysis.ranking import front_of

    found = front_of(source.table.configurations(), source.table.metrics, lambda row: row.number)
    return [item.first for item in found]


# -- as JSON -----------------------------------------------------------------------------------------------------------


def plain(source: Source, found: "Lead | None", report: Path | None) -> dict[str, Any]:
    """Return the analysis as values for JSON."""
    from sweepkit.analysis.lead_words import lead_sentences, verdict
    from sweepkit.model.runs import RunState
    from sweepkit.reports.confirmation import read_confirmation

    table = source.table
    told: dict[str, Any] = {
        "sweep": table.name,
        "metrics": {metric.name: metric.goal.value for metric in table.metrics},
        "counts": {state.value: n for state in RunState if (n := sum(row.state is state for row in table.rows))},
        "best": None if found is None else _contender(found.first),
        "second": None if found is None or found.second is None else _contender(found.second),
        "comparison": None,
        "confirmation": read_confirmation(source.folder),
        "runs": [_run(row, table.metrics) for row in table.best_first()],
        "report": None if report is None else str(report),
    }
    if found is not None:
        told["comparison"] = {
            "verdict": verdict(found),
            "sureness": found.sureness.value,
            "difference": found.difference,
            "differs": {name: list(pair) for name, pair in found.differs.items()},
            "configurations": found.configurations,
            "seed_sd": None if found.sd is None else found.sd[0],
            "seed_sd_df": None if found.sd is None else found.sd[1],
            "interval_95_all_pairs": None if found.interval is None else list(found.interval),
            "sentences": lead_sentences(found),
        }
    if len(table.metrics) > 1:
        told["front"] = [row.run_id for row in front_rows(source)]
    return told


def _contender(item: "Configuration[Row]") -> dict[str, Any]:
    return {
        "value": item.value,
        "values": list(item.scores),
        "run_ids": [row.run_id for row in item.runs],
        "numbers": [row.number for row in item.runs],
        "params": dict(item.first.params),
        "stopped_early": item.stopped,
    }


def _run(row: "Row", metrics: "Sequence[Metric]") -> dict[str, Any]:
    several = {"objectives": None if row.objectives is None else list(row.objectives)} if len(metrics) > 1 else {}
    return {
        "number": row.number,
        "run_id": row.run_id,
        "state": row.state.value,
        "value": row.value,
        **several,
        "params": dict(row.params),
        "duration_s": row.duration_s,
        "attempts": row.attempts,
        "reason": row.reason,
    }
