"""A source is parsed while other threads parse theirs."""

import ast
import gc
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sweepkit import syntax

SOURCE = "\n".join(f"a{number} = f(x, [1, 2, {{3: 4}}])" for number in range(300))


@contextmanager
def places_changed() -> Iterator[None]:
    """Let another thread run at each collection of garbage, and collect often."""

    def give_way(_phase: str, _info: dict[str, int]) -> None:
        time.sleep(0)

    threshold = gc.get_threshold()
    gc.callbacks.append(give_way)
    gc.set_threshold(200)
    try:
        yield
    finally:
        gc.callbacks.remove(give_way)
        gc.set_threshold(*threshold)


def test_threads_parse_at_once() -> None:
    """The syntax tree's depth is one counter for all threads of CPython 3.11: a sound source met a SystemError."""
    wanted = ast.dump(ast.parse(SOURCE))
    got: list[str] = []

    def parse(depth: int) -> None:
        if depth:
            return parse(depth - 1)
        got.extend(ast.dump(syntax.parse(SOURCE)) for _ in range(5))
        return None

    with places_changed():
        threads = [threading.Thread(target=parse, args=(3 * number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert got == [wanted] * 20


@pytest.mark.parametrize("source", ["def f(:", b"\xff"])
def test_what_is_no_python_is_refused(source: str | bytes) -> None:
    with pytest.raises(SyntaxError):
        syntax.parse(source)
