"""Search by an Optuna YAML: python src/optimization/optuna_tuner.py --config configs/optuna_fast_config.yaml."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])
import src  # noqa: E402, F401 - finds sweepkit in a checkout
from sweepkit.cli.optimize import main  # noqa: E402

if __name__ == "__main__":
    raise SystemExit(main())
