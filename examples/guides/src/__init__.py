"""The guides' package: their names for what sweepkit has. In a checkout sweepkit need not be installed."""

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("sweepkit") is None:
    sys.path.append(str(Path(__file__).resolve().parents[3] / "code"))
