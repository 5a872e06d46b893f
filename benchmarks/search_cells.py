"""What benchmarks/search.py has measured: a small file for each cell, so interrupted and parallel calls go on."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Cells:
    """Measured values by their keys, a file each below a folder; those of the committed results count where none is.

    Args:
        committed: The JSON file of results, nested by the keys; need not exist.
        folder: Of the cells; made when it is needed.

    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp())
    >>> Cells(place / "search.json", place / "cells").put(("set", "1", "ours", "0"), [0.5])
    >>> Cells(place / "search.json", place / "cells").all()
    {'set': {'1': {'ours': {'0': [0.5]}}}}
    """

    def __init__(self, committed: Path, folder: Path) -> None:
        self._folder = folder
        self._committed: dict[str, Any] = (
            json.loads(committed.read_text(encoding="utf-8")) if committed.exists() else {}
        )

    def get(self, keys: tuple[str, ...]) -> Any:
        """Return what was measured; None when nothing was."""
        file = self._file(keys)
        if file.exists():
            return json.loads(file.read_text(encoding="utf-8"))
        node: Any = self._committed
        for key in keys:
            if not isinstance(node, dict) or key not in node:
                return None
            node = node[key]
        return node

    def put(self, keys: tuple[str, ...], value: Any) -> None:
        """Keep a measurement, whole or not at all."""
        file = self._file(keys)
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_suffix(f".{os.getpid()}")
        beside.write_text(json.dumps(value), encoding="utf-8")
        beside.replace(file)

    def all(self) -> dict[str, Any]:
        """Return everything, nested by the keys."""
        whole = json.loads(json.dumps(self._committed))
        for keys, value in self._found():
            node = whole
            for key in keys[:-1]:
                node = node.setdefault(key, {})
            node[keys[-1]] = value
        return dict(whole)

    def _found(self) -> Iterator[tuple[tuple[str, ...], Any]]:
        for file in sorted(self._folder.rglob("*.json")):
            keys = file.relative_to(self._folder).with_suffix("").parts
            yield keys, json.loads(file.read_text(encoding="utf-8"))

    def _file(self, keys: tuple[str, ...]) -> Path:
        return self._folder.joinpath(*keys[:-1], f"{keys[-1]}.json")
