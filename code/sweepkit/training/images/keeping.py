"""Which folds are done, kept for the next attempt of a preempted run: it goes on with the fold that was under way.

A fold begins anew: it lasts minutes at most, hangs on nothing but its number and the seed, and so comes out the same.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from transformers import TrainerCallback

from sweepkit.training.images.reporting import FoldProgress
from sweepkit.training.preemption import Preemption


class FoldKeeper(TrainerCallback):
    """Answers a request to save, in every fold after the first; before that there is nothing, and SIGTERM ends all.

    Args:
        preemption: Asks for it and keeps the state; None never asks.
        progress: Told so far; saved and restored with the folds.
    """

    def __init__(self, preemption: Preemption | None, progress: FoldProgress) -> None:
        self._preemption, self._progress = preemption, progress
        self._state: Mapping[str, Any] = {}
        self._steps = 0

    def restore(self) -> list[dict[str, Any]]:
        """Return what `fold_done` was given for the folds done; their progress is said again."""
        saved = None if self._preemption is None else self._preemption.find()
        if saved is None:
            return []
        self._progress.restore(saved.state["progress"])
        return list(saved.state["done"])

    def fold_done(self, done: Sequence[Mapping[str, Any]], steps: int) -> None:
        """Keep in mind what is done.

        Args:
            done: Each fold done, from the first; JSON values.
            steps: Optimizer steps of them all.
        """
        if self._preemption is not None:
            self._state, self._steps = {"progress": self._progress.state(), "done": list(done)}, steps
            self._preemption.begin()

    def over(self) -> None:
        """Say that all folds are done."""
        if self._preemption is not None:
            self._preemption.finish()

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Answer a request between steps."""
        self._answer()

    def on_prediction_step(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Answer a request within an evaluation."""
        self._answer()

    def _answer(self) -> None:
        if self._preemption is not None and self._preemption.requested:
            self._preemption.save(self._steps, self._state)
