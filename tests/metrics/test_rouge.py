import math
import random
import warnings

import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshots import words_of

from sweepkit.errors import DataError
from sweepkit.metrics.rouge import (
    Rouge,
    lcs_length,
    listed,
    mean_rouge,
    over_references,
    prepare,
    rouge_pairs,
    rouge_prepared,
    rouge_tokens,
)
from sweepkit.metrics.tokenizers import TOKENIZERS

WORDS = words_of(__file__)

NEED_NOTHING = ("unicode", "whitespace", "character", "rouge_score")
SAID = st.lists(st.sampled_from("민수 3시에 만난다 #Person1#은 서울역 a b".split()), max_size=12).map(" ".join)
TEXTS = st.one_of(SAID, st.text(max_size=30))


class _Named:
    """rouge_score takes any object with `.tokenize`."""

    def __init__(self, tokenize):
        self.tokenize = tokenize


def _scorer(tokenize):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nltk's, at import
        from rouge_score.rouge_scorer import RougeScorer
    return RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=tokenize and _Named(tokenize))


@pytest.fixture(scope="module")
def scorers():
    return {name: _scorer(TOKENIZERS[name]) for name in NEED_NOTHING}


def _of(theirs):
    """Return rouge_score's F1 scores as our record, so that == compares every bit of the three."""
    return Rouge(**{f"{name}_f1": score.fmeasure for name, score in theirs.items()})


