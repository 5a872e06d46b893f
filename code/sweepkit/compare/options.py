"""What a comparison is asked for, as values."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class StatisticsOptions:
    """How trainings are compared.

    Args:
        metric: The score; None for the usual one.
        goal: "maximize" or "minimize"; None minimizes losses and errors.
        rope: Closer than this counts as equal, in units of the score, >= 0.
        alpha: Level of all pairs together, above 0 and below 0.5.
        paired: Pair by seed.
        evaluation: Which evaluation of a run counts: "best" or "last".
    """

    metric: str | None = None
    goal: str | None = None
    rope: float = 0.005
    alpha: float = 0.05
    paired: bool = False
    evaluation: str = "best"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonOptions:
    """Which models are compared, and how they are trained.

    Args:
        models: Configurations: names in config/models/, or files.
        seeds: Each model is trained with each of them; () for the usual ones, and for all that there are results of.
        statistics: How they are compared.
        preset: A preset that is laid over every configuration: its name, or a file.
        assignments: NAME=VALUE of single fields of all of them.
        train_data: In place of data.train_file.
        val_data: In place of data.val_file.
        name: Of the comparison; None makes one of the models.
    """

    models: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    statistics: StatisticsOptions = field(default_factory=StatisticsOptions)
    preset: str | None = None
    assignments: tuple[str, ...] = ()
    train_data: str | None = None
    val_data: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TTestOptions:
    """What seed_ttest.py is asked for: one of `sweep`, `results` and `csv`.

    Args:
        statistics: How groups are compared.
        output_dir: The folder of the sweeps.
        storage: The database; None for the one in `output_dir`.
        sweep: A recorded sweep, `wandb:ENTITY/PROJECT/ID` or `optuna:URL#STUDY`.
        results: Patterns of folders with training_results.json.
        csv: A table of runs.
        by: The parameter or column whose values are the groups; None for the models of `results`.
        seed_column: The column of `csv` that tells the repetitions apart; None for "seed".
        save: Also write this file with .json, .md and .tex after its name.
        json: Answer with one JSON object.
    """

    statistics: StatisticsOptions
    output_dir: Path
    storage: str | None
    sweep: str | None
    results: tuple[str, ...]
    csv: Path | None
    by: str | None
    seed_column: str | None
    save: Path | None
    json: bool
