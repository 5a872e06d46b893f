"""`analysis/parameter_importance.py`: what mattered in a sweep, with bars, a verdict and what limits it."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sweepkit.cli.guard import guarded
from sweepkit.cli.options import natural
from sweepkit.cli.parsing import CommandLine, Parser
from sweepkit.cli.source_options import add_source_options, source_options
from sweepkit.errors import DataError
from sweepkit.sources.options import SourceOptions
from sweepkit.text.shown import say

_ESTIMATORS = ("auto", "forest", "anova", "mdi", "gp", "fanova", "ped_anova", "eps_squared")

_EPILOG = """\
examples:
  {call} first_sweep
  {call} first_sweep --estimator gp
  {call} trials.csv --metric value --goal minimize
  {call} wandb:team/summaries/ab12cd34

Writes importance.json, param_importances.html and its .csv into the sweep's folder (--output names another).
exit codes: 0 done, also when nothing can be told apart; 2 wrong input
{more}

estimators:
  auto         the forest where runs can be exchanged (grid, random) and it predicts them, else anova
  forest       random forest, grouped out-of-bag permutation as share of the variance, with bars and verdicts
  anova        Gaussian process, shares over the whole ranges; a verdict that holds for the runs of any engine
  gp           Gaussian process, held-out permutation: for fewer than 60 runs of a smooth continuous space
  mdi          the forest's impurity; credits parameters with many values, whatever they do
  fanova, ped_anova   Optuna's
  eps_squared  rank statistic without a model; what is shown when there are too few runs
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _ImportanceOptions:
    """The command line of parameter_importance.py.

    Args:
        source: Which runs.
        estimator: One of ESTIMATORS.
        seed: Of the computation, >= 0.
        output: Where the files go; None for the sweep's folder.
        json: Answer with the result as JSON.
    """

    source: SourceOptions
    estimator: str
    seed: int
    output: Path | None
    json: bool


def _add(parser: Parser, output_dir: Path | None) -> None:
    add_source_options(parser, output_dir=output_dir)
    how = parser.add_argument_group("how")
    how.add_argument("--estimator", choices=_ESTIMATORS, default="auto", help="default: auto")
    how.add_argument("--seed", type=natural, default=0, metavar="N", help="of the computation (default: 0)")
    how.add_argument("--output", type=Path, metavar="DIR", help="where the files go (default: the sweep's folder)")
    how.add_argument("--json", action="store_true", help="the result as JSON on stdout")


def _options(given: argparse.Namespace) -> _ImportanceOptions:
    return _ImportanceOptions(
        source=source_options(given),
        estimator=given.estimator,
        seed=given.seed,
        output=given.output,
        json=given.json,
    )


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    return COMMAND.run(argv, "analysis/parameter_importance.py")


def _show(_: Parser, given: argparse.Namespace) -> int:
    options = _options(given)
    from sweepkit.sources.table_sources import load

    source = load(options.source, ask_goal=False)  # what matters is the same either way
    source.print_notes(json=options.json)
    if not source.table.metrics:
        raise DataError(
            f"{source.table.name}: must have a metric to explain, got none; name one under metric: in its YAML"
        )
    from sweepkit.analysis.importance import importances
    from sweepkit.files import write_atomically
    from sweepkit.reports.figures.importances import NAME, param_importances
    from sweepkit.reports.figures.page import write_figure
    from sweepkit.reports.files import relative
    from sweepkit.reports.importance_text import importance_text
    from sweepkit.text.json_text import json_text

    result = importances(source.table, estimator=options.estimator, seed=options.seed)
    folder = options.output or source.folder
    folder.mkdir(parents=True, exist_ok=True)
    plain = asdict(result)
    write_atomically(folder / "importance.json", json_text(plain, indent=2) + "\n")
    page = write_figure(folder / f"{NAME}.html", [param_importances(result)], title=source.table.name)
    if options.json:
        say(json_text(plain))
        return 0
    say(importance_text(result))
    say(f"files: {relative(page)}, importance.json and {NAME}.csv beside it")
    return 0


COMMAND = CommandLine(
    name="importance",
    add=_add,
    act=_show,
    epilog=_EPILOG,
    common=("--output-dir", "--storage", "--metric", "--goal", "--parameters", "--estimator", "--output", "--json"),
)
