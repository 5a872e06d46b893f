"""`wandb.sweep` and `wandb.agent` answered here: a sweep's id, and its runs, with no account and no network.

As at W&B each call of `wandb.sweep` makes a new sweep, and any process may call `wandb.agent` with its id: a later one
goes on, one at the same time works along. Its configuration is kept in the output folder until then.
"""

import difflib
import json
import os
import secrets
import string
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sweepkit.api.plans import Asked, read_asked
from sweepkit.api.sweep import Sweep
from sweepkit.errors import SweepKitError
from sweepkit.files import write_atomically
from sweepkit.paths import WANDB_SWEEPS_FOLDER, default_output_dir
from sweepkit.text.shown import say

_LETTERS = string.ascii_lowercase + string.digits


def sweep(
    sweep: Mapping[str, Any] | Callable[[], Mapping[str, Any]],
    entity: str | None = None,
    project: str | None = None,
    prior_runs: list[str] | None = None,
) -> str:
    """Return the id of a new sweep, as `wandb.sweep` does.

    Args:
        sweep: Its configuration, or what returns it.
        entity: W&B entity of its runs.
        project: W&B project of its runs.
        prior_runs: Ids of runs at W&B; they cannot be asked for without a network.

    Raises:
        SweepKitError: All that is wrong with the configuration.
    """
    config = dict(sweep() if callable(sweep) else sweep)
    config.update({key: value for key, value in (("entity", entity), ("project", project)) if value})
    if prior_runs:
        raise SweepKitError("wandb.sweep: prior_runs are at W&B's server, got some; sweepkit.prior_runs names files")
    read_asked(_asked(config, _unused, "check"))
    sweep_id = "".join(secrets.choice(_LETTERS) for _ in range(8))
    name = config.get("name") or _script()
    file = _file(sweep_id)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, json.dumps({"name": f"{name}-{sweep_id}", "config": config}, ensure_ascii=False, indent=1))
    say(f"Create sweep with ID: {sweep_id}")
    say(f"Sweep: {name}-{sweep_id}, run by sweepkit on this machine")
    return sweep_id


def agent(
    sweep_id: str,
    function: Callable[[], Any] | None = None,
    entity: str | None = None,
    project: str | None = None,
    count: int | None = None,
    **_: Any,
) -> None:
    """Run a sweep's runs one after another, as `wandb.agent` does.

    Args:
        sweep_id: What `wandb.sweep` returned; the project may stand before it.
        function: What each run calls; None for the configuration's program.
        entity: Taken from `wandb.sweep` where that was given it.
        project: Likewise.
        count: At most this many runs.

    Raises:
        SweepKitError: There is no such sweep here.
    """
    sweep_id = sweep_id.rpartition("/")[2]
    try:
        known = json.loads(_file(sweep_id).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SweepKitError(_unknown(sweep_id)) from None
    Sweep(_asked(known["config"], function, known["name"]), name=known["name"], recorded=False).run(count=count)


def _asked(config: Mapping[str, Any], function: Callable[[], Any] | None, name: str) -> Asked:
    return Asked(config=config, function=function, name=name, replaces=True)


def _unused() -> None:
    """Stand in for the function that `wandb.agent` will be given."""


def _script() -> str:
    """Return what a sweep is called that has no name: as the script; "sweep" without one."""
    return Path(sys.argv[0]).stem or "sweep"


def _file(sweep_id: str) -> Path:
    return Path(os.path.abspath(default_output_dir())) / WANDB_SWEEPS_FOLDER / f"{sweep_id}.json"


def _unknown(sweep_id: str) -> str:
    folder = _file(sweep_id).parent
    known = sorted(file.stem for file in folder.glob("*.json"))
    near = difflib.get_close_matches(sweep_id, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "call wandb.sweep() under sweepkit first"
    return f"wandb.agent: the id must be one that wandb.sweep() returned here ({folder}), got {sweep_id!r}; {hint}"
