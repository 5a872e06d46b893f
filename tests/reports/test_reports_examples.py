"""What the choice of examples makes of a score, read from the files of trainer.py."""

import csv
import json
import math
import random

import numpy as np
import pytest

from sweepkit.reports.examples import examples_error


def scored(folder, values, references="r", metric="rouge_combined_f1"):
    folder.mkdir()
    rows = [{"index": at, "references": [f"{references}{at}"], metric: value} for at, value in enumerate(values)]
    (folder / "examples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def guessed(folder, labels, predicted):
    folder.mkdir()
    with (folder / "predictions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "label", "predicted", "fold", "p_a"))
        writer.writerows((f"{at}.png", *pair, 1, 0.5) for at, pair in enumerate(zip(labels, predicted, strict=True)))
    return folder


def test_a_mean_of_scores_has_the_standard_error_of_what_its_seeds_share(tmp_path):
    rng = np.random.default_rng(1)
    shared, own = rng.normal(size=4000), rng.normal(size=(2, 4000))
    folders = [scored(tmp_path / f"{at}", (shared + 3 * noise).tolist()) for at, noise in enumerate(own)]
    error, count = examples_error(folders, "eval/rouge_combined_f1")
    assert count == 4000 and error == pytest.approx(1 / math.sqrt(4000), rel=0.2)
    one, _ = examples_error(folders[:1], "rouge_combined_f1")  # a single seed does not tell the parts apart
    assert one == pytest.approx(math.sqrt(10 / 4000), rel=0.1)


@pytest.mark.parametrize("metric", ["eval/accuracy", "eval/macro_f1"])
def test_classes_are_drawn_again(tmp_path, metric):
    draw = random.Random(2)
    labels = [draw.choice("ab") for _ in range(400)]
    flipped = [label if draw.random() < 0.8 else "ba"["ab".index(label)] for label in labels]
    error, count = examples_error([guessed(tmp_path / "a", labels, flipped)], metric)
    assert count == 400 and error == pytest.approx(math.sqrt(0.8 * 0.2 / 400), rel=0.15)


def test_without_the_same_examples_in_all_nothing_is_told(tmp_path):
    one, two = scored(tmp_path / "a", [0.1, 0.2, 0.4]), scored(tmp_path / "b", [0.1, 0.2, 0.5], references="s")
    assert examples_error([one], "rouge_combined_f1") and examples_error([one, two], "rouge_combined_f1") is None
    assert examples_error([one, tmp_path], "rouge_combined_f1") is None and examples_error([one], "loss") is None
    three, four = guessed(tmp_path / "c", "aabb", "abbb"), guessed(tmp_path / "d", "aaab", "abbb")
    assert examples_error([three, four], "accuracy") is None and examples_error([three], "loss") is None
