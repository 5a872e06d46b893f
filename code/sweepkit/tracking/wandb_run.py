"""W&B's offline run for our own trainer: what `wandb.init`, `wandb.log` and `wandb.finish` are to a foreign script.

W&B is imported by `start_run`, not before: it costs 0.5 s of CPU and 60 MB, and a trainer that does not log to it must
not pay. Nothing here touches the network.
"""

import importlib.util
import os
from collections.abc import Mapping
from typing import Any, Literal

from sweepkit.environ import ASKED_ENV
from sweepkit.errors import TrackingError
from sweepkit.tracking.wandb_env import FLUSH_INTERVAL_S


def wandb_installed() -> bool:
    """Return whether the real W&B is installed; a folder named `wandb` that a run left behind is not it."""
    spec = importlib.util.find_spec("wandb")
    return spec is not None and spec.origin is not None


class WandbRun:
    """One W&B run that is being written. Made by `start_run`.

    Attributes:
        directory: The run's own folder (`…/wandb/offline-run-<time>-<id>`), which `wandb sync` takes.
    """

    def __init__(self, run: Any) -> None:
        self._run = run
        self.directory = os.path.dirname(run.dir)

    def log(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Append one row.

        Args:
            values: Name to number.
            step: Not below that of the row before (W&B drops such a row with a warning), or None to count by itself.
        """
        self._run.log(dict(values), step=step, commit=True)

    def finish(self, exit_code: int = 0) -> None:
        """End the run with an exit code and write everything out; finishing twice is harmless."""
        self._run.finish(exit_code=exit_code)


def _mode() -> Literal["online", "offline", "disabled"]:
    """Return how a run is kept: online only in a sweep that W&B's server leads, for it decides by what runs log."""
    if os.environ.get("WANDB_MODE") == "disabled":
        return "disabled"
    return "online" if os.environ.get(ASKED_ENV) == "online" else "offline"


def start_run(config: Mapping[str, Any], *, project: str | None, directory: str | os.PathLike[str]) -> WandbRun:
    """Start an offline W&B run under `directory`, made when missing.

    Under an agent the environment gives the rest: WANDB_RUN_ID, WANDB_RUN_GROUP (the sweep), WANDB_NAME, and
    WANDB_SWEEP_PARAM_PATH, whose parameters win over `config`. WANDB_MODE=disabled is obeyed; online is not, because a
    training must not wait for a network: `wandb sync` sends the run later. In a sweep that W&B's server leads it is
    online all the same.

    Args:
        config: The training's configuration, nested; kept with the run.
        project: W&B project, or None for WANDB_PROJECT or W&B's default.
        directory: Where W&B makes its `wandb` folder.

    Raises:
        TrackingError: W&B is not installed, or refuses to start.
    """
    if not wandb_installed():
        raise TrackingError(
            "wandb: the package must be installed, got none; `pip install wandb` or set wandb.enabled: false"
        )
    os.makedirs(directory, exist_ok=True)
    import wandb  # late: see the module's docstring

    settings = wandb.Settings(
        silent=True,
        console="off",  # the agent keeps the program's output already; wrapping stdout twice would cost and confuse
        x_disable_stats=True,
        x_disable_machine_info=True,
        disable_git=True,
        disable_code=True,
        x_transaction_log_flush_interval=FLUSH_INTERVAL_S,
    )
    try:
        run = wandb.init(
            config=dict(config),
            project=project,
            dir=os.fspath(directory),
            group=os.environ.get("WANDB_RUN_GROUP") or None,
            mode=_mode(),
            settings=settings,
        )
    except (wandb.Error, OSError) as error:
        raise TrackingError(f"{os.fspath(directory)}: W&B must be able to start a run there: {error}") from error
    return WandbRun(run)
