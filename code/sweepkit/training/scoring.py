"""What the Trainer calls to score generated summaries: ids to texts to scores, and the best ones' files.

The per-example scores are kept for each training, for a comparison of two models is one of examples, not of two means.
They are written whenever an evaluation is the best so far, so a training that is stopped early leaves them, too.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sweepkit.metrics.scorer import Scorer, Scores, readable
from sweepkit.training.config.training import TrainingConfig
from sweepkit.training.results import write_text
from sweepkit.training.text import normalize

EXAMPLES_NAME = "examples.jsonl"
SAMPLE_NAME = "predictions.txt"


class Scoring:
    """A Trainer's `compute_metrics`.

    Args:
        config: Says how it is scored; what is read of it is noted by whoever recorded it.
        tokenizer: Turns ids into text.
        references: The wanted summaries of each validation example, one or several.
        sources: What was summarized, as many.
        folder: Where `examples.jsonl` (a record of texts and scores for each validation example) and `predictions.txt`
            (a sample to read) are written, for the evaluation with the highest rouge_combined_f1.

    Attributes:
        best: The scores of the best evaluation of this process so far, None before the first.
        best_at: Which evaluation that was, from 0.
    """

    def __init__(
        self,
        config: TrainingConfig,
        tokenizer: Any,
        references: Sequence[Sequence[str] | str],
        sources: Sequence[str],
        folder: Path,
    ) -> None:
        self._tokenizer = tokenizer
        self._clean = normalize if config.data.normalize_text else str
        self._samples, self._seed = config.metrics.prediction_samples, config.training.seed
        self._folder = folder
        self._scorer = Scorer(
            references,
            tokenizer=config.metrics.rouge_tokenizer,
            multi_reference=config.metrics.multi_reference,
            engine=config.metrics.rouge,
            sources=sources,
        )
        self._evaluations = 0
        self.best: Scores | None = None
        self.best_at = 0
        self._highest: float | None = None

    def state(self) -> dict[str, Any]:
        """Return which evaluation was the best so far and its score; its texts are in the files."""
        return {"evaluations": self._evaluations, "best_at": self.best_at, "highest": self._highest}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from there; `best` stays None until a better one."""
        self._evaluations, self.best_at = state["evaluations"], state["best_at"]
        self._highest = state["highest"]

    @property
    def tokenizer(self) -> str:
        """Return name and version of what cuts texts into words."""
        return self._scorer.tokenizer

    def __call__(self, prediction: Any) -> dict[str, float]:
        """Return the scores of generated ids of shape (examples, longest); negative ones are padding."""
        ids = np.where(prediction.predictions < 0, self._tokenizer.pad_token_id, prediction.predictions)
        texts = [self._clean(text) for text in self._tokenizer.batch_decode(ids, skip_special_tokens=True)]
        scores = self._scorer.score(texts)
        if self._highest is None or scores.rouge.rouge_combined_f1 > self._highest:
            self._highest = scores.rouge.rouge_combined_f1
            self.best, self.best_at = scores, self._evaluations
            self._write(scores)
        self._evaluations += 1
        return scores.as_dict()

    def _write(self, scores: Scores) -> None:
        lines = [json.dumps(row, ensure_ascii=False) for row in scores.rows()]
        write_text(self._folder / EXAMPLES_NAME, "\n".join(lines) + "\n")
        sample = readable(scores.rows(with_sources=True), self._samples, self._seed)
        head = f"ROUGE by {scores.tokenizer}, the mean of all: combined {scores.rouge.rouge_combined_f1:.4f}\n"
        write_text(self._folder / SAMPLE_NAME, head + sample)
