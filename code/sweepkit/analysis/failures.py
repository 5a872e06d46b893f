"""Where runs fail: the values of one or two parameters with which they fail or diverge more often than elsewhere. Pure.

Every place that one condition describes is looked at (a level; a number at most, or at least, a value between two that
were tried), and every pair of two parameters' conditions. Told is the place with the smallest p of Fisher's exact test,
where that holds for all places together (Bonferroni), with an interval of the share there that does, too. So where
failures fall at random a place is said in at most 1 of 20 sweeps, as benchmarks/truth.py simulates. An engine that
avoids failures makes places rarer, not failures commoner there.

Sources: Fisher 1922, J. Royal Statistical Society 85:87–94; Clopper and Pearson 1934, Biometrika 26:404–413.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from sweepkit.analysis.encoding import causes
from sweepkit.analysis.table import Column, Row, RunTable
from sweepkit.model.runs import ENDED_BADLY, RunState
from sweepkit.stats.shares import clopper_pearson

_Bools = NDArray[np.bool_]
_MOST_CUTS = 8  # thresholds of one number
_FEWEST = 3  # runs that ended in this way, and runs in the place
_ALPHA = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class FailurePlace:
    """Where runs end in one way.

    Args:
        state: FAILED or DIVERGED.
        words: The place, "batch >= 32 and model = large".
        failed, runs: So many of the runs there did.
        elsewhere, others: And of all others.
        low, high: 95 % interval of the share there, for all places together.
    """

    state: RunState
    words: str
    failed: int
    runs: int
    elsewhere: int
    others: int
    low: float
    high: float


def failure_places(table: RunTable) -> list[FailurePlace]:
    """Return where runs failed and where they diverged, at most one place each."""
    done = [row for row in table.rows if row.state.done]
    found = [_place(table, done, state) for state in ENDED_BADLY]
    return [place for place in found if place is not None]


def failure_sentences(table: RunTable) -> list[str]:
    """Return where runs failed or diverged, a sentence each."""
    return [_sentence(place) for place in failure_places(table)]


def _sentence(place: FailurePlace) -> str:
    every = "All " if place.failed == place.runs else ""
    share = f"95 % interval of the share there: {100 * place.low:.0f} % to {100 * place.high:.0f} %"
    return (
        f"{every}{place.failed} of {place.runs} runs with {place.words} {place.state.value}, "
        f"{place.elsewhere} of {place.others} others ({share})."
    )


def _place(table: RunTable, done: Sequence[Row], state: RunState) -> FailurePlace | None:
    """Return the place where runs end in a state more often than chance has it, None where there is none."""
    bad = np.array([row.state is state for row in done], dtype=bool)
    if bad.sum() < _FEWEST or bad.all():
        return None
    conditions = [(column.name, _conditions(column, done)) for column in causes(table)]
    singles = [(words, mask) for _, many in conditions for words, mask in many]
    pairs = [
        (f"{one} and {two}", a & b)
        for (_, first), (_, second) in combinations(conditions, 2)
        for one, a in first
        for two, b in second
    ]
    places = [item for item in (*singles, *pairs) if _FEWEST <= item[1].sum() < len(done)]
    if not places:
        return None
    from scipy.stats import hypergeom  # type: ignore[import-untyped] # a second, of which most sweeps have no need

    inside = np.array([mask.sum() for _, mask in places])
    hits = np.array([(mask & bad).sum() for _, mask in places])
    chances = hypergeom.sf(hits - 1, len(done), int(bad.sum()), inside)
    at = min(range(len(places)), key=lambda index: (chances[index], " and " in places[index][0], -inside[index]))
    if chances[at] * len(places) >= _ALPHA:
        return None
    low, high = clopper_pearson(int(hits[at]), int(inside[at]), _ALPHA / len(places))
    return FailurePlace(
        state=state,
        words=places[at][0],
        failed=int(hits[at]),
        runs=int(inside[at]),
        elsewhere=int(bad.sum() - hits[at]),
        others=int(len(done) - inside[at]),
        low=low,
        high=high,
    )


def _conditions(column: Column, rows: Sequence[Row]) -> list[tuple[str, _Bools]]:
    """Return the places that one parameter describes, in words and as which rows lie there."""
    values = [row.params.get(column.name) for row in rows]
    if not column.numeric:
        levels = list(dict.fromkeys(value for value in values if value is not None))
        return [(f"{column.name} = {level}", np.array([value == level for value in values])) for level in levels]
    numbers = np.array([np.nan if value is None else float(value) for value in values])
    distinct = np.unique(numbers[np.isfinite(numbers)])
    if len(distinct) < 2:
        return []
    picked = np.unique(np.linspace(1, len(distinct) - 1, min(_MOST_CUTS, len(distinct) - 1)).round().astype(int))
    with np.errstate(invalid="ignore"):
        above = [(f"{column.name} >= {distinct[at]:.4g}", numbers >= distinct[at]) for at in picked]
        below = [(f"{column.name} <= {distinct[at - 1]:.4g}", numbers <= distinct[at - 1]) for at in picked]
    return [*above, *below]
