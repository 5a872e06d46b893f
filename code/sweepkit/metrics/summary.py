"""What else is measured of one summary: how much it repeats itself, how much it copies, and one figure of it all.

Every function takes tokens, cut by the tokenizer that ROUGE was computed with, and returns a float in [0, 1].
"""

from collections.abc import Collection, Sequence
from itertools import islice

from sweepkit.metrics.rouge import Rouge

REPETITION_N = 3


def repetition_rate(tokens: Sequence[str], n: int = REPETITION_N) -> float:
    """Return the part of the n-grams that had occurred before in the text: 1 - distinct / all.

    A text of fewer than n tokens has none and repeats nothing: 0. It is 0 as well for a text whose n-grams all differ,
    and comes near 1 for one word said over and over.

    Args:
        tokens: The prediction.
        n: Length of the n-grams, >= 1.

    Raises:
        ValueError: n is below 1.

    Source: S. Welleck et al. (2020), Neural Text Generation with Unlikelihood Training, section 6.1: seq-rep-n of a
    continuation. They take n = 4 for long texts; summaries are short, n is 3 here.

    >>> repetition_rate("네 네 네 네 네".split())
    0.6666666666666667
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    count = len(tokens) - n + 1
    if count < 1:
        return 0.0
    distinct = len(set(zip(*(islice(tokens, start, None) for start in range(n)), strict=False)))
    return 1 - distinct / count


def coverage(tokens: Sequence[str], source: Collection[str]) -> float:
    """Return the part of the summary's tokens that lie in a fragment copied from the source; 0 for no tokens.

    The fragments of the source are the longest shared runs, from one token up, matched greedily from left to right. A
    token is therefore in a fragment exactly when it occurs in the source at all, which is what is counted here.

    Args:
        tokens: The prediction.
        source: The tokens of the text that it summarizes, in any order; a set is quickest.

    Source: M. Grusky, M. Naaman, Y. Artzi (2018), Newsroom: A Dataset of 1.3 Million Summaries with Diverse Extractive
    Strategies, section 4.1 with figure 3: extractive fragment coverage.

    >>> coverage("민수 는 내일 온다".split(), {"민수", "는", "온다"})
    0.75
    """
    if not tokens:
        return 0.0
    return sum(token in source for token in tokens) / len(tokens)


def composite_score(rouge: Rouge, repetition: float, *, empty: bool) -> float:
    """Return 0.3 R1 + 0.3 R2 + 0.3 RL + 0.1 (1 - repetition) of one summary; 0 for an empty one.

    An empty text repeats nothing, but it says nothing either: the last part is given only to a summary with a token, so
    that a model that has learned to be silent gets 0 and not 0.1. The score of a set is the mean of its summaries': the
    formula of the means when none is empty.

    Args:
        rouge: The scores of the summary.
        repetition: Its repetition rate, in [0, 1].
        empty: Whether it has no token.
    """
    if empty:
        return 0.0
    # Tenths of whole weights: a perfect summary scores 1.0 and not 0.9999999999999999.
    return (3 * (rouge.rouge1_f1 + rouge.rouge2_f1 + rouge.rougeL_f1) + (1 - repetition)) / 10
