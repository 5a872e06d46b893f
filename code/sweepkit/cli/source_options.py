"""The part of a command line that says which runs are meant. Imports argparse and nothing heavy."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from sweepkit.cli.options import add_places
from sweepkit.sources.options import SourceOptions

_GOALS = ("maximize", "minimize")


def add_source_options(parser: ArgumentParser, *, output_dir: Path | None) -> None:
    """Add the options that say which runs are meant."""
    group = parser.add_argument_group("which runs")
    group.add_argument(
        "sweep",
        nargs="?",
        metavar="NAME|DIR|FILE|wandb:PATH|optuna:URL#STUDY",
        help="a sweep's name or folder, a table, a sweep at W&B (wandb:ENTITY/PROJECT/ID or its page's URL), or an "
        "Optuna study (default: the only sweep)",
    )
    add_places(group, output_dir)
    group.add_argument(
        "--optuna-storage",
        metavar="URL",
        help="read an Optuna study instead: sqlite:///FILE, postgresql://…, a SQLite or journal file",
    )
    group.add_argument("--study", metavar="NAME", help="which study of it (default: the only one)")
    table = parser.add_argument_group("of a table, of any tool: .csv .tsv .xlsx .parquet .jsonl")
    table.add_argument(
        "--metric",
        metavar="COLUMN",
        help="what was optimized (default: value); of a sweep: another metric; at W&B: any logged",
    )
    table.add_argument("--goal", choices=_GOALS, help="its direction (default: by the metric's name)")
    table.add_argument(
        "--parameters",
        nargs="+",
        default=[],
        metavar="COLUMN",
        help="parameter columns (default: by their names)",
    )


def source_options(given: Namespace, *, sweep: str | None = None) -> SourceOptions:
    """Return what the options of `add_source_options` say.

    Args:
        given: What argparse read.
        sweep: The sweep when neither a sweep nor an Optuna storage is named.
    """
    named = given.sweep is not None or given.optuna_storage is not None
    return SourceOptions(
        output_dir=given.output_dir,
        sweep=given.sweep if named else sweep,
        storage=given.storage,
        optuna_storage=given.optuna_storage,
        study=given.study,
        metric=given.metric,
        goal=given.goal,
        parameters=tuple(given.parameters),
    )
