"""The fields of a training configuration as data: where a sweep parameter goes, and whether a value fits its field."""

import dataclasses
import json
import math
import operator
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sweepkit.errors import Problem
from sweepkit.sweep_config.checker import suggestion
from sweepkit.training.config.spellings import GOVERNED

# A sweep parameter of these sections is named with its section: the field's name says too little alone.
_NEVER_BARE = ("wandb", "output", "reproduces", "quick_validation")
_PREFIXED = {"lora": "lora_"}
_WORDS: Mapping[str, Any] = {"true": True, "false": False, "none": None, "null": None, "~": None}
_CHECKS: tuple[tuple[str, str, Callable[[Any, Any], bool]], ...] = (
    ("least", "at least", operator.ge),
    ("above", "above", operator.gt),
    ("most", "at most", operator.le),
    ("below", "below", operator.lt),
)


@dataclass(frozen=True, slots=True)
class _Known:
    """One field of a configuration: its dotted path, its type without None, whether None is allowed, its range."""

    path: str
    kind: type
    optional: bool
    bounds: Mapping[str, Any]


def _fields(config_type: type) -> Iterator[_Known]:
    """Yield every field of every section, in order."""
    for section, section_type in section_types(config_type).items():
        hints = typing.get_type_hints(section_type)
        for item in dataclasses.fields(section_type):
            hint = hints[item.name]
            optional = isinstance(hint, types.UnionType)
            kind = next(part for part in typing.get_args(hint) if part is not type(None)) if optional else hint
            yield _Known(f"{section}.{item.name}", typing.get_origin(kind) or kind, optional, item.metadata)


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
        self.known: Mapping[str, _Known] = {known.path: known for known in _fields(config_type)}
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
        known = self.known[path]
        try:
            converted = _coerce(known, value, from_text)
            rule = _range_rule(known, converted)
        except TypeError as error:
            converted, rule = value, str(error)
        if rule:
            return None, Problem(key=path, rule=rule, got=repr(value), hint=_hint(known, value, from_text))
        return converted, None


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


def _texts(value: Any, from_text: bool) -> Any:
    """Return a list of texts as a tuple, from a command line also a JSON list or words between commas; else `value`."""
    if from_text and isinstance(value, str):
        try:
            value = json.loads(value) if value.startswith("[") else [word.strip() for word in value.split(",")]
        except ValueError:
            return value
        value = [word for word in value if word != ""]
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return tuple(value)
    return value


def _coerce(known: _Known, value: Any, from_text: bool) -> Any:
    """Return the value in the type of its field.

    Raises:
        TypeError: It has another type; the message is the rule that it breaks.
    """
    if from_text and isinstance(value, str) and (known.kind not in (str, tuple) or known.optional):
        value = _WORDS.get(value.lower(), value)
        if isinstance(value, str) and known.kind in (int, float):
            value = _number(value)
    if value is None and known.optional:
        return None
    if known.kind is tuple:
        value = _texts(value, from_text)
    if known.kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if known.kind is int and isinstance(value, float) and value.is_integer():
        return int(value)  # a q_uniform of a sweep gives 8.0
    if isinstance(value, known.kind) and not (known.kind is int and isinstance(value, bool)):
        return value
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", tuple: "a list of texts"}
    raise TypeError(f"must be {words[known.kind]}{' or null' if known.optional else ''}")


def _range_rule(known: _Known, value: Any) -> str:
    """Return the rule that a value of the right type breaks, or ""."""
    bounds = known.bounds
    if not bounds or value is None:
        return ""
    if bounds["choices"] and value not in bounds["choices"]:
        return f"must be one of {', '.join(bounds['choices'])}"
    if isinstance(value, float) and not math.isfinite(value):
        return "must be a finite number"
    broken = [
        f"{words} {bounds[name]}"
        for name, words, holds in _CHECKS
        if bounds[name] is not None and not holds(value, bounds[name])
    ]
    return f"must be {' and '.join(broken)}" if broken else ""


# Optimizers that transformers 5 dropped, and the same arithmetic under another name.
_DROPPED = {
    "adamw_hf": "adamw_torch",
    "adamw_apex_fused": "adamw_torch_fused",
    "adamw_torch_xla": "adamw_torch",
    "adamw": "adamw_torch",
    "adam": "adamw_torch with weight_decay: 0",
}


def _hint(known: _Known, value: Any, from_text: bool) -> str:
    """Return what to do about a refused value, where there is something better to say than the rule."""
    if known.path == "training.optim" and isinstance(value, str) and value in _DROPPED:
        return f"transformers 5 dropped {value}, use {_DROPPED[value]}"
    if isinstance(value, str) and isinstance(_number(value), int | float) and known.kind in (int, float):
        return "" if from_text else "remove the quotes"
    return suggestion(value, known.bounds.get("choices", ())) if isinstance(value, str) else ""