def _generated(number, seed):
    """Yield pairs of texts of 0 to 150 words, from few different to many; half of them are copies with edits."""
    chance = random.Random(seed)
    for _ in range(number):
        vocabulary = [f"{chance.choice('가나다abc')}{index}" for index in range(chance.choice((1, 2, 5, 20, 300)))]
        longest = chance.choice((0, 3, 12, 12, 40, 40, 150))
        reference = chance.choices(vocabulary, k=chance.randint(0, longest))
        if chance.random() < 0.5:
            prediction = [word if chance.random() < 0.8 else chance.choice(vocabulary) for word in reference]
            if chance.random() < 0.5:
                chance.shuffle(prediction)
            prediction = prediction[: chance.choice((len(prediction), len(prediction) // 2))]
        else:
            prediction = chance.choices(vocabulary, k=chance.randint(0, longest))
        yield " ".join(prediction), " ".join(reference)


def test_is_bit_equal_to_rouge_score_on_thousands_of_generated_pairs(scorers):
    pairs = list(_generated(examples(6000), seed=20))
    wrong = [
        pair
        for pair, ours in zip(pairs, rouge_pairs(*zip(*pairs, strict=True), "whitespace"), strict=True)
        if ours != _of(scorers["whitespace"].score(pair[1], pair[0]))
    ]
    assert wrong == []
    scores = {ours.rouge2_f1 for ours in rouge_pairs(*zip(*pairs, strict=True), "whitespace")}
    assert len(scores) > 300 and {0.0, 1.0} < scores, "pairs that all score alike would prove nothing"


def test_is_bit_equal_to_rouge_score_as_it_comes_on_english():
    english = [
        text.replace("가", "x").replace("나", "Y").replace("다", "z-") for pair in _generated(300, 21) for text in pair
    ]
    pairs = list(zip(english[::2], english[1::2], strict=True))
    theirs = _scorer(None)
    wrong = [
        pair
        for pair, ours in zip(pairs, rouge_pairs(*zip(*pairs, strict=True), "rouge_score"), strict=True)
        if ours != _of(theirs.score(pair[1], pair[0]))
    ]
    assert wrong == []


@settings(max_examples=examples(200), deadline=None)
@given(prediction=TEXTS, reference=TEXTS, tokenizer=st.sampled_from(NEED_NOTHING[:3]))
def test_is_bit_equal_to_rouge_score_given_the_same_tokens(scorers, prediction, reference, tokenizer):
    assert rouge_pairs([prediction], [reference], tokenizer) == [_of(scorers[tokenizer].score(reference, prediction))]


@settings(max_examples=examples(150), deadline=None)
@given(prediction=SAID, references=st.lists(SAID, min_size=1, max_size=4))
def test_the_best_of_several_references_is_that_of_rouge_score(scorers, prediction, references):
    best = rouge_pairs([prediction], [references], "whitespace", "max")
    assert best == [_of(scorers["whitespace"].score_multi(references, prediction))]


# -- what the numbers obey --------------------------------------------------------------------------------------------


def _bounded(score):
    return all(0.0 <= value <= 1.0 for value in score.as_dict().values())


@settings(max_examples=examples(200), deadline=None)
@given(first=st.lists(st.text(min_size=1, max_size=2), max_size=12), second=st.lists(st.text(max_size=2), max_size=12))
def test_scores_are_bounded_and_do_not_ask_which_is_the_reference(first, second):
    there, back = rouge_tokens(first, second), rouge_tokens(second, first)
    assert _bounded(there)
    assert there.as_dict() == pytest.approx(back.as_dict(), abs=1e-15)


@settings(max_examples=examples(200), deadline=None)
@given(text=st.text(max_size=40), tokenizer=st.sampled_from(NEED_NOTHING[:3]))
def test_a_text_of_two_tokens_in_any_script_scores_one_against_itself(text, tokenizer):
    (score,) = rouge_pairs([text], [text], tokenizer)
    tokens = len(TOKENIZERS[tokenizer](text))
    assert (score.rouge1_f1, score.rougeL_f1) == (float(tokens > 0),) * 2
    assert score.rouge2_f1 == float(tokens > 1)


@settings(max_examples=examples(150), deadline=None)
@given(tokens=st.lists(st.sampled_from("abcdef"), max_size=15), data=st.data())
def test_order_is_nothing_to_rouge_1_and_at_best_kept_for_rouge_l(tokens, data):
    shuffled = data.draw(st.permutations(tokens))
    score = rouge_tokens(shuffled, tokens)
    assert score.rouge1_f1 == float(bool(tokens))
    assert score.rougeL_f1 <= score.rouge1_f1


@settings(max_examples=examples(150), deadline=None)
@given(
    prediction=st.lists(st.sampled_from("abcd"), max_size=12), reference=st.lists(st.sampled_from("abcd"), min_size=1)
)
def test_a_word_that_the_reference_has_not_lowers_every_score(prediction, reference):
    before, after = rouge_tokens(prediction, reference), rouge_tokens([*prediction, "무"], reference)
    for name, value in before.as_dict().items():
        assert after.as_dict()[name] < value or value == after.as_dict()[name] == 0


@settings(max_examples=examples(150), deadline=None)
@given(reference=st.lists(st.sampled_from("abcd"), min_size=1, max_size=12), data=st.data())
def test_a_longer_beginning_of_the_reference_never_scores_less(reference, data):
    shorter = data.draw(st.integers(0, len(reference) - 1))
    less, more = rouge_tokens(reference[:shorter], reference), rouge_tokens(reference[: shorter + 1], reference)
    assert less.rouge1_f1 < more.rouge1_f1 and less.rougeL_f1 < more.rougeL_f1 and less.rouge2_f1 <= more.rouge2_f1


@settings(max_examples=examples(100), deadline=None)
@given(pairs=st.lists(st.tuples(SAID, SAID), min_size=1, max_size=8), data=st.data())
def test_the_order_of_the_examples_moves_no_score_of_one(pairs, data):
    order = data.draw(st.permutations(range(len(pairs))))
    scores = rouge_pairs([p for p, _ in pairs], [r for _, r in pairs])
    moved = rouge_pairs([pairs[place][0] for place in order], [pairs[place][1] for place in order])
    assert moved == [scores[place] for place in order]


@settings(max_examples=examples(100), deadline=None)
@given(predictions=st.lists(SAID, max_size=5), reference=SAID)
def test_a_counted_reference_is_not_used_up(predictions, reference):
    counted = prepare(reference.split())
    for prediction in predictions * 2:
        assert rouge_prepared(prediction.split(), counted) == rouge_tokens(prediction.split(), reference.split())


# -- several references -----------------------------------------------------------------------------------------------


@settings(max_examples=examples(100), deadline=None)
@given(prediction=SAID, references=st.lists(SAID, min_size=1, max_size=4), data=st.data())
def test_mean_and_best_of_several_references(prediction, references, data):
    alone = rouge_pairs([prediction] * len(references), references)
    (mean,) = rouge_pairs([prediction], [references])
    (best,) = rouge_pairs([prediction], [tuple(references)], multi_reference="max")
    assert mean == mean_rouge(alone) == over_references(alone)
    for name, value in best.as_dict().items():
        if name != "rouge_combined_f1":
            assert value == max(score.as_dict()[name] for score in alone)
        assert value >= mean.as_dict()[name] - 1e-15
    moved = data.draw(st.permutations(references))
    assert rouge_pairs([prediction], [moved], multi_reference="max") == [best]


@settings(max_examples=examples(50), deadline=None)
@given(prediction=SAID, reference=SAID)
def test_one_reference_is_the_same_bits_alone_or_in_a_list(prediction, reference):
    for how in ("mean", "max"):
        assert rouge_pairs([prediction], [[reference]], "unicode", how) == rouge_pairs([prediction], [reference])


def test_the_best_reference_is_chosen_for_each_score_by_itself():
    (best,) = rouge_pairs(["a b c d"], [["d c b a", "a b x y z"]], multi_reference="max")
    assert best == Rouge(rouge1_f1=1.0, rouge2_f1=pytest.approx(2 / 7), rougeL_f1=pytest.approx(4 / 9))


def test_references_are_listed_and_refused_with_their_place():
    assert listed(["a", ["b", "c"]], "unicode") == (("a",), ("b", "c"))
    with pytest.raises(DataError, match=WORDS["needs-at-least"]):
        rouge_pairs(["a", "b"], ["a", []])
    with pytest.raises(DataError, match=WORDS["the-reference-of"]):
        rouge_pairs(["a", "b"], ["a", ["come", "온다"]], "rouge_score")


# -- the longest common subsequence -----------------------------------------------------------------------------------


def _slow_lcs(first, second):
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            table[i + 1][j + 1] = table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


@settings(max_examples=examples(200), deadline=None)
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


@pytest.mark.slow
def test_the_documented_traps_of_korean(scorers):
    same, nonsense = "민수는 서울역에서 지영이를 만난다.", ("#Person1#: 네, 좋아요.", "#Person1#: 비가 온다고 했다.")
    theirs = _scorer(None)
    assert theirs.score(same, same)["rouge1"].fmeasure == 0.0
    assert theirs.score(*nonsense)["rouge1"].fmeasure == theirs.score(*nonsense)["rougeL"].fmeasure == 1.0
    for name in TOKENIZERS:
        if name == "rouge_score":
            for pair in ((same, same), nonsense):
                with pytest.raises(DataError, match="sees no Hangul"):
                    rouge_pairs([pair[0]], [pair[1]], name)
        else:
            assert rouge_pairs([same], [same], name)[0].rouge_combined_f1 == 1.0
            assert rouge_pairs([nonsense[0]], [nonsense[1]], name)[0].rouge1_f1 < 0.7


def test_a_hangul_prediction_of_an_english_reference_is_a_wrong_answer_and_no_error():
    assert rouge_pairs(["온다"], ["he comes"], "rouge_score")[0].rouge_combined_f1 == 0.0


def test_refuses_what_it_cannot_score():
    with pytest.raises(ValueError, match=WORDS["as-many-predictions"]):
        rouge_pairs(["a"], ["a", "b"])
    with pytest.raises(ValueError, match=WORDS["must-be-one"]):
        rouge_pairs(["a"], ["a"], "okt")
    with pytest.raises(ValueError, match=WORDS["reference-must-be"]):
        rouge_pairs(["a"], ["a"], multi_reference="best")
    for how in ("mean", "max"):
        with pytest.raises(ValueError, match="not defined"):
            over_references([], how)
    with pytest.raises(ValueError, match="not defined"):
        mean_rouge([])
