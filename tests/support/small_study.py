"""A study that trains for real in a second a trial: the embedded model, a few rows, short texts."""

import csv
from typing import Any

from sweepkit.paths import DATA_DIR

SMALL: dict[str, Any] = {
    "lora": {"enabled": True},
    "tokenizer": {"encoder_max_len": 16, "decoder_max_len": 4},
    "training": {"per_device_eval_batch_size": 8},
}
SPACE: dict[str, Any] = {
    "learning_rate": {"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-2},
    "lora_r": {"values": [2, 4]},
    "num_epochs": {"distribution": "int_uniform", "min": 1, "max": 2},
}
FILE = """\
model: {{name: data/checkpoints/bart-tiny-ko}}
data: {{train_file: {folder}/train.csv, val_file: {folder}/val.csv, allow_small_val: true}}
tokenizer: {{encoder_max_len: 16, decoder_max_len: 4}}
training: {{per_device_eval_batch_size: 8}}
"""


def rows(first: int, last: int) -> list[dict[str, str]]:
    """Return some rows of the embedded corpus."""
    with open(DATA_DIR / "train.csv", encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))[first:last]


def write_small(folder):
    """Write data and a training configuration; return the configuration's file."""
    for name, some in (("train", rows(0, 8)), ("val", rows(8, 12))):
        with open(folder / f"{name}.csv", "w", encoding="utf-8", newline="") as out:
            writer = csv.DictWriter(out, list(some[0]))
            writer.writeheader()
            writer.writerows(some)
    file = folder / "small.yaml"
    file.write_text(FILE.format(folder=folder), encoding="utf-8")
    return file
