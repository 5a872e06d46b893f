"""Collects every problem of a document while its values are read, so that all are said at once.

The readers of this room walk a document with a `Checker`: each method returns the value in its proper type, or None
after noting what is wrong with it. Nothing is raised before the whole document has been read.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sweepkit.errors import Problem
from sweepkit.model.numbers import is_number
from sweepkit.sweep_config.fields import MAPPING, TEXT, TRUTH, Field, chosen, nearest
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
        """Note what the user should know though it is accepted."""
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
            said = f"{value} is {described(value)} here (YAML 1.2), W&B's reader takes it for {described(theirs)}"
            self.warn(path, said)

    def known_keys(self, node: Mapping[str, Any], path: KeyPath, known: Sequence[str], owner: str) -> None:
        """Refuse every key of `node` that is not known; `owner` is what has no such key, in words."""
        for key in node:
            if key not in known:
                self.refuse((*path, key), f"{key} is not a key of {owner}", got=node[key], hint=nearest(key, known))

    def section(
        self,
        node: Mapping[str, Any],
        path: KeyPath,
        fields: Mapping[str, Field],
        owner: str,
        *,
        null_is_default: bool = False,
    ) -> dict[str, Any]:
        """Return what a section gives, by key; unknown keys are refused, and values that do not fit their field.

        Args:
            node: The section.
            path: Where it stands.
            fields: What its keys may hold.
            owner: What has these keys, in words.
            null_is_default: A null leaves a key unset; else it is a value as any other.
        """
        self.known_keys(node, path, tuple(fields), owner)
        found = {}
        for key, field in fields.items():
            if key in node and not (null_is_default and node[key] is None):
                value = self.value(node, path, key, field)
                if value is not None:
                    found[key] = value
        return found

    def value(self, node: Mapping[str, Any], path: KeyPath, key: str, field: Field) -> Any:
        """Return `node[key]` in its field's type; None when absent or refused. Of a list, the items that fit."""
        value = node.get(key, _MISSING)
        if value is _MISSING:
            return None
        here = (*path, key)
        if field.kind == "string" and not field.choices and not isinstance(value, str):
            value = self.at_wandb(here, value, str)
        misfits = field.misfits(value)
        for misfit in misfits:
            self.refuse((*here, *misfit.at), misfit.rule, got=misfit.got, hint=misfit.hint)
        return None if any(not misfit.at for misfit in misfits) else field.fitted(value)

    def mapping(self, node: Mapping[str, Any], path: KeyPath, key: str) -> dict[str, Any] | None:
        """Return `node[key]` when it is a mapping; None when absent or refused."""
        found: dict[str, Any] | None = self.value(node, path, key, MAPPING)
        return found

    def string(self, node: Mapping[str, Any], path: KeyPath, key: str) -> str | None:
        """Return `node[key]` when it is a string; None when absent or refused."""
        found: str | None = self.value(node, path, key, TEXT)
        return found

    def choice(self, node: Mapping[str, Any], path: KeyPath, key: str, choices: Sequence[str]) -> str | None:
        """Return `node[key]` when it is one of `choices`; None when absent or refused."""
        found: str | None = self.value(node, path, key, chosen(choices))
        return found

    def boolean(self, node: Mapping[str, Any], path: KeyPath, key: str) -> bool | None:
        """Return `node[key]` when it is true or false; None when absent or refused."""
        found: bool | None = self.value(node, path, key, TRUTH)
        return found

    def number(
        self,
        node: Mapping[str, Any],
        path: KeyPath,
        key: str,
        *,
        at_least: float | None = None,
        above: float | None = None,
    ) -> float | int | None:
        """Return `node[key]` when it is a number in range; None when absent or refused."""
        found: float | int | None = self.value(node, path, key, Field(kind="number", at_least=at_least, above=above))
        return found
