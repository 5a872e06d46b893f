"""The divergence guard: a metric that stays NaN or infinite ends its run (design decision 6)."""

from collections.abc import Sequence
from math import isfinite

from sweepkit.spec.runs import Decision, RunView

REPORTS = 2  # one bad value can be a bad batch, two in a row are not


class DivergenceGuard:
    """End a run whose two newest values are both NaN or infinite.

    So a run is ended within two reports of diverging, and one that recovers after a single bad value goes on.
    """

    def decide(self, run: RunView, runs: Sequence[RunView]) -> Decision:
        """Judge `run` after its newest report; `runs` is not looked at."""
        newest = run.history[-REPORTS:]
        bad = [value for value in newest if not isfinite(value)]
        if len(bad) < REPORTS:
            return Decision(stop=False, reason=f"divergence: {len(bad)} of the newest {REPORTS} values are not finite")
        values = " and ".join(f"{value:g}" for value in bad)
        return Decision(
            stop=True,
            diverged=True,
            reason=f"divergence: the newest {REPORTS} values are {values}, at report {len(run.history)}",
        )
