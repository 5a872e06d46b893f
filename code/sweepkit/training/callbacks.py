"""What a training says while it runs: reports to the agent, lines to the console, rows to W&B."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from transformers import TrainerCallback

from sweepkit.training.results import Evaluation
from sweepkit.training.tasks.base import Reporter, Tracker


class TrainLossCallback(TrainerCallback):
    """Keeps the training loss for the evaluation that follows, and has it logged wherever there is one."""

    def __init__(self) -> None:
        self._train: dict[str, float] = {}

    def on_epoch_end(self, args: Any, state: Any, control: Any, **rest: Any) -> Any:
        """Log the loss wherever an epoch ends with an evaluation."""
        control.should_log = control.should_evaluate
        return control

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **rest: Any) -> None:
        """Keep the training loss until the evaluation that follows."""
        if logs and "loss" in logs:  # an evaluation's own log passes here too
            self._train = {f"train/{name}": float(logs[name]) for name in ("loss", "learning_rate")}

    def take_train(self) -> dict[str, float]:
        """Return the training loss that was kept: it belongs to one evaluation."""
        taken, self._train = self._train, {}
        return taken


class ReportingCallback(TrainLossCallback):
    """Collects every evaluation and reports it to whoever listens.

    Args:
        say: Prints one line for the user.
        used: Returns the sweep parameters, by the names they were given, that the training has used so far.
        reporter: The agent's report file, or None outside a sweep.
        tracker: W&B, or None.

    Attributes:
        history: The evaluations so far, in order.
        first_step_at: `time.time()` at the first optimizer step's beginning, None before it.
        diverged: Whether an evaluation's loss was not finite; the training then ends itself.
    """

    def __init__(
        self,
        *,
        say: Callable[[str], None],
        used: Callable[[], list[str]],
        reporter: Reporter | None,
        tracker: Tracker | None,
    ) -> None:
        super().__init__()
        self.history: list[Evaluation] = []
        self.first_step_at: float | None = None
        self.diverged = False
        self._say, self._used, self._reporter, self._tracker = say, used, reporter, tracker
        self._reported: list[str] | None = None
        self._rows: list[tuple[int, dict[str, float]]] = []

    def state(self) -> dict[str, Any]:
        """Return everything reported so far, and the training loss that waits for its evaluation."""
        history = [[item.step, item.epoch, dict(item.metrics)] for item in self.history]
        return {"history": history, "rows": self._rows, "train": self._train, "diverged": self.diverged}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Know what an earlier attempt reported and report it again: reports begin anew with each attempt."""
        self.history = [Evaluation(step=step, epoch=epoch, metrics=scores) for step, epoch, scores in state["history"]]
        self._train, self.diverged = dict(state["train"]), state["diverged"]
        for step, row in state["rows"]:
            self._report(row, step)

    def on_step_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Note when the first step begins: a benchmark of the start wants it."""
        if self.first_step_at is None:
            self.first_step_at = time.time()
            if self._reporter is not None:
                self._reporter.message(_sweepkit_first_step=self.first_step_at)

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> Any:
        """Evaluate at the last step too, whatever eval_steps divides, and log the loss wherever it is evaluated."""
        if state.global_step >= state.max_steps and args.eval_strategy != "epoch":
            control.should_evaluate = True
        control.should_log = control.should_evaluate
        return control

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **rest: Any) -> Any:
        """Report one evaluation; end a training whose loss is not a number any more."""
        scores = evaluation_scores(metrics)
        self.history.append(Evaluation(step=state.global_step, epoch=state.epoch or 0.0, metrics=scores))
        row = (
            {f"eval/{name}": value for name, value in scores.items()}
            | self.take_train()
            | {"epoch": state.epoch or 0.0}
        )
        self._report(row, state.global_step)
        self._say(_line(row, state.global_step, state.max_steps))
        if not math.isfinite(scores.get("loss", 0.0)):
            self.diverged = True
            control.should_training_stop = True
        return control

    def _report(self, row: dict[str, float], step: int) -> None:
        """Report one row to the agent and to W&B."""
        self._rows.append((step, row))
        self._report_used()
        if self._reporter is not None:
            self._reporter.report(row, step)
        if self._tracker is not None:
            self._tracker.log(row, step)

    def _report_used(self) -> None:
        """Say which sweep parameters were used, when that is news: a run that is stopped early has said it too."""
        used = self._used()
        if self._reporter is not None and used != self._reported:
            self._reporter.message(_sweepkit_read=used)
            self._reported = used


class EarlyStopping(TrainerCallback):
    """Ends a training whose metric has not bettered its best for some evaluations in a row.

    Args:
        patience: So many evaluations, >= 1.
        threshold: Better means by more than this, >= 0.
        metric: Higher is better; where an evaluation has no such value, its loss decides, lower is better.
        say: Prints one line for the user.

    Attributes:
        stopped: What ended the training, as it stands in the result file; None when nothing did.
    """

    def __init__(self, *, patience: int, threshold: float, metric: str, say: Callable[[str], None]) -> None:
        self.stopped: dict[str, Any] | None = None
        self._patience, self._threshold, self._metric, self._say = patience, threshold, metric, say
        self._best: tuple[float, int] | None = None  # higher is better, and the step
        self._waited = 0

    def state(self) -> dict[str, Any]:
        """Return the best so far and how long it was waited for a better one."""
        return {"best": self._best, "waited": self._waited, "stopped": self.stopped}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on waiting."""
        self._best = None if state["best"] is None else (state["best"][0], state["best"][1])
        self._waited, self.stopped = state["waited"], state["stopped"]

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **rest: Any) -> Any:
        """Count the evaluations since the best; a loss that is not finite is another's business."""
        scores = evaluation_scores(metrics)
        name = self._metric if self._metric in scores else "loss"
        if not math.isfinite(scores.get(name, math.nan)) or self.stopped is not None:
            return control
        value = scores[name] if name == self._metric else -scores[name]
        if self._best is None or value > self._best[0] + self._threshold:
            self._best, self._waited = (value, state.global_step), 0
            return control
        self._waited += 1
        if self._waited < self._patience or state.global_step >= state.max_steps:
            return control
        control.should_training_stop = True
        best = abs(self._best[0])
        self.stopped = {
            "step": state.global_step,
            "of_steps": state.max_steps,
            "metric": name,
            "best": best,
            "best_step": self._best[1],
            "patience": self._patience,
            "threshold": self._threshold,
        }
        margin = f" by more than {self._threshold:g}" if self._threshold else ""
        self._say(
            f"stopped early at step {state.global_step}/{state.max_steps}: {name} did not better {best:.4f} "
            f"(step {self._best[1]}){margin} in {self._patience} evaluations (early_stopping_patience)"
        )
        return control


