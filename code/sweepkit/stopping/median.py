"""The median rule: a run is ended whose best so far is worse than what half of the others averaged by then.

Source: Golovin et al. 2017, "Google Vizier: A Service for Black-Box Optimization" (KDD), section 3.2.2.
"""

from collections.abc import Sequence
from math import fsum, isfinite

from sweepkit.model.columns import column_of
from sweepkit.model.metric import Goal
from sweepkit.model.runs import Decision, RunView
from sweepkit.stopping import steps
from sweepkit.stopping.histories import best_of, finite, judged
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
        finished = len(steps.finished(runs).values)
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
        best, middle = best_of(history, self._goal), _middle(averages)
        of = f"the median of the averages of {len(averages)} runs"
        return judged("median", best, middle, self._goal, where=f", the best by report {reports},", of=of)


def _averages(run: RunView, runs: Sequence[RunView], reports: int) -> Sequence[float]:
    """Return the mean of the first `reports` finite values of every other run that ended well, ascending."""
    column = column_of(runs, ("average up to", reports), lambda other: _average(other, reports))
    if not run.state.ended_well or (own := _average(run, reports)) is None:
        return column.values
    others = list(column.values)
    others.remove(own)
    return others


def _average(run: RunView, reports: int) -> float | None:
    """Return the mean of a run's first `reports` finite values, None when it has not so many or did not end well."""
    if not run.state.ended_well or len(run.history) < reports:
        return None
    values: Sequence[float] = run.history[:reports]
    total = sum(values)
    if isfinite(total):
        return total / reports
    values = finite(run.history)[:reports]
    if len(values) < reports:
        return None
    return fsum(value / reports for value in values)  # divided first, lest the sum overflow


def _middle(values: Sequence[float]) -> float:
    """Return the median of ascending values."""
    half = len(values) // 2
    return values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2
