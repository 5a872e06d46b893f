"""sweepkit: Weights & Biases sweeps on your own machines, with no account and no network.

    import sweepkit

    sweep = sweepkit.sweep("my.yaml", function=train)   # or a dictionary; or without a function, a program's YAML
    sweep.run(count=20, workers=4)
    sweep.runs(), sweep.history(), sweep.best, sweep.figure("parallel")

Inside a run: `sweepkit.report({"loss": 0.3}, step=1)`, `sweepkit.should_stop()`. All names are loaded when they are
used first. This package knows nothing about the working directory: every path comes from `sweepkit.paths`.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sweepkit.version import VERSION as __version__

if TYPE_CHECKING:
    from sweepkit.api.optimizing import optimize as optimize
    from sweepkit.api.others import compare as compare
    from sweepkit.api.others import confirm as confirm
    from sweepkit.api.sweep import BestRun as BestRun
    from sweepkit.api.sweep import Sweep as Sweep
    from sweepkit.api.sweep import list_sweeps as list_sweeps
    from sweepkit.api.sweep import open as open
    from sweepkit.api.sweep import sweep as sweep
    from sweepkit.errors import SweepKitError as SweepKitError
    from sweepkit.tracking.inside import report as report
    from sweepkit.tracking.inside import should_stop as should_stop

# Where each name is.
_NAMES = {
    "BestRun": ("sweepkit.api.sweep", "BestRun"),
    "Sweep": ("sweepkit.api.sweep", "Sweep"),
    "SweepKitError": ("sweepkit.errors", "SweepKitError"),
    "compare": ("sweepkit.api.others", "compare"),
    "confirm": ("sweepkit.api.others", "confirm"),
    "list_sweeps": ("sweepkit.api.sweep", "list_sweeps"),
    "open": ("sweepkit.api.sweep", "open"),
    "optimize": ("sweepkit.api.optimizing", "optimize"),
    "report": ("sweepkit.tracking.inside", "report"),
    "should_stop": ("sweepkit.tracking.inside", "should_stop"),
    "sweep": ("sweepkit.api.sweep", "sweep"),
}
__all__ = ["__version__", *(name for name in _NAMES if name != "open")]  # `import *` shall not hide Python's own


def _load(name: str) -> Any:
    from importlib import import_module

    module, attribute = _NAMES[name]
    return getattr(import_module(module), attribute)


if not TYPE_CHECKING:  # else every name would be one to a type checker

    def __getattr__(name: str) -> Any:
        """Load a name that users know."""
        if name not in _NAMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return _load(name)


def __dir__() -> list[str]:
    """Return the names that are meant for users."""
    return [*_NAMES, "__all__", "__doc__", "__file__", "__name__", "__path__", "__version__"]


class _CallableRoom(ModuleType):
    """A folder of this package that is named like a function: `sweepkit.confirm` is both."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _load(self.__name__.rpartition(".")[2])(*args, **kwargs)


class _Package(ModuleType):
    def __reduce__(self) -> tuple[Any, ...]:
        """Be pickled as any module is by those who can: by its name."""
        from importlib import import_module

        return import_module, (self.__name__,)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _NAMES and isinstance(value, ModuleType):  # the import system binds a folder that was imported
            value.__class__ = _CallableRoom
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
