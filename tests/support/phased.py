"""Run the phases of a study with `programs/rate.py` in place of trainer.py: `phased.py STUDY OUTPUT_DIR [options]`."""

import argparse
import sys
from pathlib import Path
from typing import Any

from sweepkit.cli.guard import guarded
from sweepkit.runner.options import RunOptions
from sweepkit.studies.phases import PhasesOutcome, run_phases
from sweepkit.studies.yaml import optuna_sweep
from sweepkit.studies.yaml.optuna_config import read_optuna_config

PROGRAM = Path(__file__).parent / "programs" / "rate.py"


def phased(study: Path, output_dir: Path, *options: str) -> PhasesOutcome:
    """Run or continue the phases; return what came of it."""
    real: Any = optuna_sweep.PROGRAM
    optuna_sweep.PROGRAM = str(PROGRAM)
    try:
        return run_phases(_run_options(output_dir, options), read_optuna_config(study))
    finally:
        optuna_sweep.PROGRAM = real


def _run_options(output_dir: Path, words: Any) -> RunOptions:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int)
    parser.add_argument("--seed", type=int)
    for name in ("--fresh", "--json", "--retry-failed", "--cold"):
        parser.add_argument(name, action="store_true")
    return RunOptions(output_dir=output_dir, **vars(parser.parse_args(words)))


@guarded
def main(argv: Any = None) -> int:
    """Run the command line."""
    study, output_dir, *options = sys.argv[1:] if argv is None else argv
    return phased(Path(study), Path(output_dir), *options).code


if __name__ == "__main__":
    raise SystemExit(main())
