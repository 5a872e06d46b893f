"""What a validation says while it runs: epochs and folds, to the agent, to the console, to W&B."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sweepkit.training.callbacks import TrainLossCallback, evaluation_scores
from sweepkit.training.images.scores import spread
from sweepkit.training.results import Evaluation
from sweepkit.training.tasks.base import Listeners

METRIC = "macro_f1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """One evaluation in one fold.

    Args:
        fold: From 1.
        step: Optimizer steps so far, those of the folds before included.
        epoch: Passes over this fold's training images so far.
        scores: "loss", "macro_f1", "accuracy"; all but the loss are NaN when the loss is not finite.
        train: "train/loss" and "train/learning_rate".
    """

    fold: int
    step: int
    epoch: float
    scores: Mapping[str, float]
    train: Mapping[str, float]


class FoldProgress:
    """Collects the evaluations of a validation and reports them.

    One fold: each epoch is reported with the metric, `eval/macro_f1`. Several: each *fold* is, with the mean over the
    folds done so far, so that a stopping rule that counts reports judges a run after its first folds; epochs are
    reported as `fold/…`, without the metric.

    Args:
        listeners: Who hears of it.
        folds: How many folds there will be.
        epochs: Passes in each of them.

    Attributes:
        history: What was reported with the metric, in order.
        fold_scores: The last scores of each fold done.
        diverged: Whether a loss was not finite.
    """

    def __init__(self, listeners: Listeners, *, folds: int, epochs: float) -> None:
        self.history: list[Evaluation] = []
        self.fold_scores: list[Mapping[str, float]] = []
        self.diverged = False
        self._listeners, self._folds, self._epochs = listeners, folds, epochs
        self._started = False
        self._reported: list[str] | None = None
        self._rows: list[tuple[dict[str, float], int]] = []

    def state(self) -> dict[str, Any]:
        """Return everything reported so far, as JSON values; NaN may be among them."""
        return {
            "history": [[item.step, item.epoch, dict(item.metrics)] for item in self.history],
            "folds": [dict(scores) for scores in self.fold_scores],
            "rows": list(self._rows),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Know what an earlier attempt reported and report it again: reports begin anew with each attempt."""
        self.history = [Evaluation(step=step, epoch=epoch, metrics=scores) for step, epoch, scores in state["history"]]
        self.fold_scores = list(state["folds"])
        for row, step in state["rows"]:
            self._report(row, step)

    def first_step(self) -> None:
        """Note when the first step of all begins: a benchmark of the start wants it."""
        if not self._started:
            self._started = True
            if self._listeners.reporter is not None:
                self._listeners.reporter.message(_sweepkit_first_step=time.time())

    def epoch(self, one: Epoch) -> None:
        """Report one evaluation."""
        self.diverged = self.diverged or not math.isfinite(one.scores["loss"])
        where = f"epoch {one.epoch:.4g}/{self._epochs:.4g}"
        if self._folds == 1:
            self.history.append(Evaluation(step=one.step, epoch=one.epoch, metrics=one.scores))
            row = {f"eval/{name}": value for name, value in one.scores.items()}
            self._report({**row, **one.train, "epoch": one.epoch}, one.step)
        else:
            where = f"fold {one.fold}/{self._folds}  {where}"
            row = {f"fold/{name}": value for name, value in one.scores.items()}
            self._report({**row, **one.train, "fold/index": one.fold, "fold/epoch": one.epoch}, one.step)
        self._listeners.say(f"{where}  {_shown(one.scores)}")

    def fold_done(self, one: Epoch) -> None:
        """Report one fold by its last evaluation."""
        self.fold_scores.append(one.scores)
        if self._folds == 1:
            return
        metrics = {name: _mean([done[name] for done in self.fold_scores]) for name in one.scores}
        metrics[f"{METRIC}_std"] = spread([done[METRIC] for done in self.fold_scores])
        metrics["fold"] = float(one.fold)
        metrics[f"fold_{METRIC}"] = one.scores[METRIC]
        epochs = (one.fold - 1) * self._epochs + one.epoch
        self.history.append(Evaluation(step=one.step, epoch=epochs, metrics=metrics))
        self._report({**{f"eval/{name}": value for name, value in metrics.items()}, "epoch": epochs}, one.step)
        mean, deviation = metrics[METRIC], metrics[f"{METRIC}_std"]
        self._listeners.say(f"fold {one.fold}/{self._folds}  mean F1 {mean:.4f} ± {deviation:.4f} of {one.fold} folds")

    def _report(self, row: Mapping[str, float], step: int) -> None:
        """Report one row; before it which sweep parameters were used, when that is news."""
        reporter, tracker = self._listeners.reporter, self._listeners.tracker
        self._rows.append((dict(row), step))
        if reporter is not None:
            used = self._listeners.used()
            if used != self._reported:
                reporter.message(_sweepkit_read=used)
                self._reported = used
            reporter.report(row, step)
        if tracker is not None:
            tracker.log(row, step)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if all(map(math.isfinite, values)) else math.nan


def _shown(scores: Mapping[str, float]) -> str:
    """Return scores as a piece of a line."""
    return f"loss {scores['loss']:.4f}  F1 {scores[METRIC]:.4f}  accuracy {scores['accuracy']:.4f}"


class FoldReportingCallback(TrainLossCallback):
    """Turns what the Trainer of one fold says into epochs of the progress; ends it when its loss is not finite.

    Args:
        progress: Where they are said.
        fold: From 1.
        steps_before: Optimizer steps of the folds before.

    Attributes:
        last: The newest epoch; None before the first.
    """

    def __init__(self, progress: FoldProgress, *, fold: int, steps_before: int) -> None:
        super().__init__()
        self.last: Epoch | None = None
        self._progress, self._fold, self._steps_before = progress, fold, steps_before

    def on_step_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Report the first step."""
        self._progress.first_step()

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **rest: Any) -> Any:
        """Report one epoch."""
        self.last = Epoch(
            fold=self._fold,
            step=self._steps_before + state.global_step,
            epoch=state.epoch or 0.0,
            scores=evaluation_scores(metrics),
            train=self.take_train(),
        )
        self._progress.epoch(self.last)
        if self._progress.diverged:
            control.should_training_stop = True
        return control
