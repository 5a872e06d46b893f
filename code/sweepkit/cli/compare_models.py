"""`compare_models.py`: train models with several seeds each, or read what was trained, and say which is better."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sweepkit.cli.comparison_options import ComparisonCommand, parse_compare
from sweepkit.cli.guard import guarded
from sweepkit.errors import SweepKitError
from sweepkit.text.shown import say

if TYPE_CHECKING:
    from sweepkit.compare.run import Compared


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    return compare(parse_compare(argv, output_dir=None))


def compare(command: ComparisonCommand) -> int:
    """Train and compare, or compare what is trained; return the exit code."""
    return _train(command) if command.analyze_only is None else _analyze(command, command.analyze_only)


def _train(command: ComparisonCommand) -> int:
    """Train what is not trained yet, then compare."""
    from sweepkit.cli.sweep_runner import show_dry_run
    from sweepkit.compare.run import plan_of_comparison, train_models
    from sweepkit.runner.call import slots_of
    from sweepkit.runner.exit_codes import NO_RESULT

    options = command.comparison
    if command.run.dry_run:
        plan = plan_of_comparison(options, command.run)
        return show_dry_run(command.run, plan, slots_of(command.slots, [plan])[0])
    compared = train_models(options, command.run, command.slots)
    if not compared.finished:
        reasons = "; ".join(f"{item.model} seed {item.seed}: {item.reason}" for item in compared.trainings[:3])
        said = f"nothing to compare: no training has finished{': ' + reasons if reasons else ''}"
        say("\n".join([said, *compared.steps]), file=sys.stderr)
        return compared.code if compared.code or compared.preempted else NO_RESULT
    _show(compared, command)
    for step in () if command.run.json else compared.steps:
        say(step)
    return compared.code


def _analyze(command: ComparisonCommand, patterns: Sequence[str]) -> int:
    """Compare what is there: results of trainings, and tables of any tool."""
    from sweepkit.compare.read import goal_of, model_groups, read_results, tables_and_results
    from sweepkit.compare.run import Compared
    from sweepkit.compare.train import metric_of

    options, notes = command.comparison, list[str]()
    patterns = patterns or [str(command.run.output_dir / "*_seed*")]
    tables, folders = tables_and_results(patterns)
    trainings = read_results(folders) if folders else []
    if tables:
        metric = metric_of(options.statistics, "summarization")
        trainings = [*trainings, *model_groups(tables, metric, notes)]
        goal = options.statistics.goal or goal_of(metric, tables[0], notes)
        options = replace(options, statistics=replace(options.statistics, goal=goal))
    if options.models:
        wanted = [Path(name).name.removesuffix(".yaml") for name in options.models]
        trainings = [item for item in trainings if item.model in wanted]
        missing = [name for name in wanted if not any(item.model == name for item in trainings)]
        if missing:
            raise SweepKitError(
                f"--models: must have results in {' '.join(patterns)}, got none of {', '.join(missing)}"
            )
    if options.seeds:
        trainings = [item for item in trainings if item.seed in {str(seed) for seed in options.seeds}]
        if not trainings:
            raise SweepKitError(f"--seeds: there is no result of these in {' '.join(patterns)}")
    task = trainings[0].config.get("task", "summarization")
    name = options.name or "-".join(dict.fromkeys(item.model for item in trainings))
    metric = metric_of(options.statistics, str(task))
    compared = Compared(code=0, name=name, metric=metric, trainings=trainings, notes=tuple(notes))
    _show(compared, replace(command, comparison=options))
    return 0


def _show(compared: "Compared", command: ComparisonCommand) -> None:
    """Print the comparison and write its files."""
    from sweepkit.compare.report import show
    from sweepkit.compare.run import reported

    report, written = reported(compared, command.comparison.statistics, command.run.output_dir)
    if not command.run.json:
        say()
    show(report, written, as_json=command.run.json)
