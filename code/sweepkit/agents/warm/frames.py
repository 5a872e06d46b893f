"""Hide the frame that calls the program: below a program's own first frame a fresh process has none."""

from __future__ import annotations

import ctypes
import sys
import types
from typing import Any


def _plain() -> None:
    return None


def _one(a: Any) -> Any:
    return lambda: a


def _three(a: Any, b: Any, c: Any) -> Any:
    return lambda: (a, b, c)


def _generator() -> Any:
    yield


# Instructions before the one at which a frame has begun: none, a cell for each variable that is shared, a generator's.
_BEFORE = ((_plain, 0), (_one, 1), (_three, 3), (_generator, 2))


def _place_of_begin() -> int | None:
    """Return where in a code object CPython keeps after how many instructions a frame has begun; None if nowhere.

    Since 3.11 a frame that has not begun is one that nobody sees: `f_back`, `sys._getframe`, tracebacks.
    """
    size = types.CodeType.__basicsize__
    if sys.implementation.name != "cpython" or sys.version_info < (3, 11):
        return None
    held = [(ctypes.string_at(id(function.__code__), size), count) for function, count in _BEFORE]
    fits = [
        place
        for place in range(0, size - 3, 4)
        if all(int.from_bytes(memory[place : place + 4], sys.byteorder) == count for memory, count in held)
    ]
    return fits[0] if len(fits) == 1 else None


_PLACE = _place_of_begin()


def hide_outermost() -> types.CodeType:
    """Let the outermost frame of this thread be one that nobody sees; return its code."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
    code = frame.f_code
    if _PLACE is not None:
        ctypes.c_int.from_address(id(code) + _PLACE).value = len(code.co_code) // 2  # of two bytes each
    return code
