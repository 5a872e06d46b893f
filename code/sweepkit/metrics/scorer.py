"""Score the predictions for one validation set, as often as it is evaluated, and keep every example's scores.

    scorer = Scorer(references, tokenizer="unicode", sources=dialogues)
    scores = scorer.score(predictions)
    scores.as_dict()       {"rouge1_f1": …, "rouge_combined_f1": …, "avg_length": …, "composite_score": …}
    scores.rows()          one record per example, for a JSON-lines file
    readable(scores.rows(with_sources=True), count=20, seed=42)    a sample to read

Pure: it reads and writes no file.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sweepkit.metrics.rouge import (
    References,
    Rouge,
    check_multi_reference,
    engine_named,
    listed,
    mean_rouge,
    over_references,
)
from sweepkit.metrics.summary import composite_score, coverage, repetition_rate
from sweepkit.metrics.tokenizers import SupportsTokenize, Tokens, describe, refuse_hangul, tokenizer_named


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The scores of a set of predictions. Means are over all examples; an empty prediction counts, with 0 everywhere.

    Args:
        rouge: Means of the three F1 scores, each in [0, 1].
        avg_length: Mean number of tokens of a prediction, >= 0.
        repetition_rate: Mean, in [0, 1].
        coverage: Mean, in [0, 1]; None without sources.
        composite_score: Mean, in [0, 1].
        tokenizer: Name and version of what cut the texts.
        multi_reference: "mean" or "max", how several references of an example became one score.
        per_example: Column to one value per example, in order: rouge1_f1, rouge2_f1, rougeL_f1, rouge_combined_f1,
            length (tokens), repetition_rate, coverage (only with sources), composite_score.
        predictions: What was scored.
        references: At least one text per example.
        sources: What was summarized; None when it was not given.
    """

    rouge: Rouge
    avg_length: float
    repetition_rate: float
    coverage: float | None
    composite_score: float
    tokenizer: str
    multi_reference: str
    per_example: Mapping[str, list[float]]
    predictions: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]
    sources: tuple[str, ...] | None

    def as_dict(self) -> dict[str, float]:
        """Return the means by name; `coverage` only with sources."""
        covered = {} if self.coverage is None else {"coverage": self.coverage}
        return {
            **self.rouge.as_dict(),
            "avg_length": self.avg_length,
            "repetition_rate": self.repetition_rate,
            **covered,
            "composite_score": self.composite_score,
        }

    def rows(self, *, with_sources: bool = False) -> list[dict[str, Any]]:
        """Return one record per example, of texts and numbers that JSON can hold.

        Args:
            with_sources: Put in the source texts too, where they are known. They are the same for every run.

        Returns:
            Records of index (from 0), source, references (a list), prediction, and every column of `per_example`.
        """
        rows = []
        for index, (prediction, references) in enumerate(zip(self.predictions, self.references, strict=True)):
            row: dict[str, Any] = {"index": index}
            if with_sources and self.sources is not None:
                row["source"] = self.sources[index]
            row |= {"references": list(references), "prediction": prediction}
            rows.append(row | {name: values[index] for name, values in self.per_example.items()})
        return rows


