"""Collects every problem of a document while its values are read, so that all are told at once.

The readers of this room walk a document with a `Checker`: each method returns the value in its proper type, or None
after noting what is wrong with it. Nothing is raised before the whole document has been read.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from sweepkit.errors import Problem
from sweepkit.model.numbers import fits_float, is_number
from sweepkit.text.yaml import Document, KeyPath, dotted
from sweepkit.text.yaml11 import NoValue

_LONGEST_SHOWN = 80
_MISSING: Any = object()


def shown(value: Any) -> str:
    """Return a value as YAML would write it on one line, cut to 80 characters.

    >>> shown({"a": [1, None, "x"]})
    '{"a": [1, null, "x"]}'
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=True)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return `did you mean X?` for the nearest known word, "" when none is near."""
    lowered = {name.lower(): name for name in known}
    wanted = word.lower().replace("-", "_")
    matches = get_close_matches(wanted, list(lowered), n=1, cutoff=0.6)
    matches = matches or [name for name in lowered if len(wanted) > 2 and name.startswith(wanted)]
    return f"did you mean {lowered[matches[0]]}?" if matches else ""


def nearest(word: str, known: Sequence[str]) -> str:
    """Return `did you mean X?` for the nearest known word, or the list of known ones."""
    return suggestion(word, known) or "known: " + ", ".join(known)


def reads_as_number(value: Any) -> bool:
    """Return whether a value is a string that a person would take for a number ("1e-4", "10", not "nan")."""
    if not isinstance(value, str) or not any(character.isdigit() for character in value):
        return False
    try:
        float(value)
    except ValueError:
        return False
    return True


def described(value: Any) -> str:
    """Return what a scalar is, in words."""
    if isinstance(value, NoValue):
        return value.kind
    if isinstance(value, str):
        return "a string"
    return shown(value) if isinstance(value, bool) or value is None else f"the number {value}"


class Checker:
    """Reads typed values out of one document and remembers what is wrong with it.

    Args:
        document: The document; its own problems are taken over.
        where: The file's name for messages.
    """

    def __init__(self, document: Document, *, where: str = "") -> None:
        self.document = document
        self.where = where
        self.warnings: list[str] = []
        self.warned: set[KeyPath] = set()
        self.taken: dict[KeyPath, Any] = {}  # values that are meant as W&B's reader reads them
        self.numbers_here: dict[KeyPath, str] = {}  # numbers that W&B's reader takes for strings, as they are written
        self._problems: list[Problem] = list(document.problems)

    @property
    def count(self) -> int:
        """Return the number of problems so far."""
        return len(self._problems)

    def problems(self) -> tuple[Problem, ...]:
        """Return all problems in order of lines."""
        return tuple(sorted(self._problems, key=lambda problem: problem.line or 0))

    def refuse(self, path: KeyPath, rule: str, *, got: Any = _MISSING, hint: str = "") -> None:
        """Note a problem, unless the YAML itself is already refused at that path."""
        if path in self.document.bad:
            return
        text = "" if got is _MISSING else shown(got)
        line = self.document.line(path)
        problem = Problem(where=self.where, line=line, key=dotted(path), rule=rule, got=text, hint=hint)
        self._problems.append(problem)

    def warn(self, path: KeyPath, sentence: str) -> None:
        """Note what the user should be told though it is accepted."""
        place = Problem(where=self.where, line=self.document.line(path), key=dotted(path), rule=sentence)
        self.warnings.append(str(place))
        self.warned.add(path)

    def at_wandb(self, path: KeyPath, value: Any, kind: type | tuple[type, ...]) -> Any:
        """Return what W&B's reader takes the scalar at `path` for when it differs and is of a kind, else `value`."""
        theirs = self.document.yaml11.get(path)
        if not isinstance(theirs, kind):
            return value
        self.taken[path] = theirs
        return theirs

    def warn_of_readers(self, path: KeyPath, value: Any) -> None:
        """Warn of a plain scalar that readers of YAML disagree about; that `1e-5` is a number is but noted."""
        theirs = self.document.yaml11.get(path)
        if path in self.document.yaml12:
            number = self.document.yaml12[path]
            rule = f"{value} is a string, as to W&B's reader (YAML 1.1), not the number {number} of YAML 1.2"
            self.warn(path, f"{rule}; quote it, or write {number}")
        elif theirs is not None and is_number(value) and isinstance(theirs, str):
            self.numbers_here[path] = theirs
        elif theirs is not None:
            told = f"{value} is {described(value)} here (YAML 1.2), W&B's reader takes it for {described(theirs)}"
            self.warn(path, told)

    def known_keys(self, node: Mapping[str, Any], path: KeyPath, known: Sequence[str], owner: str) -> None:
        """Refuse every key of `node` that is not known; `owner` is what has no such key, in words."""
        for key in node:
            if key not in known:
                self.refuse((*path, key), f"{key} is not a key of {owner}", got=node[key], hint=nearest(key, known))

    def mapping(self, node: Mapping[str, Any], path: KeyPath, key: str) -> dict[str, Any] | None:
        """Return `node[key]` when it is a mapping; None when absent or refused."""
        value = node.get(key, _MISSING)
        if value is _MISSING:
            return None
        if isinstance(value, dict):
            return value
        self.refuse((*path, key), "must be a mapping of keys to values", got=value)
        return None

    def string(self, node: Mapping[str, Any], path: KeyPath, key: str) -> str | None:
        """Return `node[key]` when it is a string; None when absent or refused."""
        value = node.get(key, _MISSING)
        if not isinstance(value, str):
            value = self.at_wandb((*path, key), value, str)
        if value is _MISSING or isinstance(value, str):
            return None if value is _MISSING else value
        hint = "remove the key to leave it unset" if value is None else f'write "{value}"' if is_number(value) else ""
        self.refuse((*path, key), "must be a string", got=value, hint=hint)
        return None

    def choice(self, node: Mapping[str, Any], path: KeyPath, key: str, choices: Sequence[str]) -> str | None:
        """Return `node[key]` when it is one of `choices`; None when absent or refused."""
        value = node.get(key, _MISSING)
        if value is _MISSING:
            return None
        if isinstance(value, str) and value in choices:
            return value
        hint = suggestion(value, choices) if isinstance(value, str) else ""
        self.refuse((*path, key), f"must be one of {', '.join(choices)}", got=value, hint=hint)
        return None

    def boolean(self, node: Mapping[str, Any], path: KeyPath, key: str) -> bool | None:
        """Return `node[key]` when it is true or false; None when absent or refused."""
        value = node.get(key, _MISSING)
        if value is _MISSING or isinstance(value, bool):
            return None if value is _MISSING else value
        hint = "YAML 1.2 writes true and false only" if isinstance(value, str) else ""
        self.refuse((*path, key), "must be true or false", got=value, hint=hint)
        return None

    def number(
        self,
        node: Mapping[str, Any],
        path: KeyPath,
        key: str,
        *,
        at_least: float = -math.inf,
        above: float = -math.inf,
    ) -> float | int | None:
        """Return `node[key]` when it is a number in range; None when absent or refused."""
        value = node.get(key, _MISSING)
        if value is _MISSING:
            return None
        if not is_number(value):
            hint = f"write {value} without quotes" if reads_as_number(value) else ""
            self.refuse((*path, key), "must be a number", got=value, hint=hint)
            return None
        if not fits_float(value):
            self.refuse((*path, key), "must be a finite number that fits a float", got=value)
            return None
        if value < at_least or value <= above:
            bound = f"at least {at_least:g}" if value < at_least else f"above {above:g}"
            self.refuse((*path, key), f"must be {bound}", got=value)
            return None
        result: float | int = value
        return result

    def integer(self, node: Mapping[str, Any], path: KeyPath, key: str, *, at_least: float = -math.inf) -> int | None:
        """Return `node[key]` when it is a whole number in range (2.0 is one); None when absent or refused."""
        value = node.get(key, _MISSING)
        if value is _MISSING:
            return None
        if not is_number(value) or not fits_float(value) or int(value) != value:
            hint = f"write {value} without quotes" if reads_as_number(value) else ""
            self.refuse((*path, key), "must be a whole number", got=value, hint=hint)
            return None
        if value < at_least:
            self.refuse((*path, key), f"must be at least {at_least:g}", got=value)
            return None
        return int(value)

    def strings(self, node: Mapping[str, Any], path: KeyPath, key: str) -> tuple[str, ...]:
        """Return `node[key]` when it is a list of strings; () when absent or refused."""
        value = node.get(key, _MISSING)
        if value is _MISSING:
            return ()
        if not isinstance(value, list):
            hint = f"write [{value}]" if isinstance(value, str) else ""
            self.refuse((*path, key), "must be a list of strings", got=value, hint=hint)
            return ()
        for index, item in enumerate(value):
            if not isinstance(item, str):
                self.refuse((*path, key, index), "must be a string", got=item)
        return tuple(item for item in value if isinstance(item, str))
