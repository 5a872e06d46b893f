"""Which images a model is trained on and which it is scored on. Pure: rows in, rows out, the same for the same seed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sweepkit.errors import DataError

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Fold:
    """One division of the images: sorted row numbers, none in both."""

    train: Rows
    val: Rows


def sample(labels: Rows, classes: Sequence[str], size: int, seed: int) -> Rows:
    """Return `size` row numbers, sorted, each class in proportion, as nearly as whole numbers allow.

    All rows when there are no more. Each class keeps one row at least when `size` is at least the number of classes.

    Raises:
        DataError: `size` is less than the number of classes.
    """
    if size >= len(labels):
        return np.arange(len(labels))
    if size < len(classes):
        raise DataError(f"data.max_samples: must be at least the {len(classes)} classes, got {size}")
    counts = np.bincount(labels, minlength=len(classes))
    # Largest remainder, after one row for each class.
    share = 1 + (counts - 1) * ((size - len(classes)) / max(1, len(labels) - len(classes)))
    take = np.floor(share + 1e-9).astype(np.int64)
    for one in np.argsort(take - share, kind="stable")[: size - int(take.sum())]:
        take[one] += 1
    random = np.random.default_rng(seed)
    rows = [random.permutation(np.flatnonzero(labels == one))[: take[one]] for one in range(len(classes))]
    return np.sort(np.concatenate(rows))


def split(labels: Rows, classes: Sequence[str], folds: int, val_ratio: float, seed: int) -> list[Fold]:
    """Return the folds: each class is spread evenly over them, and each row is in the validation part of one.

    Args:
        labels: Class of each row, a position in `classes`.
        classes: Their names, for messages.
        folds: 2 and more; or 1, which holds out `val_ratio` of each class, at least one row and not all.
        val_ratio: In (0, 1), used with one fold.
        seed: Equal seeds give equal folds.

    Raises:
        DataError: A class has fewer rows than there are folds (two, with one fold).
    """
    _check_counts(labels, classes, max(2, folds), folds)
    if folds == 1:
        return [_held_out(labels, len(classes), val_ratio, seed)]
    rows = np.arange(len(labels))
    place = _dealt(labels, len(classes), folds, seed)
    return [Fold(rows[place != fold], rows[place == fold]) for fold in range(folds)]


def _dealt(labels: Rows, classes: int, folds: int, seed: int) -> Rows:
    """Return the fold of each row.

    Class after class is shuffled and dealt out like cards, each going on where the last ended: neither the images of a
    class nor all images differ by more than one between folds.
    """
    random = np.random.default_rng(seed)
    order = np.concatenate([random.permutation(np.flatnonzero(labels == one)) for one in range(classes)])
    place = np.empty(len(labels), dtype=np.int64)
    place[order] = np.arange(len(labels)) % folds
    return place


def _check_counts(labels: Rows, classes: Sequence[str], least: int, folds: int) -> None:
    """Refuse classes with too few rows, all of them at once."""
    counts = np.bincount(labels, minlength=len(classes))
    few = [f"{name!r} ({count})" for name, count in zip(classes, counts.tolist(), strict=True) if count < least]
    if few:
        shown = ", ".join(few[:10]) + (f" and {len(few) - 10} more" if len(few) > 10 else "")
        why = f"one for each of {folds} folds" if folds > 1 else "one to train on, one to score"
        what = "add images or remove the class" + (", or lower validation.folds" if folds > 2 else "")
        raise DataError(f"data.source: each class must have {least} images or more, {why}, got {shown}; {what}")


def _held_out(labels: Rows, classes: int, ratio: float, seed: int) -> Fold:
    """Return one division with `ratio` of each class for validation."""
    random = np.random.default_rng(seed)
    held = []
    for one in range(classes):
        rows = random.permutation(np.flatnonzero(labels == one))
        held.append(rows[: min(max(1, round(len(rows) * ratio)), len(rows) - 1)])
    val = np.sort(np.concatenate(held))
    return Fold(np.setdiff1d(np.arange(len(labels)), val), val)
