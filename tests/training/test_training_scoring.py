"""Generated ids into scores, and the files of the best evaluation."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from snapshots import words_of

from sweepkit.errors import DataError
from sweepkit.metrics.rouge import mean_rouge, rouge_pairs
from sweepkit.training.config.training import TrainingConfig, apply
from sweepkit.training.scoring import Scoring

WORDS = words_of(__file__)

SAID = ["<pad>", "민수는", "3시에", "온다", "ㅋㅋㅋㅋㅋ", "#Person1#은", "“좋다”"]
REFERENCES = [["민수는 3시에 온다", "민수는 온다"], ["#Person1#은 온다"]]
SOURCES = ["#Person1#: 민수는 3시에 온다?", "#Person2#: 온다"]


class Tokenizer:
    """Words for ids; 0 pads."""

    pad_token_id = 0

    def batch_decode(self, ids, *, skip_special_tokens):
        assert skip_special_tokens
        return [" ".join(SAID[number] for number in row if number) for row in ids]


def prediction(*rows):
    width = max(map(len, rows))
    return SimpleNamespace(predictions=np.array([row + [-100] * (width - len(row)) for row in rows]))


@pytest.fixture
def scoring(tmp_path):
    def make(**params):
        return Scoring(apply(TrainingConfig(), params), Tokenizer(), REFERENCES, SOURCES, tmp_path / "results")

    return make


def test_the_scores_are_those_of_the_texts(scoring):
    scored = scoring()(prediction([1, 2, 3], [5]))
    pairs = rouge_pairs(["민수는 3시에 온다", "#Person1#은"], REFERENCES)
    assert {name: scored[name] for name in mean_rouge(pairs).as_dict()} == mean_rouge(pairs).as_dict()
    assert set(scored) - set(mean_rouge(pairs).as_dict()) == {
        "avg_length",
        "repetition_rate",
        "coverage",
        "composite_score",
    }


def test_the_best_of_several_references_when_asked(scoring):
    mean, best = scoring()(prediction([1, 3], [5, 3])), scoring(multi_reference="max")(prediction([1, 3], [5, 3]))
    assert best["rouge1_f1"] == 1.0
    assert mean["rouge1_f1"] < 1.0


def test_the_files_hold_the_best_evaluation(scoring, tmp_path):
    scorer = scoring(prediction_samples=1)
    scorer(prediction([3], []))
    scorer(prediction([1, 2, 3], [5, 3]))
    scorer(prediction([1], [2]))
    assert scorer.best_at == 1
    rows = [json.loads(line) for line in (tmp_path / "results/examples.jsonl").read_text("utf-8").splitlines()]
    assert [row["prediction"] for row in rows] == ["민수는 3시에 온다", "#Person1#은 온다"]
    assert rows[0]["references"] == REFERENCES[0]
    assert rows[1]["rouge1_f1"] == 1.0
    sample = (tmp_path / "results/predictions.txt").read_text("utf-8")
    assert sample.startswith(WORDS["the-mean-of"])
    assert "1 of 2 examples" in sample


def test_predictions_are_cleaned_as_the_data_are(scoring):
    scorer = scoring()
    scorer(prediction([4], [6]))
    assert scorer.best.predictions == ("ㅋㅋ", '"좋다"')
    scorer = scoring(normalize_text=False)
    scorer(prediction([4], [6]))
    assert scorer.best.predictions == ("ㅋㅋㅋㅋㅋ", "“좋다”")


def test_a_tokenizer_that_sees_no_hangul_is_refused_before_any_training(scoring):
    with pytest.raises(DataError, match="rouge_score"):
        scoring(rouge_tokenizer="rouge_score")
