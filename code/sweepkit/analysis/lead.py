"""The best configuration against the second best, in words that claim no more than the runs can carry. Pure.

Two things make a lead look larger than it is: the luck of the seeds, and that the two were picked out of many by the
same numbers that are then compared. So a lead is only ever called *beyond* the noise when configurations were run with
several seeds, and then by an interval that allows for every pair among which these two could have been picked. With one
seed each it is unconfirmed, whatever its size; said is how little noise would be enough to explain it.

Source: Bonferroni's inequality over all pairs, as in Dunn 1961, "Multiple comparisons among means", Journal of the
American Statistical Association 56:52–64; the winner's curse of a sweep: benchmarks/README.md.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean

from sweepkit.analysis.encoding import causes
from sweepkit.analysis.table import Row, RunTable
from sweepkit.model.metric import Metric
from sweepkit.model.runs import RunState
from sweepkit.model.seeds import is_seed


class Sureness(StrEnum):
    """What may be said of a lead."""

    ALONE = "nothing to compare with"
    UNCONFIRMED = "unconfirmed"  # no configuration was run twice: nobody knows the noise
    WITHIN = "within the noise of seeds"
    BEYOND = "beyond the noise of seeds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One configuration and its runs.

    Args:
        rows: Its runs that count, by number, one a seed; those that finished, else those that were stopped early.
        value: The mean of their values.
        members: All its runs with a value, by number.
        contends: It may be the best one.
    """

    rows: tuple[Row, ...]
    value: float
    members: tuple[Row, ...] = ()
    contends: bool = True

    @property
    def values(self) -> list[float]:
        """Return the value of each of its runs."""
        return [float(row.value) for row in self.rows if row.value is not None]

    @property
    def scores(self) -> tuple[float, ...]:
        """Return the values of its runs of full budget: () when every one of them was stopped early."""
        return () if self.stopped else tuple(self.values)

    @property
    def first(self) -> Row:
        """Return the run that stands for it: the first that counts."""
        return self.rows[0]

    @property
    def stopped(self) -> bool:
        """Return whether none of its runs finished: its score is one of a smaller budget."""
        return all(row.state is RunState.STOPPED for row in self.rows)

    @property
    def params(self) -> Mapping[str, float | str]:
        """Return its parameters, with the seed of its first run where that is one of them."""
        return self.rows[0].params


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """The best configuration against the second best.

    Args:
        metric: By which they are ranked.
        first: The best by its mean.
        second: The second; None when there is no other.
        configurations: How many have a value.
        difference: How much better the first is, >= 0, in units of the metric.
        differs: Parameter → the values of the first and of the second; None where one does not have it.
        sd: The pooled standard deviation between runs of one configuration, and its degrees of freedom; None when no
            configuration finished twice.
        interval: 95 % for the difference, allowing for all pairs of configurations; None without noise to go by.
        sureness: What may be said.
    """

    metric: Metric
    first: Contender
    second: Contender | None = None
    configurations: int = 1
    difference: float = 0.0
    differs: Mapping[str, tuple[float | str | None, float | str | None]]
    sd: tuple[float, int] | None = None
    interval: tuple[float, float] | None = None
    sureness: Sureness = Sureness.ALONE


def contenders(table: RunTable) -> list[Contender]:
    """Return the configurations that have a value, best mean first; ties by the number of their first run.

    Those that may not be the best one come last (`model.seeds.by_configuration`), as in `RunTable.ranked`.
    """
    metric = table.metric
    if metric is None:
        return []
    groups = table.configurations()
    found = [
        Contender(
            rows=tuple(group.counted),
            members=tuple(group.members),
            value=_mean([float(row.value or 0.0) for row in group.counted]),
            contends=group.contends,
        )
        for group in groups
    ]
    sign = -1.0 if metric.goal.better(1.0, 0.0) else 1.0
    return sorted(found, key=lambda item: (not item.contends, sign * item.value, item.members[0].number))


def _mean(values: Sequence[float]) -> float:
    try:
        return fmean(values)
    except OverflowError:  # of values near the largest float
        return sum(value / len(values) for value in values)


def lead(table: RunTable) -> Lead | None:
    """Return how the best configuration stands against the second; None when none has a value."""
    ranked = contenders(table)
    if not ranked or table.metric is None:
        return None
    first, second = ranked[0], (ranked[1] if len(ranked) > 1 else None)
    if second is None:
        return Lead(metric=table.metric, first=first, differs={})
    noise = _noise(ranked)
    interval = _interval(first, second, noise, len(ranked))
    if noise is None or noise[0] == 0.0:
        sureness = Sureness.UNCONFIRMED
    else:
        sureness = Sureness.BEYOND if interval is not None and interval[0] > 0 else Sureness.WITHIN
    return Lead(
        metric=table.metric,
        first=first,
        second=second,
        configurations=len(ranked),
        difference=abs(first.value - second.value),
        differs=_differs(table, first, second),
        sd=noise,
        interval=interval,
        sureness=sureness,
    )


def _differs(
    table: RunTable, first: Contender, second: Contender
) -> dict[str, tuple[float | str | None, float | str | None]]:
    pairs = {
        column.name: (first.params.get(column.name), second.params.get(column.name))
        for column in causes(table)
        if not (column.seed or is_seed(column.name))
    }
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _noise(ranked: Sequence[Contender]) -> tuple[float, int] | None:
    """Return the pooled standard deviation of finished runs of one configuration; None when none finished twice."""
    squares, freedom = 0.0, 0
    for item in ranked:
        if len(item.rows) > 1 and not item.stopped:
            squares += sum((value - item.value) * (value - item.value) for value in item.values)  # ** would raise
            freedom += len(item.rows) - 1
    return (math.sqrt(squares / freedom), freedom) if freedom and math.isfinite(squares) else None


def _interval(
    first: Contender, second: Contender, noise: tuple[float, int] | None, count: int
) -> tuple[float, float] | None:
    """Return the interval of the difference at 95 % for all pairs together."""
    if noise is None or noise[0] == 0.0:
        return None
    from sweepkit.stats.student import Estimate  # scipy: only when there is something to compute

    sd, freedom = noise
    error = sd * math.sqrt(1 / len(first.rows) + 1 / len(second.rows))
    estimate = Estimate(difference=abs(first.value - second.value), error=error, df=freedom)
    return estimate.interval(1 - 0.05 / math.comb(count, 2))
