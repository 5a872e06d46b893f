"""A Trainer that is preempted and goes on: what transformers saves, and what it leaves out that the last bit hangs on.

transformers (5.23) restores weights, optimizer, schedule, random streams and the place in the data. It forgets the loss
summed up since the last log, an evaluation that was under way, what callbacks know, and what was done about a full
memory. It would also lose the evaluation of an epoch's end when saved at its last step, and make one step too many when
saved at the last of all.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import TrainerCallback

from sweepkit.training.memory import OutOfMemory
from sweepkit.training.preemption import Preempted, Preemption, Saved

_FILES = "files"


class Stateful(Protocol):
    """Something that knows more than its settings once the training runs."""

    def state(self) -> dict[str, Any]:
        """Return what it knows, as JSON values; NaN and infinities may be among them."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Know what `state` returned."""


class _EvaluationCut(Exception):
    """The evaluation under way is not finished: there is no time for it."""


class _NothingLeft(Exception):
    """The training was saved after its last step."""


class Resumable(OutOfMemory):
    """To be mixed into a Trainer, before it, as OutOfMemory is, which it includes.

    A request to save is answered after the optimizer step under way. An evaluation under way is given up at its next
    batch and made again, whole, by the next attempt: on real data it may last longer than the grace.

    Args:
        preemption: Asks for it and keeps the checkpoint; None trains as ever.
        keeps: Whatever else is to be saved and restored, by name.
        files: Files that belong to the training so far; those that exist are saved and put back.
        args, kwargs: As OutOfMemory's.

    Attributes:
        resumed_at: The step that the training went on from, None when it began anew.
    """

    def __init__(
        self,
        *args: Any,
        preemption: Preemption | None = None,
        keeps: Mapping[str, Stateful] | None = None,
        files: tuple[Path, ...] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.resumed_at: int | None = None
        self._preemption, self._keeps, self._files = preemption, keeps or {}, files
        self._saved: Saved | None = None
        self._part: Path | None = None  # where a checkpoint is being written
        self._cut = False  # an evaluation was under way
        self._stepping = False
        if preemption is not None:
            self.add_callback(_Asking(self, preemption))

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train, from the checkpoint when there is one.

        Raises:
            Preempted: The training was asked to save, and did.
        """
        preemption = self._preemption
        if preemption is None:
            return super().train(*args, **kwargs)
        self._saved = preemption.find()
        if self._saved is not None:
            kwargs["resume_from_checkpoint"] = str(next(self._saved.folder.glob("checkpoint-*")))
        try:
            result = super().train(*args, **kwargs)
        except _NothingLeft:
            result = None
        except Preempted:
            raise
        except Exception:
            if self._saved is not None and not self._stepping:
                preemption.discard()  # it may be the checkpoint's fault: another attempt begins anew
            raise
        preemption.finish()
        return result

    # -- saving -------------------------------------------------------------------------------------------------------

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Evaluate, unless there is no time."""
        try:
            scores: dict[str, float] = super().evaluate(*args, **kwargs)
            return scores
        except _EvaluationCut:
            self._cut = True
            self._save_checkpoint(self.model, None)
            raise

    def prediction_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Make a step of the evaluation, unless there is no time.

        An evaluation is cut here and not where it begins: by now its data loader has drawn from the random stream, as
        it does in one that is not cut.
        """
        if self._preemption is not None and self._preemption.requested and self.is_in_train:
            raise _EvaluationCut
        return super().prediction_step(model, inputs, *args, **kwargs)

    def _get_output_dir(self, trial: Any) -> str:
        folder: str = super()._get_output_dir(trial) if self._part is None else str(self._part)
        return folder

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Save and end the training. Reached by `control.should_save`, and from an evaluation that is cut."""
        assert self._preemption is not None  # nobody else asks for checkpoints: save_strategy is "no"
        state = {
            "cut": self._cut,
            "loss": [self._tr_loss.item(), self._total_loss_scalar, self._globalstep_last_logged],
            "memory": self.adapted(),
            "keeps": {name: item.state() for name, item in self._keeps.items()},
        }

        def write(folder: Path) -> None:
            self._part = folder
            super(Resumable, self)._save_checkpoint(model, trial)
            (folder / _FILES).mkdir()
            for file in self._files:
                if file.is_file():
                    shutil.copy2(file, folder / _FILES / file.name)

        self._preemption.save(self.state.global_step, state, write)

    # -- resuming -----------------------------------------------------------------------------------------------------

    def restore(self, control: Any) -> None:
        """Know again what transformers forgets; make up for the evaluation that was cut. Before the first step."""
        if self._saved is None:
            return
        saved = self._saved.state
        loss, total, logged = saved["loss"]
        self._tr_loss = torch.tensor(loss, device=self.args.device)
        self._total_loss_scalar, self._globalstep_last_logged = total, logged
        self.adapt_as(saved["memory"])
        for file in self._files:
            kept = self._saved.folder / _FILES / file.name
            if kept.is_file():
                file.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(kept, file)
        for name, item in self._keeps.items():
            item.restore(saved["keeps"][name])
        self.resumed_at = self.state.global_step
        if saved["cut"]:
            self.evaluate()
        if control.should_training_stop or self.state.global_step >= self.state.max_steps:
            raise _NothingLeft

    def stepping(self) -> None:
        """Take note that the first step begins."""
        self._stepping = True


class _Asking(TrainerCallback):
    """Asks for a checkpoint where the training may be cut. The last of the callbacks.

    At an epoch's last step that is after the epoch's own evaluation; at the last step of all there is nothing to gain,
    but the evaluation that follows may be cut.
    """

    def __init__(self, trainer: Resumable, preemption: Preemption) -> None:
        self._trainer, self._preemption = trainer, preemption

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Restore what was saved."""
        self._trainer.restore(control)

    def on_step_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """From the first step on there is something to save."""
        self._trainer.stepping()
        self._preemption.begin()

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> Any:
        """Ask within an epoch."""
        whole = float(state.epoch or 0.0).is_integer()
        if self._preemption.requested and not whole and not control.should_training_stop:
            control.should_save = True
        return control

    def on_epoch_end(self, args: Any, state: Any, control: Any, **rest: Any) -> Any:
        """Ask at an epoch's end."""
        if self._preemption.requested and not control.should_training_stop:
            control.should_save = True
        return control
