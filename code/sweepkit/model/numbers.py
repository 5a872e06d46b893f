"""What counts as a number in YAML, JSON and what programs report. Pure."""

import math
from typing import Any


def is_number(value: Any) -> bool:
    """Return whether a value is an int or a float; true and false are neither."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def fits_float(value: float | int) -> bool:
    """Return whether a number is finite and, for an int, not beyond the range of a float."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
