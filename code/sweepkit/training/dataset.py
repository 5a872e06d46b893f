"""The data that a summarization run trains on and is scored on, as its configuration says.

Validation data come from a file of their own or are split off from the training file. Too few of them are refused:
with 50, differences between runs below 0.03 ROUGE are noise, and a sweep would choose by it.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sweepkit.errors import DataError
from sweepkit.training.cache import PLACE, Recipe, tokenized, tokenizer_sha256
from sweepkit.training.config.training import TrainingConfig
from sweepkit.training.data import Columns, locate
from sweepkit.training.readers import is_csv
from sweepkit.training.tokens import TokenizedPairs

_ROUGE_SD = 0.2  # of one dialogue's ROUGE F1, taken low: it is 0.30 for the embedded model over data/dev.csv


def load(
    config: TrainingConfig,
    tokenizer: Any,
    *,
    prompt: str | None,
    encodes: bool = False,
    encoder_max_len: int | None = None,
    cache_dir: Path,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[TokenizedPairs, TokenizedPairs]:
    """Return the training and the validation data, tokenized or from the cache.

    Args:
        config: Its data and tokenizer sections, and with a split the seed; only fields that matter are read.
        tokenizer: Of the model.
        prompt: What the model is given, with one "{dialogue}" in it; None for the dialogue alone.
        encodes: The prompt is an encoder's: it has the tokenizer's special tokens around it.
        encoder_max_len: Most tokens of a dialogue; None for the configuration's.
        cache_dir: Where tokenized data are kept.
        say: Takes a line on what was split off, and on dialogues that are in both.

    Returns:
        Items in the order of the file. Those of validation have the reference columns' texts as references, and the
        first of them as labels.

    Raises:
        DataError: A file is missing, malformed or too small, or the cache cannot be written.
    """
    if prompt is not None and prompt.count(PLACE) != 1:
        raise DataError(f"tokenizer.prompt: must have {PLACE} in it once, got {prompt!r}")
    data = config.data
    train_file = locate(data.train_file, "data.train_file")
    val_file = train_file if data.val_file is None else locate(data.val_file, "data.val_file")
    wanted, known = (data.summary_column,), tokenizer_sha256(tokenizer)

    def stored(file: Path, references: tuple[str, ...]) -> TokenizedPairs:
        recipe = _recipe(config, file, references, prompt, encodes=encodes)
        recipe = recipe if encoder_max_len is None else replace(recipe, encoder_max_len=encoder_max_len)
        folder = tokenized(file, tokenizer, recipe, cache_dir, tokenizer_hash=known)
        try:
            return TokenizedPairs(folder)
        except OSError as error:  # somebody else's, closed to us; or removed this very moment
            rule = "tokenized data must be files that can be read"
            hint = "remove the folder, and it is made anew"
            raise DataError(f"{folder}: {rule}, got: {error.strerror or error}; {hint}") from None

    # Validation first: it is the smaller file, and a row wrong in it is said sooner.
    val, train = stored(val_file, data.reference_columns or wanted), stored(train_file, wanted)
    if data.val_file is None:
        train_rows, val_rows = _split(config, train, train_file)
        train, val = train.select(train_rows), val.select(val_rows)
        say(f"{len(val)} of the {len(val) + len(train)} rows of {train_file.name} split off for validation")
    elif len(train) < 2:
        raise DataError(f"{train_file}: must have at least 2 rows to train on, got 1; add more")
    train, used = train.first(data.max_train_samples), val.first(data.max_val_samples)
    _check_size(config, len(used), len(val))
    _warn_of_leak(train, used, say)
    return train, used


def _recipe(
    config: TrainingConfig, file: Path, references: tuple[str, ...], prompt: str | None, *, encodes: bool
) -> Recipe:
    """Return how a file is tokenized."""
    names = (config.data.dialogue_column, *references)
    if len(set(names)) < len(names):
        raise DataError(f"data: the columns used must differ from each other, got {', '.join(map(repr, names))}")
    return Recipe(
        columns=Columns(dialogue=names[0], references=references),
        delimiter=config.data.delimiter if is_csv(file) else None,
        encoder_max_len=config.tokenizer.encoder_max_len,
        decoder_max_len=config.tokenizer.decoder_max_len,
        normalize_text=config.data.normalize_text,
        prompt=prompt,
        encodes=encodes and prompt is not None,
    )


def _split(config: TrainingConfig, pairs: TokenizedPairs, file: Path) -> tuple[list[int], list[int]]:
    """Return the positions for training and for validation."""
    data, rows = config.data, len(pairs)
    if rows < 2:
        raise DataError(f"{file}: must have at least 2 rows to be split, got {rows}; add more or name a data.val_file")
    share = round(data.val_sample_ratio * rows)
    wanted = max(share, data.min_val_samples)
    if share < wanted and data.allow_small_val:
        wanted = max(share, 1)
    elif data.min_val_samples >= rows:
        raise DataError(
            f"{file}: must have more rows than data.min_val_samples ({data.min_val_samples}) to be split into training "
            f"and validation data, got {rows}; {_reason(max(share, 1))}; add more rows, name a data.val_file, "
            "or set data.allow_small_val: true"
        )
    wanted = min(wanted, rows - 1)
    train, val = split(pairs.keys().tolist(), wanted, config.training.seed)
    if not train or not val:
        raise DataError(
            f"{file}: must have at least 2 different dialogues to be split, got one in all {rows} rows; "
            "equal dialogues stay on one side"
        )
    return train, val


def split(keys: Sequence[int], size: int, seed: int) -> tuple[list[int], list[int]]:
    """Divide rows so that equal dialogues are on one side; the same on every machine and Python.

    Groups of equal dialogues are taken for validation in an order drawn by the seed, each if it fits. Where `size` is
    not reached that way, the smallest group left is taken too, unless it is the only one left.

    Args:
        keys: One for each row; rows with equal keys stay together.
        size: Rows wanted for validation, in [1, rows).
        seed: Decides which.

    Returns:
        Positions for training and for validation, both ascending. Validation has `size` of them when no key is there
        twice; else it may have more, or fewer if there are few groups.

    >>> split([10, 11, 12, 13, 10], 2, seed=0)
    ([0, 1, 4], [2, 3])
    """
    groups: dict[int, list[int]] = {}
    for row, key in enumerate(keys):
        groups.setdefault(key, []).append(row)
    # Of Python's generators only random() is promised to stay the same from version to version.
    draw = random.Random(seed).random
    order = [group for _, _, group in sorted((draw(), place, group) for place, group in enumerate(groups.values()))]
    taken: list[int] = []
    left: list[list[int]] = []
    for group in order:
        if len(taken) + len(group) <= size:
            taken += group
        else:
            left.append(group)
    if len(taken) < size and len(left) > 1:
        taken += left.pop(min(range(len(left)), key=lambda place: len(left[place])))
    return sorted(row for group in left for row in group), sorted(taken)


def lost(config: TrainingConfig, train: TokenizedPairs, val: TokenizedPairs, encoder_max_len: int) -> dict[str, Any]:
    """Return what of the data is cut: counts, longest and shares by part, and the sentences that say it.

    Args:
        config: Whose decoder_max_len cuts the summaries.
        train: What is trained on.
        val: What is scored.
        encoder_max_len: What cuts the dialogues.

    Returns:
        {} where nothing is cut, else `train` and `val` with `dialogues` and `summaries`, and `sentences`.
    """
    most = {"dialogues": encoder_max_len, "summaries": config.tokenizer.decoder_max_len}
    found: dict[str, Any] = {}
    sentences = []
    for part, pairs in (("train", train), ("val", val)):
        lengths = pairs.lengths()
        for column, (what, limit) in enumerate(most.items()):
            beyond = int((lengths[:, column] > limit).sum())
            if not beyond:
                continue
            longest, share = int(lengths[:, column].max()), beyond / len(pairs)
            found.setdefault(part, {})[what] = {"cut": beyond, "of": len(pairs), "share": share, "longest": longest}
            words = {"train": "training", "val": "validation"}[part]
            sentences.append(
                f"{beyond:,} of {len(pairs):,} {words} {what} ({share:.1%}) are longer than {limit} tokens (longest "
                f"{longest:,}): what is beyond is not seen"
            )
    return {**found, "sentences": sentences} if found else {}


def _reason(count: int) -> str:
    """Return why so few validation dialogues are no good."""
    error = _ROUGE_SD / math.sqrt(count)
    return (
        f"over {count} the mean ROUGE (sd about {_ROUGE_SD} from dialogue to dialogue) has a standard error of "
        f"{error:.3f}, so smaller differences between runs are noise"
    )


def _check_size(config: TrainingConfig, used: int, available: int) -> None:
    """Refuse too few validation dialogues."""
    least = config.data.min_val_samples
    if used >= least or config.data.allow_small_val:
        return
    more = f"raise data.max_val_samples (there are {available})" if available >= least else "add validation rows"
    raise DataError(
        f"data.min_val_samples: must be {least} validation dialogues at least, got {used}; {_reason(used)}; "
        f"{more}, or accept it with data.allow_small_val: true"
    )


def _warn_of_leak(train: TokenizedPairs, val: TokenizedPairs, say: Callable[[str], None]) -> None:
    """Say when validation dialogues are trained on."""
    both = int(np.isin(val.keys(), train.keys()).sum())
    if both:
        say(
            f"{both} of {len(val)} validation dialogues are also in the training data: "
            "a model that learns them by heart scores higher than it is worth"
        )
