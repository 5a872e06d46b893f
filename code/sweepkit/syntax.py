"""The syntax tree of a Python source, in a process whose other threads read sources too.

Imported by the fork server, which runs in any project's interpreter: the standard library alone, Python 3.9.
"""

from __future__ import annotations

import ast

_TRIES = 100  # one in a few thousand is met by another thread's


def parse(source: str | bytes) -> ast.Module:
    """Return the syntax tree of a source, as `ast.parse`.

    CPython counts the depth of a tree that it makes in one counter for all threads (before 3.12.1; its issue 106905):
    of two threads that parse at once and change places meanwhile, which the garbage collector lets them do, one gets a
    SystemError about a source without a fault. A lock would not do: libraries parse too, and a fork would inherit it.

    Args:
        source: Text, or bytes with the encoding that they name.

    Raises:
        SyntaxError: It is no Python.
        ValueError: It has a null byte, before Python 3.12.

    Example:
        >>> parse("import json").body[0].names[0].name
        'json'
    """
    for _ in range(_TRIES - 1):
        try:
            return ast.parse(source)  # noqa: TID251
        except SystemError:
            continue
    return ast.parse(source)  # noqa: TID251
