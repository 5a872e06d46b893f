"""What a confirmation is asked for, as a value."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmOptions:
    """Which sweep is confirmed, and how.

    Args:
        sweep: Its name in the database.
        budget: Runs at most, >= 1; None for the recorded race's, else 15.
        seeds_from: The first fresh seed, >= 0; None for the recorded race's, else 1001.
        rope: Closer than this counts as equal, in units of the metric, >= 0.
        holdout: NAME=VALUE of the parameters that choose the hold-out set; () for the YAML's.
        no_holdout: Do not open the hold-out set.
        again: Open it once more.
    """

    sweep: str
    budget: int | None = None
    seeds_from: int | None = None
    rope: float | None = None
    holdout: tuple[str, ...] = ()
    no_holdout: bool = False
    again: bool = False
