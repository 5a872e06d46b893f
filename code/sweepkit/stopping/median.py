"""The median rule: a run is ended whose best so far is worse than what half of the others averaged by then.

Source: Golovin et al. 2017, "Google Vizier: A Service for Black-Box Optimization" (KDD), section 3.2.2.
"""

from array import array
from collections.abc import Sequence
from itertools import accumulate
from math import fsum, isfinite

from sweepkit.model.columns import column_of
from sweepkit.model.metric import Goal
from sweepkit.model.numbers import how_many
from sweepkit.model.objectives import value_in
from sweepkit.model.runs import Decision, RunView
from sweepkit.stopping import steps
from sweepkit.stopping.histories import finite, judged, standing
from sweepkit.stopping.steps import wait
from sweepkit.sweep_config.sweep import EarlyTerminate

_MOST_SUMS = 4_000_000  # numbers kept, 8 bytes each; all are made anew beyond it


class Median:
    """Compare a run's best value by report s with the median of the running averages of the ended runs at s.

    The others are the finished and the stopped runs with at least s reports; each counts with the mean of its first
    s finite values. A best value strictly worse than the median of these ends the run. Where the best of its reports is
    not what a run is worth (`RunView.value_rule`: the last of running means, say) its value by report s stands for it.

    Args:
        rule: n_startup_runs, finished runs before it acts; n_warmup_reports, the first reports of a run, which
            are never judged; interval_reports, of the later ones the first and every so many are; n_min_runs, ended
            runs that must have got so far.
        goal: Direction of the metric.
    """

    def __init__(self, rule: EarlyTerminate, goal: Goal) -> None:
        self._rule = rule
        self._goal = goal
        self._sums: dict[int, tuple[Sequence[float], Sequence[float]]] = {}  # by run: its history, its running sums
        self._held = 0  # numbers in them

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
        averages = self._averages(run, runs, reports)
        if not averages:
            return Decision(stop=False, reason=f"median: no ended run has {how_many(reports, 'report')}")
        if len(averages) < self._rule.n_min_runs:
            few = f"{len(averages)} of {self._rule.n_min_runs} ended runs that are needed have"
            return Decision(stop=False, reason=f"median: {few} {how_many(reports, 'report')}")
        value, middle = value_in(history, self._goal, run.value_rule), _middle(averages)
        of = f"the median of the averages of {how_many(len(averages), 'run')}"
        return judged("median", value, middle, self._goal, where=standing(run.value_rule, reports), of=of)

    def _averages(self, run: RunView, runs: Sequence[RunView], reports: int) -> Sequence[float]:
        """Return the mean of the first `reports` finite values of every other run that ended well, ascending."""

        def of(other: RunView) -> float | None:
            return self._average(other, reports)

        column = column_of(runs, ("average up to", reports), of)
        if not run.state.ended_well or (own := of(run)) is None:
            return column.values
        others = list(column.values)
        others.remove(own)
        return others

    def _average(self, run: RunView, reports: int) -> float | None:
        """Return the mean of a run's first `reports` finite values, None when it has not so many or is not over."""
        if not run.state.ended_well or len(run.history) < reports:
            return None
        total = self._sums_of(run)[reports - 1]
        if isfinite(total):
            return total / reports
        values = finite(run.history)[:reports]
        if len(values) < reports:
            return None
        return fsum(value / reports for value in values)  # divided first, lest the sum overflow

    def _sums_of(self, run: RunView) -> Sequence[float]:
        """Return the running sums of an ended run: each report asks for one, so a history is added up once."""
        known = self._sums.get(run.number)
        if known is None or known[0] is not run.history:
            self._held += len(run.history)
            if self._held > _MOST_SUMS:
                self._sums.clear()
                self._held = len(run.history)
            known = self._sums[run.number] = run.history, array("d", accumulate(run.history))
        return known[1]


def _middle(values: Sequence[float]) -> float:
    """Return the median of ascending values."""
    half = len(values) // 2
    return values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2
