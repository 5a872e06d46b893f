"""Tokenized data, made once and shared by every run: memory-mapped arrays under outputs/cache.

A data set is one folder, named by the hash of all that decides its content: the file's bytes, the columns, the
tokenizer, the lengths, the normalization. It appears in one step (a rename), so a reader sees all of it or nothing.
Builders of the same folder wait for each other on a lock file and the second finds it made.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sweepkit.training.data import read_pairs
from sweepkit.training.text import normalize

FORMAT = 1  # raise it when the layout below, or what goes into it, changes
Ids = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All that decides the tokens of a data file, except the file and the tokenizer."""

    dialogue_column: str
    summary_column: str
    encoder_max_len: int
    decoder_max_len: int
    normalize_text: bool


class TokenizedPairs(Sequence[dict[str, list[int]]]):
    """A data set as the Trainer wants it: item i is {"input_ids": […], "attention_mask": […], "labels": […]}.

    Args:
        folder: A folder that `tokenized` made.
        limit: Only the first so many items; None for all.
    """

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        self.folder = folder
        self._inputs: Ids = np.load(folder / "inputs.npy", mmap_mode="r")
        self._labels: Ids = np.load(folder / "labels.npy", mmap_mode="r")
        self._input_ends: list[int] = np.load(folder / "input_ends.npy").tolist()
        self._label_ends: list[int] = np.load(folder / "label_ends.npy").tolist()
        rows = len(self._input_ends) - 1
        self._rows = rows if limit is None else min(limit, rows)

    def __len__(self) -> int:
        """Return the number of items."""
        return self._rows

    def __getitem__(self, index: Any) -> Any:
        """Return one item, or a list of them for a slice; negative positions count from the end."""
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(self._rows))]
        if not -self._rows <= index < self._rows:
            raise IndexError(index)
        position = index % self._rows
        inputs = self._inputs[self._input_ends[position] : self._input_ends[position + 1]].tolist()
        labels = self._labels[self._label_ends[position] : self._label_ends[position + 1]].tolist()
        return {"input_ids": inputs, "attention_mask": [1] * len(inputs), "labels": labels}

    def references(self) -> list[str]:
        """Return the wanted summaries as text, normalized when the recipe says so."""
        texts: list[str] = json.loads((self.folder / "references.json").read_text(encoding="utf-8"))
        return texts[: self._rows]


def tokenizer_sha256(tokenizer: Any) -> str:
    """Return the hash of everything a tokenizer does, as its serialized form tells it."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        text = json.dumps(sorted(tokenizer.get_vocab().items()))
    else:
        # How it cuts and pads is a state that its last call left there; ours is part of the recipe.
        settings = {**json.loads(backend.to_str()), "truncation": None, "padding": None}
        text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(f"{type(tokenizer).__name__} {text}".encode()).hexdigest()


def folder_for(file: Path, tokenizer: Any, recipe: Recipe, cache_dir: Path) -> Path:
    """Return the folder of the tokenized form of `file`, whether it exists or not."""
    parts = [
        str(FORMAT),
        hashlib.sha256(file.read_bytes()).hexdigest(),
        tokenizer_sha256(tokenizer),
        recipe.dialogue_column,
        recipe.summary_column,
        str(recipe.encoder_max_len),
        str(recipe.decoder_max_len),
        str(recipe.normalize_text),
    ]
    return cache_dir / f"tokens-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]}"


def tokenized(file: Path, tokenizer: Any, recipe: Recipe, cache_dir: Path) -> Path:
    """Return the folder with the tokens of a CSV file, made now if nobody made it before.

    Raises:
        DataError: The file is malformed.
        OSError: The cache cannot be written.
    """
    folder = folder_for(file, tokenizer, recipe, cache_dir)
    if folder.is_dir():
        return folder
    cache_dir.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_suffix(".lock")):
        if not folder.is_dir():
            _build(file, tokenizer, recipe, folder)
    return folder


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock; the kernel frees it when its holder dies."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(file: Path, tokenizer: Any, recipe: Recipe, folder: Path) -> None:
    """Tokenize into a folder beside, then put it in place."""
    pairs = read_pairs(file, recipe.dialogue_column, recipe.summary_column)
    clean = normalize if recipe.normalize_text else str
    dialogues = [clean(pair.dialogue) for pair in pairs]
    summaries = [clean(pair.summary) for pair in pairs]
    inputs = tokenizer(dialogues, truncation=True, max_length=recipe.encoder_max_len)["input_ids"]
    # Labels end with </s> whatever the tokenizer adds by itself: a model that never sees an end never ends.
    targets = tokenizer(summaries, truncation=True, max_length=recipe.decoder_max_len - 1, add_special_tokens=False)[
        "input_ids"
    ]
    labels = [[*ids, tokenizer.eos_token_id] for ids in targets]
    building = Path(tempfile.mkdtemp(prefix=folder.name + ".", dir=folder.parent))
    try:
        for name, rows in (("input", inputs), ("label", labels)):
            np.save(building / f"{name}s.npy", np.concatenate([np.asarray(row, dtype=np.int32) for row in rows]))
            np.save(building / f"{name}_ends.npy", np.cumsum([0, *map(len, rows)]))
        (building / "references.json").write_text(json.dumps(summaries, ensure_ascii=False), encoding="utf-8")
        building.chmod(0o755)  # mkdtemp's 0700 would hide a shared cache from the team
        os.replace(building, folder)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
