r"""What a word is: the tokenizers that ROUGE is computed with, by name, each with a version for the result file.

    unicode      runs of letters and digits of any script, lower case (the default)
    whitespace   what white space separates, unchanged
    character    every character that is not white space
    rouge_score  runs of [a-z0-9], as the rouge_score package cuts English without stemming; refused on Hangul
    kiwi         Korean morphemes by kiwipiepy    (pip install "sweepkit[kiwi]")
    mecab        Korean morphemes by mecab-ko     (pip install "sweepkit[mecab]")

The two analysers are imported when first used and made once per process. They tear a tag such as `#Person1#` apart
(kiwi takes `#은` after it for a hashtag), so every tag is masked before the analysis and comes back as one token, as it
is written; the particle behind it is a token of its own. Like `unicode`, they fold case and drop what has no letter and
no digit.

The analysers compose decomposed Hangul (NFD); the others do not, and the trainer's `normalize_text` does it for all.
"""

import functools
import importlib.metadata
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from sweepkit.errors import DataError

Tokens = list[str]
Tokenize = Callable[[str], Tokens]


class SupportsTokenize(Protocol):
    """A tokenizer of one's own: what `rouge_score` takes, its `Tokenizer` subclasses among them."""

    def tokenize(self, text: str) -> Tokens:
        """Return the words of a text."""


_WORD = re.compile(r"\w+")
_ENGLISH = re.compile(r"[a-z0-9]+")
# Jamo, compatibility jamo, jamo extended A, syllables with jamo extended B, and the half-width forms.
_HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff\uffa0-\uffdc]")
# `#Person1#`, `#PhoneNumber#` of DialogSum and `#@이름#` of Korean corpora; Hangul names without `@` are hashtags.
_MASK = re.compile(r"#(?:[A-Za-z][A-Za-z0-9_]*|@\w+)#")
_MASKED = "\ue000"  # a private character: no dictionary has a word with it
# Mecab ends a text at NUL; zero-width characters make kiwi cut inside words, lone surrogates make both raise.
_BLANK = re.compile(f"[\\s\x00-\x1f\x7f-\x9f\ud800-\udfff{_MASKED}]+")
_NOTHING = re.compile("[\u200b-\u200f\u2060\ufeff]+")
_MASKING = 1  # the version of what is done around an analyser: masks, cleaning, what is dropped


def unicode_words(text: str) -> Tokens:
    """Return runs of letters, digits and underscores of any script, in lower case; marks such as `#` and `.` separate.

    >>> unicode_words("#Person1#은 3시에 온다.")
    ['person1', '은', '3시에', '온다']
    """
    return _WORD.findall(text.lower())


def whitespace_words(text: str) -> Tokens:
    """Return what white space separates, unchanged.

    >>> whitespace_words("#Person1#은 온다.")
    ['#Person1#은', '온다.']
    """
    return text.split()


def characters(text: str) -> Tokens:
    """Return every character that is not white space.

    >>> characters("온다. 네")
    ['온', '다', '.', '네']
    """
    return [character for character in text if not character.isspace()]


def english_words(text: str) -> Tokens:
    """Return runs of [a-z0-9] of the text in lower case: the default tokenizer of rouge_score 0.1.2, no stemming.

    It is blind to every other letter; see `refuse_hangul`.

    >>> english_words("#Person1# can't come at 3.")
    ['person1', 'can', 't', 'come', 'at', '3']
    """
    return _ENGLISH.findall(text.lower())


def kiwi_morphemes(text: str) -> Tokens:
    """Return Korean morphemes as kiwi restores them, "온다" as "오", "ㄴ다"; tags such as `#Person1#` whole.

    Raises:
        DataError: kiwipiepy is not installed.
    """
    clean = _clean(text)
    # A span given as analysed is a proper noun to the words around it, and is never cut.
    masks = [(mask.start(), mask.end(), "NNP") for mask in _MASK.finditer(clean)]
    found = _kiwi().tokenize(clean, pretokenized=masks, compatible_jamo=True)
    starts = {start for start, _, _ in masks}
    return [
        token.form if token.start in starts else token.form.lower()
        for token in found
        if token.start in starts or _says(token.form)
    ]


def mecab_morphemes(text: str) -> Tokens:
    """Return Korean morphemes as they stand in the text, "온다" whole; tags such as `#Person1#` whole.

    Raises:
        DataError: python-mecab-ko is not installed.
    """
    clean = _clean(text)
    masks = iter(_MASK.findall(clean))
    return [token for morpheme in _mecab().morphs(_MASK.sub(_MASKED, clean)) for token in _unmasked(morpheme, masks)]


