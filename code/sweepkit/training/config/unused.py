"""Fields of a training configuration that nothing will read, by what the rest of it says. Pure."""

import dataclasses
from collections.abc import Mapping

from sweepkit.errors import Problem
from sweepkit.training.config.image_sections import ImageConfig, ImageModelSection
from sweepkit.training.config.training_sections import GenerationSection, TrainingConfig, TrainingSection

# Fields of `model` that a kind which is built here does not have.
_NOT_OF: Mapping[str, tuple[str, ...]] = {
    "convnext": ("heads", "window_size"),
    "swin": ("layer_scale",),
    "vit": ("stages", "window_size", "layer_scale", "drop_path"),
}


def unused_fields(config: object) -> list[Problem]:
    """Return a problem for each field that was given a value of its own and changes nothing.

    >>> from sweepkit.training.config.training import apply
    >>> [problem.key for problem in unused_fields(apply(TrainingConfig(), {"length_penalty": 2.0}))]
    ['generation.length_penalty']
    """
    if isinstance(config, TrainingConfig):
        return _of_summaries(config)
    return _of_images(config) if isinstance(config, ImageConfig) else []


def _of_summaries(config: TrainingConfig) -> list[Problem]:
    generation, training, found = config.generation, config.training, []
    if generation.num_beams == 1 and generation.length_penalty != GenerationSection().length_penalty:
        rule, hint = "changes nothing with one beam", "write generation.num_beams: 2, or leave it out"
        found.append(_problem("generation.length_penalty", rule, generation.length_penalty, hint))
    if training.lr_scheduler_type == "constant" and training.warmup_ratio != TrainingSection().warmup_ratio:
        rule, hint = "changes nothing with a constant rate", "write training.lr_scheduler_type: constant_with_warmup"
        found.append(_problem("training.warmup_ratio", rule, training.warmup_ratio, hint))
    if training.early_stopping_patience is None and training.early_stopping_threshold:
        rule, hint = "changes nothing without a patience", "write training.early_stopping_patience: 2"
        found.append(_problem("training.early_stopping_threshold", rule, training.early_stopping_threshold, hint))
    return found


def _of_images(config: ImageConfig) -> list[Problem]:
    kind = config.model.name
    usual = {item.name: item.default for item in dataclasses.fields(ImageModelSection)}
    return [
        _problem(f"model.{name}", f"a {kind} has none", value, "leave it out")
        for name in _NOT_OF.get(kind, ())
        if (value := getattr(config.model, name)) not in (usual[name], None, 0, 0.0)
    ]


def _problem(key: str, rule: str, value: object, hint: str) -> Problem:
    return Problem(key=key, rule=rule, got=repr(value), hint=hint)
