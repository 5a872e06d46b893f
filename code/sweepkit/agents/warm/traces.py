"""What the body of a module changes in the interpreter beside its own namespace, found by looking before and after.

Whatever a body changes in what all modules share (hooks, limits, `sys.path`, streams, the working directory, logging,
random states, descriptors, children) would be there in every fork, before the program imports the module or although it
never does. Two things are put back and done again in the fork that imports the module: warning filters and what was
printed. A module that changed anything else is left to the runs.
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import gc
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from sweepkit.agents.warm import shared

_MAX_SAID = 1 << 16
_RANDOM = 3  # so many parts of the state, the last ones, are of random generators


def _state() -> tuple[Any, ...]:
    """Return what all modules share and what a body may change; equal when nothing changed."""
    modules = sys.modules
    logging, threading = modules.get("logging"), modules.get("threading")
    multiprocessing, tracemalloc = modules.get("multiprocessing.context"), modules.get("tracemalloc")
    return (
        tuple(sys.path),
        tuple(map(id, sys.path_hooks)),
        *(getattr(sys, name, None) for name in ("excepthook", "unraisablehook", "displayhook", "breakpointhook")),
        *(getattr(sys, name, None) for name in ("stdin", "stdout", "stderr")),
        sys.getrecursionlimit(),
        sys.getswitchinterval(),
        sys.gettrace(),
        sys.getprofile(),
        (gc.isenabled(), gc.get_threshold(), tuple(map(id, gc.callbacks))),
        frozenset(vars(builtins)),
        _folder(),
        _logging_state(getattr(logging, "root", None), logging),
        getattr(threading, "excepthook", None),
        multiprocessing and (getattr(getattr(multiprocessing, "_default_context", None), "_actual_context", None),),
        getattr(tracemalloc, "is_tracing", bool)(),
        shared.decimal_state(),
        *_random_states(modules),
    )


def _logging_state(root: Any, logging: Any) -> tuple[Any, ...]:
    """Return what `logging` shares; () while it is not loaded, wholly."""
    if root is None or not hasattr(logging, "captureWarnings"):
        return ()
    return root.level, tuple(root.handlers), root.disabled, logging._levelToName.copy()


def _folder() -> tuple[int, int]:
    with contextlib.suppress(OSError):
        found = os.stat(".")
        return found.st_dev, found.st_ino
    return 0, 0


def _random_states(modules: dict[str, Any]) -> tuple[Any, ...]:
    random, numpy = modules.get("random"), modules.get("numpy.random.mtrand")
    python = random.getstate() if random is not None and hasattr(random, "getstate") else None
    torch = None
    with contextlib.suppress(Exception):  # without numpy, say
        torch = shared.torch_state(modules.get("torch"))
    if numpy is None or not hasattr(numpy, "_rand"):
        return python, None, torch
    legacy = numpy._rand.get_state(legacy=False)
    return python, (legacy["state"]["key"].tobytes(), legacy["state"]["pos"]), torch


class Traces:
    """Look before and after each module's body.

    Args:
        changed: Called with a module's name when its body changed something that cannot be done again, and with what
            that was: "random" when it only drew random numbers, else "effect".
        did: Called with a module's name and what is to be done again in a fork that imports it.
    """

    def __init__(self, changed: Callable[[str, str], None], did: Callable[[str, Callable[[], None]], None]) -> None:
        self._changed, self._did = changed, did
        self._bodies: list[str] = []
        self._state: tuple[Any, ...] = ()
        self._filters: list[Any] = []
        self._sizes = (0, 0)

    def look(self) -> None:
        """Remember how things are."""
        self._state, self._filters, self._sizes = _state(), list(warnings.filters), _sizes()

    def look_again(self) -> None:
        """What changed since the last look, the body that is being executed changed."""
        self._settle()

    def enter(self, module: str) -> None:
        """A body begins: what changed meanwhile, the one around it changed."""
        self._settle()
        self._bodies.append(module)

    def leave(self) -> None:
        """A body has ended."""
        self._settle()
        self._bodies.pop()

    def _settle(self) -> None:
        module = self._bodies[-1] if self._bodies else None
        before, filters, sizes = self._state, self._filters, self._sizes
        self.look()
        if module is None:
            return
        if before != self._state:
            # A module that is loaded meanwhile has a state of its own to begin with.
            both = zip(before, self._state)  # noqa: B905 - Python 3.9 knows no `strict`
            differs = [old != new and old is not None and old != () for old, new in both]
            if any(differs):
                self._changed(module, "effect" if any(differs[:-_RANDOM]) else "random")
        if filters != self._filters:
            self._did(module, functools.partial(_filter, *_added(filters, self._filters)))
        if sizes != self._sizes:
            for number, start, end in zip((1, 2), sizes, self._sizes):  # noqa: B905
                if text := _said(number, start, end):
                    self._did(module, functools.partial(_say, number, text))


def _sizes() -> tuple[int, int]:
    """Return how much was said on standard output and error, into the log of the fork server."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    sizes = []
    for number in (1, 2):
        with contextlib.suppress(OSError):
            sizes.append(os.fstat(number).st_size)
    return (sizes[0], sizes[1]) if len(sizes) == 2 else (0, 0)


@contextlib.contextmanager
def output_apart() -> Iterator[None]:
    """Let standard output go to a file of its own for a while, then to where standard error goes.

    Both are the fork server's log, where nobody could tell any more which of them a module spoke on.
    """
    stem, ending = os.path.splitext(os.readlink("/proc/self/fd/1"))
    path = f"{stem}_output_{os.getpid()}{ending}"  # a file of that kind, for whoever looks what it is
    try:
        apart = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError:  # no file, or no room: all counts as standard error
        yield
        return
    before = os.dup(1)
    sys.stdout.flush()
    os.dup2(apart, 1)
    try:
        yield
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        os.dup2(before, 1)
        with contextlib.suppress(OSError):
            os.write(1, os.pread(apart, _MAX_SAID, 0))
        os.close(before)
        os.close(apart)
        with contextlib.suppress(OSError):
            os.unlink(path)


def _one_file() -> bool:
    return os.fstat(1)[1:3] == os.fstat(2)[1:3]


def _said(number: int, start: int, end: int) -> str:
    """Return what was said meanwhile; on standard error alone when both are one file."""
    if number == 1 and _one_file():
        return ""
    with contextlib.suppress(OSError):
        log = os.open(f"/proc/self/fd/{number}", os.O_RDONLY)  # not by `open`, which is watched
        try:
            return os.pread(log, min(end - start, _MAX_SAID), start).decode("utf-8", "backslashreplace")
        finally:
            os.close(log)
    return ""


def _say(number: int, text: str) -> None:
    stream = sys.stdout if number == 1 else sys.stderr
    with contextlib.suppress(Exception):
        stream.write(text)


def _added(before: list[Any], after: list[Any]) -> tuple[list[Any], list[Any]]:
    """Return what was put before a list's items and what behind them; what was there already may have moved."""
    for count in range(len(after) + 1):
        for first in range(count, -1, -1):
            last = len(after) - count + first
            rest = iter(before)
            if all(item in rest for item in after[first:last]):
                return after[:first], after[last:]
    return after, []


def _filter(first: list[Any], last: list[Any]) -> None:
    """Filter warnings as an import did: a filter that is there already moves."""
    filters: list[Any] = warnings.filters  # type: ignore[assignment]
    filters[:] = [*first, *(item for item in filters if item not in first)]
    filters.extend(item for item in last if item not in filters)
    warnings._filters_mutated()  # type: ignore[attr-defined]
