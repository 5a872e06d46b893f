"""Which modules a compiled one imports that are there already.

Python code imports through `builtins.__import__`, and what is not there yet is looked for by the finders: both are
watched. A module compiled by Cython asks the interpreter itself, which looks only whether the module is wholly
imported, an attribute of its spec. So the specs of modules note who looks while a compiled module is loaded.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from typing import Any


class CompiledImports:
    """Hear of the imports of compiled modules while they are loaded.

    Args:
        executing: Returns the module whose body is being executed, innermost.
        heard: Called with the name of the module that imports, and of the one that it imports.
    """

    def __init__(self, executing: Callable[[], str | None], heard: Callable[[str, str], None]) -> None:
        self._executing, self._heard = executing, heard
        self._loading: list[str] = []
        self._noting = _noting(self._looked_at)

    @contextlib.contextmanager
    def of(self, module: str) -> Iterator[None]:
        """Hear what a module imports that is loaded meanwhile."""
        for other in reversed(list(sys.modules.values())):
            if type(_spec_of(other)) is self._noting:
                break  # what was imported before it notes, too
            self._change(other, ModuleSpec, self._noting)
        self._loading.append(module)
        try:
            yield
        finally:
            self._loading.pop()

    def _looked_at(self, name: str) -> None:
        if self._loading and self._executing() == self._loading[-1] != name:
            self._heard(self._loading[-1], name)

    def stop(self) -> None:
        """Let all specs be what they were."""
        for other in list(sys.modules.values()):
            self._change(other, self._noting, ModuleSpec)

    def _change(self, module: Any, old: type, new: type) -> None:
        spec = _spec_of(module)
        if type(spec) is old:
            spec.__class__ = new


def _spec_of(module: Any) -> Any:
    return getattr(module, "__dict__", {}).get("__spec__")  # without asking a lazy module, which would load it


def _noting(looked_at: Callable[[str], None]) -> type[ModuleSpec]:
    """Return a class of specs that tell when it is looked at whether their module is being imported."""

    class Spec(ModuleSpec):
        @property
        def _initializing(self) -> bool:
            looked_at(self.name)
            return bool(self.__dict__.get("_initializing"))

        @_initializing.setter
        def _initializing(self, value: bool) -> None:
            self.__dict__["_initializing"] = value

    return Spec
