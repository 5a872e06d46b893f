"""Several models' answers as one: the summary that the others agree with most, the class with the highest mean chance.

Source: minimum Bayes risk decoding (Kumar and Byrne 2004) with ROUGE between candidates as the gain. Pure.
"""

from collections.abc import Mapping, Sequence

from sweepkit.metrics.scorer import Scorer


def consensus(candidates: Sequence[Sequence[str]], tokenizer: str) -> list[str]:
    """Return for each example the candidate with the highest mean ROUGE against all others; of equal ones the first.

    Args:
        candidates: Of each model its text for each example, in the order of the models' rank; at least one model.
        tokenizer: What a word is: `metrics.rouge_tokenizer`.

    >>> consensus([["비가 온다"], ["오늘 비가 온다"], ["오늘 비가 많이 온다"]], "unicode")
    ['오늘 비가 온다']
    """
    gains = [[0.0] * len(texts) for texts in candidates]
    for at, texts in enumerate(candidates):
        scorer = Scorer([[text] for text in texts], tokenizer=tokenizer)
        for other, predicted in enumerate(candidates):
            if other != at:
                column = scorer.score(list(predicted)).per_example["rouge_combined_f1"]
                gains[other] = [sum(pair) for pair in zip(gains[other], column, strict=True)]
    best = [max(range(len(candidates)), key=lambda at: gains[at][row]) for row in range(len(candidates[0]))]
    return [candidates[at][row] for row, at in enumerate(best)]


def soft_vote(chances: Sequence[Mapping[str, float]]) -> str:
    """Return the class with the highest mean probability over the models; of equal ones the first by name.

    >>> soft_vote([{"a": 0.6, "b": 0.4}, {"a": 0.1, "b": 0.9}])
    'b'
    """
    names = sorted({name for one in chances for name in one})
    return max(names, key=lambda name: sum(one.get(name, 0.0) for one in chances))
