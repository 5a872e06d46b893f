"""Run the phases of a study with `programs/rate.py` in place of trainer.py: `phased.py STUDY OUTPUT_DIR [options]`."""

import sys
from pathlib import Path
from typing import Any

from sweepkit.cli.guard import guarded
from sweepkit.cli.options import parse
from sweepkit.studies.phases import PhasesOutcome, run_phases
from sweepkit.studies.yaml import optuna_sweep
from sweepkit.studies.yaml.optuna_config import read_optuna_config

PROGRAM = Path(__file__).parent / "programs" / "rate.py"


def phased(study: Path, output_dir: Path, *options: str) -> PhasesOutcome:
    """Run or continue the phases; return what came of it."""
    real: Any = optuna_sweep.PROGRAM
    optuna_sweep.PROGRAM = str(PROGRAM)
    try:
        parsed = parse(["--sweep-config", "none", *options], output_dir=output_dir)
        return run_phases(parsed, read_optuna_config(study))
    finally:
        optuna_sweep.PROGRAM = real


@guarded
def main(argv: Any = None) -> int:
    """Run the command line."""
    study, output_dir, *options = sys.argv[1:] if argv is None else argv
    return phased(Path(study), Path(output_dir), *options).code


if __name__ == "__main__":
    raise SystemExit(main())
