"""Asynchronous successive halving that only stops: a run is compared once, when it reaches a rung.

Source: Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning" (MLSys), algorithm 2, in the variant
that never pauses: instead of promoting the best 1/eta of a rung later, the others are ended as they arrive.
"""

from collections.abc import Sequence
from math import isfinite

from sweepkit.model.metric import Goal
from sweepkit.model.numbers import how_many
from sweepkit.model.runs import Decision, RunView
from sweepkit.stopping.bands import bands_up_to, check_bands, next_band
from sweepkit.stopping.histories import finite, judged, share, values_at
from sweepkit.sweep_config.sweep import EarlyTerminate


class Asha:
    """End a run that, on reaching a rung, is not among the best 1/eta of the runs that have reached it so far.

    Rungs are hyperband's bands. Of n runs at the rung max(1, int(n / eta)) go on, so the first always does, and ties
    with the last of them do too. Between rungs, and at a report that is not finite, nothing is judged.

    Args:
        rule: min_iter, or max_iter and s (which win); eta > 1.
        goal: Direction of the metric.

    Raises:
        SweepKitError: The rule has no rung.
    """

    def __init__(self, rule: EarlyTerminate, goal: Goal) -> None:
        check_bands(rule)
        self._rule = rule
        self._goal = goal

    def decide(self, run: RunView, runs: Sequence[RunView]) -> Decision:
        """Judge `run` after its newest report."""
        history = finite(run.history)
        reports = len(history)
        rungs = bands_up_to(self._rule, reports)
        if not rungs or rungs[-1] != reports or not isfinite(run.history[-1]):
            following = next_band(self._rule, reports)
            end = "no rung is left" if following is None else f"the next rung is at {following}"
            return Decision(stop=False, reason=f"asha: {how_many(reports, 'report')}, {end}")
        sign = self._goal.sign
        values = values_at(runs, reports, sign).values or [sign * history[-1]]
        kept = max(1, int(len(values) / self._rule.eta))
        of = f"{share(self._rule.eta)} of {how_many(len(values), 'run')} that reached it"
        limit = sign * values[kept - 1]
        return judged("asha", history[-1], limit, self._goal, where=f" at rung {reports}", of=of)
