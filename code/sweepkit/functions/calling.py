"""Inside a run whose program is a function: call it with the run's configuration, report what it returns."""

import json
import linecache
import os
import pickle
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from sweepkit.functions.arguments import Handing, call_with
from sweepkit.functions.packing import CALL, PICKLE
from sweepkit.tracking import inside
from sweepkit.tracking.wandb_hook import NOTES_ENV

_UNNAMED = "value"  # what a returned number is called in a sweep without a metric


def call(program: str) -> None:
    """Call the function that lies beside a program.

    Args:
        program: The script's file. The first word of the command line names the file with the run's parameters.
    """
    folder = Path(program).parent
    how = json.loads((folder / CALL).read_text(encoding="utf-8"))
    _see_what_the_caller_saw(how)
    function = pickle.loads((folder / PICKLE).read_bytes())
    if how["handing"] == Handing.TRIAL:
        del sys.argv[1:]
        # By its name: an import statement here would have the fork server import Optuna for every function.
        import_module("sweepkit.functions.objective").call_objective(function, how["metrics"])
        return
    params = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    del sys.argv[1:]  # they are ours, not the function's
    returned = call_with(function, Handing(how["handing"]), params)
    conclude(returned, how["metrics"])


def _see_what_the_caller_saw(how: Mapping[str, Any]) -> None:
    """Find modules where the function's process found them, and its source where that is no file."""
    sys.path[:1] = [entry for entry in how["path"] if entry not in sys.path[1:]]
    for name, text in how["sources"].items():
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)


def conclude(returned: Any, metrics: Sequence[str]) -> None:
    """Report what a function returned, unless it reported by itself.

    Beside what it logged to W&B it counts as a summary of the run.

    Args:
        returned: A number, one for each metric, or a mapping of names to numbers; None for nothing.
        metrics: The names of the sweep's metrics.
    """
    if returned is None or inside.has_reported():
        return
    values, rest = _split(_named(returned, metrics))
    writer = inside.writer()
    if writer is None:
        return
    if rest:
        writer.message(facts={"returned": rest})
    if values and _logged_to_wandb():
        writer.message(summary=values)
    elif values:
        writer.report(values)


def _named(returned: Any, metrics: Sequence[str]) -> dict[str, Any]:
    """Return what was returned by name."""
    if isinstance(returned, Mapping):
        return {str(name): value for name, value in returned.items()}
    if isinstance(returned, list | tuple) and len(returned) == len(metrics) > 1:
        return dict(zip(metrics, returned, strict=True))
    return {metrics[0] if metrics else _UNNAMED: returned}


def _split(named: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, Any]]:
    """Return the numbers, and what else has a JSON form."""
    values: dict[str, float] = {}
    rest: dict[str, Any] = {}
    for name, value in named.items():
        if isinstance(value, str | bytes | Mapping | list | tuple) or value is None:
            rest[name] = value if isinstance(value, str) or value is None else repr(value)
            continue
        try:
            values[name] = float(value)
        except (TypeError, ValueError, RuntimeError):  # a tensor of several numbers
            rest[name] = repr(value)
    return values, rest


def _logged_to_wandb() -> bool:
    """Return whether a W&B run of this attempt was begun that writes a file."""
    try:
        with open(os.environ.get(NOTES_ENV, ""), encoding="utf-8") as notes:
            return any(json.loads(line)["file"] for line in notes)
    except (OSError, ValueError, KeyError):
        return False
