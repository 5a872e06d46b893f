"""Dialogue summarization with an encoder-decoder or a decoder-only model and transformers' Seq2SeqTrainer.

Importing this module imports torch and transformers; it uses neither of them before `train` is called.
"""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from transformers import PrinterCallback, Seq2SeqTrainer, Seq2SeqTrainingArguments

from sweepkit.environ import RUN_DIR_ENV
from sweepkit.paths import cache_dir
from sweepkit.training import environment
from sweepkit.training.arguments import training_arguments
from sweepkit.training.callbacks import EarlyStopping, ReportingCallback
from sweepkit.training.config.training import TrainingConfig
from sweepkit.training.dataset import load as load_data
from sweepkit.training.dataset import lost
from sweepkit.training.fits import fits_of
from sweepkit.training.models.batches import CausalCollator, Seq2SeqCollator
from sweepkit.training.models.families import FamilyKind
from sweepkit.training.models.generation import own_randomness, prompts_of
from sweepkit.training.models.loading import Loaded
from sweepkit.training.models.loading import load as load_models
from sweepkit.training.models.saving import save
from sweepkit.training.resuming import Resumable, Stateful
from sweepkit.training.scoring import EXAMPLES_NAME, SAMPLE_NAME, Scoring
from sweepkit.training.tasks.base import Listeners, Outcome
from sweepkit.training.tokens import TokenizedPairs
from sweepkit.training.usage import RecordedConfig

_METRIC = "rouge_combined_f1"


