"""What a study is asked for, as a value."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyOptions:
    """The command line of optimize.py; what is None there, a --config or the defaults say.

    Args:
        output_dir: Where results go.
        objective: One's own, "FILE.py:FUNCTION"; None to search for our trainer's configuration.
        experiment: A training configuration in config/ or config/models/, else a name for the study.
        config: An Optuna YAML: its path, or its name in config/optuna/.
        base_config: What every trial starts from, in place of the experiment's.
        study_name: Of the study.
        n_trials: Trials in all, over all calls, >= 1.
        timeout: Seconds after which this call starts no further trial.
        direction: "maximize" or "minimize".
        metric: A name that the trainer reports.
        sampler: One of `study_sweep.SAMPLERS`.
        pruner: One of `study_sweep.PRUNERS`.
        seed: Of the search, >= 0.
        wandb: Record each trial with W&B, too.
        resume: Refuse to begin: the study must be there already.
        fresh: Start anew under a new name.
        storage: The database: a file, sqlite:///FILE or postgresql://…; None for the one in `output_dir`.
        optuna_storage: URL of the Optuna storage that shows the study; None for the --config's, else a file's.
        n_jobs: Trials at once, >= 1; -1 for as many as the machine has room for.
        gpus: Use these GPUs only; None for all that are visible.
        cold: Start every trial in a fresh process.
        retry_failed: Run the failed trials again, too.
        dry_run: Show what would be run, write nothing.
        json: One JSON object a line on stdout.
        verbose: Show each trial's log file as it starts.
        preempted_exit_code: What to leave with when SIGTERM ended the call before the study, 0 to 255.
        notify: A web hook's URL, or a command, that is informed at the end.
    """

    output_dir: Path
    objective: str | None = None
    experiment: str | None = None
    config: str | None = None
    base_config: str | None = None
    study_name: str | None = None
    n_trials: int | None = None
    timeout: float | None = None
    direction: str | None = None
    metric: str | None = None
    sampler: str | None = None
    pruner: str | None = None
    seed: int | None = None
    wandb: bool = False
    resume: bool = False
    fresh: bool = False
    storage: str | None = None
    optuna_storage: str | None = None
    n_jobs: int | None = None
    gpus: tuple[str, ...] | None = None
    cold: bool = False
    retry_failed: bool = False
    dry_run: bool = False
    json: bool = False
    verbose: bool = False
    preempted_exit_code: int = 0
    notify: str | None = None
