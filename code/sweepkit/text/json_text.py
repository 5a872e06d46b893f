"""JSON for other programs: every reader takes it, numbers that JSON does not have included."""

import json
import math
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any


def json_text(value: Any, *, indent: int | None = None) -> str:
    """Return a value as JSON text, Unicode as it is; NaN and infinities as the strings W&B writes for them.

    Python's own `NaN` and `Infinity` are no JSON: JavaScript and most other readers refuse the whole text. A lone
    surrogate, which no encoding takes, is written as its JSON escape.

    Args:
        value: None, booleans, numbers, strings, sequences and mappings.
        indent: Spaces a level, None for one line.

    >>> json_text({"loss": float("nan"), "best": [1.5, float("-inf")]})
    '{"loss": "NaN", "best": [1.5, "-Infinity"]}'
    """
    try:
        text = json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)
    except ValueError:
        text = json.dumps(spelled(value), ensure_ascii=False, indent=indent)
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def read_object(path: Path) -> dict[str, Any] | None:
    """Return the object in a JSON file; None where there is no file that can be read, or it holds none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def spelled(value: Any) -> Any:
    """Return a value that has a form in JSON: what is not finite becomes the word by which W&B knows it."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {key: spelled(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [spelled(part) for part in value]
    return value


def finite(value: Any) -> Any:
    """Return a value that has a form in JSON: NaN and infinities are None, tuples lists, keys text.

    >>> finite({"a": (1.0, float("nan")), 2: "b"})
    {'a': [1.0, None], '2': 'b'}
    """
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list | tuple) else value


def picked(item: Any, *names: str) -> dict[str, Any]:
    """Return some fields of a value for JSON: mappings as dictionaries, tuples as lists, members of an Enum as values.

    >>> picked(3 + 4j, "real", "imag")
    {'real': 3.0, 'imag': 4.0}
    """
    return {name: _plain(getattr(item, name)) for name in names}


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value
