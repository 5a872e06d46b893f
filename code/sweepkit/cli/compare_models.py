"""`compare_models.py`: train models with several seeds each, or read what was trained, and say which is better."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweepkit.cli.comparison_options import parse_compare
from sweepkit.cli.guard import guarded
from sweepkit.errors import SweepKitError
from sweepkit.paths import OUTPUT_DIR, slug

if TYPE_CHECKING:
    from sweepkit.analysis.trained import Trained

_SEEDS = [42, 123, 456]


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = parse_compare(argv, output_dir=OUTPUT_DIR)
    return _train(options) if options.analyze_only is None else _analyze(options)


def _train(options: Namespace) -> int:
    """Train what is not trained yet, then compare."""
    from sweepkit.cli.sweep_runner import show_dry_run
    from sweepkit.compare.train import (
        ComparisonCall,
        check_checkpoints,
        choose,
        make_comparison_plan,
        metric_of,
    )
    from sweepkit.runner.call import slots_of

    options.seeds = options.seeds or _SEEDS
    # What a sweep's call may be told beside, and a comparison is not.
    for name in ("count", "sampler", "seed", "base_config", "optuna_storage"):
        setattr(options, name, None)
    choices = choose(options)
    plan = make_comparison_plan(choices, options)
    slots, notes = slots_of(options, [plan])
    if options.dry_run:
        return show_dry_run(options, plan, slots)
    check_checkpoints(choices)
    with ComparisonCall(options, plan, slots, notes) as call:
        code = call.run()
        trainings = call.trainings(choices, options.seeds)
        name = call.session.sweep.name
    wanted = len(choices) * len(options.seeds)
    done = sum(item.state == "finished" for item in trainings)
    unfinished = [f"{done} of {wanted} trainings are finished; the same command continues"] if done < wanted else []
    if not done:
        reasons = "; ".join(f"{item.model} seed {item.seed}: {item.reason}" for item in trainings[:3])
        print(f"nothing to compare: no training has finished{': ' + reasons if reasons else ''}", file=sys.stderr)
        return code or 1
    _tell(trainings, options, metric_of(options, choices[0].config.task), name, unfinished)
    return code


def _analyze(options: Namespace) -> int:
    """Compare what is there."""
    from sweepkit.compare.read import read_results
    from sweepkit.compare.train import metric_of

    patterns = options.analyze_only or [str(options.output_dir / "*_seed*")]
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
    _tell(trainings, options, metric_of(options, str(task)), name, [])
    return 0


def _tell(trainings: "Sequence[Trained]", options: Namespace, metric: str, name: str, notes: list[str]) -> None:
    """Print the comparison and write its files."""
    from sweepkit.compare.report import make_report, show, write_files
    from sweepkit.compare.train import runs_of_sweeps

    sweeps = runs_of_sweeps(trainings, options.output_dir)
    report = make_report(trainings, options, metric=metric, notes=notes, sweeps=sweeps)
    stem = options.output_dir / f"comparison_{slug(name.removeprefix('compare-'))}"
    written = write_files(report, stem)
    if not options.json:
        print()
    show(report, written, as_json=options.json)
