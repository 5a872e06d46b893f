"""Fitting a tokenizer and a model to each other: speaker tags, padding, new rows of the embeddings."""

from collections.abc import Sequence
from typing import Any

import torch

from sweepkit.errors import DataError


def add_tags(tokenizer: Any, tags: Sequence[str]) -> tuple[int, ...]:
    """Add the tags that a tokenizer would cut in pieces; return the ids that are new, ascending.

    They are ordinary tokens: special ones would vanish from predictions and references alike, and a score would not
    see who did what.

    Args:
        tokenizer: Changed in place; not at all when it knows every tag.
        tags: Texts such as "#Person1#".

    Raises:
        DataError: The tokenizer has one of them as a special token.
    """
    from transformers import AddedToken

    whole = tokenizer.get_added_vocab()
    missing = [tag for tag in tags if tag not in whole]
    before = len(tokenizer)
    if missing:
        tokenizer.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in missing])
    for tag in tags:
        if tokenizer.convert_tokens_to_ids(tag) in tokenizer.all_special_ids:
            raise DataError(
                f"tokenizer.speaker_tags: {tag} must be an ordinary token, but the checkpoint's tokenizer has it as a "
                "special one, which predictions and references lose; set its special to false in tokenizer.json and "
                "take it out of tokenizer_config.json, or out of speaker_tags"
            )
    return tuple(range(before, len(tokenizer)))


def fit_embeddings(model: Any, tokenizer: Any, new: Sequence[int], name: str) -> None:
    """Make sure that every token has an embedding; those of new tokens begin as the mean of all others.

    Args:
        model: Changed in place; not at all when nothing is new.
        tokenizer: With the new tokens.
        new: Their ids.
        name: The checkpoint, for the message.

    Raises:
        DataError: The tokenizer had more tokens than the model before any was added.
    """
    rows = model.get_input_embeddings().weight.shape[0]
    before = len(tokenizer) - len(new)
    if before > rows:
        raise DataError(
            f"model.name: the tokenizer of {name} must fit the model's {rows} embeddings, got {before} tokens; "
            "restore the checkpoint's own tokenizer files"
        )
    grow(model, new)


def grow(model: Any, new: Sequence[int]) -> None:
    """Give tokens that the model has not learned an embedding, in the input and, where it is another, in the output.

    The mean of the learned ones is as likely as any of them, so that a new token does not drown the others; and it
    takes nothing from the training's random stream, in contrast to transformers' own choice.

    Args:
        model: Changed in place.
        new: Ids, ascending; those beyond the model's last row make it larger.
    """
    if not new:
        return
    known = new[0]
    if new[-1] >= model.get_input_embeddings().weight.shape[0]:
        with torch.random.fork_rng(devices=[]):  # the rows begin at random before they are set below
            model.resize_token_embeddings(new[-1] + 1, mean_resizing=False)
    layers = (model.get_input_embeddings(), model.get_output_embeddings())
    with torch.no_grad():
        for weight in {id(layer.weight): layer.weight for layer in layers if layer is not None}.values():
            weight[list(new)] = weight[:known].mean(dim=0)


def fit_padding(tokenizer: Any, model_config: Any) -> None:
    """Give a tokenizer without padding one: the model's own, else its end, which masks distinguish.

    Args:
        tokenizer: Changed in place; not at all when it has a padding.
        model_config: transformers' configuration of the model.

    Raises:
        DataError: The tokenizer has no end-of-text token either, so that a generated summary would have none.
    """
    if tokenizer.eos_token_id is None:
        raise DataError(
            "model.name: the tokenizer must have an end-of-text token (eos_token), got none; "
            "a summary would never end; name it in tokenizer_config.json"
        )
    if tokenizer.pad_token_id is not None:
        return
    own = getattr(model_config, "pad_token_id", None)
    known = isinstance(own, int) and 0 <= own < len(tokenizer)
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(own) if known else tokenizer.eos_token
