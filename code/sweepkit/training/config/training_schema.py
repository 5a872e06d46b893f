"""The fields of a training configuration as data: where a sweep parameter goes, and whether a value fits its field."""

import dataclasses
import json
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sweepkit.errors import Problem
from sweepkit.sweep_config.fields import Field, FieldKind, suggestion
from sweepkit.training.config.spellings import GOVERNED

# A sweep parameter of these sections is named with its section: the field's name says too little alone.
_NEVER_BARE = ("wandb", "output", "reproduces", "quick_validation")
_PREFIXED = {"lora": "lora_"}
_WORDS: Mapping[str, Any] = {"true": True, "false": False, "none": None, "null": None, "~": None}
_KINDS: Mapping[type, FieldKind] = {bool: "boolean", int: "integer", float: "float", str: "string", tuple: "strings"}


def _fields(config_type: type) -> Iterator[tuple[str, Field]]:
    """Yield the dotted path of every field of every section, in order, and what it may hold."""
    for section, section_type in section_types(config_type).items():
        hints = typing.get_type_hints(section_type)
        for item in dataclasses.fields(section_type):
            hint = hints[item.name]
            optional = isinstance(hint, types.UnionType)
            kind = next(part for part in typing.get_args(hint) if part is not type(None)) if optional else hint
            known = _KINDS[typing.get_origin(kind) or kind]
            yield f"{section}.{item.name}", Field(kind=known, optional=optional, **item.metadata)


def section_types(config_type: type) -> dict[str, type]:
    """Return the type of each section of a configuration, in order."""
    hints = typing.get_type_hints(config_type)
    return {item.name: hints[item.name] for item in dataclasses.fields(config_type)}


class Schema:
    """What a task's configuration may hold.

    Args:
        config_type: A dataclass of sections with the class variables `task`, `aliases` (other names of fields, for
            sweep parameters) and `renamed` (names of old, and what is written instead).

    Attributes:
        known: Every field by its dotted path, in order.
        sections: The names of the sections, in order.
    """

    def __init__(self, config_type: Any) -> None:
        self.config_type = config_type
        self.known: Mapping[str, Field] = dict(_fields(config_type))
        self.sections = tuple(section_types(config_type))
        bare = {self._bare(path): path for path in self.known if not self._never_bare(path)}
        self.bare: Mapping[str, str] = {**config_type.aliases, **bare}

    @staticmethod
    def _never_bare(path: str) -> bool:
        return path == "model.name" or path.split(".")[0] in _NEVER_BARE

    @staticmethod
    def _bare(path: str) -> str:
        section, name = path.split(".")
        return _PREFIXED.get(section, "") + name

    def route(self, name: str) -> str | None:
        """Return the dotted path that a sweep parameter sets, or None when there is none."""
        return name if name in self.known else self.bare.get(name)

    def unknown(self, names: Sequence[str]) -> list[Problem]:
        """Return one problem for each sweep parameter that no field takes."""
        hints = [*self.bare, *self.known]
        task = "" if self.config_type.task == "summarization" else f" ({self.config_type.task})"
        return [
            Problem(
                key=name,
                rule=f"must be a field of the training configuration{task}",
                got=repr(name),
                hint=self.instead(name) or suggestion(name, hints) or "see config/base_config.yaml for the names",
            )
            for name in names
            if self.route(name) is None and not self.governed(name)
        ]

    def governed(self, name: str) -> str:
        """Return what governs what a name of transformers' asks for, where no field does; "" for any other name."""
        word = name.rpartition(".")[2]
        return "" if self.route(name) is not None or word in self.bare else GOVERNED.get(word, "")

    def instead(self, name: str) -> str:
        """Return what is written instead of a name of old, "" when it is none."""
        now = self.config_type.renamed.get(name.split(".")[-1])
        return f"transformers 5 gave that name up, write {now}" if now else ""

    def check(self, path: str, value: Any, *, from_text: bool) -> tuple[Any, Problem | None]:
        """Return the value in its field's type, or the problem with it.

        Args:
            path: A key of `known`.
            value: What was given.
            from_text: It comes from a command line, where everything is text.
        """
        field = self.known[path]
        meant = _from_text(field, value) if from_text and isinstance(value, str) else value
        misfits = field.misfits(meant)
        if not misfits:
            return field.fitted(meant), None
        first = misfits[0]
        hint = first.hint if field.choices or not from_text else ""  # a command line has no quotes
        if path == "training.optim" and isinstance(value, str) and value in _DROPPED:
            hint = f"transformers 5 dropped {value}, use {_DROPPED[value]}"
        return None, Problem(key=path, rule=first.rule, got=repr(first.got if first.at else value), hint=hint)


_SCHEMAS: dict[type, Schema] = {}


def schema_of(config_type: type) -> Schema:
    """Return the schema of a configuration's type, made once."""
    if config_type not in _SCHEMAS:
        _SCHEMAS[config_type] = Schema(config_type)
    return _SCHEMAS[config_type]


def _number(text: str) -> Any:
    """Return the number written in `text`, or the text itself."""
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def _from_text(field: Field, text: str) -> Any:
    """Return what a text of a command line means to a field: a number, a word for none, a list (JSON, or a,b)."""
    meant: Any = text
    if field.kind not in ("string", "strings") or field.optional:
        meant = _WORDS.get(text.lower(), text)
    if not isinstance(meant, str):
        return meant
    if field.kind in ("integer", "float"):
        return _number(meant)
    if field.kind != "strings":
        return meant
    try:
        items = json.loads(meant) if meant.startswith("[") else [word.strip() for word in meant.split(",")]
    except ValueError:
        return meant
    return [word for word in items if word != ""]


# Optimizers that transformers 5 dropped, and the same arithmetic under another name.
_DROPPED = {
    "adamw_hf": "adamw_torch",
    "adamw_apex_fused": "adamw_torch_fused",
    "adamw_torch_xla": "adamw_torch",
    "adamw": "adamw_torch",
    "adam": "adamw_torch with weight_decay: 0",
}
