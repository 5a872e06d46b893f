"""The best configuration against the second best, in words that claim no more than the runs can carry. Pure.

A lead is only ever called *beyond* the noise when configurations were run with several seeds, by the plain two-sided
t test of the two with the spread pooled over all: that best and second were picked out of many makes their distance by
luck smaller, not larger, so no correction is due (`stats.top_two`). The pooled spread holds where all scatter alike;
where the two by their own spreads do not show the lead, that is said. What the choice does flatter is the best's
*score*.
With one seed each the lead is unconfirmed, whatever its size; said is how much noise would explain it.

Source: Gutmann and Maymin 1987, "Is the selected population the best?", Annals of Statistics 15:456–461; measured in
benchmarks/truth.py.
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

_ALPHA = 0.05


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
        luck: A larger lead than this seeds alone make in 1 of 20 sweeps at most, where all configurations scatter
            alike; None without noise to go by.
        alone: Whether the two by their own spreads show it too (`student.cautious_welch`), however unequal these are.
        sureness: What may be said.
    """

    metric: Metric
    first: Configuration[Row]
    second: Configuration[Row] | None = None
    configurations: int = 1
    difference: float = 0.0
    differs: Mapping[str, tuple[float | str | None, float | str | None]]
    sd: tuple[float, int] | None = None
    luck: float | None = None
    alone: bool = False
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
    luck = _luck(first, second, noise)
    difference = abs(first.value - second.value)
    if luck is None:
        sureness = Sureness.UNCONFIRMED
    else:
        sureness = Sureness.BEYOND if difference > luck else Sureness.WITHIN
    return Lead(
        metric=table.metric,
        first=first,
        second=second,
        configurations=len(ranked),
        difference=difference,
        differs=_differs(table, first, second),
        sd=noise,
        luck=luck,
        alone=sureness is Sureness.BEYOND and _alone(first, second),
        sureness=sureness,
    )


def _alone(first: Configuration[Row], second: Configuration[Row]) -> bool:
    """Return whether the two are distinguished by their own spreads."""
    from sweepkit.stats.student import cautious_welch

    found = cautious_welch(first.whole_scores, second.whole_scores)
    return found is not None and found.p < _ALPHA


def _differs(
    table: RunTable, first: Configuration[Row], second: Configuration[Row]
) -> dict[str, tuple[float | str | None, float | str | None]]:
    pairs = {
        column.name: (first.first.params.get(column.name), second.first.params.get(column.name))
        for column in causes(table)
        if not column.seed
    }
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _luck(first: Configuration[Row], second: Configuration[Row], noise: tuple[float, int] | None) -> float | None:
    """Return the lead that luck seldom passes: the critical value of the t test."""
    if noise is None or noise[0] == 0.0:
        return None
    from sweepkit.stats.student import quantile  # scipy: only when there is something to compute

    sd, freedom = noise
    return quantile(0.975, freedom) * sd * math.sqrt(1 / len(first.runs) + 1 / len(second.runs))
