"""transformers' training arguments from a configuration; what cannot work here is refused before anything is loaded."""

import importlib.util
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import Seq2SeqTrainingArguments

from sweepkit.errors import DataError
from sweepkit.training.config.training import TrainingConfig
from sweepkit.training.config.training_sections import OPTIMIZERS_OF_BITSANDBYTES

_MAJOR = int(transformers.__version__.split(".")[0])
_NO_WARMUP = ("constant",)
# transformers' default is one cycle, which is plain cosine: a schedule of that name restarts at least once.
_SCHEDULE_OPTIONS = {"cosine_with_restarts": {"num_cycles": 2}}


def training_arguments(config: TrainingConfig, output_dir: Path) -> Seq2SeqTrainingArguments:
    """Return transformers' arguments; a field that cannot matter (warm-up of a constant rate) is not read.

    Args:
        config: Whose section training counts.
        output_dir: Where transformers may write.

    Raises:
        DataError: An optimizer's package is missing, or the device has no such precision.
    """
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
        # The other way, transformers 4's default, loses the gradients where the embeddings are frozen, as under LoRA.
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
        "predict_with_generate": training.predict_with_generate,
        "eval_strategy": training.eval_strategy,
        "seed": training.seed,
        "use_cpu": training.use_cpu or not torch.cuda.is_available(),
    }
    _check(config, chosen)
    if chosen["max_steps"] < 1:
        chosen["num_train_epochs"] = training.num_train_epochs
    if chosen["lr_scheduler_type"] not in _NO_WARMUP:
        chosen |= warmup(training.warmup_ratio)
    if chosen["lr_scheduler_type"] in _SCHEDULE_OPTIONS:
        chosen["lr_scheduler_kwargs"] = dict(_SCHEDULE_OPTIONS[chosen["lr_scheduler_type"]])
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


def warmup(ratio: float) -> dict[str, Any]:
    """Return transformers' field for a warm-up over a ratio of all steps, 0 <= ratio < 1.

    transformers 5 reads steps below 1 as a ratio and deprecates the field that transformers 4 has for it.
    """
    return {"warmup_steps" if _MAJOR >= 5 else "warmup_ratio": ratio}


def refuse_fp16(*, fp16: bool, use_cpu: bool) -> None:
    """Refuse half precision where nothing computes it. Raises DataError."""
    if fp16 and use_cpu:
        raise DataError(
            "training.fp16: half precision needs a GPU, got a CPU; leave it false here (mixed_precision is fp16, too)"
        )


def _check(config: TrainingConfig, chosen: dict[str, Any]) -> None:
    """Refuse what transformers would refuse in the middle of its work, or in words that name no field of ours."""
    optim = chosen["optim"]
    if optim in OPTIMIZERS_OF_BITSANDBYTES and importlib.util.find_spec("bitsandbytes") is None:
        raise DataError(
            f"training.optim: {optim} needs bitsandbytes, which is not installed; "
            "pip install bitsandbytes, or use adamw_torch_fused (adafactor where memory is short)"
        )
    refuse_fp16(fp16=chosen["fp16"], use_cpu=chosen["use_cpu"])
    if chosen["bf16"] and not chosen["use_cpu"] and not torch.cuda.is_bf16_supported():
        raise DataError(
            f"training.bf16: {torch.cuda.get_device_name()} computes no bfloat16 (Ampere and later do); use fp16"
        )
    if chosen["eval_strategy"] == "no" and config.training.early_stopping_patience is not None:
        raise DataError(
            "training.early_stopping_patience: must be null with eval_strategy: no, which evaluates at the end only, "
            f"got {config.training.early_stopping_patience}; use eval_strategy: epoch or steps"
        )
