"""JSON for other programs: every reader takes it, numbers that JSON does not have included."""

import json
import math
from collections.abc import Mapping
from typing import Any


def json_text(value: Any, *, indent: int | None = None) -> str:
    """Return a value as JSON text, Unicode as it is; NaN and infinities as the strings W&B writes for them.

    Python's own `NaN` and `Infinity` are no JSON: JavaScript and most other readers refuse the whole text.

    Args:
        value: None, booleans, numbers, strings, sequences and mappings.
        indent: Spaces a level, None for one line.

    >>> json_text({"loss": float("nan"), "best": [1.5, float("-inf")]})
    '{"loss": "NaN", "best": [1.5, "-Infinity"]}'
    """
    try:
        return json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)
    except ValueError:
        return json.dumps(_told(value), ensure_ascii=False, indent=indent)


def _told(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {key: _told(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_told(part) for part in value]
    return value