def _unmasked(morpheme: str, masks: Iterator[str]) -> Iterator[str]:
    """Yield what an unknown run holds (mecab joins neighbouring symbols): words in lower case, masks as written."""
    for part in re.split(f"({_MASKED})", morpheme):
        if part == _MASKED:
            yield next(masks)
        elif _says(part):
            yield part.lower()


def _clean(text: str) -> str:
    """Return the text composed, without what the analysers stumble over."""
    return _BLANK.sub(" ", _NOTHING.sub("", unicodedata.normalize("NFC", text))).strip()


def _says(token: str) -> bool:
    return any(character.isalnum() for character in token)


@functools.lru_cache(maxsize=1)
def _kiwi() -> Any:
    """Return this process's analyser: seconds to load, 0.5 GB; without threads, so that a fork may use it."""
    try:
        from kiwipiepy import Kiwi  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError as error:
        raise _missing("kiwi", error) from error
    return Kiwi(num_workers=1)


@functools.lru_cache(maxsize=1)
def _mecab() -> Any:
    """Return this process's analyser; its dictionary is mapped from the disk."""
    try:
        from mecab import MeCab  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError as error:
        raise _missing("mecab", error) from error
    return MeCab()


def _missing(name: str, error: ImportError) -> DataError:
    return DataError(
        f"metrics.rouge_tokenizer: {name} needs the package {_PACKAGES[name][0]}, got {type(error).__name__}: {error}; "
        f'pip install "sweepkit[{name}]", or take unicode or character, which need nothing'
    )


TOKENIZERS: Mapping[str, Tokenize] = {
    "unicode": unicode_words,
    "whitespace": whitespace_words,
    "character": characters,
    "rouge_score": english_words,
    "kiwi": kiwi_morphemes,
    "mecab": mecab_morphemes,
}
# The analyser and what it knows, as distributions; the version of both decides the tokens.
_PACKAGES = {
    "kiwi": ("kiwipiepy", "model", "kiwipiepy_model"),
    "mecab": ("python-mecab-ko", "dictionary", "python-mecab-ko-dic"),
}
# Raised whenever the tokens of some text change.
_VERSIONS = {
    "unicode": "1",
    "whitespace": "1",
    "character": "1",
    "rouge_score": "1 (as rouge_score 0.1.2, no stemming)",
}


def tokenizer_named(name: str | SupportsTokenize) -> Tokenize:
    """Return the tokenizer of that name, or that of an object; an extra is imported only when it is first called.

    Raises:
        ValueError: There is none.
    """
    if not isinstance(name, str):
        return name.tokenize
    if name not in TOKENIZERS:
        raise ValueError(f"tokenizer must be one of {', '.join(TOKENIZERS)}, got {name!r}")
    return TOKENIZERS[name]


def describe(name: str | SupportsTokenize) -> str:
    """Return name and version for the result file: texts with equal descriptions were cut alike.

    Of an object that is its class, and as many may be distinguished as their classes are.

    >>> describe("unicode")
    'unicode 1'

    Raises:
        ValueError: There is no such tokenizer.
        DataError: It is an extra that is not installed.
    """
    tokenizer_named(name)
    if not isinstance(name, str):
        return f"{type(name).__module__}.{type(name).__qualname__}"
    if name in _VERSIONS:
        return f"{name} {_VERSIONS[name]}"
    package, part, data = _PACKAGES[name]
    try:
        version, data_version = importlib.metadata.version(package), importlib.metadata.version(data)
    except importlib.metadata.PackageNotFoundError as error:
        raise _missing(name, error) from error
    return f"{name} {version} ({part} {data_version}, masking {_MASKING})"


def refuse_hangul(name: str | SupportsTokenize, text: str, where: str) -> None:
    """Refuse a text that the tokenizer is blind to.

    Args:
        name: The tokenizer; only `rouge_score` refuses anything.
        text: A reference or a source.
        where: What it is, for the message: "the reference of example 3".

    Raises:
        DataError: `rouge_score` was to cut Hangul.
    """
    if name == "rouge_score" and _HANGUL.search(text):
        shown = text if len(text) <= 40 else text[:39] + "…"
        raise DataError(
            f"{where}: the tokenizer rouge_score keeps only a-z and 0-9 and sees no Hangul (two identical Korean texts "
            f"score 0, two unrelated ones with the same #Person1# score 1.0), got {shown!r}; set "
            "metrics.rouge_tokenizer to unicode, whitespace, character, kiwi or mecab"
        )
