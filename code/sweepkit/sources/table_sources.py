"""The table of a finished or running sweep for the analysis scripts: the record, W&B, an Optuna storage, any CSV."""

import json
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sweepkit.errors import SweepKitError
from sweepkit.paths import SweepPaths, slug
from sweepkit.sources.optuna_source import folder_of, is_study, study_of
from sweepkit.text.csv_text import read_csv
from sweepkit.wandb.source import check_options, is_wandb, read_wandb

if TYPE_CHECKING:
    from sweepkit.analysis.table import RunTable
    from sweepkit.model.records import RunRecord, SweepRecord
    from sweepkit.sweep_config.sweep import SweepSpec

_GOALS = ("maximize", "minimize")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A table and where it came from.

    Args:
        table: The runs.
        folder: Where files about it belong; it may not be there yet.
        spec: The sweep, None for a CSV file and for a W&B sweep whose YAML is none of ours.
        sweep: Its record, None for a CSV file, a W&B sweep and an Optuna study.
        runs: Its runs as recorded, () for a CSV file.
    """

    table: "RunTable"
    folder: Path
    spec: "SweepSpec | None" = None
    sweep: "SweepRecord | None" = None
    runs: "Sequence[RunRecord]" = ()


def add_source_options(parser: ArgumentParser, *, output_dir: Path) -> None:
    """Add the options that say which runs are meant."""
    group = parser.add_argument_group("which runs")
    group.add_argument(
        "sweep",
        nargs="?",
        metavar="NAME|DIR|FILE.csv|wandb:PATH|optuna:URL#STUDY",
        help="a sweep's name or folder, a table, a sweep at W&B (wandb:ENTITY/PROJECT/ID or its page's URL), or an "
        "Optuna study (default: the only sweep)",
    )
    group.add_argument("--output-dir", type=Path, default=output_dir, metavar="DIR", help="where sweeps are (outputs/)")
    group.add_argument("--storage", metavar="URL", help="the record: a file, sqlite:///FILE or postgresql://…")
    group.add_argument(
        "--optuna-storage",
        metavar="URL",
        help="read an Optuna study instead: sqlite:///FILE, postgresql://…, a SQLite or journal file",
    )
    group.add_argument("--study", metavar="NAME", help="which study of it (default: the only one)")
    table = parser.add_argument_group("of a CSV file (ours, Optuna's trials_dataframe, a W&B export, any other)")
    table.add_argument(
        "--metric",
        metavar="COLUMN",
        help="what was optimized (default: value); of a sweep: another metric; at W&B: any logged",
    )
    table.add_argument("--goal", choices=_GOALS, help="its direction (default: maximize)")
    table.add_argument(
        "--parameters", nargs="+", default=[], metavar="COLUMN", help="parameter columns (default: told by their names)"
    )


def load(options: Namespace) -> Source:
    """Return the runs that the options name.

    Raises:
        SweepKitError: There is no such sweep, study or file, or it cannot be read as a table.
    """
    study = is_study(options) or options.study is not None
    if study and not options.parameters:
        return _from_study(options)
    if not study and options.sweep is not None and options.sweep.lower().endswith(".csv"):
        return _from_csv(options, Path(options.sweep).expanduser())
    if options.parameters:
        raise SweepKitError("--parameters: is for a CSV file, got a sweep or study, which knows them; leave it out")
    if options.sweep is not None and is_wandb(options.sweep):
        return _from_wandb(options)
    return _from_record(options)


def _from_csv(options: Namespace, file: Path) -> Source:
    from sweepkit.analysis.foreign import from_frame
    from sweepkit.model.metric import Goal

    table = from_frame(
        read_csv(file),
        metric=options.metric,
        goal=None if options.goal is None else Goal(options.goal),
        parameters=options.parameters,
        name=file.stem if file.stem != "runs" else file.resolve().parent.name,
    )
    return Source(table=table, folder=Path(os.path.abspath(options.output_dir)) / f"analysis_{slug(table.name)}")


def _from_wandb(options: Namespace) -> Source:
    check_options(storage=options.storage)
    found = read_wandb(options.sweep, metric=options.metric, goal=options.goal)
    folder = (
        Path(os.path.abspath(options.output_dir)) / f"analysis_{slug(f'{found.table.name}-{found.sweep.sweep_id}')}"
    )
    return Source(table=found.table, folder=folder, spec=found.spec, runs=found.runs)


def _from_study(options: Namespace) -> Source:
    from sweepkit.analysis.table import from_runs

    study = study_of(options)
    spec = _spec(study.spec, options)
    table = from_runs(spec, study.runs)
    return Source(table=table, folder=folder_of(options, study), spec=spec, runs=study.runs)


def _from_record(options: Namespace) -> Source:
    from sweepkit.analysis.table import from_runs
    from sweepkit.cli.monitor_sweep import choose, locate
    from sweepkit.store.watch import open_watch
    from sweepkit.sweep_config.read import read_sweep_text

    storage, output_dir, wanted = locate(options)
    watch = open_watch(storage)
    try:
        sweep = choose(watch.sweeps(), wanted, options, watch.label)
        look = watch.look(sweep.sweep_id)
    finally:
        watch.close()
    runs = look.changed if look is not None else []
    spec = _spec(read_sweep_text(sweep.text, source=sweep.name, default_name=sweep.family), options)
    folder = SweepPaths(Path(os.path.abspath(output_dir)), sweep.name).root
    return Source(table=from_runs(spec, runs), folder=folder, spec=spec, sweep=sweep, runs=runs)


def _spec(spec: "SweepSpec", options: Namespace) -> "SweepSpec":
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
    from dataclasses import replace

    others = tuple(metric for name, metric in named.items() if name != options.metric)
    return replace(spec, metrics=(named[options.metric], *others) if others else ())


def environment_of(source: Source) -> dict[str, str]:
    """Return what the newest result file tells of versions, commit, host and device; {} when there is none here."""
    for run in sorted(source.runs, key=lambda run: -(run.ended_at or 0.0)):
        try:
            result = json.loads((source.folder / f"run_{run.run_id}_result.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        versions = result.get("package_versions") or {}
        told = {name: str(version) for name, version in versions.items()}
        for key in ("git_commit", "host", "device"):
            if result.get(key):
                told[key] = str(result[key])
        return told
    return {}
