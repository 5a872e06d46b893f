"""What counts as a number in a logged row, and how nested rows become flat; shared by every reader of this room.

Knows nothing of files. W&B's rules where it has any: nested dictionaries are joined with ".", the three strings
"NaN", "Infinity" and "-Infinity" are how W&B writes such floats in JSON, and a dictionary with a `_type` is a medium
(a histogram, an image, a table), not a group of metrics.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_INT64 = 2**63
_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def as_number(value: object) -> float | None:
    """Return a JSON value as a number, or None when it is not one.

    Booleans become 0 or 1; an integer outside 64 bits becomes a float (infinite when it does not fit one either).

    >>> as_number(True), as_number("NaN") is None, as_number("0.5")
    (1, False, None)
    """
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float):
        return value
    if isinstance(value, int):
        if -_INT64 <= value < _INT64:
            return value
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    return _WORDS.get(value) if isinstance(value, str) else None


def _flatten(row: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every leaf of nested dictionaries with its dotted name; media are left out.

    >>> dict(_flatten({"eval": {"loss": 1}, "lr": 2, "h": {"_type": "histogram", "n": 3}}))
    {'eval.loss': 1, 'lr': 2}
    """
    for key, value in row.items():
        if isinstance(value, dict):
            if "_type" not in value:
                yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def numbers(row: Mapping[str, Any], dropped: Callable[[str, Any], None] | None = None) -> dict[str, float]:
    """Return the numeric leaves of a row by dotted name; call `dropped(name, value)` for each other leaf."""
    found: dict[str, float] = {}
    for name, value in _flatten(row):
        number = as_number(value)
        if number is not None:
            found[name] = number
        elif dropped is not None:
            dropped(name, value)
    return found


def as_step(value: object) -> int | None:
    """Return a step (an integer or an integral float of 64 bits), or None when the value is not one.

    >>> as_step(3.0), as_step(3.5), as_step(True)
    (3, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not value.is_integer():
        return None
    return int(value) if -_INT64 <= value < _INT64 else None


def as_time(value: object) -> float | None:
    """Return seconds since the epoch (finite, not negative), or None when the value is not that."""
    number = None if isinstance(value, str) else as_number(value)
    return float(number) if number is not None and math.isfinite(number) and number >= 0 else None
