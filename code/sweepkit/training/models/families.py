"""What each family of models calls its dropout, its layers and its positions. Reads and sets configurations only.

The names are those of transformers 5.23: BART `dropout` and `attention_dropout`, T5 and mT5 `dropout_rate` for both,
GPT-2 `resid_pdrop`, `embd_pdrop` and `attn_pdrop`, LLaMA and Qwen `attention_dropout` alone. A family that is not
written here, but uses one of these names, works as well.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from sweepkit.errors import DataError


class FamilyKind(StrEnum):
    """How a model is fed: a dialogue into an encoder, or a prompt that it continues."""

    SEQ2SEQ = "encoder-decoder"
    CAUSAL = "decoder-only"


_DROPOUT = (("dropout_rate",), ("dropout",), ("resid_pdrop", "embd_pdrop"), ("hidden_dropout",))
_ATTENTION_DROPOUT = (("attention_dropout",), ("attn_pdrop",))
_ENCODER_LAYERS = ("encoder_layers", "num_layers")
_DECODER_LAYERS = ("decoder_layers", "num_decoder_layers")
_ALL_LAYERS = "num_hidden_layers"  # of a decoder-only model; transformers maps GPT-2's n_layer to it
# Everything that says how many layers a model has.
LAYER_FIELDS = (*_ENCODER_LAYERS, *_DECODER_LAYERS, _ALL_LAYERS, "layer_types")


def kind_of(config: Any, name: str) -> FamilyKind:
    """Return how the model of a configuration is fed.

    Args:
        config: transformers' configuration of the checkpoint.
        name: The checkpoint, for the message.

    Raises:
        DataError: It neither reads a dialogue and writes a summary nor continues a text.
    """
    from transformers.models.auto import modeling_auto as auto

    if getattr(config, "is_encoder_decoder", False):
        if config.model_type in auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES:
            return FamilyKind.SEQ2SEQ
    elif config.model_type in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        # BERT and its like can be told to be decoders; as they are published they fill gaps and cannot continue.
        masked = config.model_type in auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
        if not masked or getattr(config, "is_decoder", False):
            return FamilyKind.CAUSAL
    raise DataError(
        "model.name: must be a model that writes text, encoder-decoder (BART, T5, mT5, …) or decoder-only (GPT-2, "
        f"LLaMA, Qwen, …), got {config.model_type!r} in {name}, which does not"
    )


def dropout_overrides(config: Any, dropout_rate: float | None, attention_dropout: float | None) -> dict[str, float]:
    """Return the fields of a model's configuration that set its dropout.

    Args:
        config: transformers' configuration.
        dropout_rate: Probability in [0, 1) after every sub-layer, None to leave it.
        attention_dropout: The same on attention weights.

    Raises:
        DataError: The family has no such dropout.
    """
    overrides: dict[str, float] = {}
    kind = config.model_type
    if dropout_rate is not None:
        fields = _first(config, _DROPOUT)
        if not fields:
            raise DataError(
                f"model.dropout_rate: a {kind} model has no dropout but the attention's, got {dropout_rate}; "
                "leave it null, or use model.attention_dropout"
            )
        overrides |= dict.fromkeys(fields, dropout_rate)
    if attention_dropout is not None:
        fields = _first(config, _ATTENTION_DROPOUT)
        if not fields:
            shared = "its dropout_rate is the attention's too" if _first(config, _DROPOUT) else "it has none at all"
            raise DataError(
                f"model.attention_dropout: a {kind} model has no dropout of its own for attention ({shared}), got "
                f"{attention_dropout}; leave it null, or use model.dropout_rate"
            )
        overrides |= dict.fromkeys(fields, attention_dropout)
    return overrides


def _first(config: Any, groups: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    """Return the first group whose every field the configuration has; empty when there is none."""
    return next((group for group in groups if all(hasattr(config, field) for field in group)), ())


def layer_overrides(config: Any, encoder_layers: int | None, decoder_layers: int | None) -> dict[str, Any]:
    """Return the fields of a model's configuration that keep its first layers only.

    Args:
        config: transformers' configuration of the whole model.
        encoder_layers: Layers of the encoder to keep, >= 1, None for all.
        decoder_layers: The same of the decoder; of a decoder-only model, of all it has.

    Raises:
        DataError: It has fewer, or no encoder.
    """
    overrides: dict[str, Any] = {}
    wanted = (("encoder", encoder_layers, _ENCODER_LAYERS), ("decoder", decoder_layers, _DECODER_LAYERS))
    for part, count, fields in wanted:
        names: tuple[str, ...] = fields
        if count is None:
            continue
        if not getattr(config, "is_encoder_decoder", False):
            if part == "encoder":
                raise DataError(
                    f"model.encoder_layers: a {config.model_type} model has no encoder, got {count}; "
                    "leave it null, or use model.decoder_layers"
                )
            names = (_ALL_LAYERS,)
        field = next((name for name in names if hasattr(config, name)), None)
        if field is None:
            raise DataError(f"model.{part}_layers: cannot be set for a {config.model_type} model, got {count}")
        there = getattr(config, field)
        if count > there:
            raise DataError(f"model.{part}_layers: must be at most the {there} that the checkpoint has, got {count}")
        overrides[field] = count
        if getattr(config, "layer_types", None) and field == _ALL_LAYERS:
            overrides["layer_types"] = list(config.layer_types)[:count]  # one entry a layer, in Qwen's configurations
    return overrides


def positions(config: Any) -> int | None:
    """Return the longest sequence that the model has positions for; None where it has no such end (T5)."""
    value = getattr(config, "max_position_embeddings", None)
    return value if isinstance(value, int) and value > 0 else None


def set_fields(config: Any, overrides: Mapping[str, Any]) -> None:
    """Set fields of a model's configuration that must be there already.

    Raises:
        DataError: There is none of that name.
    """
    for field, value in overrides.items():
        if not hasattr(config, field):
            raise DataError(f"model: a {config.model_type} model has no {field!r} to set")
        setattr(config, field, value)
