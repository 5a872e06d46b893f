"""Train one configuration: python src/training/train_main.py --config outputs/STUDY/train_optimized_TIME.yaml"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])
import src  # noqa: E402, F401 - finds sweepkit in a checkout
from sweepkit.cli.trainer import main  # noqa: E402

if __name__ == "__main__":
    raise SystemExit(main())
