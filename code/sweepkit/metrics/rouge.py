r"""ROUGE-1, ROUGE-2 and ROUGE-L F1 that see Hangul, with the tokenizer named by the caller.

The `rouge_score` package keeps only [a-z0-9] by default: two identical Korean sentences score 0, and two unrelated ones
with the same `#Person1#` tag score 1. Here the tokenizer is a choice that every result states. Given the same tokens
the numbers are bit-equal to `rouge_score`'s.

Source: C.-Y. Lin (2004), ROUGE: A Package for Automatic Evaluation of Summaries, sections 2 and 3.1. The longest common
subsequence is computed in bit-parallel form: H. Hyyrö (2004), Bit-Parallel LCS-length Computation Revisited, figure 3.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Tokens = list[str]
Tokenize = Callable[[str], Tokens]

_WORD = re.compile(r"\w+")


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


TOKENIZERS: Mapping[str, Tokenize] = {
    "unicode": unicode_words,
    "whitespace": whitespace_words,
    "character": characters,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rouge:
    """The F1 scores of one pair, or means of them; each between 0 and 1."""

    rouge1_f1: float
    rouge2_f1: float
    rougeL_f1: float  # noqa: N815 - the name every ROUGE table uses

    @property
    def rouge_combined_f1(self) -> float:
        """Return the mean of the three."""
        return (self.rouge1_f1 + self.rouge2_f1 + self.rougeL_f1) / 3

    def as_dict(self) -> dict[str, float]:
        """Return the four scores by name."""
        return {
            "rouge1_f1": self.rouge1_f1,
            "rouge2_f1": self.rouge2_f1,
            "rougeL_f1": self.rougeL_f1,
            "rouge_combined_f1": self.rouge_combined_f1,
        }


def _f1(overlap: int, predicted: int, wanted: int) -> float:
    """Return the F1 of `overlap` hits, in the order of operations of rouge_score, so that the last bit agrees."""
    precision = overlap / max(predicted, 1)
    recall = overlap / max(wanted, 1)
    if precision + recall > 0:
        return 2 * precision * recall / (precision + recall)
    return 0.0


def _ngram_f1(prediction: Tokens, reference: Tokens, n: int) -> float:
    """Return ROUGE-n F1 of two token lists."""
    found = Counter(zip(*(prediction[start:] for start in range(n)), strict=False))
    wanted = Counter(zip(*(reference[start:] for start in range(n)), strict=False))
    overlap = sum(min(count, found[gram]) for gram, count in wanted.items())
    return _f1(overlap, found.total(), wanted.total())


def lcs_length(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the length of the longest common subsequence; one big-integer step per element of `second`.

    >>> lcs_length("abcbdab", "bdcaba")
    4
    """
    places: dict[str, int] = {}
    for position, token in enumerate(first):
        places[token] = places.get(token, 0) | (1 << position)
    everything = (1 << len(first)) - 1
    row = everything
    for token in second:
        matches = row & places.get(token, 0)
        row = ((row + matches) | (row - matches)) & everything
    return len(first) - row.bit_count()


def rouge_tokens(prediction: Tokens, reference: Tokens) -> Rouge:
    """Return the scores of two token lists; an empty one scores 0."""
    return Rouge(
        rouge1_f1=_ngram_f1(prediction, reference, 1),
        rouge2_f1=_ngram_f1(prediction, reference, 2),
        rougeL_f1=_f1(lcs_length(prediction, reference), len(prediction), len(reference)),
    )


def rouge_pairs(predictions: Sequence[str], references: Sequence[str], tokenizer: str = "unicode") -> list[Rouge]:
    """Return the scores of each prediction against its reference, in order.

    Args:
        predictions: Generated texts; an empty one scores 0 and counts.
        references: As many, in the same order.
        tokenizer: A name in TOKENIZERS.

    Raises:
        ValueError: The lengths differ, or the tokenizer is unknown.
    """
    if len(predictions) != len(references):
        raise ValueError(f"as many predictions as references, got {len(predictions)} and {len(references)}")
    if tokenizer not in TOKENIZERS:
        raise ValueError(f"tokenizer must be one of {', '.join(TOKENIZERS)}, got {tokenizer!r}")
    tokenize = TOKENIZERS[tokenizer]
    return [
        rouge_tokens(tokenize(prediction), tokenize(reference))
        for prediction, reference in zip(predictions, references, strict=True)
    ]


def mean_rouge(scores: Sequence[Rouge]) -> Rouge:
    """Return the mean of each score over at least one pair.

    Raises:
        ValueError: There is nothing to average.
    """
    if not scores:
        raise ValueError("the mean of no ROUGE scores is not defined")
    count = len(scores)
    return Rouge(
        rouge1_f1=sum(score.rouge1_f1 for score in scores) / count,
        rouge2_f1=sum(score.rouge2_f1 for score in scores) / count,
        rougeL_f1=sum(score.rougeL_f1 for score in scores) / count,
    )
