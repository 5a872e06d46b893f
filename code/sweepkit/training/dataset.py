"""The training and validation data of a configuration, tokenized."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sweepkit.spec.training import TrainingConfig
from sweepkit.training.cache import Recipe, TokenizedPairs, tokenized
from sweepkit.training.data import locate, read_pairs
from sweepkit.training.text import normalize


class PromptedPairs(Sequence[dict[str, list[int]]]):
    """Items of a decoder-only model: input_ids are the whole prompt, labels the summary and the end."""

    def __init__(self, items: Sequence[dict[str, list[int]]], references: Sequence[str]) -> None:
        self._items, self._references = list(items), list(references)

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self._items)

    def __getitem__(self, index: Any) -> Any:
        """Return one item, or a list of them."""
        return self._items[index]

    def references(self) -> list[str]:
        """Return the wanted summaries as text."""
        return self._references


def load(
    config: TrainingConfig,
    tokenizer: Any,
    *,
    prompt: str | None,
    cache_dir: Path,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[TokenizedPairs | PromptedPairs, TokenizedPairs | PromptedPairs]:
    """Return the tokenized training and validation data.

    Args:
        config: Whose sections data and tokenizer count.
        tokenizer: The model's.
        prompt: The template of a decoder-only model, None for an encoder-decoder.
        cache_dir: Where tokenized data are kept.
        say: Takes a line for the user.

    Raises:
        DataError: A file is missing or malformed.
    """
    train_file = locate(config.data.train_file, "data.train_file")
    val_file = locate(config.data.val_file or config.data.train_file, "data.val_file")
    limits = (config.data.max_train_samples, config.data.max_val_samples)
    if prompt is not None:
        return (
            _prompted(config, train_file, tokenizer, prompt, limits[0]),
            _prompted(config, val_file, tokenizer, prompt, limits[1]),
        )
    recipe = Recipe(
        dialogue_column=config.data.dialogue_column,
        summary_column=config.data.summary_column,
        encoder_max_len=config.tokenizer.encoder_max_len,
        decoder_max_len=config.tokenizer.decoder_max_len,
        normalize_text=config.data.normalize_text,
    )
    return (
        TokenizedPairs(tokenized(train_file, tokenizer, recipe, cache_dir), limits[0]),
        TokenizedPairs(tokenized(val_file, tokenizer, recipe, cache_dir), limits[1]),
    )


def _prompted(config: TrainingConfig, file: Path, tokenizer: Any, prompt: str, limit: int | None) -> PromptedPairs:
    """Return the items of one file."""
    pairs = read_pairs(file, config.data.dialogue_column, config.data.summary_column)[:limit]
    clean = normalize if config.data.normalize_text else str
    summaries = [clean(pair.summary) for pair in pairs]
    items = []
    for pair, summary in zip(pairs, summaries, strict=True):
        ids = _prompt_ids(tokenizer, prompt, clean(pair.dialogue), config.tokenizer.encoder_max_len)
        labels = tokenizer(summary, add_special_tokens=False)["input_ids"][: config.tokenizer.decoder_max_len - 1]
        items.append({"input_ids": ids, "attention_mask": [1] * len(ids), "labels": [*labels, tokenizer.eos_token_id]})
    return PromptedPairs(items, summaries)


def _prompt_ids(tokenizer: Any, prompt: str, dialogue: str, longest: int) -> list[int]:
    """Return the ids of the filled template, the dialogue cut to its first `longest` tokens."""
    places = tokenizer(dialogue, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    if len(places) > longest:
        dialogue = dialogue[: places[longest - 1][1]]
    ids: list[int] = tokenizer(prompt.replace("{dialogue}", dialogue), add_special_tokens=False)["input_ids"]
    return ids
