"""Optuna's percentile rule: a run is ended whose best so far is outside the best part of the finished runs.

Source: Optuna 5.0, `PercentilePruner`; with 50 percent its `MedianPruner`. (Our `median` is Vizier's: it compares with
averages, and with stopped runs too.)
"""

from bisect import bisect_left
from collections.abc import Sequence
from math import isnan

from sweepkit.model.columns import column_of
from sweepkit.model.course import course_of
from sweepkit.model.metric import Goal
from sweepkit.model.numbers import how_many
from sweepkit.model.objectives import value_in
from sweepkit.model.runs import Decision, RunState, RunView
from sweepkit.stopping.histories import judged, standing
from sweepkit.stopping.steps import finished, not_a_number, quantile, wait
from sweepkit.sweep_config.sweep import EarlyTerminate


class Percentile:
    """Compare a run's best value so far with the values that the finished runs had at the same report.

    A best value strictly worse than their `percentile` ends the run. So does a history of NaN alone; elsewhere NaN is
    left out.

    Args:
        rule: percentile, the part that is kept; n_startup_runs, finished runs before it acts (one is always needed);
            n_warmup_reports; interval_reports; n_min_runs, finished runs that must have got so far.
        goal: Direction of the metric.
    """

    def __init__(self, rule: EarlyTerminate, goal: Goal) -> None:
        self._rule = rule
        self._name = rule.called or rule.type
        self._goal = goal

    def decide(self, run: RunView, runs: Sequence[RunView]) -> Decision:
        """Judge `run` after its newest report."""
        rule, reports = self._rule, len(run.history)
        others = len(finished(runs).values)
        needed = max(1, rule.n_startup_runs)
        if others < needed:
            return self._goes_on(f"{others} of {needed} runs have finished, too few")
        if why := wait(rule, reports):
            return self._goes_on(why)
        own = course_of(run.history).numbers()
        if not own:
            return not_a_number(self._name, f"of all {reports} reports")
        reached = _reached(runs, reports)
        if reached < rule.n_min_runs:
            return self._goes_on(
                f"{reached} of {rule.n_min_runs} finished runs that are needed have {how_many(reports, 'report')}"
            )
        minimizes = self._goal is Goal.MINIMIZE
        limit = quantile(_values(runs, reports), rule.percentile if minimizes else 100 - rule.percentile)
        if isnan(limit):
            return self._goes_on(f"no finished run has a number at report {reports}")
        value = value_in(own, self._goal, run.value_rule)
        of = f"the best {rule.percentile:g} % of {how_many(reached, 'run')} at that report"
        return judged(self._name, value, limit, self._goal, where=standing(run.value_rule, reports), of=of)

    def _goes_on(self, why: str) -> Decision:
        return Decision(stop=False, reason=f"{self._name}: {why}")


def _reached(runs: Sequence[RunView], reports: int) -> int:
    """Return how many finished runs have so many reports."""
    lengths = finished(runs).values
    return len(lengths) - bisect_left(lengths, reports)


def _values(runs: Sequence[RunView], reports: int) -> Sequence[float]:
    """Return the numbers that finished runs had at a report, ascending."""

    def of(run: RunView) -> float | None:
        return run.history[reports - 1] if run.state is RunState.FINISHED and len(run.history) >= reports else None

    return column_of(runs, ("finished at", reports), of).values
