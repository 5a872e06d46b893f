import builtins
import functools
import importlib.metadata
import os
import re
import threading
import unicodedata

import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshots import words_of

from sweepkit.errors import DataError
from sweepkit.metrics import tokenizers
from sweepkit.metrics.rouge import ROUGE_ENGINES
from sweepkit.metrics.scorer import Scorer
from sweepkit.metrics.tokenizers import TOKENIZERS, describe, refuse_hangul, tokenizer_named

WORDS = words_of(__file__)

ANALYSERS = ("kiwi", "mecab")
PLAIN = tuple(name for name in TOKENIZERS if name not in ANALYSERS)
MASKS = ("#Person1#", "#Person2#", "#PhoneNumber#", "#DateOfBirth#", "#Car_Number2#", "#@이름#")
HANGUL = ("가", "ᄀ", "ㅋ", "ꥠ", "힣", "ힰ", "\uffa1", unicodedata.normalize("NFD", "한글"))  # noqa: RUF001
PIECES = ["민수는", "온다.", " ", "#Person1#", "은", "TV", "#", "ㅋㅋ", "😀", "\x00", "\ue000", "\u3000", "3.5%"]
MIXED = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
TEXT = st.text(max_size=40) | MIXED


@pytest.fixture
def fresh(monkeypatch):
    """No analyser is left from another test; those that are made, which takes seconds, are there again afterwards."""
    for name in ("_kiwi", "_mecab"):
        monkeypatch.setattr(tokenizers, name, functools.cache(getattr(tokenizers, name).__wrapped__))


def test_the_names_are_the_documented_ones():
    assert list(TOKENIZERS) == ["unicode", "whitespace", "character", "rouge_score", "kiwi", "mecab"]
    with pytest.raises(ValueError, match=WORDS["must-be-one"]):
        tokenizer_named("okt")


# -- without a package ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("unicode", ["person1", "은", "3시에", "tv를", "본다"]),
        ("whitespace", ["#Person1#은", "3시에", "TV를", "본다."]),
        ("character", list("#Person1#은3시에TV를본다.")),
        ("rouge_score", ["person1", "3", "tv"]),
    ],
)
def test_how_each_plain_tokenizer_cuts(name, tokens):
    assert tokenizer_named(name)("#Person1#은 3시에 TV를 본다.") == tokens


@settings(max_examples=examples(300), deadline=None)
@given(text=st.text(max_size=60))
def test_english_words_are_those_of_rouge_scores_default(text):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nltk's, at import
        from rouge_score.tokenize import tokenize
    assert tokenizer_named("rouge_score")(text) == tokenize(text, None)


# -- the analysers ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_kiwi_restores_morphemes_and_mecab_cuts_the_text():
    text = "#Person1#은 3시에 TV를 본다."
    assert tokenizer_named("kiwi")(text) == ["#Person1#", "은", "3", "시", "에", "tv", "를", "보", "ㄴ다"]
    assert tokenizer_named("mecab")(text) == ["#Person1#", "은", "3", "시", "에", "tv", "를", "본다"]


@pytest.mark.parametrize("name", ANALYSERS)
@pytest.mark.parametrize("mask", MASKS)
def test_a_mask_is_one_token_and_its_particle_another(name, mask):
    tokenize = tokenizer_named(name)
    assert tokenize(mask) == [mask]
    for particle in ("은", "는", "이", "가", "을", "를", "의", "에게", "와", "도"):
        assert tokenize(f"{mask}{particle} 온다")[:2] == [mask, particle]
    assert tokenize(f"{mask}입니다")[0] == mask
    assert tokenize(f"{mask}: 네!") == [mask, "네"]


@pytest.mark.parametrize("name", ANALYSERS)
def test_masks_that_touch_each_other_or_a_symbol_come_back_in_order(name):
    tokenize = tokenizer_named(name)
    assert tokenize("#Person1##Person2#") == ["#Person1#", "#Person2#"]
    assert tokenize("※#Person2#😀#Person1#%") == ["#Person2#", "#Person1#"]
    assert tokenize("김#Person1#씨") == ["김", "#Person1#", "씨"]
    assert tokenize("A#Person1#B") == ["a", "#Person1#", "b"]


@pytest.mark.parametrize("name", ANALYSERS)
def test_marks_that_are_no_masks_make_no_mask(name):
    tokenize = tokenizer_named(name)
    for text in ("# 1 #", "##", "#1#", "#Person 1#", "#Person1"):
        assert not [token for token in tokenize(text) if re.fullmatch("#.*#", token)]


@pytest.mark.parametrize("name", ANALYSERS)
def test_composed_and_decomposed_hangul_are_one_text(name):
    text = "민수는 서울역에서 지영이를 만난다"
    assert tokenizer_named(name)(unicodedata.normalize("NFD", text)) == tokenizer_named(name)(text) != []


@pytest.mark.parametrize("name", ANALYSERS)
def test_what_stands_behind_a_nul_or_a_lone_surrogate_is_not_lost(name):
    for stop in ("\x00", "\ud800", "\ue000", "\u3000", "\u200b"):
        assert tokenizer_named(name)(f"서울{stop} 부산") == ["서울", "부산"]


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=examples(80), deadline=None)
@given(text=TEXT)
def test_any_text_has_tokens_without_white_space_always_the_same(name, text):
    tokenize = tokenizer_named(name)
    tokens = tokenize(text)
    assert all(tokens) and tokenize(text) == tokens
    assert not any(character.isspace() for token in tokens for character in token)


