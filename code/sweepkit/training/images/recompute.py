"""Activation checkpointing and pooling of image classifiers, for models of transformers and for our own alike."""

from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from sweepkit.errors import DataError

_COUNTS_STATISTICS = (nn.modules.batchnorm._BatchNorm,)


def recompute_blocks(model: nn.Module) -> None:
    """Have each block of a model computed again on the way back in place of keeping its activations.

    A block is an outermost item of a ModuleList or Sequential that has weights; of a model without such lists, each of
    its children. Gradients stay the same to the last bit, dropout draws the same.

    Args:
        model: Changed in place.

    Raises:
        DataError: It has batch normalization, whose running statistics would count each batch twice.
    """
    if any(isinstance(module, _COUNTS_STATISTICS) for module in model.modules()):
        raise DataError(
            "training.gradient_checkpointing: a model with batch normalization would count each batch twice, got "
            f"{type(model).__name__}; leave it false, and halve per_device_train_batch_size instead"
        )
    for block in _blocks(model):
        _recompute(block)


def _blocks(model: nn.Module) -> list[nn.Module]:
    lists: list[nn.Module] = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    lists = lists or [module for module in model.modules() if isinstance(module, nn.Sequential)]
    inner = {id(part) for module in lists for part in module.modules() if part is not module}
    outermost = [block for module in lists if id(module) not in inner for block in module.children()]
    return [block for block in outermost or model.children() if any(True for _ in block.parameters())]


def _recompute(block: nn.Module) -> None:
    forward = block.forward

    def recomputed(*given: Any, **named: Any) -> Any:
        if not (block.training and torch.is_grad_enabled()):
            return forward(*given, **named)
        return checkpoint(forward, *given, use_reentrant=False, **named)

    block.forward = recomputed


def pool_by(model: Any, pooling: str) -> None:
    """Have a classifier of transformers see the mean or the greatest of all positions in place of its own summary.

    Args:
        model: A ConvNeXt, Swin, ViT or EfficientNet; changed in place.
        pooling: "mean" or "max".

    Raises:
        DataError: Another kind of model.
    """
    kind = model.config.model_type
    body = getattr(model, model.base_model_prefix)
    if kind == "efficientnet":
        body.pooler = nn.AdaptiveAvgPool2d(1) if pooling == "mean" else nn.AdaptiveMaxPool2d(1)
        return
    if kind not in ("convnext", "swin", "vit"):
        rule = "can be chosen for ConvNeXt, Swin, ViT and EfficientNet"
        raise DataError(f"model.pooling: {rule}, got {pooling!r} for {kind}; leave it null")

    def pool(module: Any, given: Any, output: Any) -> Any:
        hidden = output.last_hidden_state
        positions = hidden.flatten(2) if hidden.dim() == 4 else hidden.transpose(1, 2)  # (images, channels, positions)
        pooled = positions.mean(-1) if pooling == "mean" else positions.amax(-1)
        if kind == "vit":  # its classifier reads the first position
            output.last_hidden_state = pooled[:, None]
        else:
            output.pooler_output = module.layernorm(pooled) if kind == "convnext" else pooled
        return output

    body.register_forward_hook(pool)
