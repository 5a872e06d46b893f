"""How a function takes a run's configuration: as one dictionary, by name, or not at all."""

import inspect
from collections.abc import Callable, Collection
from enum import StrEnum
from typing import Any

from sweepkit.errors import SweepKitError

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Handing(StrEnum):
    """What a function is called with."""

    NOTHING = "nothing"  # it asks W&B's client: wandb.init().config
    CONFIG = "config"  # one dictionary
    NAMES = "names"  # a keyword argument for each parameter that it names
    TRIAL = "trial"  # a trial of Optuna's kind, which suggests the parameters


def handing_of(function: Callable[..., Any], parameters: Collection[str] | None) -> Handing:
    """Return what a function is called with in a sweep.

    A single argument that is named like no parameter of the sweep takes the dictionary; otherwise each argument is the
    parameter of its name. A function that needs no argument and names no parameter is called with none.

    Args:
        function: It.
        parameters: The names of the sweep's parameters, those at the top alone; None where each run has its own.

    Raises:
        SweepKitError: It wants an argument that the sweep does not have.

    >>> handing_of(lambda config: 0, ["lr"]).value, handing_of(lambda lr, epochs=3: 0, ["lr"]).value
    ('config', 'names')
    """
    try:
        taken = [
            item for item in inspect.signature(function).parameters.values() if item.kind is not item.VAR_POSITIONAL
        ]
    except (TypeError, ValueError):  # a built-in that does not tell
        return Handing.CONFIG
    known = parameters or ()
    takes_any = any(item.kind is item.VAR_KEYWORD for item in taken)
    needed = [item for item in taken if item.default is item.empty and item.kind is not item.VAR_KEYWORD]
    named = [item for item in taken if item.name in known]
    if not needed and not named and not takes_any:
        return Handing.NOTHING
    if len(needed) == 1 and not named and needed[0].kind in _POSITIONAL:
        return Handing.CONFIG
    missing = [item.name for item in needed if item.name not in known]
    if missing and parameters is not None:
        name = getattr(function, "__name__", repr(function))
        raise SweepKitError(
            f"{name}{inspect.signature(function)}: each argument must be a parameter of the sweep, got "
            f"{', '.join(missing)}; the sweep has {', '.join(sorted(known)) or 'none'}. A single argument of another "
            "name takes all of them as a dictionary"
        )
    return Handing.NAMES


def call_with(function: Callable[..., Any], handing: Handing, params: dict[str, Any]) -> Any:
    """Return what a function returns for a run's configuration."""
    if handing is Handing.NOTHING:
        return function()
    if handing is Handing.CONFIG:
        return function(params)
    taken = inspect.signature(function).parameters
    if any(item.kind is item.VAR_KEYWORD for item in taken.values()):
        return function(**params)
    return function(**{name: value for name, value in params.items() if name in taken})
