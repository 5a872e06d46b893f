"""How the best value came about: best so far, noise between seeds, what a random search of k runs would reach.

Source: Dodge, Gururangan, Card, Schwartz and Smith 2019, "Show Your Work", EMNLP (the expected best of k runs); Tang et
al. 2020, "Showing Your Work Doesn't Always Work", ACL (its bias); the unbiased U-statistic is used here.
"""

from collections.abc import Sequence
from math import isfinite, sqrt

from sweepkit.analysis.table import Row, RunTable
from sweepkit.model.metric import Goal
from sweepkit.model.numbers import mean
from sweepkit.model.runs import RunState

_LONGEST_CURVE = 1000
_NO_CHANCE = 1e-18


def in_time(table: RunTable) -> list[Row]:
    """Return the runs that are done in the order in which they ended; ties by number."""
    return sorted((row for row in table.rows if row.state.done), key=lambda row: (row.order, row.number))


def best_so_far(values: Sequence[float | None], goal: Goal) -> list[float | None]:
    """Return the best value up to each position; None before the first.

    >>> best_so_far([None, 2.0, 1.0, 3.0], Goal.MAXIMIZE)
    [None, 2.0, 2.0, 3.0]
    """
    best: float | None = None
    found = []
    for value in values:
        if value is not None and (best is None or goal.better(value, best)):
            best = value
        found.append(best)
    return found


def expected_best(values: Sequence[float], goal: Goal) -> list[float]:
    """Return the expected best of k runs drawn from these without replacement, for k = 1 … n / 2.

    Unbiased when the order of the runs means nothing (random and grid search, not an engine that learns); the values
    hold the noise of the seeds, whose luck the best of many collects.

    >>> [round(value, 3) for value in expected_best([1.0, 2.0, 3.0, 4.0], Goal.MAXIMIZE)]
    [2.5, 3.333]
    """
    n = len(values)
    ordered = sorted(values, reverse=goal is Goal.MINIMIZE)  # the best last
    found = []
    for k in range(1, min(n // 2, _LONGEST_CURVE) + 1):
        # The chance that the best of k is the value at place i: comb(i, k - 1) / comb(n, k), from the best one down,
        # each from the one before; those that hardly ever are the best are not looked at.
        chance, total = k / n, 0.0
        for i in range(n - 1, k - 2, -1):
            total += chance * ordered[i]
            chance *= (i - k + 1) / i if i else 0.0
            if chance < _NO_CHANCE:
                break
        found.append(total)
    return found


def seed_sd(table: RunTable) -> tuple[float, int] | None:
    """Return the pooled standard deviation of finished runs of one configuration, and its degrees of freedom.

    None without two finished runs of one configuration.
    """
    squares, freedom = 0.0, 0
    for item in table.configurations():
        values = [row.value for row in item.members if row.state is RunState.FINISHED and row.value is not None]
        if len(values) > 1:
            middle = mean(values)
            squares += sum((value - middle) * (value - middle) for value in values)  # ** would raise
            freedom += len(values) - 1
    return (sqrt(squares / freedom), freedom) if freedom and isfinite(squares) else None
