"""Which runs are meant, as a value."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """Which runs an analysis reads.

    Args:
        output_dir: The folder of the sweeps.
        sweep: A sweep's name or folder, a CSV file, `wandb:ENTITY/PROJECT/ID`, `optuna:URL#STUDY`; None for the only
            sweep.
        storage: The database; None for the one in `output_dir`.
        optuna_storage: An Optuna storage to read in place of a sweep.
        study: Which study of it; None for the only one.
        metric: What was optimized, in place of the source's own.
        goal: Its direction, "maximize" or "minimize".
        parameters: Parameter columns of a CSV file; () finds them by their names.
    """

    output_dir: Path
    sweep: str | None = None
    storage: str | None = None
    optuna_storage: str | None = None
    study: str | None = None
    metric: str | None = None
    goal: str | None = None
    parameters: tuple[str, ...] = ()
