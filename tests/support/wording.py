"""Count asserts that hold an English sentence: four words or more in a row, in an assert or a `match=`."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import house

_SENTENCE = re.compile(r"[A-Za-z][A-Za-z'’-]*(?:[,;:]? [A-Za-z][A-Za-z'’-]*){3,}")


# Methods of a text by which an assert looks at its words; a string handed to any other call is that call's input.
_LOOKS = {"startswith", "endswith", "count", "index", "find", "search", "match", "fullmatch", "findall", "removeprefix"}


def sentences(path: Path) -> Iterator[ast.Constant]:
    """Yield every such string of a test file, as the node that holds it."""
    source = path.read_bytes()
    tree = ast.parse(source)
    for node in ast.walk(tree) if b"match=" in source else house.statements(tree):
        if isinstance(node, ast.Assert):
            yield from _held(node.test)
        elif isinstance(node, ast.keyword) and node.arg == "match":
            yield from _held(node.value)


def _held(node: ast.AST) -> Iterator[ast.Constant]:
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str) and _SENTENCE.search(node.value):
            yield node
    elif isinstance(node, ast.Call) and not (isinstance(node.func, ast.Attribute) and node.func.attr in _LOOKS):
        yield from _held(node.func)
    else:
        for child in ast.iter_child_nodes(node):
            yield from _held(child)
