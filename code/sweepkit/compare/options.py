"""What a comparison is asked for, as values."""

from dataclasses import dataclass, field


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
