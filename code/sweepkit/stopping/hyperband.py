"""W&B's hyperband: a run is ended that, at the last band it reached, is outside the best 1/eta of all runs there.

Source: `sweeps` 0.3.0, `hyperband_stopping.py`, followed to the number. Despite its name (Li et al. 2018, "Hyperband")
there are no brackets of budgets; it is a quantile rule.
"""

from collections.abc import Sequence

from sweepkit.model.metric import BEST, Goal
from sweepkit.model.numbers import how_many
from sweepkit.model.objectives import value_in
from sweepkit.model.runs import Decision, RunView
from sweepkit.stopping.bands import bands_up_to, check_bands, next_band
from sweepkit.stopping.histories import finite, judged, share, values_at
from sweepkit.sweep_config.sweep import EarlyTerminate


class Hyperband:
    """Judge a run at every report against the last band it reached.

    A report counts when the metric in it is finite. The threshold at band b is element int(n / eta), from 0, of the
    sorted values that the n runs with at least b reports, in any state, had at report b. A value worse than that
    ends the run, a tie does not. The value is the run's at the band (`strict`) or its best so far. Runs that come
    later move the threshold, so a run can be ended long after its band.

    Args:
        rule: min_iter, or max_iter and s (which win); eta > 1; strict.
        goal: Direction of the metric.

    Raises:
        SweepKitError: The rule has no band.
    """

    def __init__(self, rule: EarlyTerminate, goal: Goal) -> None:
        check_bands(rule)
        self._rule = rule
        self._goal = goal
        self._sign = goal.sign

    def decide(self, run: RunView, runs: Sequence[RunView]) -> Decision:
        """Judge `run` after its newest report."""
        history = finite(run.history)
        bands = bands_up_to(self._rule, len(history))
        if not bands:
            first = next_band(self._rule, 0)
            return Decision(
                stop=False, reason=f"hyperband: {how_many(len(history), 'report')}, the first band is at {first}"
            )
        band = bands[-1]
        values = values_at(runs, band, self._sign).values
        if not values:  # only when the caller left `run` out of `runs`
            return Decision(stop=False, reason=f"hyperband: no run to compare with at report {band}")
        threshold = self._sign * values[int(1.0 / self._rule.eta * len(values))]
        value = history[band - 1] if self._rule.strict else value_in(history, self._goal, run.value_rule)
        whose = "best" if run.value_rule in ("", BEST) else "value"
        where = f" at report {band}" if self._rule.strict else f" as its {whose}, judged at report {band},"
        of = f"{share(self._rule.eta)} of {how_many(len(values), 'run')}"
        return judged("hyperband", value, threshold, self._goal, where=where, of=of)
