"""Count asserts that hold an English sentence: four words or more in a row, in an assert or a `match=`."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

_SENTENCE = re.compile(r"[A-Za-z][A-Za-z'’-]*(?:[,;:]? [A-Za-z][A-Za-z'’-]*){3,}")


def sentences(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of every such string of a test file."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Assert):
            held: list[ast.AST] = [node.test]
        elif isinstance(node, ast.keyword) and node.arg == "match":
            held = [node.value]
        else:
            continue
        for part in held:
            for item in ast.walk(part):
                if isinstance(item, ast.Constant) and isinstance(item.value, str) and _SENTENCE.search(item.value):
                    yield item.lineno, item.value
