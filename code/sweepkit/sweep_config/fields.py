"""What a key of a section may hold, declared once: read by `Checker`, by the training configuration, by the schema.

A section of a YAML file is a table of fields by name. Every reader judges a value by its field, so that a rule, its
words and what editors show of it stand in one place.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from sweepkit.model.numbers import fits_float, is_finite, is_number

FieldKind = Literal["string", "strings", "boolean", "integer", "number", "float", "mapping", "any"]

_NOUNS: Mapping[FieldKind, str] = {
    "string": "a string",
    "strings": "a list of strings",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "float": "a number",
    "mapping": "a mapping of keys to values",
}
_NUMERIC = ("integer", "number", "float")


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return `did you mean X?` for the nearest known word, "" when none is near."""
    lowered = {name.lower(): name for name in known}
    wanted = word.lower().replace("-", "_")
    matches = get_close_matches(wanted, list(lowered), n=1, cutoff=0.6)
    matches = matches or [name for name in lowered if len(wanted) > 2 and name.startswith(wanted)]
    return f"did you mean {lowered[matches[0]]}?" if matches else ""


def nearest(word: str, known: Sequence[str]) -> str:
    """Return `did you mean X?` for the nearest known word, or the list of known ones, each once.

    >>> nearest("rate", ["lr", "batch", "lr"]), nearest("eta", [])
    ('known: lr, batch', 'none is known here; leave it out')
    """
    listed = ", ".join(dict.fromkeys(known))
    return suggestion(word, known) or (f"known: {listed}" if listed else "none is known here; leave it out")


def reads_as_number(value: Any) -> bool:
    """Return whether a value is a string that a person would take for a number ("1e-4", "10", not "nan")."""
    if not isinstance(value, str) or not any(character.isdigit() for character in value):
        return False
    try:
        float(value)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """What is wrong with a value.

    Args:
        rule: The rule that it breaks.
        got: The value, or the part of it that breaks the rule.
        hint: What to do about it; may be "".
        at: Where in the value: () for the whole, the place of an item of a list.
    """

    rule: str
    got: Any
    hint: str = ""
    at: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """What one key may hold.

    Args:
        kind: Its type; "number" is kept as it is written, "float" becomes one, "any" is judged elsewhere.
        at_least, above, at_most, below: Its range, where it is a number; None for no such limit.
        choices: The only values that it may have; () for any of its kind.
        words: Words that are taken beside its kind ("auto").
        optional: None is a value of its own.
        noun: The kind in words, in place of the usual ones.
        fault: Returns which further rule a value of the right kind breaks, in words, "" for none; of a list, an item.
        hint: What to do about a value that breaks its range or that rule.
        meaning: What it is, in words, with its default.

    >>> Field(kind="integer", at_least=1).misfits(0)
    [Misfit(rule='must be at least 1', got=0, hint='', at=())]
    >>> Field(kind="integer", at_least=1).fitted(8.0)
    8
    """

    kind: FieldKind = "string"
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    choices: tuple[str | int, ...] = ()
    words: tuple[str, ...] = ()
    optional: bool = False
    noun: str = ""
    fault: Callable[[Any], str] | None = None
    hint: str = ""
    meaning: str = ""

    def misfits(self, value: Any) -> list[Misfit]:
        """Return all that is wrong with a value; [] when it fits."""
        if self.kind == "any" or (value is None and self.optional):
            return []
        if isinstance(value, str) and value in self.words:
            return []
        if self.choices:
            return [] if self._is_choice(value) else [self._no_choice(value)]
        if not self._is_kind(value):
            noun = self.noun or _NOUNS[self.kind]
            rule = f"must be {noun}{' or null' if self.optional else ''}"
            return [Misfit(rule=rule, got=value, hint=self._rewritten(value))]
        if self.kind == "strings":
            return [found for place, item in enumerate(value) for found in self._item_misfits(place, item)]
        rule = self.out_of_range(value) if self.kind in _NUMERIC else ""
        rule = rule or (self.fault(value) if self.fault is not None else "")
        return [Misfit(rule=rule, got=value, hint=self.hint)] if rule else []

    def fitted(self, value: Any) -> Any:
        """Return a value that fits in the field's type."""
        if self.kind == "strings" and isinstance(value, list | tuple):
            return tuple(item for item in value if isinstance(item, str))
        if is_number(value) and self.kind in ("integer", "float"):
            return int(value) if self.kind == "integer" else float(value)
        return value

    def out_of_range(self, value: float) -> str:
        """Return which bound a number is beyond, in words; "" within them."""
        if not fits_float(value):
            return "must be a finite number that fits a float"
        broken = [
            f"{words} {_bound(bound)}"
            for words, bound, holds in (
                ("at least", self.at_least, self.at_least is None or value >= self.at_least),
                ("above", self.above, self.above is None or value > self.above),
                ("at most", self.at_most, self.at_most is None or value <= self.at_most),
                ("below", self.below, self.below is None or value < self.below),
            )
            if bound is not None and not holds
        ]
        return f"must be {' and '.join(broken)}" if broken else ""

    def _is_choice(self, value: Any) -> bool:
        return not isinstance(value, bool) and value in self.choices

    def _no_choice(self, value: Any) -> Misfit:
        words = [str(choice) for choice in self.choices if isinstance(choice, str)]
        hint = suggestion(value, words) if isinstance(value, str) else ""
        return Misfit(rule=f"must be one of {', '.join(map(str, self.choices))}", got=value, hint=hint)

    def _is_kind(self, value: Any) -> bool:
        match self.kind:
            case "integer":
                return is_finite(value) and int(value) == value
            case "number" | "float":
                return is_number(value)
            case "strings":
                return isinstance(value, list | tuple)
            case "boolean":
                return isinstance(value, bool)
            case "mapping":
                return isinstance(value, dict)
        return isinstance(value, str)

    def _item_misfits(self, place: int, item: Any) -> list[Misfit]:
        if not isinstance(item, str):
            return [Misfit(rule="must be a string", got=item, at=(place,))]
        rule = self.fault(item) if self.fault is not None else ""
        return [Misfit(rule=rule, got=item, hint=self.hint, at=(place,))] if rule else []

    def _rewritten(self, value: Any) -> str:
        """Return how a value of the wrong kind is written in the right one; "" where nobody can know."""
        if self.kind in _NUMERIC:
            return f"write {value} without quotes" if reads_as_number(value) else ""
        if self.kind == "boolean":
            return "YAML 1.2 writes true and false only" if isinstance(value, str) else ""
        if self.kind == "strings":
            return f"write [{value}]" if isinstance(value, str) else ""
        if self.kind == "string" and not self.optional and value is None:
            return "remove the key to leave it unset"
        return f'write "{value}"' if self.kind == "string" and is_number(value) else ""


def _bound(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


def whole(at_least: float, meaning: str = "") -> Field:
    """Return the field of a whole number of at least that."""
    return Field(kind="integer", at_least=at_least, meaning=meaning)


TEXT = Field()
TEXTS = Field(kind="strings")
TRUTH = Field(kind="boolean")
MAPPING = Field(kind="mapping")
ELSEWHERE = Field(kind="any")  # a section of its own, which has its own reader


def chosen(choices: Iterable[str]) -> Field:
    """Return the field of one of some words."""
    return Field(choices=tuple(choices))


def holds(bound: float | None) -> bool:
    """Return whether a bound is one: given, and finite."""
    return bound is not None and math.isfinite(bound)
