import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshots import words_of

from sweepkit.metrics.rouge import Rouge, rouge_tokens
from sweepkit.metrics.summary import composite_score, coverage, repetition_rate

WORDS = words_of(__file__)

TOKENS = st.lists(st.sampled_from("가나다라ab"), max_size=20)
PERFECT = Rouge(rouge1_f1=1.0, rouge2_f1=1.0, rougeL_f1=1.0)
NOTHING = Rouge(rouge1_f1=0.0, rouge2_f1=0.0, rougeL_f1=0.0)


# -- repetition -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("", 0.0),
        ("네", 0.0),
        ("네 네", 0.0),
        ("네 네 네", 0.0),
        ("네 네 네 네", 0.5),
        ("네 네 네 네 네", 1 - 1 / 3),
        ("민수 는 내일 서울 에 간다", 0.0),
        ("민수 는 온다 민수 는 온다", 0.25),
    ],
)
def test_known_repetition_rates(text, rate):
    assert repetition_rate(text.split()) == rate


@settings(max_examples=examples(200), deadline=None)
@given(tokens=TOKENS, n=st.integers(1, 5))
def test_repetition_is_the_part_of_ngrams_seen_before(tokens, n):
    grams = [tuple(tokens[start : start + n]) for start in range(len(tokens) - n + 1)]
    seen = sum(gram in grams[:place] for place, gram in enumerate(grams))
    assert repetition_rate(tokens, n) == pytest.approx(seen / max(len(grams), 1))
    assert 0.0 <= repetition_rate(tokens, n) < 1.0


@settings(max_examples=examples(100), deadline=None)
@given(tokens=st.lists(st.sampled_from("abcd"), min_size=3, max_size=12))
def test_a_text_said_twice_repeats_itself(tokens):
    assert repetition_rate(tokens * 2) > repetition_rate(list(range(len(tokens)))) == 0.0
    assert repetition_rate(tokens * 9) > repetition_rate(tokens * 2)


def test_ngrams_have_a_length():
    with pytest.raises(ValueError, match=WORDS["n-must-be"]):
        repetition_rate(["a"], 0)


# -- coverage ---------------------------------------------------------------------------------------------------------


def _fragments(summary, article):
    """Newsroom, figure 3, as it is printed."""
    found, i = [], 0
    while i < len(summary):
        longest, j = [], 0
        while j < len(article):
            if summary[i] == article[j]:
                start, stop = i, j
                while start < len(summary) and stop < len(article) and summary[start] == article[stop]:
                    start, stop = start + 1, stop + 1
                if len(longest) < start - i:
                    longest = summary[i:start]
                j = stop
            else:
                j += 1
        i += max(len(longest), 1)
        found.append(longest)
    return found


@settings(max_examples=examples(300), deadline=None)
@given(summary=TOKENS, article=TOKENS)
def test_coverage_is_that_of_the_extractive_fragments(summary, article):
    expected = sum(len(fragment) for fragment in _fragments(summary, article)) / max(len(summary), 1)
    assert coverage(summary, frozenset(article)) == coverage(summary, article) == expected


def test_known_coverages():
    article = "민수 는 내일 서울 에 간다".split()
    assert coverage(article[2:4], article) == 1.0
    assert coverage(["민수", "는", "부산", "에"], article) == 0.75
    assert coverage(["지영"], article) == coverage([], article) == coverage(["민수"], []) == 0.0


# -- one figure -------------------------------------------------------------------------------------------------------


def test_known_composites():
    assert composite_score(PERFECT, 0.0, empty=False) == 1.0
    assert composite_score(PERFECT, 1.0, empty=False) == pytest.approx(0.9)
    assert composite_score(NOTHING, 0.0, empty=False) == 0.1
    assert composite_score(NOTHING, 0.0, empty=True) == 0.0
    score = Rouge(rouge1_f1=0.5, rouge2_f1=0.2, rougeL_f1=0.4)
    assert composite_score(score, 0.3, empty=False) == pytest.approx(0.3 * 0.5 + 0.3 * 0.2 + 0.3 * 0.4 + 0.1 * 0.7)


UNIT = st.floats(0, 1)


@settings(max_examples=examples(200), deadline=None)
@given(values=st.tuples(UNIT, UNIT, UNIT), repetition=UNIT)
def test_the_composite_is_its_formula_within_bounds(values, repetition):
    r1, r2, rl = values
    got = composite_score(Rouge(rouge1_f1=r1, rouge2_f1=r2, rougeL_f1=rl), repetition, empty=False)
    assert got == pytest.approx(0.3 * r1 + 0.3 * r2 + 0.3 * rl + 0.1 * (1 - repetition))
    assert 0.0 <= got <= 1.0


@settings(max_examples=examples(100), deadline=None)
@given(reference=st.lists(st.sampled_from("abcdefgh"), min_size=4, max_size=8, unique=True))
def test_to_repeat_oneself_costs(reference):
    once, thrice = reference, reference * 3
    scores = [
        composite_score(rouge_tokens(said, reference), repetition_rate(said), empty=False) for said in (once, thrice)
    ]
    assert scores[0] == 1.0 > scores[1]
