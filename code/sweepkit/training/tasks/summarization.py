"""Dialogue summarization with an encoder-decoder model and transformers' Seq2SeqTrainer.

Importing this module imports torch and transformers; it uses neither of them before `train` is called.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from transformers import GenerationConfig, PrinterCallback, Seq2SeqTrainer, Seq2SeqTrainingArguments

from sweepkit.errors import DataError
from sweepkit.metrics.rouge import mean_rouge, rouge_pairs
from sweepkit.paths import cache_dir
from sweepkit.spec.training import TrainingConfig
from sweepkit.training import environment
from sweepkit.training.cache import Recipe, TokenizedPairs, tokenized
from sweepkit.training.callbacks import Telling
from sweepkit.training.checkpoints import load_model, load_tokenizer, resolve
from sweepkit.training.data import locate
from sweepkit.training.memory import OutOfMemory
from sweepkit.training.tasks.base import Listeners, Outcome
from sweepkit.training.text import normalize
from sweepkit.training.usage import RecordedConfig

IGNORED = -100  # the label that torch's cross entropy leaves out
_NO_WARMUP = ("constant",)
# What a model family calls its dropout, where it is not called "dropout".
_DROPOUT_FIELD = {"t5": "dropout_rate", "mt5": "dropout_rate"}


class Collator:
    """Makes a batch of items: padded to the longest, labels with -100, decoder inputs made from the labels.

    The decoder inputs are needed by label smoothing, which hides the labels from the model.

    Args:
        pad_id: The tokenizer's padding.
        model: The model that will be fed.
    """

    def __init__(self, pad_id: int, model: Any) -> None:
        self._pad_id, self._model = pad_id, model

    def __call__(self, items: Sequence[Mapping[str, list[int]]]) -> dict[str, torch.Tensor]:
        """Return tensors of shape (items, longest)."""
        labels = _padded([item["labels"] for item in items], IGNORED)
        return {
            "input_ids": _padded([item["input_ids"] for item in items], self._pad_id),
            "attention_mask": _padded([item["attention_mask"] for item in items], 0),
            "labels": labels,
            "decoder_input_ids": self._model.prepare_decoder_input_ids_from_labels(labels=labels),
        }


def _padded(rows: Sequence[list[int]], value: int) -> torch.Tensor:
    """Return the rows as one tensor, filled up at the right."""
    width = max(map(len, rows))
    return torch.tensor([row + [value] * (width - len(row)) for row in rows])


class Summarizer(Seq2SeqTrainer):
    """A Seq2SeqTrainer whose evaluation loss leaves label smoothing out, so that runs with and without compare."""

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Evaluate with plain cross entropy."""
        smoother, self.label_smoother = self.label_smoother, None
        try:
            metrics: dict[str, float] = super().evaluate(*args, **kwargs)
            return metrics
        finally:
            self.label_smoother = smoother


class FittingSummarizer(OutOfMemory, Summarizer):
    """A Summarizer that answers a full memory."""


