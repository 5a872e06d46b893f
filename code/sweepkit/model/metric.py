"""What a sweep optimizes: a metric, its direction, and what stands in for a value that is missing. Pure."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum


class Goal(StrEnum):
    """W&B's `metric.goal`."""

    MINIMIZE = "minimize"
    MAXIMIZE = "maximize"

    @property
    def sign(self) -> float:
        """Return what a value is multiplied with so that less is better: 1 or -1."""
        return 1.0 if self is Goal.MINIMIZE else -1.0

    def better(self, a: float, b: float) -> bool:
        """Return whether `a` is strictly better than `b`."""
        return a < b if self is Goal.MINIMIZE else a > b

    def best(self, values: "list[float] | tuple[float, ...]") -> float:
        """Return the best of a non-empty sequence."""
        return min(values) if self is Goal.MINIMIZE else max(values)

    def worst(self, values: "list[float] | tuple[float, ...]") -> float:
        """Return the worst of a non-empty sequence."""
        return max(values) if self is Goal.MINIMIZE else min(values)


class Impute(StrEnum):
    """W&B's `metric.impute`: what a run that failed is told as."""

    LATEST = "latest"
    BEST = "best"
    WORST = "worst"


BEST, LAST, MEAN_OF_LAST = "best", "last", "mean_of_last"  # what a run's value is of its reports
MIN, MAX, MEAN = "min", "max", "mean"  # of all its reports: what only a program says, by W&B's `define_metric`


def mean_of_last(rule: str) -> int | None:
    """Return how many of the last reports a rule takes the mean of, >= 1; None where it is no rule of a run's value.

    "last" is the mean of one; "best" is of all, and 0 here.

    >>> mean_of_last("mean_of_last 3"), mean_of_last("last"), mean_of_last("best"), mean_of_last("first")
    (3, 1, 0, None)
    """
    if rule in (BEST, LAST):
        return int(rule == LAST)
    name, _, count = rule.partition(" ")
    return int(count) if name == MEAN_OF_LAST and count.isdecimal() and int(count) > 0 else None


def rule_of_summary(kinds: Collection[str], goal: Goal, own: Goal | None = None) -> str:
    """Return the rule of a run's value that W&B's `define_metric(name, summary=…)` asks for; "" where it asks for none.

    Of several kinds the best value goes first, then the last, the mean, and the worst.

    Args:
        kinds: Of "min", "max", "mean", "best", "last", "first", "copy", "none", as W&B knows them.
        goal: The sweep's direction.
        own: The direction that the program names, which "best" goes by.

    >>> rule_of_summary(("max", "mean"), Goal.MAXIMIZE), rule_of_summary(("max", "last"), Goal.MINIMIZE)
    ('best', 'last')
    """
    best, worst = (MIN, MAX) if goal is Goal.MINIMIZE else (MAX, MIN)
    if best in kinds or (BEST in kinds and own in (None, goal)):
        return BEST
    said = {*kinds, worst} if BEST in kinds else {*kinds}
    return next((rule for rule in (LAST, MEAN, worst) if rule in said), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What is optimized.

    Args:
        name: The name as the program logs it, e.g. "eval/rouge_combined_f1".
        goal: Direction.
        target: The sweep ends as soon as any run reaches this value.
        impute: What a failed run is told as.
        impute_while_running: What a running run is told as; None (W&B's "false") means as pending.
        value: What a run's value is of its reports (`sweepkit.value`): "best", "last" or "mean_of_last N".
    """

    name: str
    goal: Goal = Goal.MINIMIZE
    target: float | None = None
    impute: Impute = Impute.WORST
    impute_while_running: Impute | None = None
    value: str = BEST
