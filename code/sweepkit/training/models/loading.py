"""A model and its tokenizer as a configuration wants them: loaded, cut to size, fitted to each other, adapted."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sweepkit.errors import DataError
from sweepkit.training.checkpoints import PROMPT_KEY, load_model, load_tokenizer, metadata, resolve
from sweepkit.training.config.training import TrainingConfig
from sweepkit.training.models.families import FamilyKind, dropout_overrides, kind_of, layer_overrides, positions
from sweepkit.training.models.generation import settings
from sweepkit.training.models.vocabulary import add_tags, fit_embeddings, fit_padding

_DEFAULT_PROMPT = "{dialogue}\n요약: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What is trained.

    Args:
        model: Of transformers, or of peft around it.
        tokenizer: Its own.
        kind: How it is fed.
        prompt: What the model is given, with {dialogue} in it; None for the dialogue alone.
        encoder_max_len: Most tokens of a dialogue: as configured, in a sweep at most what the model has positions for.
        facts: For the result file.
    """

    model: Any
    tokenizer: Any
    kind: FamilyKind
    prompt: str | None
    encoder_max_len: int
    facts: dict[str, Any]


def load(config: TrainingConfig, *, cut: Callable[[str], None] | None = None) -> Loaded:
    """Return the model and the tokenizer that the configuration describes.

    Args:
        config: Of its sections model, lora, tokenizer and generation count, and training.gradient_checkpointing.
        cut: Takes a line when an encoder has fewer positions than tokenizer.encoder_max_len, which is then lowered to
            them; None refuses it.

    Raises:
        DataError: The checkpoint is missing or malformed, or has not what the configuration asks of it.
    """
    name = resolve(config.model.name)
    tokenizer = load_tokenizer(name)  # refused before the seconds that the weights take
    new_tokens = add_tags(tokenizer, config.tokenizer.speaker_tags)
    model = load_model(name, lambda loaded: _overrides(config, loaded))
    kind = kind_of(model.config, name)
    fit_embeddings(model, tokenizer, new_tokens, name)
    fit_padding(tokenizer, model.config)
    if getattr(model.config, "pad_token_id", None) is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    prompt = _prompt(config, name, kind)
    _check_padding(config, kind)
    frame = len(tokenizer((prompt or "").replace("{dialogue}", ""), add_special_tokens=False)["input_ids"])
    length = _fitting_length(config, model.config, frame if kind is FamilyKind.CAUSAL else None, cut)
    model.generation_config = settings(config, model, tokenizer)
    facts: dict[str, Any] = {"architecture": model.config.model_type, "parameters": model.num_parameters()}
    if config.lora.enabled:
        model, found = _adapted(config, model, kind, new_tokens)
        facts["lora_targets"] = found
    facts["trainable_parameters"] = sum(part.numel() for part in model.parameters() if part.requires_grad)
    return Loaded(model=model, tokenizer=tokenizer, kind=kind, prompt=prompt, encoder_max_len=length, facts=facts)


def _overrides(config: TrainingConfig, loaded: Any) -> dict[str, Any]:
    """Return the fields of the model's own configuration that ours sets."""
    return {
        **dropout_overrides(loaded, config.model.dropout_rate, config.model.attention_dropout),
        **layer_overrides(loaded, config.model.encoder_layers, config.model.decoder_layers),
    }


def _adapted(
    config: TrainingConfig, model: Any, kind: FamilyKind, new_tokens: tuple[int, ...]
) -> tuple[Any, list[str]]:
    """Return the model with adapters and the names of the modules that have them."""
    from sweepkit.training.models.lora import adapt

    adapted = adapt(model, config.lora, kind, new_tokens, config.model.name)
    if config.training.gradient_checkpointing:
        # The embeddings are frozen: without this nothing that enters a checkpointed layer would ask for a gradient.
        adapted.enable_input_require_grads()
    return adapted, sorted(adapted.peft_config["default"].target_modules)


def _fitting_length(config: TrainingConfig, loaded: Any, frame: int | None, cut: Callable[[str], None] | None) -> int:
    """Return the length of a dialogue; refuse sequences longer than the model has positions for.

    torch's own message would be an index error.

    Args:
        config: Whose section tokenizer counts.
        loaded: The model's configuration.
        frame: Tokens of a decoder-only model's prompt without the dialogue; None for an encoder-decoder.
        cut: As `load` takes it.
    """
    there = positions(loaded)
    wanted = config.tokenizer.encoder_max_len
    if there is None:
        return wanted
    if cut is not None and frame is None and wanted > there:
        cut(f"tokenizer.encoder_max_len: {there} of the {wanted}, as {config.model.name} has no more positions")
        wanted = there
    _check_lengths(config, there, frame, wanted)
    return wanted


def _check_lengths(config: TrainingConfig, there: int, frame: int | None, dialogue: int) -> None:
    """Refuse sequences longer than the positions that are there."""
    summary = config.tokenizer.decoder_max_len
    if frame is not None:
        if dialogue + frame + summary > there:
            raise DataError(
                f"tokenizer.encoder_max_len and decoder_max_len: must be together at most {there - frame} (the {there} "
                f"positions of {config.model.name} less {frame} of the prompt), got {dialogue} and {summary}"
            )
        return
    for field, length in (("encoder_max_len", dialogue), ("decoder_max_len", summary)):
        if length > there:
            raise DataError(
                f"tokenizer.{field}: must be at most the {there} positions of {config.model.name}, got {length}"
            )


def _check_padding(config: TrainingConfig, kind: FamilyKind) -> None:
    """Refuse prompts that are padded where a model goes on."""
    if kind is FamilyKind.CAUSAL and config.tokenizer.padding_side == "right":
        raise DataError(
            "tokenizer.padding_side: must be left for a decoder-only model, which goes on at the right end, got "
            "'right'; leave it null"
        )


def _prompt(config: TrainingConfig, name: str, kind: FamilyKind) -> str | None:
    """Return the template: the configuration's, else the checkpoint's, else the usual one; None without any."""
    usual = _DEFAULT_PROMPT if kind is FamilyKind.CAUSAL else "{dialogue}"
    prompt = config.tokenizer.prompt
    if prompt is None:
        prompt = _own_prompt(name, usual)
    prefix = config.tokenizer.prefix
    whole = prompt if prompt.startswith(prefix) else prefix + prompt  # a saved model's prompt has its prefix already
    return None if whole == "{dialogue}" and kind is FamilyKind.SEQ2SEQ else whole


def _own_prompt(name: str, usual: str) -> str:
    """Return the template that a checkpoint was saved with, else the usual one."""
    prompt = metadata(name).get(PROMPT_KEY, usual)
    if not isinstance(prompt, str) or "{dialogue}" not in prompt:
        raise DataError(f"{name}/sweepkit.json: prompt must be a text with {{dialogue}} in it, got {prompt!r}")
    return prompt
