"""`trainer.py`: train one configuration."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from sweepkit.cli.guard import guarded
from sweepkit.errors import SweepKitError


class _TrainerParser(argparse.ArgumentParser):
    """Argparse whose complaints are SweepKitErrors, shown like all others."""

    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        raise SweepKitError(f"trainer.py: {message}; see --help")


def _parser() -> argparse.ArgumentParser:
    """Return the parser of what is not a field of the configuration."""
    main_module = sys.modules.get("__main__")
    parser = _TrainerParser(
        prog="trainer.py",
        description=getattr(main_module, "__doc__", None) or __doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        usage="trainer.py [--config FILE] [--preset NAME] [--train-data FILE] [--val-data FILE] [--set NAME=VALUE …] "
        "[--seed N] [--output-dir DIR] [--NAME=VALUE …]",
    )
    parser.add_argument("--config", metavar="FILE", help="a path, or a name in config/ (default: base_config)")
    parser.add_argument(
        "--preset", metavar="NAME", help="lay quick, balanced, best (config/presets/) or a file of yours over it"
    )
    parser.add_argument("--train-data", metavar="FILE", help="in place of data.train_file")
    parser.add_argument("--val-data", metavar="FILE", help="in place of data.val_file")
    parser.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], help="set one field; repeatable")
    parser.add_argument("--seed", metavar="N", help="in place of training.seed and of the environment's SEED")
    parser.add_argument("--output-dir", metavar="DIR", help="default: outputs/<model>_seed<seed>")
    return parser


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the trainer.

    Args:
        argv: Arguments without the program's name; None for the process's own.

    Returns:
        0 when trained, 2 when something the user can mend stood in the way (its message is on stderr), 130 on Ctrl-C,
        143 when its agent released the run and it is saved.
    """
    given, words = _parser().parse_known_args(argv)
    from sweepkit.training.command import TrainerOptions, parse_parameters, train

    options = TrainerOptions(
        config=given.config,
        preset=given.preset,
        train_data=given.train_data,
        val_data=given.val_data,
        assignments=tuple(given.set),
        seed=given.seed,
        output_dir=given.output_dir,
        parameters=parse_parameters(words),
    )
    return train(options, os.environ)
