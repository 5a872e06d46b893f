"""`seed_ttest.py`: t tests between groups of runs of a sweep, of result folders, or of a CSV."""

from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sweepkit.cli.comparison_options import parse_ttest
from sweepkit.cli.guard import guarded
from sweepkit.paths import OUTPUT_DIR
from sweepkit.sources.optuna_source import is_study_name, read_named

if TYPE_CHECKING:
    from sweepkit.analysis.trained import Trained
    from sweepkit.model.metric import Metric
    from sweepkit.model.records import RunRecord, SweepRecord


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = parse_ttest(argv, output_dir=OUTPUT_DIR)
    from sweepkit.compare.report import make_report, show, write_files

    trainings, metric, notes = _read(options)
    noun = "model" if options.results and not options.by else options.by
    report = make_report(trainings, options, metric=metric, notes=notes, noun=noun)
    written = [] if options.save is None else write_files(report, options.save)
    show(report, written, as_json=options.json)
    return 0


def _read(options: Namespace) -> "tuple[list[Trained], str, list[str]]":
    """Return the trainings, the score to compare by, and what must be known of them."""
    from sweepkit.compare.read import read_groups, read_results

    if options.csv:
        return read_groups(options.csv, options.by, options.metric, options.seed_column), options.metric, []
    if options.sweep:
        return _read_sweep(options)
    trainings = read_results(options.results)
    if options.by:
        trainings = [_regrouped(item, options.by) for item in trainings]
    return trainings, options.metric or "rouge_combined_f1", []


def _read_sweep(options: Namespace) -> "tuple[list[Trained], str, list[str]]":
    from sweepkit.compare.read import sweep_groups
    from sweepkit.errors import SweepKitError

    name, own, runs = _study(options) if is_study_name(options.sweep) else _recorded(options)
    metric = options.metric or (None if own is None else own.name)
    if metric is None:
        raise SweepKitError(f"--metric: must name the score, for {name} has no single metric of its own")
    if own is not None and options.metric is None and options.goal is None:
        options.goal = own.goal.value
    trainings, notes = sweep_groups(runs, options.by, own, metric)
    return trainings, metric, notes


def _recorded(options: Namespace) -> "tuple[str, Metric | None, Sequence[RunRecord]]":
    """Return how to call a recorded sweep, its metric and its runs."""
    from sweepkit.model.metric import Goal, Metric

    sweep, runs = _runs_of(options)
    own = None if sweep.metric is None else Metric(name=sweep.metric, goal=Goal(sweep.goal or "minimize"))
    return f"sweep {sweep.name}", own, runs


def _study(options: Namespace) -> "tuple[str, Metric | None, Sequence[RunRecord]]":
    """Return how to call an Optuna study, its metric when it has a single one, and its trials."""
    found = read_named(options.sweep)
    return found.spec.source, found.spec.metric, found.runs


def _runs_of(options: Namespace) -> "tuple[SweepRecord, Sequence[RunRecord]]":
    """Return the sweep that `--sweep` names and its runs: of the record, or of a W&B server."""
    from sweepkit.wandb.source import check_options, is_wandb, read_wandb

    if is_wandb(options.sweep):
        check_options(storage=options.storage)
        found = read_wandb(options.sweep)
        return found.sweep.record(), found.runs
    from sweepkit.agents.control import find_sweep_record
    from sweepkit.runner.plan import check_storage_exists, storage_of
    from sweepkit.store.open import open_store

    storage = storage_of(options)
    check_storage_exists(storage)
    with open_store(storage) as store:
        sweep = find_sweep_record(store, options.sweep)
        return sweep, store.runs(sweep.sweep_id)


def _regrouped(item: "Trained", by: str) -> "Trained":
    """Return a training as one of the group that a field of its configuration names."""
    import dataclasses

    from sweepkit.errors import SweepKitError
    from sweepkit.reports.table import dotted, short

    flat = dotted(item.config)
    name = next((key for key in flat if key == by or key.rpartition(".")[2] == by), None)
    if name is None:
        raise SweepKitError(f"--by: must be a field of the configuration, got {by!r}, which {item.where} does not have")
    return dataclasses.replace(item, model=short(flat[name]), seed=f"{item.model} {item.seed}")
