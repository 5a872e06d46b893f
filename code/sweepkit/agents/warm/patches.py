"""What packages put into modules and classes of the standard library when they are imported.

joblib's loky names semaphores its own way by a method that it puts into a class of `multiprocessing`: a program must
not find it there before it imports joblib, or when it never does.
"""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

_STANDARD: frozenset[str] = getattr(sys, "stdlib_module_names", frozenset())
_ABSENT = object()


class _Patch(NamedTuple):
    """A function or class that a package put somewhere.

    Attributes:
        owner: The module or class of the standard library.
        name: The attribute.
        before: What was there, `_ABSENT` where nothing was.
        value: What is there now.
    """

    owner: Any
    name: str
    before: Any
    value: Any

    def put(self) -> None:
        """Put it there."""
        with contextlib.suppress(AttributeError, TypeError):
            setattr(self.owner, self.name, self.value)

    def take(self) -> None:
        """Let be there what was there before."""
        with contextlib.suppress(AttributeError, TypeError):
            if self.before is _ABSENT:
                delattr(self.owner, self.name)
            else:
                setattr(self.owner, self.name, self.before)


class Patches:
    """Find such patches, and take them back when a server has imported all.

    Args:
        patched: Called with the name of the package's module and with what does the same in a fork that imports it.
    """

    def __init__(self, patched: Callable[[str, Callable[[], None]], None]) -> None:
        self._patched = patched
        self._seen: dict[str, list[tuple[Any, dict[str, Any]]]] = {}  # by module: owners, with what they held
        self._found: list[_Patch] = []

    def start(self) -> None:
        """Look at what is there, with all that was found before."""
        for module in list(sys.modules.values()):
            self.look_at(module)
        for patch in self._found:
            patch.put()

    def look_at(self, module: Any) -> None:
        """Remember what a module of the standard library holds whose body has been executed."""
        name = getattr(module, "__name__", "")
        if isinstance(name, str) and name.partition(".")[0] in _STANDARD and name not in self._seen:
            self._seen[name] = [(owner, dict(vars(owner))) for owner in _owners(module, name)]

    def stop(self) -> None:
        """Find what was put there meanwhile, and take it all back."""
        known = {(id(patch.owner), patch.name) for patch in self._found}
        for owner, before in (pair for pairs in self._seen.values() for pair in pairs):
            for name, value in list(vars(owner).items()):
                old = before.get(name, _ABSENT)
                if value is old or (id(owner), name) in known:
                    continue
                package = _defined_in(value)
                if package.partition(".")[0] not in _STANDARD and package in sys.modules:
                    self._found.append(_Patch(owner, name, old, value))
                    self._patched(package, self._found[-1].put)
        for patch in reversed(self._found):
            patch.take()


def _owners(module: Any, name: str) -> Iterator[Any]:
    yield module
    classes = [value for value in vars(module).values() if type(value) is type and value.__module__ == name]
    yield from dict.fromkeys(classes)  # some have two names there


def _defined_in(value: Any) -> str:
    """Return the module in which a function or class was defined; "sys" for all else."""
    value = getattr(value, "__func__", getattr(value, "fget", value))
    if type(value) is types.FunctionType:  # what `functools.wraps` made has the name of another
        return str(value.__globals__.get("__name__", "sys"))
    return str(value.__module__) if type(value) is type else "sys"
