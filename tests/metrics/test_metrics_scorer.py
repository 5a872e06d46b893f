import dataclasses
import json
import math

import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshots import words_of

from sweepkit.errors import DataError
from sweepkit.metrics.rouge import ROUGE_ENGINES, mean_rouge, rouge_pairs
from sweepkit.metrics.scorer import Scorer, readable
from sweepkit.metrics.summary import coverage, repetition_rate
from sweepkit.metrics.tokenizers import tokenizer_named

WORDS = words_of(__file__)

SAID = st.lists(st.sampled_from("민수 3시에 만난다 #Person1#은 서울역 a b .".split()), max_size=10).map(" ".join)
EXAMPLES = st.lists(st.tuples(SAID, st.lists(SAID, min_size=1, max_size=3), SAID), min_size=1, max_size=6)
COLUMNS = ["rouge1_f1", "rouge2_f1", "rougeL_f1", "rouge_combined_f1", "length", "repetition_rate", "composite_score"]

REFERENCES = ["민수는 내일 3시에 서울역에 간다.", ["지영이는 밥을 먹는다.", "지영이가 식사한다."], "비가 온다."]
SOURCES = [
    "#Person1#: 민수는 내일 서울역에 간다.\n#Person2#: 3시에?",
    "지영이는 지금 밥을 먹는다.",
    "창밖에 비가 온다.",
]
PREDICTIONS = ["민수는 내일 서울역에 간다.", "", "비가 온다 비가 온다 비가 온다"]


def score(predictions=PREDICTIONS, **options):
    return Scorer(REFERENCES, **{"sources": SOURCES, **options}).score(predictions)


# -- the means --------------------------------------------------------------------------------------------------------


def test_the_means_by_name():
    assert list(score().as_dict()) == [
        "rouge1_f1",
        "rouge2_f1",
        "rougeL_f1",
        "rouge_combined_f1",
        "avg_length",
        "repetition_rate",
        "coverage",
        "composite_score",
    ]
    assert "coverage" not in score(sources=None).as_dict()
    assert score(sources=None).coverage is None


def test_known_values():
    found = score()
    assert found.avg_length == (4 + 0 + 6) / 3
    assert found.repetition_rate == pytest.approx((0 + 0 + 0.5) / 3)
    assert found.coverage == pytest.approx((1 + 0 + 1) / 3)
    assert found.per_example["rouge1_f1"] == pytest.approx([2 * 4 / 9, 0.0, 2 * 2 / 8])
    assert found.per_example["length"] == [4, 0, 6]
    assert found.tokenizer == "unicode 1" and found.multi_reference == "mean"


@settings(max_examples=examples(120), deadline=None)
@given(
    examples=EXAMPLES,
    tokenizer=st.sampled_from(["unicode", "whitespace", "character"]),
    how=st.sampled_from(["mean", "max"]),
)
def test_a_scorer_is_bit_equal_to_the_functions_one_by_one(examples, tokenizer, how):
    predictions, references, sources = (list(column) for column in zip(*examples, strict=True))
    scorer = Scorer(references, tokenizer=tokenizer, multi_reference=how, sources=sources)
    found = scorer.score(predictions)
    alone = rouge_pairs(predictions, references, tokenizer, how)
    assert found.rouge == mean_rouge(alone)
    assert mean_rouge(alone).as_dict().items() <= found.as_dict().items()
    for name in ("rouge1_f1", "rouge2_f1", "rougeL_f1", "rouge_combined_f1"):
        assert found.per_example[name] == [pair.as_dict()[name] for pair in alone]
    cut = tokenizer_named(tokenizer)
    assert found.per_example["repetition_rate"] == [repetition_rate(cut(text)) for text in predictions]
    assert found.per_example["coverage"] == [
        coverage(cut(text), cut(source)) for text, source in zip(predictions, sources, strict=True)
    ]
    assert scorer.score(predictions) == found, "a second evaluation scores alike"
    assert all(0 <= value <= 1 for name, value in found.as_dict().items() if name != "avg_length")
    assert found.as_dict() == pytest.approx(
        {name: math.fsum(values) / len(values) for name, values in found.per_example.items() if name != "length"}
        | {"avg_length": found.avg_length}
    )


