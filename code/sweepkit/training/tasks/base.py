"""What every task is handed and what it hands back: the seam between a training's shell and its kinds of models."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from sweepkit.training.preemption import Preemption
from sweepkit.training.results import Evaluation, best_of
from sweepkit.training.usage import RecordedConfig


class Reporter(Protocol):
    """Where reports go; `sweepkit.tracking.reports.ReportWriter` is one."""

    def report(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Take one row of metrics."""

    def message(self, **message: Any) -> None:
        """Take one message of sweepkit's own."""


class Tracker(Protocol):
    """Where rows go as well; `sweepkit.tracking.wandb_run.WandbRun` is one."""

    def log(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Take one row of metrics."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """Who hears of a training while it runs.

    Args:
        say: Takes a line for the user.
        used: Returns the names of the sweep parameters used so far.
        reporter: The agent's report file, or None.
        tracker: W&B, or None.
        preemption: Asks the training to save itself and end, and keeps what it saves; None never asks.
    """

    say: Callable[[str], None]
    used: Callable[[], list[str]]
    reporter: Reporter | None = None
    tracker: Tracker | None = None
    preemption: Preemption | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a training came to.

    Args:
        history: Every evaluation, in order.
        metric: The metric that the best evaluation is chosen by, higher is better; the loss stands in where it is
            missing.
        diverged: Whether it ended because its loss was not finite any more.
        device: Where it ran.
        train_rows: Examples trained on.
        val_rows: Examples scored.
        steps: Optimizer steps made.
        facts: What else stands in the result file, by name; JSON values.
        files: Texts for further files under results/, by file name.
        cumulative: Each evaluation is a mean over all folds so far: the last one is the score, and no better one
            before it.
    """

    history: Sequence[Evaluation]
    metric: str
    diverged: bool
    device: str
    train_rows: int
    val_rows: int
    steps: int
    facts: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    cumulative: bool = False

    @property
    def best(self) -> Evaluation | None:
        """Return the evaluation that the training is worth; None without one."""
        return self.history[-1] if self.cumulative and self.history else best_of(self.history, self.metric)


class Train(Protocol):
    """A task: its module has a function `train` of this form."""

    def __call__(self, recorded: RecordedConfig[Any], output_dir: Path, listeners: Listeners) -> Outcome:
        """Train and evaluate as the configuration says; raises DataError for data or checkpoints that do not do."""
        ...


_MODULES: Mapping[str, str] = {
    "summarization": "sweepkit.training.tasks.summarization",
    "image_classification": "sweepkit.training.tasks.image_classification",
    "perceiver": "sweepkit.training.tasks.perceiver",
}


def task(name: str) -> Train:
    """Return the function that trains for a task of `TASKS`; its libraries are imported now."""
    train: Train = import_module(_MODULES[name]).train
    return train
