"""The command line of the sweep runners. Imports argparse and nothing heavy: `--help` must answer at once."""

import argparse
from collections.abc import Sequence
from pathlib import Path

_EPILOG = """\
examples:
  python sweep_runner.py --sweep-config first_sweep            run it, or continue where it stopped
  python sweep_runner.py --sweep-config first_sweep --dry-run  what would be run
  python sweep_runner.py --sweep-config my.yaml --count 10 --sampler tpe
  python sweep_runner.py --sweep-config my.yaml --storage postgresql://user@host/sweeps

Ctrl-C waits for the running runs, a second one terminates them, a third one kills them. The same command continues.
exit codes: 0 done, 1 the sweep was given up, 2 wrong input, 130 interrupted.
"""


def positive(text: str) -> int:
    """Return a positive whole number of the command line."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return number


def natural(text: str) -> int:
    """Return a whole number of at least 0 of the command line."""
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 0, got {text!r}")
    return number


def parse(argv: Sequence[str] | None, *, output_dir: Path) -> argparse.Namespace:
    """Return the options of `sweep_runner.py`; argparse exits with code 2 on a wrong one."""
    parser = argparse.ArgumentParser(
        prog="sweep_runner.py",
        description="Run a W&B sweep on this machine: no account, no network.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--sweep-config", required=True, metavar="NAME|FILE", help="a sweep YAML, or its name in config/sweep/"
    )
    parser.add_argument(
        "--base-config",
        type=Path,
        metavar="FILE|NAME",
        help="what trainer.py starts from (default: the sweep's `sweepkit.base_config`, else config/base_config.yaml)",
    )
    parser.add_argument("--count", type=positive, metavar="N", help="make at most N runs in this call")
    parser.add_argument(
        "--output-dir",
        type=Path,
        default=output_dir,
        metavar="DIR",
        help="where everything is written (default: outputs/)",
    )
    parser.add_argument(
        "--storage",
        metavar="URL",
        help="the record: a file, sqlite:///FILE or postgresql://… (default: DIR/sweepkit.db)",
    )
    parser.add_argument(
        "--optuna-storage",
        metavar="URL",
        help="mirror the sweep into an Optuna storage, for optuna-dashboard and Optuna's plots",
    )
    parser.add_argument(
        "--sampler", choices=["tpe", "gp", "random"], help="search with this in place of the method's own engine"
    )
    parser.add_argument(
        "--seed", type=natural, metavar="S", help="seed of the search (default: the YAML's, else drawn and recorded)"
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would be run, write nothing")
    parser.add_argument("--fresh", action="store_true", help="start anew under a new name; what there is stays")
    parser.add_argument("--retry-failed", action="store_true", help="run the failed runs again, too")
    parser.add_argument("--cold", action="store_true", help="start every run in a fresh process")
    parser.add_argument("--json", action="store_true", help="one JSON object a line on stdout")
    parser.add_argument("-v", "--verbose", action="store_true", help="show each run's log file as it starts")
    return parser.parse_args(argv)