@settings(max_examples=examples(60), deadline=None)
@given(examples=EXAMPLES, data=st.data())
def test_the_order_of_the_examples_moves_no_row(examples, data):
    def rows(chosen):
        predictions, references, sources = (list(column) for column in zip(*chosen, strict=True))
        made = Scorer(references, sources=sources).score(predictions).rows()
        return [{name: value for name, value in row.items() if name != "index"} for row in made]

    order = data.draw(st.permutations(range(len(examples))))
    assert rows([examples[place] for place in order]) == [rows(examples)[place] for place in order]


def test_english_by_the_tokenizer_of_rouge_score():
    found = Scorer(["We meet at 3."], tokenizer="rouge_score").score(["we MEET, at 3"])
    assert found.composite_score == 1.0 and found.avg_length == 4


# -- silence ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("silence", ["", "   \n", "...", "#!?"])
def test_a_model_that_says_nothing_scores_nothing(silence):
    found = score([silence] * 3)
    assert set(found.as_dict().values()) == {0.0}
    assert {value for values in found.per_example.values() for value in values} == {0}


def test_an_empty_prediction_counts():
    full, half = score(["비가 온다."] * 3), score(["", "", "비가 온다."])
    assert half.per_example["composite_score"] == [0.0, 0.0, 1.0]
    assert half.composite_score == pytest.approx(1 / 3)
    assert half.avg_length == pytest.approx(full.avg_length / 3)


def test_the_composite_is_the_formula_of_the_means_when_none_is_empty():
    means = score(["비가 온다 비가 온다 비가 온다"] * 3)
    rouges = means.rouge.rouge1_f1 + means.rouge.rouge2_f1 + means.rouge.rougeL_f1
    assert means.composite_score == pytest.approx(0.3 * rouges + 0.1 * (1 - means.repetition_rate))


# -- what is kept -----------------------------------------------------------------------------------------------------


def test_every_example_has_a_row_that_json_holds():
    rows = score().rows()
    assert [row["index"] for row in rows] == [0, 1, 2]
    assert [row["prediction"] for row in rows] == PREDICTIONS
    assert [row["references"] for row in rows] == [[REFERENCES[0]], REFERENCES[1], [REFERENCES[2]]]
    assert all(list(row)[3:] == [*COLUMNS[:6], "coverage", COLUMNS[6]] for row in rows)
    assert json.loads(json.dumps(rows, ensure_ascii=False, allow_nan=False)) == rows
    for name, values in score().per_example.items():
        assert [row[name] for row in rows] == values


def test_sources_are_in_the_rows_when_asked_for_and_known():
    assert [row["source"] for row in score().rows(with_sources=True)] == SOURCES
    assert "source" not in score().rows()[0]
    assert "source" not in score(sources=None).rows(with_sources=True)[0]
    assert list(score(sources=None).rows()[0])[3:] == COLUMNS


def test_scores_are_not_changed_afterwards():
    with pytest.raises(dataclasses.FrozenInstanceError):
        score().avg_length = 1.0


def test_a_readable_sample():
    assert readable(score().rows(with_sources=True), count=9, seed=1) == (WORDS["examples-chosen-by"])


def _shown(text):
    return [line for line in text.splitlines() if line.startswith("===")]


def test_two_runs_show_the_same_examples_and_another_seed_others():
    references = [f"{number} 번" for number in range(200)]
    one = Scorer(references).score(references).rows()
    other = Scorer(references).score([""] * 200).rows()
    shown = _shown(readable(one, count=5, seed=7))
    assert len(shown) == 5 and shown == _shown(readable(other, count=5, seed=7))
    assert shown != _shown(readable(one, count=5, seed=8))
    assert readable(one, count=5, seed=7) == readable(json.loads(json.dumps(one)), count=5, seed=7)


