"""Image classifiers of transformers: built small from a configuration, or loaded from a checkpoint.

Only those fields of `model:` are read that the kind of model has, so a sweep learns of parameters that did nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from sweepkit.errors import DataError
from sweepkit.training.checkpoints import _load, resolve
from sweepkit.training.config.image_sections import ImageModelSection
from sweepkit.training.images.batches import Scaling
from sweepkit.training.images.recompute import pool_by

_CHANNEL_WORDS = {1: "grayscale", 3: "rgb"}


def is_built(name: str) -> bool:
    """Return whether a model of this name is built here rather than loaded."""
    return name in _KINDS


def make(section: ImageModelSection, *, img_size: int, channels: int, classes: Sequence[str]) -> Any:
    """Return a classifier in training mode, on the CPU, its weights drawn from torch's global generator.

    Args:
        section: Which, and its fields.
        img_size: Pixels along both sides of what it will see.
        channels: 1 or 3.
        classes: Names of the classes, in the order of its outputs.

    Raises:
        DataError: Sizes do not fit each other or the images, or the checkpoint cannot be loaded.
    """
    labels = {
        "num_labels": len(classes),
        "id2label": dict(enumerate(classes)),
        "label2id": {name: at for at, name in enumerate(classes)},
    }
    if is_built(section.name):
        model = _KINDS[section.name](
            section,
            img_size,
            {
                "image_size": img_size,
                "num_channels": channels,
                "initializer_range": section.initializer_range,
                **labels,
            },
        )
    else:
        model = _loaded(section, img_size, channels, labels)
    if section.pooling is not None:
        pool_by(model, section.pooling)
    if section.dropout > 0:
        _drop_before(model.classifier, section.dropout)
    return model.train()


def _drop_before(classifier: torch.nn.Module, rate: float) -> None:
    """Put dropout before a classifier without changing the names of its weights, which a checkpoint goes by."""

    def drop(module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (torch.nn.functional.dropout(given[0], rate, module.training), *given[1:])

    classifier.register_forward_pre_hook(drop)


def _refuse(field: str, rule: str, got: object) -> DataError:
    """Return the error of a size that does not fit."""
    return DataError(f"model.{field}: {rule}, got {got}")


def _chosen(value: Any, default: Any) -> Any:
    """Return a value, or the kind's own when it is None."""
    return default if value is None else value


def _grid(section: ImageModelSection, img_size: int, stages: int) -> tuple[int, int]:
    """Return the patch size and the positions along each side; refuse what leaves a stage without a position."""
    patch = _chosen(section.patch_size, 2)
    grid = img_size // patch
    if grid < 2 ** (stages - 1):
        rule = f"images of {img_size} pixels must leave a position for each of {stages} stage(s)"
        raise _refuse("patch_size", f"{rule}; lower it or model.stages, or raise data.img_size", patch)
    return patch, grid


def _convnext(section: ImageModelSection, img_size: int, common: Mapping[str, Any]) -> Any:
    """Return a ConvNeXt (Liu et al. 2022) whose stages double in width."""
    from transformers import ConvNextConfig, ConvNextForImageClassification

    stages, width = _chosen(section.stages, 2), _chosen(section.hidden_size, 24)
    patch, _ = _grid(section, img_size, stages)
    config = ConvNextConfig(
        num_stages=stages,
        hidden_sizes=[width * 2**stage for stage in range(stages)],
        depths=[_chosen(section.depth, 2)] * stages,
        patch_size=patch,
        layer_scale_init_value=section.layer_scale,
        drop_path_rate=_chosen(section.drop_path, 0.0),
        **common,
    )
    return ConvNextForImageClassification(config)


def _swin(section: ImageModelSection, img_size: int, common: Mapping[str, Any]) -> Any:
    """Return a Swin transformer (Liu et al. 2021) whose stages double in width and heads."""
    from transformers import SwinConfig, SwinForImageClassification

    stages, width = _chosen(section.stages, 2), _chosen(section.hidden_size, 24)
    patch, grid = _grid(section, img_size, stages)
    heads = _heads(section, width, 2)
    last = grid // 2 ** (stages - 1)  # a window above it would have more position biases than positions
    window = _chosen(section.window_size, min(4, last))
    if window > last:
        raise _refuse("window_size", f"must be at most the {last} positions along each side of the last stage", window)
    config = SwinConfig(
        embed_dim=width,
        depths=[_chosen(section.depth, 2)] * stages,
        num_heads=[heads * 2**stage for stage in range(stages)],
        patch_size=patch,
        window_size=window,
        drop_path_rate=_chosen(section.drop_path, 0.0),
        **common,
    )
    return SwinForImageClassification(config)


