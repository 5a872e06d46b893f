"""The best of a sweep predict together: classes by their mean probability, summaries by what the others agree with."""

import csv
import json

import numpy as np
import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from sweepkit.compare.ensemble import Ensemble, _member, _together
from sweepkit.metrics.consensus import consensus, soft_vote
from sweepkit.training.images.scores import scores


def test_the_text_that_the_others_agree_with_is_chosen():
    outlier, close, other = ["전혀 다른 말"], ["오늘 비가 온다"], ["오늘 비가 많이 온다"]
    assert consensus([outlier, close, other], "unicode") in (close, other)
    assert consensus([close], "unicode") == close


@settings(max_examples=examples(20), deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(["가 나 다", "가 나", "라", ""]), min_size=3, max_size=3), min_size=1, max_size=4)
)
def test_each_choice_is_one_of_the_candidates(candidates):
    chosen = consensus(candidates, "unicode")
    assert all(text in [texts[row] for texts in candidates] for row, text in enumerate(chosen))


def test_a_sure_minority_outvotes_an_unsure_majority():
    assert soft_vote([{"a": 0.51, "b": 0.49}, {"a": 0.51, "b": 0.49}, {"a": 0.0, "b": 1.0}]) == "b"


@pytest.fixture
def members(tmp_path):
    """Result folders of three classifiers that are wrong on different images."""
    folders = []
    for wrong in range(3):
        folder = tmp_path / f"member_{wrong}" / "results"
        folder.mkdir(parents=True)
        with (folder / "predictions.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["image", "label", "predicted", "fold", "p_a", "p_b"])
            for image in range(6):
                label = "ab"[image % 2]
                chance = 0.45 if image % 3 == wrong else 0.9
                a = chance if label == "a" else 1 - chance
                writer.writerow([f"i{image}", label, "a" if a > 0.5 else "b", 1, a, 1 - a])
        folders.append(folder)
    return folders


def test_classes_are_voted_softly_and_scored_against_the_single_best(members):
    metric, single, together, rows = _together(members)
    assert metric == "macro_f1" and rows == 6 and together == 1.0 and max(single) < 1.0


def test_a_class_that_is_only_guessed_counts_as_in_a_training(tmp_path):
    rows = ["image,label,predicted,fold,p_a,p_b,p_c", "1,a,a,1,1,0,0", "2,b,c,1,0,0,1"]
    (tmp_path / "predictions.csv").write_text("\n".join(rows) + "\n")
    _, (single,), together, _ = _together([tmp_path])
    assert single == together == scores(np.array([0, 1]), np.array([0, 2]))["macro_f1"] == pytest.approx(1 / 3)


def test_summaries_are_chosen_by_consensus(tmp_path):
    folders = []
    for texts in (["비가 온다", "눈이 온다"], ["비가 온다", "밥을 먹는다"], ["잠을 잔다", "눈이 온다"]):
        folder = tmp_path / f"member_{len(folders)}" / "results"
        folder.mkdir(parents=True)
        rows = [
            {"prediction": text, "references": [wanted]}
            for text, wanted in zip(texts, ["비가 온다", "눈이 온다"], strict=True)
        ]
        (folder / "examples.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        result = {"config": {"metrics": {"rouge_tokenizer": "unicode", "multi_reference": "mean"}}}
        (folder / "training_results.json").write_text(json.dumps(result), encoding="utf-8")
        folders.append(folder)
    metric, single, together, rows = _together(folders)
    assert (metric, rows) == ("rouge_combined_f1", 2) and together == pytest.approx(1.0) and together >= max(single)


def test_the_sentences_say_on_what_it_was_measured(tmp_path):
    found = Ensemble(
        sweep="s",
        confirmed=False,
        metric="macro_f1",
        members=(0.5, 0.4),
        together=0.6,
        rows=9,
        holdout=False,
        folder=tmp_path,
    )
    assert "+0.1000" in found.sentences()[1] and "search has seen" in found.sentences()[0]


def test_a_training_is_known_by_its_configuration_and_not_by_its_rank():
    one = _member({"lr": 0.1, "seed": 1}, "base")
    assert one == _member({"seed": 1, "lr": 0.1}, "base")
    assert len({one, _member({"lr": 0.2, "seed": 1}, "base"), _member({"lr": 0.1, "seed": 1}, "other")}) == 3
