"""How long ROUGE takes beside `rouge_score`: the same texts, the same words, the same bits, in turn within one process.

    python benchmarks/rouge.py                 500 pairs of 100 words, 7 turns, about a minute
    python benchmarks/rouge.py --pairs 20 --turns 1

Two ways of ours and theirs, all scoring ROUGE-1, 2 and L of every pair, each from texts to scores:

    rouge_pairs   one call, both texts of each pair cut and counted
    Scorer        a further evaluation of the same references, which were cut and counted before; and with them
                  repetition, coverage and the composite score, which the others do not compute
    rouge_score   the package's RougeScorer with the same words: by white space on the Korean-like texts, by its own
                  default on the English-like ones

The words are drawn from a vocabulary of 300 with a fixed seed; the prediction is its reference with a part of the words
replaced and some moved, so that n-grams and the common subsequence are neither empty nor whole. Every F1 of every pair
must be the same float, bit for bit, or the benchmark fails.
"""

import random
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from measuring import Others, machine, machine_text, parser, save, spread, table, verdict

from sweepkit.metrics.rouge import Rouge, rouge_pairs
from sweepkit.metrics.scorer import Scorer
from sweepkit.metrics.tokenizers import TOKENIZERS

TARGET_RATIO = 10.0
_SEED = 3
_WORDS = 300
_SYLLABLES = "가나다라마바사아자차카타파하"
_KINDS = ["rouge1", "rouge2", "rougeL"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One way to score the pairs.

    Args:
        text: "Korean" or "English", what the words look like.
        tokenizer: Its name here.
        name: Which of the three ways.
        seconds: Of all pairs, one value per turn.
    """

    text: str
    tokenizer: str
    name: str
    seconds: tuple[float, ...]


class Named:
    """A function as the tokenizer object that rouge_score takes."""

    def __init__(self, tokenize: Callable[[str], list[str]]) -> None:
        self.tokenize = tokenize


def words(text: str) -> list[str]:
    """Return the vocabulary: Korean-like or English-like words of two to four syllables, all different."""
    chance = random.Random(_SEED)
    syllables = _SYLLABLES if text == "Korean" else ("ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu")
    found: dict[str, None] = {}
    while len(found) < _WORDS:
        found["".join(chance.choices(syllables, k=chance.randint(2, 4)))] = None
    return list(found)


def make_pairs(text: str, pairs: int, length: int) -> tuple[list[str], list[str]]:
    """Return predictions and references of `length` words each."""
    chance, vocabulary = random.Random(_SEED), words(text)
    predictions, references = [], []
    for _ in range(pairs):
        reference = chance.choices(vocabulary, k=length)
        prediction = [word if chance.random() < 0.7 else chance.choice(vocabulary) for word in reference]
        cut = chance.randrange(length)
        predictions.append(" ".join(prediction[cut:] + prediction[:cut]))
        references.append(" ".join(reference))
    return predictions, references


def theirs(tokenizer: str) -> Callable[[list[str], list[str]], list[Rouge]]:
    """Return rouge_score's way: its own default tokenizer for `rouge_score`, else our words given to it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nltk's, at import
        from rouge_score.rouge_scorer import RougeScorer
    given = None if tokenizer == "rouge_score" else Named(TOKENIZERS[tokenizer])
    scorer = RougeScorer(_KINDS, tokenizer=given)

    def score(predictions: list[str], references: list[str]) -> list[Rouge]:
        found = []
        for prediction, reference in zip(predictions, references, strict=True):
            scores = scorer.score(reference, prediction)
            found.append(Rouge(**{f"{kind}_f1": scores[kind].fmeasure for kind in _KINDS}))
        return found

    return score


def measure(text: str, tokenizer: str, *, pairs: int, length: int, turns: int) -> list[Measured]:
    """Return the three ways' times, in turn, after one turn that also compares every bit.

    Raises:
        RuntimeError: They do not agree in every bit.
    """
    predictions, references = make_pairs(text, pairs, length)
    scorer, other = Scorer(references, tokenizer=tokenizer, sources=references), theirs(tokenizer)
    ways: dict[str, Callable[[], Any]] = {
        "rouge_pairs": lambda: rouge_pairs(predictions, references, tokenizer),
        "Scorer": lambda: scorer.score(predictions),
        "rouge_score": lambda: other(predictions, references),
    }
    check(ways["rouge_pairs"](), ways["Scorer"]().per_example, ways["rouge_score"]())
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - began)
    return [Measured(text=text, tokenizer=tokenizer, name=name, seconds=tuple(took)) for name, took in seconds.items()]


def check(ours: list[Rouge], columns: Any, expected: list[Rouge]) -> None:
    """Compare every score of every pair; raises RuntimeError at the first that differs in a bit."""
    for place, (mine, wanted) in enumerate(zip(ours, expected, strict=True)):
        kept = {name: columns[name][place] for name in wanted.as_dict()}
        if not mine.as_dict() == kept == wanted.as_dict():
            raise RuntimeError(f"pair {place} has other bits: {mine.as_dict()}, {kept}, {wanted.as_dict()}")


def ratios(found: list[Measured], name: str) -> list[float]:
    """Return how many times faster `name` was than rouge_score, one value per text: of the medians."""
    medians = {(item.text, item.name): spread(item.seconds).median for item in found}
    return [medians[text, "rouge_score"] / medians[text, name] for text in dict.fromkeys(item.text for item in found)]


def report(found: list[Measured], pairs: int, length: int, facts: dict[str, Any]) -> str:
    """Return the table and its conclusions."""
    rows = []
    for item in found:
        ratio = dict(zip(dict.fromkeys(each.text for each in found), ratios(found, item.name), strict=True))[item.text]
        took = spread([1000 * value for value in item.seconds])
        way = f"{item.text}, `{item.tokenizer}`: {item.name}"
        rows.append([way, str(took.count), took.text(1), f"{1000 * took.median / pairs:.0f}", f"{ratio:.1f}"])
    least = min(ratios(found, "rouge_pairs"))
    again = min(ratios(found, "Scorer"))
    return "\n".join(
        [
            f"# ROUGE-1, 2 and L of {pairs} pairs of {length} words",
            "",
            "`python benchmarks/rouge.py`; what is measured stands at its head.",
            "",
            table(["words, tokenizer: way", "turns", "ms: median (range)", "µs per pair", "times faster"], rows),
            "",
            f"At least {least:.1f} times faster than rouge_score; {verdict(least, at_least=TARGET_RATIO)}. A further "
            f"evaluation by a Scorer: {again:.1f} times.",
            f"All scores of all {pairs} pairs are bit-identical to rouge_score's, with both tokenizers.",
            "",
            machine_text(facts),
        ]
    )


def main(argv: list[str] | None = None) -> int:
    """Measure, print, write; return the exit code."""
    options_parser = parser(__doc__)
    options_parser.add_argument("--pairs", type=int, default=500, help="pairs of texts (500)")
    options_parser.add_argument("--length", type=int, default=100, help="words of each text (100)")
    options_parser.add_argument("--turns", type=int, default=7, help="times that each way is measured (7)")
    options = options_parser.parse_args(argv)
    size = {"pairs": options.pairs, "length": options.length}
    facts, others = machine(quiet_s=options.quiet_s), Others()
    found = measure("Korean", "whitespace", **size, turns=options.turns)
    found += measure("English", "rouge_score", **size, turns=options.turns)
    others.finish(facts)
    data = {"machine": facts, **size, "measured": [asdict(item) for item in found]}
    save(options.output, "rouge", text=report(found, **size, facts=facts), data=data)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
