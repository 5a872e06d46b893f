"""The groups of trainings that t tests compare: of a sweep, of result folders, or of a CSV file."""

import re
from collections.abc import Sequence
from dataclasses import replace

from sweepkit.agents.control import find_sweep_record
from sweepkit.analysis.trained import Trained
from sweepkit.compare.options import TTestOptions
from sweepkit.compare.read import csv_groups, goal_of, read_results, sweep_groups
from sweepkit.errors import SweepKitError
from sweepkit.model.metric import Metric
from sweepkit.model.records import RunRecord, SweepRecord, metric_of
from sweepkit.model.runs import RunState
from sweepkit.reports.table import short
from sweepkit.runner.options import RunOptions
from sweepkit.runner.plan import open_recorded, storage_of
from sweepkit.sources.optuna_source import is_study_name, read_named
from sweepkit.text.nested_tables import flattened
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
        return trainings, metric or "", goal or goal_of(metric or "", options.csv, notes), notes
    if options.sweep:
        return _read_sweep(options.sweep, by, options)
    trainings = read_results(options.results)
    if by:
        trainings = [_regrouped(item, by) for item in trainings]
    return trainings, metric or "rouge_combined_f1", goal, []


def _read_sweep(sweep: str, by: str, options: TTestOptions) -> tuple[list[Trained], str, str | None, list[str]]:
    asked = options.statistics
    name, own, runs, led = _study(sweep) if is_study_name(sweep) else _recorded(sweep, options)
    metric = asked.metric or (None if own is None else own.name)
    if metric is None:
        raise SweepKitError(f"--metric: must name the score, for {name} has no single metric of its own")
    goal = own.goal.value if own is not None and asked.metric is None and asked.goal is None else asked.goal
    trainings, notes = sweep_groups(runs, by, own, metric)
    return trainings, metric, goal, [*_warnings(by, runs, led=led), *notes]


def _warnings(by: str, runs: Sequence[RunRecord], *, led: bool) -> list[str]:
    """Return what makes the groups of a sweep no fair comparison.

    Args:
        by: The parameter.
        runs: Of the sweep.
        led: An engine chose the runs by what it had seen.
    """
    said = [f"p is corrected for the pairs of {by} alone: who tests many parameters finds one by luck"]
    if led:
        said.insert(
            0,
            "no verdict holds here: the engine chose the runs by what it had seen, so lucky values were tried again "
            "and unlucky ones were not; `importance` has a verdict for such sweeps",
        )
    counts = {len(run.history) for run in runs if run.state is RunState.FINISHED and run.history}
    if len(counts) > 1:
        said.append(
            f"runs have {min(counts)} to {max(counts)} reports, and the best of more is better by luck alone: "
            "--evaluation last compares at equal looks"
        )
    return said


def _recorded(name: str, options: TTestOptions) -> tuple[str, Metric | None, Sequence[RunRecord], bool]:
    """Return how to call a recorded sweep, its metric, its runs, and whether an engine that learns chose them."""
    sweep, runs = _runs_of(name, options)
    method = re.search(r"^method:\s*['\"]?(\w+)", sweep.text, re.MULTILINE)
    led = sweep.meta.get("sampler") not in (None, "random", "grid", "qmc") or (
        method is not None and method[1] not in ("random", "grid")
    )
    return f"sweep {sweep.name}", metric_of(sweep), runs, led


def _study(name: str) -> tuple[str, Metric | None, Sequence[RunRecord], bool]:
    """Return how to call an Optuna study, its metric when it has a single one, its trials; who chose is not known."""
    found = read_named(name)
    return found.spec.source, found.spec.metric, found.runs, False


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
    flat = flattened(item.config)
    name = next((key for key in flat if key == by or key.rpartition(".")[2] == by), None)
    if name is None:
        raise SweepKitError(f"--by: must be a field of the configuration, got {by!r}, which {item.where} does not have")
    return replace(item, model=short(flat[name]), seed=f"{item.model} {item.seed}")
