"""Training and scoring a kind of model on every fold, with transformers' Trainer.

Importing this module imports torch and transformers; it uses neither of them before `validate` is called.
"""

import gc
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments, set_seed

from sweepkit.errors import DataError
from sweepkit.model.metric import LAST
from sweepkit.model.records import MEAN_OVER_FACT, VALUE_FACT
from sweepkit.paths import cache_dir
from sweepkit.text.csv_text import csv_text
from sweepkit.training import environment
from sweepkit.training.arguments import refuse_fp16, warmup
from sweepkit.training.config.training import ImageConfig, PerceiverConfig
from sweepkit.training.images.batches import Batches, Scaling, Softening, as_fetched, measured
from sweepkit.training.images.data import Images, load
from sweepkit.training.images.folds import Fold, Rows, sample, split
from sweepkit.training.images.keeping import FoldKeeper
from sweepkit.training.images.recompute import recompute_blocks
from sweepkit.training.images.reporting import METRIC, FoldProgress, FoldReportingCallback
from sweepkit.training.images.scores import scores, spread
from sweepkit.training.memory import OutOfMemory
from sweepkit.training.tasks.base import Listeners, Outcome

_NO_WARMUP = ("constant",)
_Chances = npt.NDArray[np.float64]
_WHOLE = 1.0 - 1e-9  # transformers takes a warm-up below 1 as a part of the steps, and 1.0 as one step


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """What differs between kinds of models.

    Args:
        make: Given the data, returns a fresh model; torch's global generator draws its weights.
        logits: Given a model and pixels, returns the logits of the shape (images, classes).
        save: Writes a trained model into an existing folder.
        scaling: Given the number of channels, returns the scaling that the model wants; None has it measured on the
            images that each fold trains on.
    """

    make: Callable[[Images], Any]
    logits: Callable[[Any, torch.Tensor], torch.Tensor]
    save: Callable[[Any, Scaling, Path], None]
    scaling: Callable[[int], Scaling | None] = lambda channels: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is done, a quick validation's cuts included.

    Args:
        epochs: Passes of each fold.
        warmup_epochs: Passes with a rising rate.
        batch_size: Images a step and device.
        folds: Train only so many of the folds; None for all.
    """

    epochs: float
    warmup_epochs: float
    batch_size: int
    folds: int | None

    @classmethod
    def of(cls, config: ImageConfig | PerceiverConfig) -> "Effort":
        """Return the effort of a configuration; what a quick validation replaces is not read."""
        training, quick = config.training, config.quick_validation
        warmup = 0.0 if training.lr_scheduler_type in _NO_WARMUP else training.warmup_epochs
        epochs = quick.epochs if quick.enabled else None
        batch_size = quick.batch_size_override if quick.enabled else None
        if epochs is not None and warmup:
            warmup *= epochs / training.num_train_epochs
        return cls(
            epochs=training.num_train_epochs if epochs is None else epochs,
            warmup_epochs=warmup,
            batch_size=training.per_device_train_batch_size if batch_size is None else batch_size,
            folds=quick.folds if quick.enabled else None,
        )


class ImageTrainer(Trainer):
    """A Trainer for batches with plain or soft labels.

    Args:
        logits: As in Architecture.
        *args: As Trainer's.
        **kwargs: As Trainer's.
    """

    def __init__(self, logits: Callable[[Any, torch.Tensor], torch.Tensor], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._logits = logits
        # The loss below is a mean over its batch: the Trainer must average over accumulated ones itself.
        self.model_accepts_loss_kwargs = False

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the mean cross entropy; torch's takes class numbers and probabilities alike."""
        logits = self._logits(model, inputs["pixel_values"])
        loss = torch.nn.functional.cross_entropy(logits.float(), inputs["labels"])
        return (loss, {"logits": logits}) if return_outputs else loss


class _FittingImageTrainer(OutOfMemory, ImageTrainer):
    """An ImageTrainer that answers a full memory."""


