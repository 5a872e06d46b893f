"""The result file of one training: `<output_dir>/results/training_results.json`, written in one step."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweepkit.files import write_atomically
from sweepkit.text.json_text import finite


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One evaluation: metrics by their short names ("loss", "rouge1_f1", …) and where in the training it was."""

    step: int
    epoch: float
    metrics: Mapping[str, float]


def best_of(history: Sequence[Evaluation], metric: str) -> Evaluation | None:
    """Return the evaluation with the highest `metric`, else with the lowest loss; the first of equals.

    Evaluations whose value is not finite are passed over; None when no other is left.
    """
    for name, sign in ((metric, 1.0), ("loss", -1.0)):
        finite = [item for item in history if math.isfinite(item.metrics.get(name, math.nan))]
        if finite:
            return max(finite, key=lambda item: sign * item.metrics[name])
    return None


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file: beside first, then in its place in one step, so that nobody ever reads half of it.

    Raises:
        OSError: The folder cannot be made or written.
    """
    write_text(path, json.dumps(finite(content), ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step, its folder too; the bytes are on the disk before the name is.

    Raises:
        OSError: The folder cannot be made or written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text, fsync=True)
