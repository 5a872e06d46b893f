"""What W&B's reader takes a plain scalar for: PyYAML's safe loader, which reads YAML 1.1.

Source: PyYAML 6.0, `resolver.py` (the implicit resolvers) and `constructor.py` (SafeConstructor). W&B reads a sweep's
file by it (`wandb/sdk/launch/sweeps/utils.py`, load_sweep_config) and hands over what comes out.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE = re.compile(r"yes|Yes|YES|true|True|TRUE|on|On|ON")
_FALSE = re.compile(r"no|No|NO|false|False|FALSE|off|Off|OFF")
_FLOAT = re.compile(
    r"[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?"
    r"|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_INT = re.compile(
    r"[-+]?0b[01_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+"
)
DATE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}"
    r"(?:\.[0-9]*)?(?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::[0-9]{2})?))?"
)


@dataclass(frozen=True, slots=True)
class NoValue:
    """A scalar that PyYAML makes a value of that no configuration can hold, or fails at: "a date", "an error"."""

    kind: str


Plain = None | bool | int | float | str | NoValue


def read_yaml11(text: str) -> Plain:
    """Return what PyYAML's safe loader makes of a plain scalar.

    >>> [read_yaml11(text) for text in ("1e-5", "1.0e-5", "010", "08", "yes", "12:30", "2024-01-31")]
    ['1e-5', 1e-05, 8, '08', True, 750, NoValue(kind='a date')]
    """
    for rule, make in _RULES:
        if rule.fullmatch(text):
            try:
                return make(text)
            except ValueError:  # 0x_ is an int by its form, and none by its content
                return NoValue("an error")
    return text


def _number(text: str, convert: Callable[[str], Plain]) -> Plain:
    """Return a number from its text without `_` and sign."""
    digits = text.replace("_", "").lower()
    value = convert(digits.lstrip("+-"))
    return -value if digits.startswith("-") and isinstance(value, int | float) else value


def _int(digits: str) -> int:
    if digits.startswith(("0b", "0x")):
        return int(digits, 0)
    if ":" in digits:
        return _base_60([int(part) for part in digits.split(":")])
    return int(digits, 8) if digits.startswith("0") else int(digits)


def _float(digits: str) -> float:
    if digits == ".inf":
        return math.inf
    if digits == ".nan":
        return math.nan
    if ":" in digits:
        whole, _, last = digits.rpartition(":")
        return _base_60([int(part) for part in whole.split(":")]) * 60 + float(last)
    return float(digits)


def _base_60(digits: list[int]) -> int:
    value = 0
    for digit in digits:
        value = value * 60 + digit
    return value


# In PyYAML's order.
_RULES: tuple[tuple[re.Pattern[str], Callable[[str], Plain]], ...] = (
    (_TRUE, lambda _: True),
    (_FALSE, lambda _: False),
    (_FLOAT, lambda text: _number(text, _float)),
    (_INT, lambda text: _number(text, _int)),
    (_NULL, lambda _: None),
    (DATE, lambda _: NoValue("a date")),
    (re.compile("="), lambda _: NoValue("an error")),
)
