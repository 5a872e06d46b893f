"""The best configuration against the second best, in words that claim no more than the runs can carry. Pure.

Two things make a lead look larger than it is: the luck of the seeds, and that the two were picked out of many by the
same numbers that are then compared. So a lead is only ever called *beyond* the noise when configurations were run with
several seeds, and then by an interval that allows for every pair among which these two could have been picked. With one
seed each it is unconfirmed, whatever its size; said is how little noise would be enough to explain it.

Source: Bonferroni's inequality over all pairs, as in Dunn 1961, "Multiple comparisons among means", Journal of the
American Statistical Association 56:52–64; the winner's curse of a sweep: benchmarks/README.md.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sweepkit.analysis.encoding import causes
from sweepkit.analysis.history import seed_sd
from sweepkit.analysis.table import Row, RunTable
from sweepkit.model.configurations import Configuration
from sweepkit.model.metric import Metric


class Sureness(StrEnum):
    """What may be said of a lead."""

    ALONE = "nothing to compare with"
    UNCONFIRMED = "unconfirmed"  # no configuration was run twice: nobody knows the noise
    WITHIN = "within the noise of seeds"
    BEYOND = "beyond the noise of seeds"


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
    first: Configuration[Row]
    second: Configuration[Row] | None = None
    configurations: int = 1
    difference: float = 0.0
    differs: Mapping[str, tuple[float | str | None, float | str | None]]
    sd: tuple[float, int] | None = None
    interval: tuple[float, float] | None = None
    sureness: Sureness = Sureness.ALONE


def lead(table: RunTable) -> Lead | None:
    """Return how the best configuration stands against the second; None when none has a value."""
    ranked = table.configurations()
    if not ranked or table.metric is None:
        return None
    first, second = ranked[0], (ranked[1] if len(ranked) > 1 else None)
    if second is None:
        return Lead(metric=table.metric, first=first, differs={})
    noise = seed_sd(table)
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
    table: RunTable, first: Configuration[Row], second: Configuration[Row]
) -> dict[str, tuple[float | str | None, float | str | None]]:
    pairs = {
        column.name: (first.first.params.get(column.name), second.first.params.get(column.name))
        for column in causes(table)
        if not column.seed
    }
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _interval(
    first: Configuration[Row], second: Configuration[Row], noise: tuple[float, int] | None, count: int
) -> tuple[float, float] | None:
    """Return the interval of the difference at 95 % for all pairs together."""
    if noise is None or noise[0] == 0.0:
        return None
    from sweepkit.stats.student import Estimate  # scipy: only when there is something to compute

    sd, freedom = noise
    error = sd * math.sqrt(1 / len(first.runs) + 1 / len(second.runs))
    estimate = Estimate(difference=abs(first.value - second.value), error=error, df=freedom)
    return estimate.interval(1 - 0.05 / math.comb(count, 2))
