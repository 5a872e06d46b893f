import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweepkit.metrics.rouge import TOKENIZERS, Rouge, lcs_length, mean_rouge, rouge_pairs

WORDS = st.lists(st.sampled_from("민수 3시에 만난다 #Person1#은 서울역 a b".split()), max_size=12).map(" ".join)
TEXTS = st.one_of(WORDS, st.text(max_size=30))


class _Named:
    """rouge_score takes any object with `.tokenize`."""

    def __init__(self, tokenize):
        self.tokenize = tokenize


@pytest.fixture(scope="module")
def scorers():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nltk's, at import
        from rouge_score.rouge_scorer import RougeScorer
    kinds = ["rouge1", "rouge2", "rougeL"]
    return {name: RougeScorer(kinds, tokenizer=_Named(tokenize)) for name, tokenize in TOKENIZERS.items()}


@settings(max_examples=300, deadline=None)
@given(prediction=TEXTS, reference=TEXTS, tokenizer=st.sampled_from(sorted(TOKENIZERS)))
def test_is_bit_equal_to_rouge_score_given_the_same_tokens(scorers, prediction, reference, tokenizer):
    theirs = scorers[tokenizer].score(reference, prediction)
    ours = rouge_pairs([prediction], [reference], tokenizer)[0]
    assert ours.rouge1_f1 == theirs["rouge1"].fmeasure
    assert ours.rouge2_f1 == theirs["rouge2"].fmeasure
    assert ours.rougeL_f1 == theirs["rougeL"].fmeasure


def _slow_lcs(first, second):
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            table[i + 1][j + 1] = table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


@settings(max_examples=200, deadline=None)
@given(first=st.text("abc", max_size=90), second=st.text("abcd", max_size=90))
def test_bit_parallel_lcs_is_the_lcs(first, second):
    assert lcs_length(first, second) == _slow_lcs(first, second)


def test_sees_hangul_where_rouge_scores_default_does_not():
    same, other = "민수는 서울역에서 만난다.", "지영이 부산으로 떠났다."
    assert rouge_pairs([same], [same])[0].rouge_combined_f1 == 1.0
    assert rouge_pairs([same], [other])[0].rouge_combined_f1 == 0.0
    tagged = rouge_pairs(["#Person1#: 네"], ["#Person1#: 아니요"])[0]
    assert 0 < tagged.rouge1_f1 < 1


def test_known_values():
    score = rouge_pairs(["민수는 3시에 온다"], ["민수는 오후 3시에 온다"])[0]
    assert score.rouge1_f1 == pytest.approx(6 / 7)
    assert score.rouge2_f1 == pytest.approx(2 * (1 / 2) * (1 / 3) / (1 / 2 + 1 / 3))
    assert score.rougeL_f1 == pytest.approx(6 / 7)
    assert score.rouge_combined_f1 == pytest.approx((6 / 7 + 0.4 + 6 / 7) / 3)


def test_an_empty_prediction_counts_and_scores_zero():
    scores = rouge_pairs(["", "온다"], ["온다", "온다"])
    assert mean_rouge(scores).rouge1_f1 == 0.5
    assert set(mean_rouge(scores).as_dict()) == {"rouge1_f1", "rouge2_f1", "rougeL_f1", "rouge_combined_f1"}


def test_the_mean_is_a_mean():
    mean = mean_rouge(
        [Rouge(rouge1_f1=1.0, rouge2_f1=0.5, rougeL_f1=0.0), Rouge(rouge1_f1=0, rouge2_f1=0, rougeL_f1=0)]
    )
    assert (mean.rouge1_f1, mean.rouge2_f1, mean.rougeL_f1) == (0.5, 0.25, 0.0)
    assert math.isclose(mean.rouge_combined_f1, 0.25)


def test_refuses_what_it_cannot_score():
    with pytest.raises(ValueError, match="as many predictions as references, got 1 and 2"):
        rouge_pairs(["a"], ["a", "b"])
    with pytest.raises(ValueError, match="must be one of unicode, whitespace, character, got 'mecab'"):
        rouge_pairs(["a"], ["a"], "mecab")
    with pytest.raises(ValueError, match="not defined"):
        mean_rouge([])