def _vit(section: ImageModelSection, img_size: int, common: Mapping[str, Any]) -> Any:
    """Return a vision transformer (Dosovitskiy et al. 2021), its feed-forward layers four times as wide."""
    from transformers import ViTConfig, ViTForImageClassification

    width = _chosen(section.hidden_size, 48)
    patch, grid = _grid(section, img_size, 1)
    if grid * patch != img_size:
        raise _refuse("patch_size", f"a ViT's must divide the {img_size} pixels of data.img_size", patch)
    config = ViTConfig(
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=_chosen(section.depth, 2),
        num_attention_heads=_heads(section, width, 4),
        patch_size=patch,
        **common,
    )
    return ViTForImageClassification(config)


def _heads(section: ImageModelSection, width: int, default: int) -> int:
    """Return the number of heads; refuse one that does not divide the width."""
    heads: int = _chosen(section.heads, default)
    if width % heads:
        raise _refuse("heads", f"must divide model.hidden_size, here {width}", heads)
    return heads


_KINDS: Mapping[str, Callable[[ImageModelSection, int, Mapping[str, Any]], Any]] = {
    "convnext": _convnext,
    "swin": _swin,
    "vit": _vit,
}


def _loaded(section: ImageModelSection, img_size: int, channels: int, labels: Mapping[str, Any]) -> Any:
    """Return a checkpoint's model; a head for another number of classes is drawn anew."""
    from transformers import AutoConfig, AutoModelForImageClassification

    name = resolve(section.name)
    config = _from_hub(AutoConfig.from_pretrained, name, **labels)
    given = getattr(config, "num_channels", channels)
    if given != channels:
        color = _CHANNEL_WORDS.get(given, "another")
        raise DataError(f"data.color: {name} wants images of {given} channels, got {channels}; set data.color: {color}")
    size = getattr(config, "image_size", img_size)
    if config.model_type == "vit" and size != img_size:
        raise DataError(f"data.img_size: must be the {size} pixels that {name} has positions for, got {img_size}")
    if hasattr(config, "drop_path_rate") and section.drop_path is not None:
        config.drop_path_rate = section.drop_path
    elif hasattr(config, "drop_connect_rate") and section.drop_path is not None:  # EfficientNet's word
        config.drop_connect_rate = section.drop_path
    return _from_hub(
        AutoModelForImageClassification.from_pretrained,
        name,
        config=config,
        ignore_mismatched_sizes=True,
        dtype=torch.float32,
    )


def _from_hub(load: Callable[..., Any], name: str, **options: Any) -> Any:
    """Return what `load` makes of a checkpoint, or say what can be named instead."""
    try:
        return _load(load, name, **options)
    except DataError as error:
        if Path(name).is_dir():
            raise
        reason = str(error).partition("; ")[0]
        raise DataError(
            f"{reason}; download it once where there is a network, or name a folder, convnext, swin or vit"
        ) from None


def checkpoint_scaling(name: str, channels: int) -> Scaling | None:
    """Return the mean and deviation that a checkpoint was trained with, None when it does not say.

    Args:
        name: As in `model.name`, of a checkpoint.
        channels: Of the images; one value for all channels is repeated.
    """
    from transformers.image_processing_base import ImageProcessingMixin

    try:
        processor: Mapping[str, Any] = _load(
            lambda given, **options: ImageProcessingMixin.get_image_processor_dict(given, **options)[0], resolve(name)
        )
    except DataError:  # a checkpoint without a processor's file
        return None
    mean, std = processor.get("image_mean"), processor.get("image_std")
    if not isinstance(mean, list) or not isinstance(std, list) or processor.get("do_normalize") is False:
        return None
    if len(mean) not in (1, channels) or len(std) != len(mean):
        return None
    repeat = channels // len(mean)
    return Scaling(tuple(map(float, mean * repeat)), tuple(map(float, std * repeat)))


def processor_file(scaling: Scaling, img_size: int) -> dict[str, Any]:
    """Return the content of the preprocessor_config.json of a saved model: transformers' ViTImageProcessor reads it."""
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": img_size, "width": img_size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(scaling.mean),
        "image_std": list(scaling.std),
    }
