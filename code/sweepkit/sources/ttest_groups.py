"""The groups of trainings that t tests compare: of a sweep, of result folders, or of a CSV file."""

from collections.abc import Sequence
from dataclasses import replace

from sweepkit.agents.control import find_sweep_record
from sweepkit.analysis.columns import direction_of
from sweepkit.analysis.trained import Trained
from sweepkit.compare.options import TTestOptions
from sweepkit.compare.read import csv_groups, read_results, sweep_groups
from sweepkit.errors import DataError, SweepKitError
from sweepkit.model.metric import Goal, Metric
from sweepkit.model.records import RunRecord, SweepRecord
from sweepkit.reports.table import dotted, short
from sweepkit.runner.options import RunOptions
from sweepkit.runner.plan import open_recorded, storage_of
from sweepkit.sources.optuna_source import is_study_name, read_named
from sweepkit.wandb.source import check_options, is_wandb, read_wandb


def read_groups(options: TTestOptions) -> tuple[list[Trained], str, str | None, list[str]]:
    """Return the trainings, the score to compare by, its goal where it is known, and what must be known of them.

    Raises:
        SweepKitError: What the options name is not there, or has not what they group or compare by.
    """
    metric, goal, by = options.statistics.metric, options.statistics.goal, options.by or ""
    if options.csv:
        notes: list[str] = []
        trainings = csv_groups(options.csv, by, metric or "", options.seed_column, notes)
        return trainings, metric or "", goal or _goal_of(metric or "", str(options.csv), notes), notes
    if options.sweep:
        return _read_sweep(options.sweep, by, options)
    trainings = read_results(options.results)
    if by:
        trainings = [_regrouped(item, by) for item in trainings]
    return trainings, metric or "rouge_combined_f1", goal, []


def _goal_of(metric: str, where: str, notes: list[str]) -> str:
    """Return which way a column is better, by its name, and tell it. Raises DataError when the name does not say."""
    found = direction_of(metric)
    if found is None:
        raise DataError(f"{where}: --goal must say whether {metric} is to maximize or to minimize, got none")
    notes.append(f"{metric} is to {found.value}, by its name; --goal says otherwise")
    return found.value


def _read_sweep(sweep: str, by: str, options: TTestOptions) -> tuple[list[Trained], str, str | None, list[str]]:
    asked = options.statistics
    name, own, runs = _study(sweep) if is_study_name(sweep) else _recorded(sweep, options)
    metric = asked.metric or (None if own is None else own.name)
    if metric is None:
        raise SweepKitError(f"--metric: must name the score, for {name} has no single metric of its own")
    goal = own.goal.value if own is not None and asked.metric is None and asked.goal is None else asked.goal
    trainings, notes = sweep_groups(runs, by, own, metric)
    return trainings, metric, goal, notes


def _recorded(name: str, options: TTestOptions) -> tuple[str, Metric | None, Sequence[RunRecord]]:
    """Return how to call a recorded sweep, its metric and its runs."""
    sweep, runs = _runs_of(name, options)
    own = None if sweep.metric is None else Metric(name=sweep.metric, goal=Goal(sweep.goal or "minimize"))
    return f"sweep {sweep.name}", own, runs


def _study(name: str) -> tuple[str, Metric | None, Sequence[RunRecord]]:
    """Return how to call an Optuna study, its metric when it has a single one, and its trials."""
    found = read_named(name)
    return found.spec.source, found.spec.metric, found.runs


def _runs_of(name: str, options: TTestOptions) -> tuple[SweepRecord, Sequence[RunRecord]]:
    """Return the sweep that `--sweep` names and its runs: of the record, or of a W&B server."""
    if is_wandb(name):
        check_options(storage=options.storage)
        found = read_wandb(name)
        return found.sweep.record, found.runs
    with open_recorded(storage_of(RunOptions(output_dir=options.output_dir, storage=options.storage))) as store:
        sweep = find_sweep_record(store, name)
        return sweep, store.runs(sweep.sweep_id)


def _regrouped(item: Trained, by: str) -> Trained:
    """Return a training as one of the group that a field of its configuration names."""
    flat = dotted(item.config)
    name = next((key for key in flat if key == by or key.rpartition(".")[2] == by), None)
    if name is None:
        raise SweepKitError(f"--by: must be a field of the configuration, got {by!r}, which {item.where} does not have")
    return replace(item, model=short(flat[name]), seed=f"{item.model} {item.seed}")
