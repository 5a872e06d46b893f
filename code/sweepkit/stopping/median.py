"""The median rule: a run is ended whose best so far is worse than what half of the others averaged by then.

Source: Golovin et al. 2017, "Google Vizier: A Service for Black-Box Optimization" (KDD), section 3.2.2.
"""

from collections.abc import Sequence
from math import fsum, isfinite
from statistics import median

from sweepkit.model.metric import Goal
from sweepkit.model.runs import Decision, RunState, RunView
from sweepkit.stopping.histories import compared, finite
from sweepkit.stopping.steps import wait
from sweepkit.sweep_config.sweep import EarlyTerminate


class Median:
    """Compare a run's best value by report s with the median of the running averages of the ended runs at s.

    The others are the finished and the stopped runs with at least s reports; each counts with the mean of its first
    s finite values. A best value strictly worse than the median of these ends the run.

    Args:
        rule: n_startup_runs, finished runs before it acts; n_warmup_reports, the first reports of a run, which
            are never judged; interval_reports, of the later ones the first and every so many are; n_min_runs, ended
            runs that must have got so far.
        goal: Direction of the metric.
    """

    def __init__(self, rule: EarlyTerminate, goal: Goal) -> None:
        self._rule = rule
        self._goal = goal

    def decide(self, run: RunView, runs: Sequence[RunView]) -> Decision:
        """Judge `run` after its newest report."""
        history = finite(run.history)
        reports = len(history)
        if why := wait(self._rule, reports):
            return Decision(stop=False, reason=f"median: {why}")
        finished = sum(other.state is RunState.FINISHED for other in runs)
        if finished < self._rule.n_startup_runs:
            return Decision(
                stop=False, reason=f"median: {finished} of {self._rule.n_startup_runs} runs have finished, too few"
            )
        averages = _averages(run, runs, reports)
        if not averages:
            return Decision(stop=False, reason=f"median: no ended run has {reports} reports")
        if len(averages) < self._rule.n_min_runs:
            few = f"{len(averages)} ended runs have {reports} reports, {self._rule.n_min_runs} are needed"
            return Decision(stop=False, reason=f"median: {few}")
        best, middle = self._goal.best(tuple(history)), median(averages)
        stop = self._goal.better(middle, best)
        verdict = "is worse than" if stop else "is no worse than"
        shown, least = compared(best, middle)
        return Decision(
            stop=stop,
            reason=f"median: {shown}, the best by report {reports}, {verdict} {least}, "
            f"the median of the averages of {len(averages)} runs",
            margin=self._goal.sign * (middle - best),
        )


def _averages(run: RunView, runs: Sequence[RunView], reports: int) -> list[float]:
    """Return the mean of the first `reports` finite values of every other run that ended well and has so many."""
    averages = []
    for other in runs:
        if other.number == run.number or not other.state.ended_well:
            continue
        if len(other.history) < reports:
            continue
        values: Sequence[float] = other.history[:reports]
        total = sum(values)
        if not isfinite(total):
            values = finite(other.history)[:reports]
            if len(values) < reports:
                continue
            averages.append(fsum(value / reports for value in values))  # divided first, lest the sum overflow
        else:
            averages.append(total / reports)
    return averages
