"""`compare_models.py`: train models with several seeds each, or read what was trained, and say which is better."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sweepkit.cli.comparison_options import ComparisonCommand, parse_compare
from sweepkit.cli.guard import guarded
from sweepkit.errors import SweepKitError
from sweepkit.paths import slug

if TYPE_CHECKING:
    from sweepkit.analysis.trained import Trained

_SEEDS = (42, 123, 456)


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
    from sweepkit.compare.train import (
        LEADER,
        check_checkpoints,
        choose,
        make_comparison_plan,
        metric_of,
        trainings_of,
    )
    from sweepkit.runner.call import Call, slots_of
    from sweepkit.runner.exit_codes import NO_RESULT

    options = replace(command.comparison, seeds=command.comparison.seeds or _SEEDS)
    choices = choose(options)
    plan = make_comparison_plan(choices, options, command.run)
    slots, notes = slots_of(command.slots, [plan])
    if command.run.dry_run:
        return show_dry_run(command.run, plan, slots)
    check_checkpoints(choices)
    with Call(command.run, [plan], slots=slots, notes=notes, leader=LEADER) as call:
        code = call.run()
        session = call.sessions[0]
        trainings = trainings_of(session, choices, options.seeds)
        name, preempted = session.sweep.name, call.preempted
        steps = session.next_steps(call.finishes[0]).lines()
    wanted = len(choices) * len(options.seeds)
    done = sum(item.state == "finished" for item in trainings)
    unfinished = [f"{done} of {wanted} trainings are finished"] if done < wanted else []
    if not done:
        reasons = "; ".join(f"{item.model} seed {item.seed}: {item.reason}" for item in trainings[:3])
        told = f"nothing to compare: no training has finished{': ' + reasons if reasons else ''}"
        print("\n".join([told, *steps]), file=sys.stderr)
        return code if code or preempted else NO_RESULT
    _tell(trainings, command, metric_of(options.statistics, choices[0].config.task), name, unfinished)
    for step in () if command.run.json else steps:
        print(step)
    return code


def _analyze(command: ComparisonCommand, patterns: Sequence[str]) -> int:
    """Compare what is there."""
    from sweepkit.compare.read import read_results
    from sweepkit.compare.train import metric_of

    options = command.comparison
    patterns = patterns or [str(command.run.output_dir / "*_seed*")]
    trainings = read_results(patterns)
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
    _tell(trainings, command, metric_of(options.statistics, str(task)), name, [])
    return 0


def _tell(trainings: "Sequence[Trained]", command: ComparisonCommand, metric: str, name: str, notes: list[str]) -> None:
    """Print the comparison and write its files."""
    from sweepkit.compare.report import make_report, show, write_files
    from sweepkit.compare.train import runs_of_sweeps

    folder, as_json = command.run.output_dir, command.run.json
    sweeps = runs_of_sweeps(trainings, folder)
    report = make_report(trainings, command.comparison.statistics, metric=metric, notes=notes, sweeps=sweeps)
    stem = folder / f"comparison_{slug(name.removeprefix('compare-'))}"
    written = write_files(report, stem)
    if not as_json:
        print()
    show(report, written, as_json=as_json)
