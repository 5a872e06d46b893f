"""The scores of single examples that trainer.py leaves beside its result: `examples.jsonl`, `predictions.csv`."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from sweepkit.analysis.trained import Examples, short_name
from sweepkit.model.numbers import is_finite
from sweepkit.text.csv_text import read_rows

EXAMPLES = "examples.jsonl"
_PREDICTIONS = "predictions.csv"
_OF_CLASSES = ("macro_f1", "accuracy")


def read_examples(file: Path) -> Examples | None:
    """Return the scores of every example in an `examples.jsonl`; None when there is no sound one.

    >>> read_examples(Path("/nowhere/examples.jsonl")) is None
    True
    """
    try:
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError):
        return None
    if len(rows) < 2 or not all(isinstance(row, dict) for row in rows):
        return None
    columns = {
        name: [row[name] for row in rows]
        for name, value in rows[0].items()
        if is_finite(value) and name != "index" and all(is_finite(row.get(name)) for row in rows)
    }
    said = json.dumps([row.get("references") for row in rows], ensure_ascii=False)
    return Examples(key=hashlib.sha256(said.encode("utf-8", "replace")).hexdigest(), columns=columns)


def examples_error(folders: Sequence[Path], metric: str) -> tuple[float, int] | None:
    """Return the standard error of a mean score by the choice of its examples, and how many there are.

    None where it cannot be told: a training has no scores of single examples, or other ones than the rest.

    Args:
        folders: The results of trainings of one configuration, a seed each, at least one.
        metric: The score; with or without "eval/".

    >>> examples_error([Path("/nowhere")], "eval/macro_f1") is None
    True
    """
    return _of_scores(folders, short_name(metric)) or _of_classes(folders, short_name(metric))


def _of_scores(folders: Sequence[Path], name: str) -> tuple[float, int] | None:
    from sweepkit.stats.holdout import mean_error

    found = [item for folder in folders if (item := read_examples(folder / EXAMPLES)) and name in item.columns]
    if len(found) < len(folders) or len({item.key for item in found}) != 1:
        return None
    columns = [item.columns[name] for item in found]
    return mean_error(columns), len(columns[0])


def _of_classes(folders: Sequence[Path], name: str) -> tuple[float, int] | None:
    from sweepkit.stats.holdout import class_error

    tables = [_predictions(folder / _PREDICTIONS) for folder in folders]
    if name not in _OF_CLASSES or not all(len(table) > 1 for table in tables):
        return None
    labels = {image: label for image, (label, _) in tables[0].items()}
    if any({image: label for image, (label, _) in table.items()} != labels for table in tables):
        return None
    predicted = [[table[image][1] for image in labels] for table in tables]
    return class_error(list(labels.values()), predicted, name), len(labels)


def _predictions(file: Path) -> dict[str, tuple[str, str]]:
    """Return label and prediction of each image; {} without a sound file."""
    try:
        return {row["image"]: (row["label"], row["predicted"]) for row in read_rows(file)}
    except (OSError, ValueError, KeyError):
        return {}
