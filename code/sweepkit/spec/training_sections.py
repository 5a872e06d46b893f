"""The sections of the training configuration: their fields, defaults and ranges. Defaults live here and nowhere else.

Fields that transformers has keep transformers' names; all others have their unit in the name.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

OPTIMIZERS = ("adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "rmsprop", "adagrad")
SCHEDULES = ("linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup")


def _field(
    default: Any,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
    choices: Sequence[str] = (),
) -> Any:
    """Return a dataclass field that knows the range of its value."""
    bounds = {"least": least, "above": above, "most": most, "below": below, "choices": tuple(choices)}
    return field(default=default, metadata=bounds)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSection:
    """Which model is trained.

    Args:
        name: A checkpoint's folder (relative to the root of the checkout, or absolute) or a hub name.
        dropout_rate: Probability in [0, 1), set on the loaded model; None keeps the checkpoint's own.
        attention_dropout: The same, of attention weights.
    """

    name: str = "data/checkpoints/bart-tiny-ko"
    dropout_rate: float | None = _field(None, least=0, below=1)
    attention_dropout: float | None = _field(None, least=0, below=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSection:
    """What it is trained and scored on.

    Args:
        train_file: UTF-8 CSV with a header.
        val_file: The same columns; scored at every evaluation.
        dialogue_column: Column of the input text.
        summary_column: Column of the wanted text.
        max_train_samples: Use the first so many rows, >= 1; None for all.
        max_val_samples: The same for the validation file.
        normalize_text: Make quotes, repetitions and white space uniform, in data and predictions alike.
    """

    train_file: str = "data/train.csv"
    val_file: str = "data/dev.csv"
    dialogue_column: str = "dialogue"
    summary_column: str = "summary"
    max_train_samples: int | None = _field(None, least=1)
    max_val_samples: int | None = _field(None, least=1)
    normalize_text: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerSection:
    """Longest sequences, in tokens; what is longer is cut.

    Args:
        encoder_max_len: Of the dialogue, >= 8.
        decoder_max_len: Of the summary, and of what is generated, >= 4.
    """

    encoder_max_len: int = _field(256, least=8)
    decoder_max_len: int = _field(64, least=4)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSection:
    """transformers' Seq2SeqTrainingArguments by their own names and meanings, as far as they are offered here.

    Args:
        learning_rate: Peak rate, > 0.
        per_device_train_batch_size: Dialogues a step and device, >= 1.
        per_device_eval_batch_size: Dialogues generated at once, >= 1.
        gradient_accumulation_steps: Batches per optimizer step, >= 1.
        num_train_epochs: Passes over the training data, > 0; a fraction is allowed.
        max_steps: Optimizer steps in place of epochs when >= 1; -1 for epochs.
        warmup_ratio: Part of the steps with a rising rate, in [0, 1).
        weight_decay: >= 0.
        max_grad_norm: Gradients are scaled down to this norm; 0 for never.
        lr_scheduler_type: How the rate falls.
        label_smoothing_factor: In [0, 1); eval/loss is measured without it, so that runs stay comparable.
        optim: The optimizer.
        fp16: Half precision (CUDA).
        bf16: bfloat16.
        gradient_checkpointing: Recompute activations: less memory, about a third slower.
        eval_strategy: When to evaluate: every eval_steps, every epoch, or only at the end ("no").
        eval_steps: Steps between evaluations when >= 1; below 1 a part of all steps, so 0.125 makes 8 evaluations.
        predict_with_generate: Generate summaries and score them; without it only the loss is known.
        save_model: Keep the trained model under the output directory.
        use_cpu: Use no GPU though there is one.
        seed: Of everything random in the training, >= 0.
    """

    learning_rate: float = _field(3e-3, above=0)
    per_device_train_batch_size: int = _field(16, least=1)
    per_device_eval_batch_size: int = _field(64, least=1)
    gradient_accumulation_steps: int = _field(1, least=1)
    num_train_epochs: float = _field(2.0, above=0)
    max_steps: int = _field(-1, least=-1)
    warmup_ratio: float = _field(0.1, least=0, below=1)
    weight_decay: float = _field(0.01, least=0)
    max_grad_norm: float = _field(1.0, least=0)
    lr_scheduler_type: str = _field("linear", choices=SCHEDULES)
    label_smoothing_factor: float = _field(0.0, least=0, below=1)
    optim: str = _field("adamw_torch_fused", choices=OPTIMIZERS)
    fp16: bool = False
    bf16: bool = False
    gradient_checkpointing: bool = False
    eval_strategy: str = _field("steps", choices=("steps", "epoch", "no"))
    eval_steps: float = _field(0.125, above=0)
    predict_with_generate: bool = True
    save_model: bool = False
    use_cpu: bool = False
    seed: int = _field(42, least=0, most=2**32 - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationSection:
    """How summaries are generated when the model is scored.

    Args:
        num_beams: Width of the search, >= 1; 1 takes the likeliest token each time.
        length_penalty: > 0 prefers longer summaries; only with more than one beam.
        no_repeat_ngram_size: No n-gram of this length occurs twice; 0 for no such rule.
    """

    num_beams: int = _field(1, least=1)
    length_penalty: float = 1.0
    no_repeat_ngram_size: int = _field(0, least=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSection:
    """How summaries are scored: `rouge_tokenizer` decides what a word is, and stands in every result."""

    rouge_tokenizer: str = _field("unicode", choices=("unicode", "whitespace", "character"))


@dataclass(frozen=True, slots=True, kw_only=True)
class WandbSection:
    """Recording the run with W&B as well. Off by default: it costs a second a run.

    Args:
        enabled: Whether to.
        project: W&B's project.
        mode: "offline" writes below the output directory and needs no account; "disabled" is as enabled: false.
    """

    enabled: bool = False
    project: str = "sweepkit"
    mode: str = _field("offline", choices=("offline", "disabled"))


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSection:
    """Where results go: `directory`, or None for outputs/<model>_seed<seed>."""

    directory: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """Everything that decides a training; equal configurations give equal results on one machine."""

    model: ModelSection = field(default_factory=ModelSection)
    data: DataSection = field(default_factory=DataSection)
    tokenizer: TokenizerSection = field(default_factory=TokenizerSection)
    training: TrainingSection = field(default_factory=TrainingSection)
    generation: GenerationSection = field(default_factory=GenerationSection)
    metrics: MetricsSection = field(default_factory=MetricsSection)
    wandb: WandbSection = field(default_factory=WandbSection)
    output: OutputSection = field(default_factory=OutputSection)