@settings(max_examples=examples(80), deadline=None)
@given(text=MIXED)
def test_no_mask_is_lost_added_or_cut(text):
    wanted = re.findall(r"#[A-Za-z][A-Za-z0-9_]*#", text)
    for name in ANALYSERS:
        assert [token for token in tokenizer_named(name)(text) if re.fullmatch(r"#[A-Za-z]\w*#", token)] == wanted


@pytest.mark.parametrize("name", ANALYSERS)
def test_threads_and_a_fork_may_use_one_analyser(name):
    tokenize, text = tokenizer_named(name), "#Person1#은 서울역에서 지영이를 만난다고 했다."
    wanted = tokenize(text)
    got = []
    threads = [threading.Thread(target=lambda: got.extend(tokenize(text) for _ in range(20))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [wanted] * 60
    child = os.fork()
    if not child:
        os._exit(0 if tokenize(text) == wanted else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_an_analyser_is_made_once():
    assert tokenizers._kiwi() is tokenizers._kiwi()
    assert tokenizers._mecab() is tokenizers._mecab()


@pytest.mark.parametrize(("name", "module"), [("kiwi", "kiwipiepy"), ("mecab", "mecab")])
def test_a_missing_extra_says_what_to_install(name, module, fresh, monkeypatch):
    real = builtins.__import__

    def absent(wanted, *args, **kwargs):
        if wanted == module:
            raise ModuleNotFoundError(f"No module named {wanted!r}", name=wanted)
        return real(wanted, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    package = {"kiwi": "kiwipiepy", "mecab": "python-mecab-ko"}[name]
    with pytest.raises(DataError) as said:
        tokenizer_named(name)("안녕")
    assert str(said.value) == (
        f"metrics.rouge_tokenizer: {name} needs the package {package}, got ModuleNotFoundError: No module named "
        f"'{module}'; pip install \"sweepkit[{name}]\", or take unicode or character, which need nothing"
    )

    def unknown(package):
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "version", unknown)
    with pytest.raises(DataError, match=rf"{name} needs the package {package}, .*pip install \"sweepkit\[{name}\]\""):
        describe(name)


# -- scores by them: here, since an analyser takes seconds to load in each process ------------------------------------


@pytest.mark.parametrize("tokenizer", ["unicode", "whitespace", "character", "kiwi", "mecab"])
def test_the_reference_itself_scores_one_with_every_tokenizer_that_sees_it(tokenizer):
    texts = [
        "#Person1#은 내일 3시에 서울역에 간다.",
        "地下鉄 で 行く つもり です",
        "Мы встретимся завтра",
        "we meet at noon",
    ]
    found = Scorer(texts, tokenizer=tokenizer, sources=texts).score(texts)
    assert found.rouge.rouge_combined_f1 == found.coverage == found.composite_score == 1.0
    assert found.tokenizer == describe(tokenizer)


@pytest.mark.parametrize("tokenizer", ["kiwi", "mecab"])
def test_morphemes_reach_the_package_as_they_are(tokenizer):
    scored = [
        Scorer(["내일 비가 온다."], tokenizer=tokenizer, engine=e).score(["내일은 비가 왔다."]) for e in ROUGE_ENGINES
    ]
    assert scored[0].as_dict() == scored[1].as_dict() and 0 < scored[0].rouge.rouge1_f1 < 1


# -- their versions ---------------------------------------------------------------------------------------------------


def test_each_states_its_name_and_version():
    assert describe("unicode") == "unicode 1"
    assert describe("whitespace") == "whitespace 1"
    assert describe("character") == "character 1"
    assert describe("rouge_score") == "rouge_score 1 (as rouge_score 0.1.2, no stemming)"
    versions = {
        package: importlib.metadata.version(package)
        for package in ("kiwipiepy", "kiwipiepy_model", "python-mecab-ko", "python-mecab-ko-dic")
    }
    assert describe("kiwi") == f"kiwi {versions['kiwipiepy']} (model {versions['kiwipiepy_model']}, masking 1)"
    assert describe("mecab") == (
        f"mecab {versions['python-mecab-ko']} (dictionary {versions['python-mecab-ko-dic']}, masking 1)"
    )
    with pytest.raises(ValueError, match=WORDS["must-be-one-of"]):
        describe("okt")


def test_to_describe_an_analyser_loads_none(fresh):
    describe("kiwi"), describe("mecab")
    assert tokenizers._kiwi.cache_info().currsize == tokenizers._mecab.cache_info().currsize == 0


# -- the blind one ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", HANGUL)
def test_every_form_of_hangul_is_refused_by_the_tokenizer_that_sees_none(text):
    with pytest.raises(DataError, match="sees no Hangul"):
        refuse_hangul("rouge_score", f"Meet {text} at 3", "the reference of example 1")
    for name in TOKENIZERS:
        if name != "rouge_score":
            refuse_hangul(name, text, "x")


@pytest.mark.parametrize("text", ["", "Meet at 3.", "café", "日本語", "#Person1#"])
def test_other_texts_are_not_refused(text):
    refuse_hangul("rouge_score", text, "x")


def test_the_refusal_says_where_why_and_what_to_use():
    with pytest.raises(DataError) as said:
        refuse_hangul("rouge_score", "#Person1#은 온다. " * 10, "the reference of example 7")
    assert str(said.value) == (WORDS["the-reference-of"])