# What the Trainer measures beside its metrics.
_TIMINGS = ("_runtime", "_per_second", "_preparation_time", "_compilation_time")


def evaluation_scores(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the Trainer's metrics by short name, without its timings.

    A model whose loss is NaN or infinite has no ROUGE: what it generates is an accident of `argmax`, and 0.0 would look
    like a poor but sound run. So all its scores are NaN, and a stopping rule sees the divergence.

    >>> evaluation_scores({"eval_loss": 0.5, "eval_rouge1_f1": 0.25, "eval_runtime": 1.0, "epoch": 1.0})
    {'loss': 0.5, 'rouge1_f1': 0.25}
    """
    prefix = "eval_"
    scores = {
        name.removeprefix(prefix): float(value)
        for name, value in metrics.items()
        if name.startswith(prefix) and not name.endswith(_TIMINGS)
    }
    if not math.isfinite(scores.get("loss", 0.0)):
        return {name: value if name == "loss" else math.nan for name, value in scores.items()}
    return scores


_SHOWN = {
    "train/loss": "train/loss",
    "eval/loss": "eval/loss",
    "eval/rouge1_f1": "R1",
    "eval/rouge2_f1": "R2",
    "eval/rougeL_f1": "RL",
    "eval/rouge_combined_f1": "combined",
}


def _line(row: Mapping[str, float], step: int, steps: int) -> str:
    """Return one evaluation as one short line."""
    shown = [f"{label} {row[name]:.4f}" for name, label in _SHOWN.items() if name in row]
    return "  ".join([f"step {step}/{steps}", *shown])