def train(recorded: RecordedConfig[TrainingConfig], output_dir: Path, listeners: Listeners) -> Outcome:
    """Train and evaluate as the configuration says.

    Args:
        recorded: The configuration; what is read of it is noted there.
        output_dir: An existing folder; the model goes to `model/` below it when `training.save_model`.
        listeners: Who hears of it.

    Raises:
        DataError: Data or checkpoint are missing or malformed, or do not fit each other.
    """
    config = recorded.config
    environment.prepare(config.training.seed)
    name = resolve(config.model.name)
    tokenizer = load_tokenizer(name)
    train_set, val_set = _data(config, tokenizer)
    model = load_model(name, lambda loaded: _model_overrides(config, loaded))
    _check_lengths(config, model)
    _set_generation(config, model, tokenizer)
    telling = Telling(say=listeners.say, used=listeners.used, reporter=listeners.reporter, tracker=listeners.tracker)
    trainer = FittingSummarizer(
        model=model,
        args=_arguments(config, output_dir),
        train_dataset=cast(Any, train_set),
        eval_dataset=cast(Any, val_set),  # any sized, indexable thing will do
        data_collator=Collator(tokenizer.pad_token_id, model),
        compute_metrics=_scorer(config, tokenizer, val_set) if config.training.predict_with_generate else None,
        callbacks=[telling],
        say=listeners.say,
        adapt=config.training.on_out_of_memory == "adapt",
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    if config.training.save_model:
        trainer.save_model(str(output_dir / "model"))
        tokenizer.save_pretrained(str(output_dir / "model"))
    return Outcome(
        history=tuple(telling.history),
        metric="rouge_combined_f1",
        diverged=telling.diverged,
        device=environment.device_name(trainer.args.device),
        train_rows=len(train_set),
        val_rows=len(val_set),
        steps=trainer.state.global_step,
        facts={"rouge_tokenizer": config.metrics.rouge_tokenizer, "out_of_memory": trainer.out_of_memory()},
    )


def _data(config: TrainingConfig, tokenizer: Any) -> tuple[TokenizedPairs, TokenizedPairs]:
    """Return the tokenized training and validation data, from the cache when it has them."""
    recipe = Recipe(
        dialogue_column=config.data.dialogue_column,
        summary_column=config.data.summary_column,
        encoder_max_len=config.tokenizer.encoder_max_len,
        decoder_max_len=config.tokenizer.decoder_max_len,
        normalize_text=config.data.normalize_text,
    )
    train_file = locate(config.data.train_file, "data.train_file")
    val_file = locate(config.data.val_file or config.data.train_file, "data.val_file")
    cache = cache_dir(os.environ)
    return (
        TokenizedPairs(tokenized(train_file, tokenizer, recipe, cache), config.data.max_train_samples),
        TokenizedPairs(tokenized(val_file, tokenizer, recipe, cache), config.data.max_val_samples),
    )


def _model_overrides(config: TrainingConfig, loaded: Any) -> dict[str, Any]:
    """Return the fields of the model's own configuration that ours sets."""
    overrides: dict[str, Any] = {}
    if config.model.dropout_rate is not None:
        overrides[_DROPOUT_FIELD.get(loaded.model_type, "dropout")] = config.model.dropout_rate
    if config.model.attention_dropout is not None:
        overrides["attention_dropout"] = config.model.attention_dropout
    return overrides


def _check_lengths(config: TrainingConfig, model: Any) -> None:
    """Refuse sequences longer than the model has positions for; torch's own message would be an index error."""
    positions = getattr(model.config, "max_position_embeddings", None)
    for field, length in (
        ("encoder_max_len", config.tokenizer.encoder_max_len),
        ("decoder_max_len", config.tokenizer.decoder_max_len),
    ):
        if positions is not None and length > positions:
            raise DataError(
                f"tokenizer.{field}: must be at most the {positions} positions of {config.model.name}, got {length}"
            )


def _set_generation(config: TrainingConfig, model: Any, tokenizer: Any) -> None:
    """Give the model its generation settings; `max_length` and others left in a checkpoint would contradict them."""
    settings: dict[str, Any] = {
        "max_new_tokens": config.tokenizer.decoder_max_len,
        "bos_token_id": model.config.bos_token_id,
        "eos_token_id": model.config.eos_token_id,
        "pad_token_id": model.config.pad_token_id if model.config.pad_token_id is not None else tokenizer.pad_token_id,
        "decoder_start_token_id": model.config.decoder_start_token_id,
    }
    if config.training.predict_with_generate:
        settings["num_beams"] = config.generation.num_beams
        settings["no_repeat_ngram_size"] = config.generation.no_repeat_ngram_size
        if settings["num_beams"] > 1:
            settings["length_penalty"] = config.generation.length_penalty
    model.generation_config = GenerationConfig(**settings)  # type: ignore[no-untyped-call]


def _arguments(config: TrainingConfig, output_dir: Path) -> Seq2SeqTrainingArguments:
    """Return transformers' arguments; a field that cannot matter (warm-up of a constant rate) is not read."""
    training = config.training
    chosen: dict[str, Any] = {
        "learning_rate": training.learning_rate,
        "per_device_train_batch_size": training.per_device_train_batch_size,
        "per_device_eval_batch_size": training.per_device_eval_batch_size,
        "gradient_accumulation_steps": training.gradient_accumulation_steps,
        "max_steps": training.max_steps,
        "weight_decay": training.weight_decay,
        "max_grad_norm": training.max_grad_norm,
        "lr_scheduler_type": training.lr_scheduler_type,
        "label_smoothing_factor": training.label_smoothing_factor,
        "optim": training.optim,
        "fp16": training.fp16,
        "bf16": training.bf16,
        "gradient_checkpointing": training.gradient_checkpointing,
        "predict_with_generate": training.predict_with_generate,
        "eval_strategy": training.eval_strategy,
        "seed": training.seed,
        "use_cpu": training.use_cpu or not torch.cuda.is_available(),
    }
    if chosen["max_steps"] < 1:
        chosen["num_train_epochs"] = training.num_train_epochs
    if chosen["lr_scheduler_type"] not in _NO_WARMUP:
        chosen["warmup_steps"] = training.warmup_ratio  # transformers 5: a float below 1 is a ratio
    if chosen["eval_strategy"] == "steps":
        chosen["eval_steps"] = training.eval_steps
    return Seq2SeqTrainingArguments(
        output_dir=str(output_dir),
        report_to="none",
        save_strategy="no",
        logging_strategy="no",  # Telling asks for the loss where it is wanted
        logging_nan_inf_filter=False,  # it would replace a NaN loss by the last sound one
        disable_tqdm=True,
        dataloader_pin_memory=not chosen["use_cpu"],
        **chosen,
    )


def _scorer(config: TrainingConfig, tokenizer: Any, val_set: TokenizedPairs) -> Callable[[Any], dict[str, float]]:
    """Return what turns generated ids into ROUGE scores against the validation summaries."""
    references = val_set.references()
    name = config.metrics.rouge_tokenizer
    clean = normalize if config.data.normalize_text else str

    def score(prediction: Any) -> dict[str, float]:
        ids = np.where(prediction.predictions < 0, tokenizer.pad_token_id, prediction.predictions)
        texts = [clean(text) for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]
        return mean_rouge(rouge_pairs(texts, references, name)).as_dict()

    return score
