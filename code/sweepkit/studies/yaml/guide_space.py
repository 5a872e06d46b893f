"""The search space that `optimize.py` has without a configuration: the fifteen parameters of the Optuna guide. Pure.

The ranges are the guide's, for a checkpoint of usual size. The embedded checkpoints have a quarter of a million
parameters and learn at a hundred times the rate, so their range of learning rates is a hundred times the guide's.
"""

from collections.abc import Mapping
from typing import Any

from sweepkit.model.metric import Goal, Metric
from sweepkit.model.space import Space
from sweepkit.sweep_config.read import from_config

_EMBEDDED = "data/checkpoints/"
_METRICS: Mapping[Goal, str] = {Goal.MAXIMIZE: "eval/rougeL_f1", Goal.MINIMIZE: "eval/loss"}

_SPACE: Mapping[str, Mapping[str, Any]] = {
    "lora_r": {"values": [8, 16, 32, 64]},
    "lora_alpha": {"values": [16, 32, 64, 128]},
    "lora_dropout": {"distribution": "uniform", "min": 0.0, "max": 0.2},
    "learning_rate": {"distribution": "log_uniform_values", "min": 1e-6, "max": 1e-4},
    "batch_size": {"values": [8, 16, 32, 64]},
    "num_epochs": {"distribution": "int_uniform", "min": 3, "max": 10},
    "warmup_ratio": {"distribution": "uniform", "min": 0.0, "max": 0.2},
    "weight_decay": {"distribution": "uniform", "min": 0.0, "max": 0.1},
    "scheduler_type": {"values": ["linear", "cosine", "cosine_with_restarts", "polynomial"]},
    "temperature": {"distribution": "uniform", "min": 0.1, "max": 1.0},
    "top_p": {"distribution": "uniform", "min": 0.5, "max": 1.0},
    "num_beams": {"values": [2, 4, 6, 8]},
    "length_penalty": {"distribution": "uniform", "min": 0.5, "max": 2.0},
    "hidden_dropout": {"distribution": "uniform", "min": 0.0, "max": 0.3},
    "attention_dropout": {"distribution": "uniform", "min": 0.0, "max": 0.3},
}
# What the parameters and a report an epoch need of the training, whatever its own configuration says.
FIXED: Mapping[str, Any] = {"use_lora": True, "eval_strategy": "epoch"}


def guide_parameters(checkpoint: str) -> dict[str, dict[str, Any]]:
    """Return the fifteen parameters as W&B writes them, by name, in the guide's order.

    Args:
        checkpoint: What is trained (`model.name`); the embedded ones get rates that they learn at.
    """
    parameters = {name: dict(form) for name, form in _SPACE.items()}
    if is_embedded(checkpoint):
        rate = parameters["learning_rate"]
        rate["min"], rate["max"] = 1e-4, 1e-2
    return parameters


def is_embedded(checkpoint: str) -> bool:
    """Return whether a checkpoint is one of the small ones that come with the toolkit."""
    return _EMBEDDED in checkpoint.replace("\\", "/")


def space_of(parameters: Mapping[str, Any]) -> Space:
    """Return the space of parameters as a sweep's YAML has them.

    Raises:
        SpecError: All that is wrong with them.
    """
    return from_config({"method": "random", "parameters": dict(parameters)}, source="search space").space


def metric_of(direction: str, name: str | None = None) -> Metric:
    """Return what is optimized: ROUGE-L F1 when it is to be maximized, the evaluation's loss when minimized.

    Args:
        direction: "maximize" or "minimize".
        name: Another name that the training reports, such as "eval/rouge1_f1".
    """
    goal = Goal(direction)
    return Metric(name=name or _METRICS[goal], goal=goal)
