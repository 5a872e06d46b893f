"""A configuration that a sweep ranked, on its way from the analysis through the race to what is reported. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmationRun:
    """One run with a fresh seed; `value` is None when it has none, `last` its last report's where that is known."""

    run_id: str
    seed: int | None
    value: float | None
    reports: int = 0
    last: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedConfiguration:
    """A configuration of a sweep that may be confirmed: what the sweep says of it, and what its fresh runs say.

    The analysis ranks it, the race runs it again, and the report names it; each hands on the same value. What comes of
    the race is in the metric's own direction, and empty until it has run.

    Args:
        run_id, number: Its best run in the sweep.
        params: Of that run, without its seed: by dotted name as a table has them, nested as the program gets them once
            it races.
        sweep_rank: Its place by score in the sweep, from 1.
        by_model: A model named it, not its score.
        scores: Its scores at full budget in the sweep; () when every run of it was stopped early.
        sweep_score: What the sweep says of it: the mean of `scores`, or what it had when it was stopped.
        alike: Numbers of runs of nearly the same configurations, which do not race.
        fresh: Its runs with fresh seeds that are done.
        mean, low, high: Of their values with 95 % interval; None where they are not known.
        optimism: How much better the sweep made it look: negative when it made it look worse.
        estimate: The best guess from all of its runs, drawn towards the sweep's mean.
        chance: To be the best of those that raced, 0 to 1.
        tied: It cannot be distinguished from the first.
        lost: Fresh runs without a value.
        rounds: It took part in so many.
        duration_s: Median of its fresh runs.

    >>> found = RankedConfiguration(run_id="ab12", number=7, params={"lr": 0.1}, sweep_rank=1, sweep_score=0.9)
    >>> found.name, found.stopped
    ('run 7 (ab12)', True)
    """

    run_id: str
    number: int
    params: Mapping[str, Any]
    sweep_rank: int
    by_model: bool = False
    scores: tuple[float, ...] = ()
    sweep_score: float
    alike: tuple[int, ...] = ()
    fresh: tuple[ConfirmationRun, ...] = ()
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    optimism: float | None = None
    estimate: float | None = None
    chance: float | None = None
    tied: bool = False
    lost: int = 0
    rounds: int = 0
    duration_s: float | None = None

    @property
    def name(self) -> str:
        """Return how it is called."""
        return f"run {self.number} ({self.run_id})"

    @property
    def stopped(self) -> bool:
        """Return whether its score is of a run that was stopped early, and not compared."""
        return not self.scores
