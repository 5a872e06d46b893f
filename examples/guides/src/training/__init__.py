"""The guides' trainer: a configuration is trained by sweepkit's own, in this process."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sweepkit.studies.inputs import config_of, with_data
from sweepkit.training.in_process import train_here


class ModelTrainer:
    """Trains a configuration and scores it.

    Args:
        config: Of ConfigLoader, or anything that OptunaOptimizer takes.
        model: What ModelLoader returned; the configuration says the same, so it is not used.
        tokenizer: As `model`.
        train_dataset: As OptunaOptimizer takes it; None for the configuration's own data.
        val_dataset: The same, for scoring.
        output_dir: Where it writes.
    """

    def __init__(
        self,
        config: Any = None,
        model: Any = None,
        tokenizer: Any = None,
        train_dataset: Any = None,
        val_dataset: Any = None,
        output_dir: str | Path = "outputs/trainer",
    ) -> None:
        self.output_dir = Path(output_dir)
        self.config = with_data(config_of(config), train_dataset, val_dataset, self.output_dir / "data")
        self.history: list[dict[str, float]] = []

    def report(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Keep one evaluation; the trainer calls this."""
        self.history.append(dict(values))

    def message(self, **message: Any) -> None:
        """Hear what the trainer says beside its metrics."""

    def train(self) -> dict[str, float]:
        """Train; return the metrics of the last evaluation."""
        train_here(self.config, self.output_dir, self)
        return self.evaluate()

    def evaluate(self) -> dict[str, float]:
        """Return the metrics of the last evaluation, by sweepkit's names and the guides' (rouge_l_f1, eval_rouge)."""
        if not self.history:
            raise RuntimeError("nothing is evaluated yet; call train()")
        last = next(row for row in reversed(self.history) if "eval/rougeL_f1" in row)
        bare = {name.removeprefix("eval/"): value for name, value in last.items()}
        guide = {f"rouge_{kind.lower()}_f1": last[f"eval/rouge{kind}_f1"] for kind in ("1", "2", "L")}
        return {**last, **bare, **guide, "eval_rouge": last["eval/rougeL_f1"]}
