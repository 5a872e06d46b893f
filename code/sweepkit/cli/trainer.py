"""`trainer.py`: train one configuration."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from sweepkit.cli.guard import guarded_training
from sweepkit.cli.parsing import CommandLine, Parser
from sweepkit.errors import SweepKitError


class _TrainerParser(Parser):
    """A parser whose complaints are SweepKitErrors, shown like all others; what it does not know are parameters."""

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Read a command line; words that are no option of ours are the namespace's `words`."""
        given, words = self.parse_known_args(args, namespace)
        given.words = words
        return given

    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        raise SweepKitError(f"{self.prog}: {message}; see --help")


def _add(parser: Parser, _: Path | None) -> None:
    """Add what is not a field of the configuration."""
    parser.allow_abbrev = False  # --learning is a parameter, not --learning-rate of ours
    parser.usage = "%(prog)s [options] [--NAME=VALUE …]"
    parser.add_argument("--config", metavar="FILE", help="a path, or a name in config/ (default: base_config)")
    parser.add_argument(
        "--preset", metavar="NAME", help="lay quick, balanced, best (config/presets/) or a file of yours over it"
    )
    parser.add_argument("--train-data", metavar="FILE", help="in place of data.train_file")
    parser.add_argument("--val-data", metavar="FILE", help="in place of data.val_file")
    parser.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], help="set one field; repeatable")
    parser.add_argument("--seed", metavar="N", help="in place of training.seed and of the environment's SEED")
    parser.add_argument("--output-dir", metavar="DIR", help="default: outputs/<model>_seed<seed>")


@guarded_training
def main(argv: Sequence[str] | None = None) -> int:
    """Run the trainer.

    Args:
        argv: Arguments without the program's name; None for the process's own.

    Returns:
        0 when trained, 2 when something the user can mend stood in the way (its message is on stderr), 130 on Ctrl-C,
        143 when its agent released the run and it is saved.
    """
    return COMMAND.run(argv, "trainer.py")


def _train(_: Parser, given: argparse.Namespace) -> int:
    from sweepkit.training.command import TrainerOptions, parse_parameters, train

    options = TrainerOptions(
        config=given.config,
        preset=given.preset,
        train_data=given.train_data,
        val_data=given.val_data,
        assignments=tuple(given.set),
        seed=given.seed,
        output_dir=given.output_dir,
        parameters=parse_parameters(given.words),
    )
    return train(options, os.environ)


_EPILOG = """\
examples:
  {call}                                        config/base_config.yaml: about 10 s, no download
  {call} --config quick_test
  {call} --train-data mine.csv --val-data mine_dev.csv --output-dir outputs/mine
  {call} --set training.learning_rate=1e-5 --set generation.num_beams=4 --seed 7
  {call} --learning_rate=1e-5 --num_beams=4      as a sweep passes its parameters

Any further --NAME=VALUE sets the field of the configuration that NAME names: bare (learning_rate, num_beams,
encoder_max_len, dropout_rate, …) or dotted (training.learning_rate). An unknown name ends with exit code 2 and writes
nothing. Results: <output dir>/results/training_results.json.

Environment: SEED (unless --seed is given), OMP_NUM_THREADS (threads of the training, 1 by default), and in a sweep
SWEEPKIT_BASE_CONFIG (the default of --config), SWEEPKIT_RUN_DIR (the default of --output-dir), SWEEPKIT_REPORT_FILE.
"""
COMMAND = CommandLine(
    name="train",
    add=_add,
    act=_train,
    epilog=_EPILOG,
    kind=_TrainerParser,
)
