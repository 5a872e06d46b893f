"""Optuna's threshold rule: a run is ended whose value leaves the bounds. It looks at no other run.

Source: Optuna 5.0, `ThresholdPruner`.
"""

from collections.abc import Sequence
from math import inf, isfinite, isnan

from sweepkit.model.metric import Goal
from sweepkit.model.numbers import distinct_texts
from sweepkit.model.runs import Decision, RunView
from sweepkit.stopping.steps import not_a_number, wait
from sweepkit.sweep_config.sweep import EarlyTerminate


class Threshold:
    """End a run whose newest value is below `lower`, above `upper`, or NaN.

    Args:
        rule: lower, upper; n_warmup_reports; interval_reports.
        goal: Not looked at: both bounds hold for either direction.
    """

    def __init__(self, rule: EarlyTerminate, goal: Goal) -> None:
        self._rule = rule
        self._lower = -inf if rule.lower is None else rule.lower
        self._upper = inf if rule.upper is None else rule.upper

    def decide(self, run: RunView, runs: Sequence[RunView]) -> Decision:
        """Judge `run` after its newest report; `runs` is not looked at."""
        reports = len(run.history)
        if why := wait(self._rule, reports):
            return Decision(stop=False, reason=f"threshold: {why}")
        value = run.history[-1]
        if isnan(value):
            return not_a_number("threshold", f"at report {reports}")
        margin = min(value - self._lower, self._upper - value)
        shown, lower, upper = distinct_texts([value, self._lower, self._upper], digits=4)
        stop = value < self._lower or value > self._upper
        where = "outside" if stop else "within"
        return Decision(
            stop=stop,
            reason=f"threshold: {shown} at report {reports} is {where} {lower} to {upper}",
            margin=margin if isfinite(margin) else None,
        )
