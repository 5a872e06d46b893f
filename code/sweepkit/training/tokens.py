"""The layout of a tokenized data set on disk, and reading it as the Trainer wants it: memory-mapped, row by row.

A folder holds four ragged columns, each as its values in one file and the ends of its rows (64-bit) in another:
`inputs` and `labels` (32-bit token ids), `sources` and `references` (UTF-8). `keys.bin` has a 64-bit hash of each
dialogue, which says equal dialogues without reading them, `lengths.bin` how
long each row was before it was cut. `content.json` comes last and says how long each file is.
"""

import contextlib
import copy
import hashlib
import json
import os
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from sweepkit.training.text import normalize

CONTENT_NAME = "content.json"
_COLUMNS = {"inputs": "<i4", "labels": "<i4", "sources": "u1", "references": "u1"}  # their numpy types
Keys = npt.NDArray[np.int64]


def _dialogue_key(dialogue: str) -> int:
    """Return a hash of the dialogue that does not depend on quotes, repetitions and white space; signed, 64 bits.

    Two of a million different dialogues have the same with a probability of 3e-8.
    """
    digest = hashlib.blake2b(normalize(dialogue).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


class Writer:
    """Writes a tokenized data set into an existing, empty folder; `with` makes it complete or leaves it incomplete.

    Args:
        folder: Where.
        references: Texts that each row has in `references`, >= 1.
    """

    def __init__(self, folder: Path, references: int) -> None:
        self._folder, self._references = folder, references
        self._files: dict[str, BinaryIO] = {}
        self._ends = {name: array("q", [0]) for name in _COLUMNS}
        self._keys = array("q")
        self._lengths = array("q")
        self._opened = contextlib.ExitStack()

    def __enter__(self) -> "Writer":
        with contextlib.ExitStack() as opening:
            for name in _COLUMNS:
                self._files[name] = opening.enter_context((self._folder / f"{name}.bin").open("wb"))
            self._opened = opening.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the files; without an error, write what makes the folder complete."""
        with self._opened:
            if kind is None:
                for file in self._files.values():
                    file.flush()
                    os.fsync(file.fileno())
        if kind is None:
            self._finish()

    def add(
        self,
        inputs: Sequence[int],
        labels: Sequence[int],
        source: str,
        references: Sequence[str],
        lengths: tuple[int, int] | None = None,
    ) -> None:
        """Write one row.

        Args:
            inputs: Token ids of what the model is given.
            labels: Token ids of what it shall give.
            source: The dialogue as text.
            references: The wanted summaries, as many as every row has.
            lengths: Tokens of the dialogue and of the summary before they were cut; None where nothing was.
        """
        self._lengths.extend(lengths or (len(inputs), len(labels)))
        for name, ids in (("inputs", inputs), ("labels", labels)):
            self._write(name, np.asarray(ids, dtype="<i4").tobytes(), len(ids))
        for name, texts in (("sources", [source]), ("references", references)):
            for text in texts:
                content = text.encode()
                self._write(name, content, len(content))
        self._keys.append(_dialogue_key(source))

    def _write(self, name: str, content: bytes, length: int) -> None:
        """Append a value to a column."""
        self._files[name].write(content)
        self._ends[name].append(self._ends[name][-1] + length)

    def _finish(self) -> None:
        """Write the ends, and last what says that all is there."""
        for name, ends in self._ends.items():
            _write_durably(self._folder / f"{name}.ends.bin", np.asarray(ends, dtype="<i8").tobytes())
        _write_durably(self._folder / "keys.bin", np.asarray(self._keys, dtype="<i8").tobytes())
        _write_durably(self._folder / "lengths.bin", np.asarray(self._lengths, dtype="<i8").tobytes())
        sizes = {path.name: path.stat().st_size for path in self._folder.iterdir()}
        content = {"rows": len(self._keys), "references": self._references, "sizes": sizes}
        _write_durably(self._folder / CONTENT_NAME, json.dumps(content).encode())


def _write_durably(path: Path, content: bytes) -> None:
    """Write a file so that it outlives a power cut once its folder is in place."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def is_whole(folder: Path) -> bool:
    """Return whether the folder holds a complete data set: every file with the length it was written with."""
    try:
        sizes = json.loads((folder / CONTENT_NAME).read_bytes())["sizes"]
        return len(sizes) == 2 * len(_COLUMNS) + 2 and all(
            (folder / name).stat().st_size == size for name, size in sizes.items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _mapped(path: Path, kind: str) -> Any:
    """Return a file's values, memory-mapped; a file without any cannot be mapped."""
    if path.stat().st_size == 0:
        return np.empty(0, dtype=kind)
    return np.memmap(path, dtype=kind, mode="r").view(np.ndarray)


class TokenizedPairs(Sequence[dict[str, list[int]]]):
    """A data set as the Trainer wants it: item i is {"input_ids": […], "attention_mask": […], "labels": […]}.

    Args:
        folder: A folder that `Writer` made; all of its rows, in order.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        content = json.loads((folder / CONTENT_NAME).read_bytes())
        self._rows: Sequence[int] = range(content["rows"])
        self._references: int = content["references"]
        self._values = {name: _mapped(folder / f"{name}.bin", kind) for name, kind in _COLUMNS.items()}
        self._ends = {name: _mapped(folder / f"{name}.ends.bin", "<i8") for name in _COLUMNS}
        self._keys: Keys = _mapped(folder / "keys.bin", "<i8")
        self._lengths: Keys = _mapped(folder / "lengths.bin", "<i8").reshape(-1, 2)

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        """Return one item, or a list of them for a slice; negative positions count from the end."""
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        row = self._rows[index]
        inputs = self._value("inputs", row).tolist()
        return {"input_ids": inputs, "attention_mask": [1] * len(inputs), "labels": self._value("labels", row).tolist()}

    def select(self, rows: Iterable[int]) -> "TokenizedPairs":
        """Return the items at these positions, in this order."""
        return self._with([self._rows[row] for row in rows])

    def first(self, limit: int | None) -> "TokenizedPairs":
        """Return the first so many items; all for None or when there are no more."""
        return self._with(self._rows[:limit])

    def _with(self, rows: Sequence[int]) -> "TokenizedPairs":
        """Return the same folder with other rows; the files are mapped once."""
        other = copy.copy(self)
        other._rows = rows
        return other

    def sources(self) -> list[str]:
        """Return the dialogues as text, normalized when the recipe says so, not cut."""
        return [self._text("sources", row) for row in self._rows]

    def references(self) -> list[list[str]]:
        """Return the wanted summaries of each item as text, normalized when the recipe says so; as many for each."""
        several = range(self._references)
        return [[self._text("references", row * self._references + which) for which in several] for row in self._rows]

    def keys(self) -> Keys:
        """Return the hash of each item's dialogue; equal dialogues have equal ones."""
        return self._keys[np.asarray(self._rows, dtype=np.int64)]

    def lengths(self) -> Keys:
        """Return the tokens of each item's dialogue and summary before they were cut, of the shape (items, 2)."""
        return self._lengths[np.asarray(self._rows, dtype=np.int64)]

    def _value(self, name: str, row: int) -> Any:
        """Return a value of a column."""
        ends = self._ends[name]
        return self._values[name][ends[row] : ends[row + 1]]

    def _text(self, name: str, row: int) -> str:
        """Return a text of a column."""
        text: str = self._value(name, row).tobytes().decode()
        return text
