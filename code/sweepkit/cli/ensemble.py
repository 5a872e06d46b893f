"""`analysis/ensemble.py`: the best configurations of a sweep predict together, against the single best."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from sweepkit.cli.guard import guarded
from sweepkit.cli.options import add_places, positive
from sweepkit.cli.parsing import CommandLine, Parser
from sweepkit.text.shown import say

_EPILOG = """\
examples:
  {call} first_sweep
  {call} image_sweep --top 5

Takes the configurations of --confirm where there was one, trains each once more, and lets them choose together: of
summaries the one that the others agree with most by ROUGE (minimum Bayes risk), of classes the highest mean
probability. Scored on sweepkit.holdout of the YAML where it has one. Results: ensemble/ of the sweep's folder.

exit codes: 0 done; 2 wrong input
"""


def _add(parser: Parser, output_dir: Path | None) -> None:
    parser.add_argument("sweep", metavar="NAME", help="a recorded sweep of trainer.py")
    parser.add_argument("--top", type=positive, default=3, metavar="K", help="how many configurations (default: 3)")
    add_places(parser, output_dir)


def _show(_: Parser, given: argparse.Namespace) -> int:
    from sweepkit.compare.ensemble import ensemble
    from sweepkit.reports.files import relative
    from sweepkit.runner.options import RunOptions

    folder = Path(given.output_dir).absolute()
    found = ensemble(RunOptions(output_dir=folder, storage=given.storage), given.sweep, top=max(2, given.top))
    say("\n".join([*found.sentences(), f"files: {relative(found.folder)}/"]))
    return 0


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    return COMMAND.run(argv, "analysis/ensemble.py")


COMMAND = CommandLine(
    summary="The best configurations of a sweep predict together, against the single best.",
    add=_add,
    act=_show,
    epilog=_EPILOG,
)