def validate(
    config: ImageConfig | PerceiverConfig, output_dir: Path, listeners: Listeners, architecture: Architecture
) -> Outcome:
    """Train and score on every fold.

    Args:
        config: What is read of it may be recorded.
        output_dir: An existing folder; models go to `model/` below it (with several folds `model/fold_1/`, …) when
            `training.save_model`.
        listeners: Who hears of it.
        architecture: The kind of model.

    Raises:
        DataError: The images are missing or malformed, or do not fit the model.
    """
    seed = config.training.seed
    environment.prepare(seed)
    torch.backends.cudnn.deterministic = True  # of a GPU's convolutions; else equal seeds give nearly equal results
    images = load(config.data, cache_dir(os.environ))
    effort = Effort.of(config)
    folds = _folds(config, images)[: effort.folds]
    progress = FoldProgress(listeners, folds=len(folds), epochs=effort.epochs)
    if len(folds) > 1 and listeners.reporter is not None:  # each report is a mean over the folds so far
        listeners.reporter.message(_sweepkit_facts={VALUE_FACT: LAST, MEAN_OVER_FACT: "fold"})
    save = config.training.save_model
    keeper = FoldKeeper(listeners.preemption, progress)
    done = [_Fitted.of(known) for known in keeper.restore()]
    resumed = {"resumed_at": sum(one.steps for one in done)} if done else {}
    for number, fold in enumerate(folds[len(done) :], len(done) + 1):
        folder = output_dir / "model" / (f"fold_{number}" if len(folds) > 1 else "")
        reporting = FoldReportingCallback(progress, fold=number, steps_before=sum(one.steps for one in done))
        callbacks = (reporting, keeper)
        place = _Place(effort, output_dir, folder if save else None, callbacks, number - 1, listeners.say)
        done.append(_fit(config, images, fold, place, architecture))
        if reporting.last is not None:
            progress.fold_done(reporting.last)
        if progress.diverged:
            break
        keeper.fold_done([one.as_dict() for one in done], sum(one.steps for one in done))
    keeper.over()
    return Outcome(
        history=tuple(progress.history),
        metric=METRIC,
        diverged=progress.diverged,
        device=done[-1].device,
        train_rows=len(folds[0].train),
        val_rows=sum(len(fold.val) for fold in folds[: len(done)]),
        steps=sum(one.steps for one in done),
        cumulative=len(folds) > 1,
        facts={**_facts(images, folds, done, progress), **resumed},
        files={"predictions.csv": _predictions(images, folds, done)},
    )