class Scorer:
    """The references of a validation set, cut and counted once, to score each evaluation's predictions against."""

    def __init__(
        self,
        references: References,
        *,
        tokenizer: str | SupportsTokenize = "unicode",
        multi_reference: str = "mean",
        engine: str = "sweepkit",
        sources: Sequence[str] | None = None,
    ) -> None:
        """Cut and count.

        Args:
            references: A text, or several, for each of at least one example.
            tokenizer: A name in TOKENIZERS, or an object with `tokenize(text)`, as `rouge_score` takes it.
            multi_reference: "mean" or "max" over an example's references.
            engine: A name in ROUGE_ENGINES; the scores are the same.
            sources: As many texts that were summarized, for `coverage`; None leaves it out.

        Raises:
            ValueError: There is no example, the lengths differ, or a name is unknown.
            DataError: An example has no reference, `rouge_score` was to cut Hangul, or an extra is not installed.
        """
        self._tokenize = tokenizer_named(tokenizer)
        check_multi_reference(multi_reference)
        self._multi_reference = multi_reference
        self._engine = engine_named(engine)
        self._references = listed(references, tokenizer)
        if not self._references:
            raise ValueError("there must be at least one example to score, got no references")
        if sources is not None and len(sources) != len(self._references):
            raise ValueError(f"as many sources as references, got {len(sources)} and {len(self._references)}")
        self._sources = None if sources is None else tuple(sources)
        for number, source in enumerate(self._sources or (), start=1):
            refuse_hangul(tokenizer, source, f"the source of example {number}")
        self.tokenizer = describe(tokenizer)
        self._prepared = [[self._engine.prepare(self._tokenize(text)) for text in texts] for texts in self._references]
        self._words = [frozenset(self._tokenize(source)) for source in self._sources or ()]

    def score(self, predictions: Sequence[str]) -> Scores:
        """Return the scores of one prediction per example, in order.

        Raises:
            ValueError: There are more or fewer predictions than examples.
        """
        if len(predictions) != len(self._references):
            raise ValueError(f"as many predictions as references, got {len(predictions)} and {len(self._references)}")
        tokens = [self._tokenize(prediction) for prediction in predictions]
        rouges = [
            over_references([self._engine.score(words, reference) for reference in references], self._multi_reference)
            for words, references in zip(tokens, self._prepared, strict=True)
        ]
        columns = self._columns(tokens, rouges)
        return Scores(
            rouge=mean_rouge(rouges),
            avg_length=_mean(columns["length"]),
            repetition_rate=_mean(columns["repetition_rate"]),
            coverage=_mean(columns["coverage"]) if "coverage" in columns else None,
            composite_score=_mean(columns["composite_score"]),
            tokenizer=self.tokenizer,
            multi_reference=self._multi_reference,
            per_example=columns,
            predictions=tuple(predictions),
            references=self._references,
            sources=self._sources,
        )

    def _columns(self, tokens: Sequence[Tokens], rouges: Sequence[Rouge]) -> dict[str, list[float]]:
        """Return every score of every example, by column."""
        repetitions = [repetition_rate(words) for words in tokens]
        columns: dict[str, list[float]] = {
            name: [rouge.as_dict()[name] for rouge in rouges] for name in rouges[0].as_dict()
        }
        columns["length"] = [len(words) for words in tokens]
        columns["repetition_rate"] = repetitions
        if self._sources is not None:
            columns["coverage"] = [coverage(words, known) for words, known in zip(tokens, self._words, strict=True)]
        columns["composite_score"] = [
            composite_score(rouge, repetition, empty=not words)
            for rouge, repetition, words in zip(rouges, repetitions, tokens, strict=True)
        ]
        return columns


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def readable(rows: Sequence[Mapping[str, Any]], count: int, seed: int) -> str:
    """Return a sample of the rows as text: what was summarized, what was wanted, what came, and its scores.

    Args:
        rows: Of `Scores.rows`, with or without sources.
        count: How many to show, >= 0; all when there are fewer.
        seed: Decides which. The same for two runs over the same validation set shows the same examples.

    Raises:
        ValueError: `count` is negative.
    """
    if count < 0:
        raise ValueError(f"count must be at least 0, got {count}")
    chosen = sorted(random.Random(seed).sample(range(len(rows)), min(count, len(rows))))
    head = f"{len(chosen)} of {len(rows)} examples, chosen by seed {seed}\n"
    return "\n".join([head, *(_example(rows[place]) for place in chosen)])


def _example(row: Mapping[str, Any]) -> str:
    texts = [("dialogue", row["source"])] if "source" in row else []
    several = len(row["references"]) > 1
    texts += [
        (f"reference {number}" if several else "reference", text)
        for number, text in enumerate(row["references"], start=1)
    ]
    texts.append(("prediction", row["prediction"]))
    scores = "  ".join(
        f"{name} {value:g}" if isinstance(value, int) else f"{name} {value:.4f}"
        for name, value in row.items()
        if isinstance(value, int | float) and name != "index"
    )
    parts = [f"=== example {row['index']} ===", *(_indented(name, text) for name, text in texts), scores, ""]
    return "\n".join(parts)


def _indented(name: str, text: str) -> str:
    """Return a heading with the text under it, set in, so that no line of a text reads like a heading."""
    lines = text.splitlines() if text.strip() else ["(empty)"]
    return "\n".join([f"{name}:", *(f"    {line}" for line in lines)])
