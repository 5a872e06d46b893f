"""W&B's own way to sweep a function, offline: imported before anything is asked of W&B's client.

    import sweepkit.wandb_compat
    import wandb

    sweep_id = wandb.sweep(config, project="demo")
    wandb.agent(sweep_id, function=train, count=10)

An unmodified script runs by `sweepkit run script.py`, which is `python -m sweepkit.wandb_compat script.py`.
`wandb.login()` asks for nothing, `wandb.init()` stays offline. Inside a run of a sweep nothing is done here: there the
run's own hook sees to it.
"""

import os
import runpy
import sys
from collections.abc import Sequence
from typing import Any

from sweepkit.environ import REPORT_FILE_ENV


def _install() -> None:
    """Answer `wandb.sweep`, `wandb.agent` and `wandb.login` here; outside a run of a sweep."""
    if os.environ.get(REPORT_FILE_ENV):
        return
    os.environ.setdefault("WANDB_MODE", "offline")
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    from sweepkit.api.wandb_calls import agent, sweep

    for name, ours in (("sweep", sweep), ("agent", agent), ("login", _login)):
        for holder in (wandb, wandb.sdk):
            if hasattr(holder, name):
                setattr(holder, name, ours)


def _login(*_: Any, **__: Any) -> bool:
    return True  # no key is needed offline


def _main(argv: Sequence[str]) -> int:
    """Run a script as `python script.py` does, with W&B's client answered; return the exit code."""
    from sweepkit.errors import SweepKitError

    if not argv:
        sys.stderr.write("usage: python -m sweepkit.wandb_compat SCRIPT [ARGUMENT ...]\n")
        return 2
    _install()
    sys.argv[:] = argv
    sys.path.insert(0, os.path.dirname(os.path.realpath(argv[0])))
    try:
        runpy.run_path(argv[0], run_name="__main__")
    except SweepKitError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(_main(sys.argv[1:]))
_install()
