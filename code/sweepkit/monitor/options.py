"""What a monitor is asked for, as a value."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorOptions:
    """What to watch, and how.

    Args:
        output_dir: The folder of the sweeps.
        sweep: A sweep's name or folder; None for the one that runs, else the newest. At most one of `sweep`,
            `all` and `wandb` is given.
        all: Every sweep of the database.
        wandb: Entity/project/id of a sweep on a W&B server, or the URL of its page.
        storage: The database; None for the one in `output_dir`.
        refresh_interval: Seconds between two snapshots, 0.05 to 86,400.
        once: Take one snapshot.
        json: One JSON object a refresh in place of a picture.
        until: What to wait for: of "done", "failed", "stalled"; () waits for nothing.
        web: Serve the live page, too.
        optuna_dashboard: Show it in optuna-dashboard, too, on a mirror. Not with `web`.
        port: Of the page or the dashboard, 0 for any free one; None for the usual one, else any free one.
    """

    output_dir: Path
    sweep: str | None = None
    all: bool = False
    wandb: str | None = None
    storage: str | None = None
    refresh_interval: float = 2.0
    once: bool = False
    json: bool = False
    until: tuple[str, ...] = ()
    web: bool = False
    optuna_dashboard: bool = False
    port: int | None = None