class Summarizer(Seq2SeqTrainer):
    """A Seq2SeqTrainer for both kinds of models.

    Its evaluation loss leaves label smoothing out, so that runs with and without compare. What is sampled in an
    evaluation comes from a random stream of its own, so that it changes nothing in the training. A decoder-only model
    is given its prompts padded at the left, and only what it adds is its prediction.
    """

    args: Seq2SeqTrainingArguments
    model: Any  # transformers' annotation knows no generate
    _batch = 0  # of the running evaluation

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Evaluate with plain cross entropy."""
        smoother, self.label_smoother = self.label_smoother, None
        self._batch = 0
        try:
            metrics: dict[str, float] = super().evaluate(*args, **kwargs)
            return metrics
        finally:
            self.label_smoother = smoother

    def prediction_step(
        self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: Any = None, **generation: Any
    ) -> Any:
        """Return the loss of one batch, the generated ids and the labels."""
        self._batch += 1
        if not self.args.predict_with_generate or prediction_loss_only:
            return super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
        with self._randomness():
            if self.model.config.is_encoder_decoder:
                return super().prediction_step(model, inputs, prediction_loss_only, ignore_keys, **generation)
            return self._continue_prompts(model, inputs)

    def _randomness(self) -> contextlib.AbstractContextManager[None]:
        """Return what keeps the training's random stream untouched where tokens are drawn."""
        if not self.model.generation_config.do_sample:
            return contextlib.nullcontext()
        # Another stream for each batch of an evaluation, the same in every evaluation.
        return own_randomness(self.args.seed + self._batch, self.args.device)

    def _continue_prompts(self, model: Any, inputs: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return loss, what the model adds to the prompts, and labels, of a batch of a decoder-only model."""
        inputs = self._prepare_inputs(inputs)
        pad_id = self.model.generation_config.pad_token_id
        prompts, mask = prompts_of(inputs["input_ids"], inputs["attention_mask"], inputs["labels"], pad_id)
        generated = self.model.generate(input_ids=prompts, attention_mask=mask)
        with torch.no_grad(), self.compute_loss_context_manager():
            loss = model(**inputs)["loss"].detach().mean()
        return loss, generated[:, prompts.shape[1] :], inputs["labels"]


class FittingSummarizer(Resumable, Summarizer):
    """A Summarizer that answers a full memory, and a request to save itself."""


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
    arguments = training_arguments(config, output_dir)
    loaded = load_models(config, cut=listeners.say if RUN_DIR_ENV in os.environ else None)
    train_set, val_set = load_data(
        config,
        loaded.tokenizer,
        prompt=loaded.prompt,
        encodes=loaded.kind is FamilyKind.SEQ2SEQ,
        encoder_max_len=loaded.encoder_max_len,
        cache_dir=cache_dir(os.environ),
        say=listeners.say,
    )
    cut = lost(config, train_set, val_set, loaded.encoder_max_len)
    for sentence in cut.get("sentences", ()):
        listeners.say(sentence)
    reporting = ReportingCallback(
        say=listeners.say, used=listeners.used, reporter=listeners.reporter, tracker=listeners.tracker
    )
    stopping = _early_stopping(config, listeners)
    scoring = _scoring(config, loaded, val_set, output_dir)
    if listeners.reporter is not None:  # what a score means must stand beside it, in a run that is stopped early too
        tokenizer = {} if scoring is None else {"rouge_tokenizer": scoring.tokenizer}
        listeners.reporter.message(_sweepkit_facts={**tokenizer, **loaded.facts, **({"cut": cut} if cut else {})})
    trainer = FittingSummarizer(
        model=loaded.model,
        args=arguments,
        train_dataset=cast(Any, train_set),
        eval_dataset=cast(Any, val_set),  # any sized, indexable thing will do
        data_collator=_collator(loaded, config),
        compute_metrics=scoring,
        callbacks=[reporting, *stopping],
        say=listeners.say,
        adapt=config.training.on_out_of_memory == "adapt",
        fits=fits_of(recorded.raw, os.environ, device=environment.device_name(arguments.device)),
        preemption=listeners.preemption,
        keeps=_keeps(reporting, stopping, scoring),
        files=tuple(output_dir / "results" / name for name in (EXAMPLES_NAME, SAMPLE_NAME)),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    facts = {**loaded.facts, **_scored(scoring, reporting), "out_of_memory": trainer.out_of_memory()}
    facts |= {"cut": cut} if cut else {}
    facts |= {} if trainer.resumed_at is None else {"resumed_at": trainer.resumed_at}
    for rule in stopping:
        facts |= {} if rule.stopped is None else {"stopped_early": rule.stopped}
    outcome = Outcome(
        history=tuple(reporting.history),
        metric=_METRIC,
        diverged=reporting.diverged,
        device=environment.device_name(trainer.args.device),
        train_rows=len(train_set),
        val_rows=len(val_set),
        steps=trainer.state.global_step,
        facts=facts,
    )
    if config.training.save_model:
        save(loaded, output_dir / "model", merge=config.lora.enabled and config.lora.merge)
    return outcome


def _keeps(
    reporting: ReportingCallback, stopping: Sequence[EarlyStopping], scoring: Scoring | None
) -> dict[str, Stateful]:
    """Return what must be saved beside the model, by name; told first, so that it is said before anything new is."""
    keeps: dict[str, Stateful] = {"reporting": reporting}
    keeps |= {f"stopping {number}": rule for number, rule in enumerate(stopping)}
    return keeps if scoring is None else {**keeps, "scoring": scoring}


def _collator(loaded: Loaded, config: TrainingConfig) -> Seq2SeqCollator | CausalCollator:
    """Return what makes batches for a model."""
    pad_id = loaded.tokenizer.pad_token_id
    if loaded.kind is FamilyKind.CAUSAL:
        return CausalCollator(pad_id)
    return Seq2SeqCollator(pad_id, loaded.model, left=config.tokenizer.padding_side == "left")


def _early_stopping(config: TrainingConfig, listeners: Listeners) -> list[EarlyStopping]:
    """Return the rule that ends the training early, when the configuration has one."""
    patience = config.training.early_stopping_patience
    if patience is None:
        return []
    threshold = config.training.early_stopping_threshold
    return [EarlyStopping(patience=patience, threshold=threshold, metric=_METRIC, say=listeners.say)]


def _scoring(config: TrainingConfig, loaded: Loaded, val_set: TokenizedPairs, output_dir: Path) -> Scoring | None:
    """Return what scores generated summaries; None when none are generated."""
    if not config.training.predict_with_generate:
        return None
    return Scoring(config, loaded.tokenizer, val_set.references(), val_set.sources(), output_dir / "results")


def _scored(scoring: Scoring | None, reporting: ReportingCallback) -> dict[str, Any]:
    """Return what the result file says of the scoring."""
    if scoring is None:
        return {}
    at = reporting.history[scoring.best_at].step if scoring.best_at < len(reporting.history) else None
    return {"rouge_tokenizer": scoring.tokenizer, "examples": {"file": EXAMPLES_NAME, "step": at}}