def _softmax(logits: _Chances) -> _Chances:
    """Return probabilities from logits of the shape (images, classes)."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: _Chances = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _folds(config: ImageConfig | PerceiverConfig, images: Images) -> list[Fold]:
    """Return the folds of the images, or the division into the data's own parts."""
    own = len(images.labels) - images.test_rows
    limit = config.data.max_samples
    rows: Rows = np.arange(own)
    if limit is not None:
        rows = sample(images.labels[:own], images.classes, limit, config.training.seed)
    if config.validation.use_test_part:
        if images.test_rows == 0:
            raise DataError(
                "validation.use_test_part: the data must have a test part of their own (MNIST's t10k files, x_test), "
                f"got none in {config.data.source}; set validation.folds instead"
            )
        return [Fold(rows, np.arange(own, len(images.labels)))]
    count = config.validation.folds
    ratio = config.validation.val_ratio if count == 1 else 0.5  # read only where it matters
    found = split(images.labels[rows], images.classes, count, ratio, config.training.seed)
    return [Fold(rows[fold.train], rows[fold.val]) for fold in found]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a fold stands: its effort, the run's folder, its model's if kept, who hears of it, its number from 0."""

    effort: Effort
    output_dir: Path
    folder: Path | None
    callbacks: tuple[TrainerCallback, ...]
    number: int
    say: Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fitted:
    """What came of one fold: steps made, predicted classes of its validation rows, device, parameters, full memory."""

    out_of_memory: Mapping[str, Any] | None
    steps: int
    predicted: Rows
    chances: _Chances
    device: str
    parameters: int

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        named = {name: getattr(self, name) for name in ("out_of_memory", "steps", "device", "parameters")}
        return {**named, "predicted": self.predicted.tolist(), "chances": self.chances.tolist()}

    @classmethod
    def of(cls, known: Mapping[str, Any]) -> "_Fitted":
        """Return what `as_dict` was made of."""
        arrays = {
            "predicted": np.asarray(known["predicted"], dtype=np.int64),
            "chances": np.asarray(known["chances"], dtype=np.float64),
        }
        return cls(**{**known, **arrays})


def _fit(
    config: ImageConfig | PerceiverConfig, images: Images, fold: Fold, place: _Place, architecture: Architecture
) -> _Fitted:
    """Train one model on a fold and score it after each epoch."""
    training = config.training
    seed = (training.seed + place.number) % 2**32
    set_seed(seed)
    scaling = architecture.scaling(images.pixels.shape[3]) or measured(images, fold.train)
    softening = Softening(smoothing=training.label_smoothing, mixup_alpha=training.mixup_alpha, seed=seed)
    model = architecture.make(images)
    if training.gradient_checkpointing:
        recompute_blocks(model)
    predicted: list[Rows] = [np.zeros(len(fold.val), dtype=np.int64)]
    chances: list[_Chances] = [np.zeros((len(fold.val), len(images.classes)))]

    def score(result: Any) -> dict[str, float]:
        predicted[0] = np.asarray(result.predictions).argmax(axis=1)
        chances[0] = _softmax(np.asarray(result.predictions, dtype=np.float64))
        return scores(result.label_ids, predicted[0])

    trainer = _FittingImageTrainer(
        architecture.logits,
        model=model,
        args=_arguments(config, place.effort, seed, place.output_dir),
        train_dataset=Batches(images, fold.train, scaling, softening),
        eval_dataset=Batches(images, fold.val, scaling),
        data_collator=as_fetched,
        compute_metrics=score,
        callbacks=list(place.callbacks),
        say=place.say,
        adapt=training.on_out_of_memory == "adapt",
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    if place.folder is not None:
        place.folder.mkdir(parents=True, exist_ok=True)
        architecture.save(model, scaling, place.folder)
    fitted = _Fitted(
        out_of_memory=trainer.out_of_memory(),
        steps=trainer.state.global_step,
        predicted=predicted[0],
        chances=chances[0],
        device=environment.device_name(trainer.args.device),
        parameters=sum(weights.numel() for weights in model.parameters()),
    )
    del trainer, model
    gc.collect()  # they refer to each other, and a GPU must not hold the models of two folds
    return fitted


def _arguments(config: ImageConfig | PerceiverConfig, effort: Effort, seed: int, output_dir: Path) -> TrainingArguments:
    """Return transformers' arguments of one fold."""
    training = config.training
    use_cpu = training.use_cpu or not torch.cuda.is_available()
    refuse_fp16(fp16=training.fp16, use_cpu=use_cpu)
    rise = warmup(min(effort.warmup_epochs / effort.epochs, _WHOLE)) if effort.warmup_epochs else {}
    return TrainingArguments(
        output_dir=str(output_dir),
        learning_rate=training.learning_rate,
        per_device_train_batch_size=effort.batch_size,
        per_device_eval_batch_size=training.per_device_eval_batch_size,
        gradient_accumulation_steps=training.gradient_accumulation_steps,
        num_train_epochs=effort.epochs,
        weight_decay=training.weight_decay,
        max_grad_norm=training.grad_clip_norm,
        lr_scheduler_type=training.lr_scheduler_type,
        optim=training.optim,
        fp16=training.fp16,
        bf16=training.bf16,
        seed=seed,
        use_cpu=use_cpu,
        eval_strategy="epoch",
        save_strategy="no",
        logging_strategy="no",  # FoldTelling asks for the loss where it is wanted
        logging_nan_inf_filter=False,  # it would replace a NaN loss by the last sound one
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_pin_memory=not use_cpu,
        **rise,
    )


def _facts(images: Images, folds: Sequence[Fold], done: Sequence[_Fitted], progress: FoldProgress) -> dict[str, Any]:
    """Return what stands in the result file beside the history."""
    values = [one[METRIC] for one in progress.fold_scores]
    return {
        "folds": [
            {
                "fold": number,
                **found,
                "steps": fitted.steps,
                "train_rows": len(fold.train),
                "val_rows": len(fold.val),
                "out_of_memory": fitted.out_of_memory,
            }
            for number, (found, fitted, fold) in enumerate(zip(progress.fold_scores, done, folds, strict=False), 1)
        ],
        f"{METRIC}_mean": sum(values) / len(values) if values else None,
        f"{METRIC}_std": spread(values) if values else None,
        "classes": list(images.classes),
        "parameters": done[-1].parameters,
    }


def _predictions(images: Images, folds: Sequence[Fold], done: Sequence[_Fitted]) -> str:
    """Return a CSV text of every scored image: image, label, predicted, fold, probabilities; in the data's order."""
    rows = [
        (row, predicted, number, tuple(chances))
        for number, (fold, fitted) in enumerate(zip(folds, done, strict=False), 1)
        for row, predicted, chances in zip(
            fold.val.tolist(), fitted.predicted.tolist(), fitted.chances.tolist(), strict=True
        )
    ]
    columns = ("image", "label", "predicted", "fold", *(f"p_{name}" for name in images.classes))
    table = []
    for row, predicted, number, chances in sorted(rows):
        label, shown = images.classes[images.labels[row]], [f"{chance:.6f}" for chance in chances]
        cells = (images.names[row], label, images.classes[predicted], number, *shown)
        table.append(dict(zip(columns, cells, strict=True)))
    return csv_text(table, columns)
