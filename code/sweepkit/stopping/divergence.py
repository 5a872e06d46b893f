"""The divergence guard: a metric that stays NaN, infinite or exploded ends its run (design decision 6)."""

from collections.abc import Sequence
from itertools import islice
from math import inf, isfinite

from sweepkit.model.metric import Goal
from sweepkit.model.runs import Decision, RunView

_REPORTS = 2  # one bad value can be a bad batch, two in a row are not
_EXPLODED = 1e4  # times where the run began; a loss that gets there does not come back
_BEGINNING = 3  # reports


class DivergenceGuard:
    """End a run whose two newest values are both NaN, infinite or exploded.

    A value to be minimized has exploded when it is more than _EXPLODED times the largest size among the first three
    finite values of the run. So a run is ended within two reports of diverging, and one that recovers after a single
    bad value goes on. A metric to be maximized is only looked at for NaN and infinities.

    Args:
        goal: The metric's.
    """

    def __init__(self, goal: Goal = Goal.MINIMIZE) -> None:
        self._minimizes = goal is Goal.MINIMIZE

    def decide(self, run: RunView, runs: Sequence[RunView]) -> Decision:
        """Judge `run` after its newest report; `runs` is not looked at."""
        newest = run.history[-_REPORTS:]
        limit = self._limit(run.history)
        bad = [value for value in newest if not isfinite(value) or value > limit]
        if len(bad) < _REPORTS:
            reason = f"divergence: {len(bad)} of the newest {_REPORTS} values are out of hand"
            return Decision(stop=False, reason=reason)
        values = " and ".join(f"{value:g}" for value in bad)
        exploded = f", over {_EXPLODED:g} times where it began" if all(map(isfinite, bad)) else ""
        return Decision(
            stop=True,
            diverged=True,
            reason=f"divergence: the newest {_REPORTS} values are {values}{exploded}, at report {len(run.history)}",
        )

    def _limit(self, history: Sequence[float]) -> float:
        """Return what a value must not exceed; infinity while the beginning says nothing."""
        sizes = (abs(value) for value in islice(history, max(0, len(history) - _REPORTS)) if isfinite(value))
        size = max(islice(sizes, _BEGINNING), default=0.0)
        return size * _EXPLODED if self._minimizes and size > 0 else inf
