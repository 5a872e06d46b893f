"""What counts as a number in YAML, JSON and what programs report. Pure."""

import math
from collections.abc import Sequence
from typing import Any, TypeGuard

_MOST_DIGITS = 17  # they tell any two floats apart


def is_number(value: Any) -> TypeGuard[float]:
    """Return whether a value is an int or a float; true and false are neither."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_finite(value: Any) -> TypeGuard[float]:
    """Return whether a value is a number that is finite as a float, too.

    >>> is_finite(1), is_finite(True), is_finite(10**400)
    (True, False, False)
    """
    return is_number(value) and fits_float(value)


def fits_float(value: float | int) -> bool:
    """Return whether a number is finite and, for an int, not beyond the range of a float."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def mean(values: Sequence[float]) -> float:
    """Return the mean of at least one value, of such, too, whose sum is too great for a float."""
    try:
        return math.fsum(values) / len(values)
    except OverflowError:
        scaled = 4 * math.fsum(value / 4 / len(values) for value in values)  # infinite by rounding at the very end only
        return min(max(scaled, min(values)), max(values))


def how_many(number: int, noun: str) -> str:
    """Return a number of things, the noun with an s unless there is one.

    >>> how_many(1, "run"), how_many(0, "run")
    ('1 run', '0 runs')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def distinct_texts(values: Sequence[float], *, digits: int = 5) -> list[str]:
    """Return numbers as texts of as many digits, `digits` at least, that different ones look different.

    >>> distinct_texts([0.11123, 0.11118], digits=4), distinct_texts([0.5, 0.25])
    (['0.11123', '0.11118'], ['0.5', '0.25'])
    """
    different = len(set(values))
    for shown in range(digits, _MOST_DIGITS):
        texts = [f"{value:.{shown}g}" for value in values]
        if len(set(texts)) >= different:
            return texts
    return [f"{value:.{_MOST_DIGITS}g}" for value in values]
