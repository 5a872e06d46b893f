"""The command lines of `compare_models.py` and `seed_ttest.py`. Imports argparse and nothing heavy."""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sweepkit.cli.options import (
    add_end,
    add_places,
    add_slots,
    margin,
    natural,
    run_options,
    slot_options,
)
from sweepkit.cli.overview import SUMMARIES
from sweepkit.cli.parsing import Parser, make_parser
from sweepkit.compare.options import ComparisonOptions, StatisticsOptions, TTestOptions
from sweepkit.runner.options import RunOptions, SlotOptions

COMPARE_EPILOG = """\
examples:
  {call} --models kobart kogpt2 t5 --seeds 42 123 456
  {call} --models tiny_bart tiny_t5 --seeds 1 2 3    no download, minutes
  {call} --models mine.yaml tiny_bart --seeds 1 2 3 --preset quick --set num_train_epochs=1
  {call} --analyze-only                       what <output dir>/*_seed* holds
{more}
  {call} --analyze-only 'runs/*_seed*' --metric rouge1_f1 --rope 0.01
  {call} --analyze-only table.csv --metric score    a table with a column of models

A name is a file of config/models/, with or without "optimal_". Every model is trained with every seed; the same command
continues where it was interrupted. Each run's results: <output dir>/<model>_seed<seed>/results/; the comparison:
<output dir>/comparison_<name>.json, .md, .tex.
exit codes: 0 compared, significant or not; 3 nothing to compare: no training has a score; 1 the trainings were given
up, paused or cancelled; 2 wrong input; 130 Ctrl-C; SIGTERM 0, or what --preempted-exit-code says.
"""
TTEST_EPILOG = """\
examples:
  {call} --sweep first_sweep --by learning_rate
  {call} --sweep wandb:team/summaries/ab12cd34 --by learning_rate
  {call} --sweep 'optuna:sqlite:///study.db#mine' --by optimizer
  {call} --results 'outputs/*_seed*' --metric rougeL_f1
  {call} --csv runs.csv --by model --metric score --seed-column seed

exit codes: 0 compared, significant or not; 2 wrong input.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonCommand:
    """What compare_models.py is asked for.

    Args:
        comparison: Which models, and how they are trained and compared.
        run: How the trainings are run.
        slots: What they may occupy.
        analyze_only: Train nothing, compare the results in these folders or tables, () for the usual ones; None trains.
    """

    comparison: ComparisonOptions
    run: RunOptions
    slots: SlotOptions
    analyze_only: tuple[str, ...] | None


def _share(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < 0.5:
        raise argparse.ArgumentTypeError(f"must be a number above 0 and below 0.5, got {text!r}")
    return number


def _add_statistics(parser: argparse.ArgumentParser, metric: str) -> None:
    """Add what decides how it is compared."""
    add = parser.add_argument_group("statistics").add_argument
    add("--metric", metavar="NAME", help=f"the score (default: {metric})")
    add("--goal", choices=["maximize", "minimize"], help="which is better (default: minimize for losses and errors)")
    add("--rope", type=margin, default=0.005, metavar="M", help="closer than ±M counts as equal (default: 0.005)")
    add("--alpha", type=_share, default=0.05, metavar="A", help="level of all pairs together (default: 0.05)")
    add("--paired", action="store_true", help="pair by seed: only where a seed means the same to both")


def parse_compare(argv: Sequence[str] | None, *, output_dir: Path | None) -> ComparisonCommand:
    """Return what `compare_models.py` is asked for; argparse exits with code 2 on a wrong option."""
    parser = make_parser("compare_models.py", SUMMARIES["compare"], COMPARE_EPILOG)
    add_compare(parser, output_dir)
    return comparison_command(parser, parser.parse_args(argv))


def add_compare(parser: Parser, output_dir: Path | None) -> None:
    """Add which models are compared, and how."""
    add = parser.add_argument
    add(
        "--models", nargs="+", default=[], metavar="NAME|FILE", help="configurations: names in config/models/, or files"
    )
    add(
        "--seeds",
        nargs="+",
        type=natural,
        default=[],
        metavar="S",
        help="train each model with each of them (default: 42 123 456)",
    )
    add("--analyze-only", nargs="*", metavar="PATTERN", help="train nothing, compare these folders or tables")
    _add_statistics(parser, "eval/rouge_combined_f1, of images eval/macro_f1")
    add("--evaluation", choices=["best", "last"], default="best", help="which evaluation of a run counts")
    _add_training(parser)
    add_places(parser, output_dir)
    add("--json", action="store_true", help="JSON on stdout, the comparison as its last line")


def comparison_command(parser: Parser, given: argparse.Namespace) -> ComparisonCommand:
    """Return what is asked for; argparse exits with code 2 on options that do not go together."""
    if given.analyze_only is None and not given.models:
        parser.error("--models names what is trained; --analyze-only compares results that are there")
    if len(set(given.seeds)) < len(given.seeds):
        parser.error(f"--seeds: each must be given once, got {' '.join(map(str, given.seeds))}")
    comparison = ComparisonOptions(
        models=tuple(given.models),
        seeds=tuple(given.seeds),
        statistics=_statistics(given),
        preset=given.preset,
        assignments=tuple(given.set),
        train_data=given.train_data,
        val_data=given.val_data,
        name=given.name,
    )
    return ComparisonCommand(
        comparison=comparison,
        run=run_options(given),
        slots=slot_options(given),
        analyze_only=None if given.analyze_only is None else tuple(given.analyze_only),
    )


def _statistics(given: argparse.Namespace) -> StatisticsOptions:
    return StatisticsOptions(
        metric=given.metric,
        goal=given.goal,
        rope=given.rope,
        alpha=given.alpha,
        paired=given.paired,
        evaluation=given.evaluation,
    )


def _add_training(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("training").add_argument
    add("--preset", metavar="NAME", help="lay quick, balanced, best or a file of yours over every configuration")
    add("--set", metavar="NAME=VALUE", action="append", default=[], help="set one field of all of them; repeatable")
    add("--train-data", metavar="FILE", help="in place of data.train_file")
    add("--val-data", metavar="FILE", help="in place of data.val_file")
    add_slots(add, gpus_by_default="1")
    add("--name", metavar="NAME", help="of the comparison (default: compare-<models>)")
    add("--fresh", action="store_true", help="train all of it anew under a new name; what there is stays")
    add("--retry-failed", action="store_true", help="run the failed runs again, too")
    add("--cold", action="store_true", help="start every run in a fresh process")
    add("--dry-run", action="store_true", help="show what would be run, write nothing")
    add("-v", "--verbose", action="store_true", help="show each run's log file as it starts")
    add_end(parser)


def parse_ttest(argv: Sequence[str] | None, *, output_dir: Path | None) -> TTestOptions:
    """Return what `seed_ttest.py` is asked for; argparse exits with code 2 on a wrong option."""
    parser = make_parser("seed_ttest.py", SUMMARIES["ttest"], TTEST_EPILOG)
    add_ttest(parser, output_dir)
    return ttest_options(parser, parser.parse_args(argv))


def add_ttest(parser: Parser, output_dir: Path | None) -> None:
    """Add which groups are tested, and how."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--sweep",
        metavar="NAME|wandb:PATH|optuna:URL#STUDY",
        help="runs of a recorded sweep, of one at W&B (wandb:ENTITY/PROJECT/ID), or trials of an Optuna study",
    )
    what.add_argument("--results", nargs="+", metavar="PATTERN", help="folders with training_results.json")
    what.add_argument("--csv", type=Path, metavar="FILE", help="a table of runs: .csv .tsv .xlsx .parquet .jsonl")
    add = parser.add_argument
    add("--by", metavar="NAME", help="the parameter or column whose values are the groups (results: the model)")
    add("--seed-column", metavar="NAME", help="csv: the column that tells the repetitions apart (default: seed)")
    add("--evaluation", choices=["best", "last"], default="best", help="results: which evaluation of a run counts")
    _add_statistics(parser, "the sweep's own, of results rouge_combined_f1")
    add("--save", type=Path, metavar="FILE", help="also write FILE.json, FILE.md and FILE.tex")
    add_places(parser, output_dir)
    add("--json", action="store_true", help="JSON on stdout, the comparison as its last line")


def ttest_options(parser: Parser, given: argparse.Namespace) -> TTestOptions:
    """Return what is asked for; argparse exits with code 2 on options that do not go together."""
    if (given.sweep or given.csv) and not given.by:
        parser.error("--by: names the parameter or column whose values are the groups")
    if given.csv and not given.metric:
        parser.error("--metric: names the column of the scores")
    return TTestOptions(
        statistics=_statistics(given),
        output_dir=given.output_dir,
        storage=given.storage,
        sweep=given.sweep,
        results=tuple(given.results or ()),
        csv=given.csv,
        by=given.by,
        seed_column=given.seed_column,
        save=given.save,
        json=given.json,
    )
