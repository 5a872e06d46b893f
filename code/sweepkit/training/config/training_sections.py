"""The sections of the training configuration: their fields, defaults and ranges. Defaults live here and nowhere else.

Fields that transformers has keep transformers' names; all others have their unit in the name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from sweepkit.training.config.reproduces_section import ReproducesSection

# Names that sweep files of the users' guides and of Optuna's use for what transformers calls otherwise.
_ALIASES: Mapping[str, str] = {
    "batch_size": "training.per_device_train_batch_size",
    "num_epochs": "training.num_train_epochs",
    "scheduler_type": "training.lr_scheduler_type",
    "hidden_dropout": "model.dropout_rate",
    "use_lora": "lora.enabled",
    "lr": "training.learning_rate",
    "epochs": "training.num_train_epochs",
    "train_batch_size": "training.per_device_train_batch_size",
    "eval_batch_size": "training.per_device_eval_batch_size",
    "scheduler": "training.lr_scheduler_type",
    "lr_scheduler": "training.lr_scheduler_type",
    "optimizer": "training.optim",
    "label_smoothing": "training.label_smoothing_factor",
    "dropout": "model.dropout_rate",
    "lora_rank": "lora.r",
    "max_input_length": "tokenizer.encoder_max_len",
    "max_target_length": "tokenizer.decoder_max_len",
    "mixed_precision": "training.fp16",
    "max_new_tokens": "tokenizer.decoder_max_len",
    "source_prefix": "tokenizer.prefix",
    "checkpoint": "model.name",
    "model.checkpoint": "model.name",
    "model.architecture": "model.name",
    "model.hidden_dropout_prob": "model.dropout_rate",
    "model.attention_dropout_prob": "model.attention_dropout",
    "logging.use_wandb": "wandb.enabled",
    "logging.wandb_project": "wandb.project",
    "generation.max_length": "tokenizer.decoder_max_len",
}
# Names that transformers 5 gave up, and what is written instead.
_RENAMED: Mapping[str, str] = {
    "evaluation_strategy": "eval_strategy",
    "no_cuda": "use_cpu",
    "adafactor": "optim: adafactor",
    "warmup_steps": "warmup_ratio",
    "generation_num_beams": "generation.num_beams",
    "generation_max_length": "tokenizer.decoder_max_len",
    "activation_checkpointing": "gradient_checkpointing",
}
# Optimizers that keep their state in 8 bits or in the CPU's memory; refused in training where bitsandbytes is missing.
OPTIMIZERS_OF_BITSANDBYTES = (
    "adamw_8bit",
    "adamw_bnb_8bit",
    "paged_adamw_32bit",
    "paged_adamw_8bit",
    "lion_32bit",
    "lion_8bit",
    "paged_lion_32bit",
    "paged_lion_8bit",
)
OPTIMIZERS = (
    *("adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "rmsprop", "adagrad"),
    *OPTIMIZERS_OF_BITSANDBYTES,
)
_ROUGE_TOKENIZERS = ("unicode", "whitespace", "character", "rouge_score", "kiwi", "mecab")
SCHEDULES = ("linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup")


def bounded(
    default: Any,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
    choices: Sequence[str] = (),
) -> Any:
    """Return a dataclass field that knows the range of its value, as `sweep_config.fields.Field` takes it."""
    limits = {"at_least": least, "above": above, "at_most": most, "below": below, "choices": tuple(choices)}
    return field(default=default, metadata=limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSection:
    """Which model is trained.

    Args:
        name: A checkpoint's folder (relative to the root of the checkout, or absolute) or a hub name.
        dropout_rate: Probability in [0, 1), set on the loaded model; None keeps the checkpoint's own.
        attention_dropout: The same, of attention weights.
        encoder_layers: Keep so many of the encoder's layers, >= 1; None for all. Encoder-decoders only.
        decoder_layers: The same of the decoder; of a decoder-only model, of all it has.
    """

    name: str = "data/checkpoints/bart-tiny-ko"
    dropout_rate: float | None = bounded(None, least=0, below=1)
    attention_dropout: float | None = bounded(None, least=0, below=1)
    encoder_layers: int | None = bounded(None, least=1)
    decoder_layers: int | None = bounded(None, least=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraSection:
    """Low-rank adapters in place of full fine-tuning (Hu et al. 2021), through peft. Swept as lora_r, lora_alpha, ….

    Args:
        enabled: Whether only adapters are trained.
        r: Their rank, >= 1.
        alpha: Their scale is alpha / r, > 0.
        dropout: Probability in [0, 1) on what enters an adapter.
        target_modules: "attention" (query and value projections), "all-linear", or names of modules, comma separated;
            found for each architecture.
        merge: Fold the adapters into the weights before the model is saved; else only the adapters are saved.
    """

    enabled: bool = False
    r: int = bounded(8, least=1)
    alpha: float = bounded(16.0, above=0)
    dropout: float = bounded(0.0, least=0, below=1)
    target_modules: str = "attention"
    merge: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSection:
    """What it is trained and scored on.

    Args:
        train_file: UTF-8 CSV with a header, JSON lines (.jsonl) or Parquet (.parquet).
        val_file: The same columns; scored at every evaluation. None splits it off from the training file, by seed.
        dialogue_column: Column of the input text.
        summary_column: Column of the wanted text.
        reference_columns: Columns of the validation file with the wanted texts when there are several; empty for
            summary_column alone.
        delimiter: Between the fields of a CSV file, one character; None finds it out from the header.
        max_train_samples: Use the first so many rows, >= 1; None for all.
        max_val_samples: The same for the validation data.
        val_sample_ratio: Part of the training file that a split takes, in (0, 1), but min_val_samples at least.
        min_val_samples: Fewer validation rows than this are refused, >= 1: differences between runs would be noise.
        allow_small_val: Take fewer all the same.
        normalize_text: Make quotes, repetitions and white space uniform, in data and predictions alike.
    """

    train_file: str = "data/train.csv"
    val_file: str | None = "data/dev.csv"
    dialogue_column: str = "dialogue"
    summary_column: str = "summary"
    reference_columns: tuple[str, ...] = ()
    delimiter: str | None = None
    max_train_samples: int | None = bounded(None, least=1)
    max_val_samples: int | None = bounded(None, least=1)
    val_sample_ratio: float = bounded(0.1, above=0, below=1)
    min_val_samples: int = bounded(500, least=1)
    allow_small_val: bool = False
    normalize_text: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerSection:
    r"""Longest sequences, in tokens; what is longer is cut.

    Args:
        encoder_max_len: Of the dialogue, >= 8.
        decoder_max_len: Of the summary, and of what is generated, >= 4.
        speaker_tags: Tokens that must never be cut in pieces. What the checkpoint's tokenizer lacks is added to it, as
            ordinary tokens: special ones would vanish from predictions and references alike.
        prompt: What the model is given, with {dialogue} in it; None takes the checkpoint's own (prompt in its
            sweepkit.json), else "{dialogue}\n요약: " for a decoder-only model and the dialogue for an encoder-decoder.
        prefix: A text before that, such as T5's "summarize: "; transformers calls it source_prefix.
        padding_side: Where a batch's dialogues are filled up, "left" or "right"; None takes what the model needs:
            left when a decoder-only model generates, right in an encoder.
    """

    encoder_max_len: int = bounded(256, least=8)
    decoder_max_len: int = bounded(64, least=4)
    speaker_tags: tuple[str, ...] = tuple(f"#Person{number}#" for number in range(1, 8))
    prompt: str | None = None
    prefix: str = ""
    padding_side: str | None = bounded(None, choices=("left", "right"))


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
        lr_scheduler_type: How the rate falls; cosine_with_restarts falls twice.
        label_smoothing_factor: In [0, 1); eval/loss is measured without it, so that runs stay comparable.
        optim: The optimizer; those in 8 bits, paged ones and lion need the package bitsandbytes.
        fp16: Half precision (CUDA).
        bf16: bfloat16.
        gradient_checkpointing: Recompute activations: less memory, about a third slower.
        eval_strategy: When to evaluate: every eval_steps, every epoch, or only at the end ("no").
        eval_steps: Steps between evaluations when >= 1; below 1 a part of all steps, so 0.125 makes 8 evaluations.
        early_stopping_patience: End after so many evaluations in a row that did not better the best, >= 1; None never.
        early_stopping_threshold: What counts as better: by more than this, >= 0.
        on_out_of_memory: "adapt" answers a full memory within the run: half the batch with twice the accumulation, then
            gradient checkpointing, and only then a failure. "fail" fails at once.
        predict_with_generate: Generate summaries and score them; without it only the loss is known.
        save_model: Keep the trained model under the output directory.
        use_cpu: Use no GPU though there is one.
        seed: Of everything random in the training, >= 0.
    """

    learning_rate: float = bounded(3e-3, above=0)
    per_device_train_batch_size: int = bounded(16, least=1)
    per_device_eval_batch_size: int = bounded(64, least=1)
    gradient_accumulation_steps: int = bounded(1, least=1)
    num_train_epochs: float = bounded(2.0, above=0)
    max_steps: int = bounded(-1, least=-1)
    warmup_ratio: float = bounded(0.1, least=0, below=1)
    weight_decay: float = bounded(0.01, least=0)
    max_grad_norm: float = bounded(1.0, least=0)
    lr_scheduler_type: str = bounded("linear", choices=SCHEDULES)
    label_smoothing_factor: float = bounded(0.0, least=0, below=1)
    optim: str = bounded("adamw_torch_fused", choices=OPTIMIZERS)
    fp16: bool = False
    bf16: bool = False
    gradient_checkpointing: bool = False
    eval_strategy: str = bounded("steps", choices=("steps", "epoch", "no"))
    eval_steps: float = bounded(0.125, above=0)
    early_stopping_patience: int | None = bounded(None, least=1)
    early_stopping_threshold: float = bounded(0.0, least=0)
    on_out_of_memory: str = bounded("adapt", choices=("adapt", "fail"))
    predict_with_generate: bool = True
    save_model: bool = False
    use_cpu: bool = False
    seed: int = bounded(42, least=0, most=2**32 - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationSection:
    """How summaries are generated when the model is scored.

    Args:
        num_beams: Width of the search, >= 1; 1 takes the likeliest token each time.
        length_penalty: > 0 prefers longer summaries; only with more than one beam.
        no_repeat_ngram_size: No n-gram of this length occurs twice; 0 for no such rule.
        temperature: Draw tokens with logits divided by this, > 0; None with top_p None takes the likeliest.
        top_p: Draw from the likeliest tokens that together have this probability, in (0, 1]; None as above.
        repetition_penalty: Logits of tokens that are there already are divided by this (Keskar et al. 2019), > 0; 1 for
            none.
        min_length: Tokens that a summary has at least, >= 0, at most decoder_max_len.
    """

    num_beams: int = bounded(1, least=1)
    length_penalty: float = 1.0
    no_repeat_ngram_size: int = bounded(0, least=0)
    temperature: float | None = bounded(None, above=0)
    top_p: float | None = bounded(None, above=0, most=1)
    repetition_penalty: float = bounded(1.0, above=0)
    min_length: int = bounded(0, least=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSection:
    """How summaries are scored.

    Args:
        rouge: What computes ROUGE: ours, or the package `rouge_score`, with the same scores in twenty times the time.
        rouge_tokenizer: Decides what a word is, and stands in every result. "kiwi" and "mecab" need their package.
        multi_reference: With several references a prediction's score is the mean over them, or the best ("max").
        prediction_samples: Predictions of the last evaluation shown in results/predictions.txt, >= 0.
    """

    rouge: str = bounded("sweepkit", choices=("sweepkit", "rouge_score"))
    rouge_tokenizer: str = bounded("unicode", choices=_ROUGE_TOKENIZERS)
    multi_reference: str = bounded("mean", choices=("mean", "max"))
    prediction_samples: int = bounded(20, least=0)


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
    mode: str = bounded("offline", choices=("offline", "disabled"))


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSection:
    """Where results go: `directory`, or None for outputs/<model>_seed<seed>."""

    directory: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """Everything that decides a training for summarization; equal ones give equal results on one machine."""

    task: ClassVar[str] = "summarization"
    aliases: ClassVar[Mapping[str, str]] = _ALIASES
    renamed: ClassVar[Mapping[str, str]] = _RENAMED

    model: ModelSection = field(default_factory=ModelSection)
    lora: LoraSection = field(default_factory=LoraSection)
    data: DataSection = field(default_factory=DataSection)
    tokenizer: TokenizerSection = field(default_factory=TokenizerSection)
    training: TrainingSection = field(default_factory=TrainingSection)
    generation: GenerationSection = field(default_factory=GenerationSection)
    metrics: MetricsSection = field(default_factory=MetricsSection)
    wandb: WandbSection = field(default_factory=WandbSection)
    output: OutputSection = field(default_factory=OutputSection)
    reproduces: ReproducesSection = field(default_factory=ReproducesSection)
