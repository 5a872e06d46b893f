"""The table of a finished or running sweep for the analysis scripts: the record, W&B, an Optuna storage, any CSV."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sweepkit.errors import SweepKitError
from sweepkit.paths import SweepPaths, slug
from sweepkit.reports.source import Source
from sweepkit.runner.find_sweep import choose, locate, sweep_beside
from sweepkit.sources.options import SourceOptions
from sweepkit.sources.optuna_source import is_study, study_of
from sweepkit.text.table_files import is_table, read_table
from sweepkit.wandb.source import check_options, is_wandb, read_wandb

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sweepkit.model.records import Report
    from sweepkit.sweep_config.sweep import SweepSpec


def load(options: SourceOptions, *, ask_goal: bool = True) -> Source:
    """Return the runs that the options name.

    Args:
        options: Which runs.
        ask_goal: Of a table: refuse a metric of which nobody says which way it is better.

    Raises:
        SweepKitError: There is no such sweep, study or file, or it cannot be read as a table.
    """
    study = is_study(options)
    if study and not options.parameters:
        return _from_study(options)
    if not study and options.sweep is not None and is_table(options.sweep):
        return _from_table(options, Path(options.sweep).expanduser(), ask_goal=ask_goal)
    if options.parameters:
        raise SweepKitError(
            "--parameters: is for a CSV file or another table, got a sweep or study, which knows them; leave it out"
        )
    if options.sweep is not None and is_wandb(options.sweep):
        return _from_wandb(options, options.sweep)
    return _from_record(options)


def _from_table(options: SourceOptions, file: Path, *, ask_goal: bool) -> Source:
    from sweepkit.analysis.foreign import from_frame
    from sweepkit.analysis.table import proposed_by
    from sweepkit.model.metric import Goal

    frame = read_table(file)
    notes: list[str] = []
    beside = sweep_beside(file)  # of a runs.csv of ours
    own = None if beside is None or beside.metrics or options.metric or options.goal else beside.metric
    table = from_frame(
        frame,
        metric=options.metric,
        goal=Goal(options.goal) if options.goal else None if own is None else own.goal,
        parameters=options.parameters,
        name=file.stem if file.stem != "runs" else file.resolve().parent.name,
        notes=notes,
        ask_goal=ask_goal,
        seed_parameter=None if beside is None else beside.extensions.seed_parameter,
    )
    if own is not None:
        table = replace(table, metrics=(own,))
    if beside is not None:
        table = replace(table, method=proposed_by(beside))
    return Source(table=table, folder=_folder(options, table.name), notes=tuple(notes))


def _folder(options: SourceOptions, name: str) -> Path:
    """Return where files about a source go that has no folder of its own."""
    return Path(os.path.abspath(options.output_dir)) / f"analysis_{slug(name)}"


def _from_wandb(options: SourceOptions, path: str) -> Source:
    check_options(storage=options.storage)
    found = read_wandb(path, metric=options.metric, goal=options.goal)
    folder = _folder(options, f"{found.table.name}-{found.sweep.sweep_id}")
    return Source(table=found.table, folder=folder, spec=found.spec, runs=found.runs)


def _from_study(options: SourceOptions) -> Source:
    from sweepkit.analysis.table import from_runs

    study = study_of(options)
    spec = _spec(study.spec, options)
    table = from_runs(spec, study.runs)
    return Source(table=table, folder=_folder(options, study.spec.name), spec=spec, runs=study.runs)


def _from_record(options: SourceOptions) -> Source:
    from sweepkit.analysis.table import from_runs
    from sweepkit.store.watch import open_watch
    from sweepkit.sweep_config.read import read_recorded

    storage, output_dir, wanted = locate(options.sweep, output_dir=options.output_dir, storage=options.storage)
    watch = open_watch(storage)
    try:
        sweep = choose(watch.sweeps(), wanted, output_dir=options.output_dir, label=watch.label)
        found = watch.poll(sweep.sweep_id)
    finally:
        watch.close()
    runs = found.changed if found is not None else []
    spec = _spec(read_recorded(sweep), options)
    notes = tuple(f"refused now, and left out: {problem}" for problem in spec.refused)
    folder = SweepPaths(Path(os.path.abspath(output_dir)), sweep.name).root

    def reports(run_ids: "Sequence[str]") -> "Mapping[str, Sequence[Report]]":
        with open_watch(storage) as again:
            return {run_id: again.reports(run_id) for run_id in run_ids}

    table = from_runs(spec, runs)
    return Source(table=table, folder=folder, spec=spec, sweep=sweep, runs=runs, reports=reports, notes=notes)


def _spec(spec: "SweepSpec", options: SourceOptions) -> "SweepSpec":
    """Return the sweep; `--metric` and `--goal` ask for one of its several objectives."""
    if options.metric is None and options.goal is None:
        return spec
    named = {metric.name: metric for metric in (spec.metrics or ((spec.metric,) if spec.metric else ()))}
    if options.goal is not None or options.metric not in named:
        known = ", ".join(named) or "none"
        raise SweepKitError(
            "--metric, --goal: a sweep's record holds the history of its own metrics, got "
            f"{options.metric or options.goal!r}; "
            f"it has {known}; for another column give its runs.csv"
        )
    others = tuple(metric for name, metric in named.items() if name != options.metric)
    return replace(spec, metrics=(named[options.metric], *others) if others else ())