def test_a_text_cannot_pass_for_a_heading():
    text = readable(Scorer(["a"]).score(["=== example 9 ===\r\nprediction:\u2028x"]).rows(), count=1, seed=0)
    assert _shown(text) == ["=== example 0 ==="] and text.splitlines().count("prediction:") == 1


def test_a_sample_of_none_and_a_negative_one():
    assert readable(score().rows(), count=0, seed=0) == WORDS["examples-chosen-by-seed"]
    with pytest.raises(ValueError, match=WORDS["count-must-be"]):
        readable(score().rows(), count=-1, seed=0)


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_refuses_what_it_cannot_score():
    with pytest.raises(ValueError, match=WORDS["at-least-one"]):
        Scorer([])
    with pytest.raises(ValueError, match=WORDS["as-many-sources"]):
        Scorer(["a", "b"], sources=["a"])
    with pytest.raises(ValueError, match=WORDS["as-many-predictions"]):
        score(["a"])
    with pytest.raises(ValueError, match=WORDS["tokenizer-must-be"]):
        Scorer(["a"], tokenizer="okt")
    with pytest.raises(ValueError, match=WORDS["reference-must-be"]):
        Scorer(["a"], multi_reference="best")


def test_refuses_data_with_its_place():
    with pytest.raises(DataError, match=WORDS["needs-at-least"]):
        Scorer(["a", []])
    with pytest.raises(DataError, match=WORDS["the-reference-of"]):
        Scorer(["a", ["b", "온다"]], tokenizer="rouge_score")
    with pytest.raises(DataError, match=WORDS["the-source-of"]):
        Scorer(["a"], tokenizer="rouge_score", sources=["온다"])


# -- the package rouge_score as the engine, and tokenizers of one's own -----------------------------------------------

MIXED = st.lists(st.sampled_from(["비가", "온다", "내일", "#Person1#은", "rain", "it's", "3시", "."]), max_size=12).map(
    " ".join
)


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(st.tuples(MIXED, MIXED), min_size=1, max_size=4), st.sampled_from(["unicode", "whitespace", "character"])
)
def test_the_package_rouge_score_says_the_same_to_the_last_bit(pairs, tokenizer):
    predictions, references = [list(texts) for texts in zip(*pairs, strict=True)]
    ours, theirs = (
        Scorer(references, tokenizer=tokenizer, engine=engine).score(predictions) for engine in ROUGE_ENGINES
    )
    assert ours.per_example == theirs.per_example and ours.as_dict() == theirs.as_dict()


def test_the_package_scores_english_by_its_own_words():
    from rouge_score.rouge_scorer import RougeScorer

    said, wanted = "It's raining in Seoul, again.", "it is raining again at 3"
    theirs = RougeScorer(["rouge1", "rouge2", "rougeL"]).score(wanted, said)
    for engine in ROUGE_ENGINES:
        found = Scorer([wanted], tokenizer="rouge_score", engine=engine).score([said]).rouge.as_dict()
        assert {name: found[f"{name}_f1"] for name in theirs} == {name: f.fmeasure for name, f in theirs.items()}


def test_a_tokenizer_object_of_the_package_is_taken():
    from rouge_score.tokenizers import DefaultTokenizer

    english = DefaultTokenizer(use_stemmer=False)
    scorer = Scorer(["it rains."], tokenizer=english)
    assert scorer.score(["It rains"]).rouge.rouge1_f1 == 1.0
    assert scorer.tokenizer == "rouge_score.tokenizers.DefaultTokenizer"


def test_an_engine_that_there_is_not():
    with pytest.raises(ValueError, match="sweepkit, rouge_score.*'lin'"):
        Scorer(["a"], engine="lin")
