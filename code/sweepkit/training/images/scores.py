"""Scores of predicted classes. Pure: arrays in, numbers out."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]


def scores(labels: Labels, predicted: Labels) -> dict[str, float]:
    """Return "macro_f1" and "accuracy", both in 0 … 1.

    Macro F1 is the unweighted mean over the classes that occur among labels or predictions, as scikit-learn's
    `f1_score(average="macro", zero_division=0)`; the F1 of one class is 2 · hits / (its labels + its predictions).

    Args:
        labels: The right classes, at least one; whole numbers >= 0.
        predicted: The predicted ones, as many.

    >>> scores(np.array([0, 0, 1]), np.array([0, 1, 1]))["accuracy"]
    0.6666666666666666
    """
    size = int(max(labels.max(), predicted.max())) + 1
    hits = np.bincount(labels[labels == predicted], minlength=size)
    total = np.bincount(labels, minlength=size) + np.bincount(predicted, minlength=size)
    f1 = 2.0 * hits[total > 0] / total[total > 0]
    return {"macro_f1": float(f1.mean()), "accuracy": float((labels == predicted).mean())}


def spread(values: Sequence[float]) -> float:
    """Return the standard deviation of a sample (n - 1), 0.0 for a single value; NaN when one of them is."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0 * values[0]
