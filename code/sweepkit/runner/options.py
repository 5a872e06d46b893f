"""How sweeps are run by one call, as values."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a call runs sweeps, whichever they are.

    Args:
        output_dir: Where everything is written.
        storage: The database: a file, sqlite:///FILE or postgresql://…; None for the one in `output_dir`.
        base_config: What trainer.py starts from; None for the sweep's own, else config/base_config.yaml.
        count: Runs of each sweep at most, >= 1.
        optuna_storage: An Optuna storage to mirror the sweep into.
        wandb: "online" sends each run to W&B while it logs, "offline" does not; None for the YAML's say.
        wandb_wait: Seconds to wait at the end for a W&B server that takes nothing, >= 0.
        sampler: Search with this in place of the method's own engine.
        seed: Of the search, >= 0; None for the YAML's, else one is drawn and recorded.
        dry_run: Show what would be run, write nothing.
        fresh: Start anew under a new name.
        retry_failed: Run the failed runs again, too.
        cold: Start every run in a fresh process.
        json: One JSON object a line on stdout.
        verbose: Show each run's log file as it starts.
        preempted_exit_code: What to leave with when SIGTERM ended the call before its sweeps, 0 to 255.
        notify: A web hook's URL, or a command, that is informed at the end of each sweep; see `runner.notify`.

    >>> RunOptions(output_dir=Path("outputs"), count=3).cold
    False
    """

    output_dir: Path
    storage: str | None = None
    base_config: Path | None = None
    count: int | None = None
    optuna_storage: str | None = None
    wandb: str | None = None
    wandb_wait: float = 30.0
    sampler: str | None = None
    seed: int | None = None
    dry_run: bool = False
    fresh: bool = False
    retry_failed: bool = False
    cold: bool = False
    json: bool = False
    verbose: bool = False
    preempted_exit_code: int = 0
    notify: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotOptions:
    """What runs may occupy.

    Args:
        num_workers: Runs at once, >= 1; None for all GPUs, else one per two cores.
        gpus: Use these only: indices or UUIDs; None for all that are visible.
        gpus_per_run: GPUs of each run, >= 0; None for the sweep's say, else 1.
        cpus_per_run: Cores, and so threads, of each run, >= 1; None for the sweep's say, else even shares.
        runs_per_gpu: Runs that share a GPU, >= 1; "auto" for as many as fit and pay; None for the sweep's say, else 1.
    """

    num_workers: int | None = None
    gpus: tuple[str, ...] | None = None
    gpus_per_run: int | None = None
    cpus_per_run: int | None = None
    runs_per_gpu: int | Literal["auto"] | None = None
