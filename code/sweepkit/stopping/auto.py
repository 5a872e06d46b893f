"""The rule that `early_terminate: auto` takes: of all runs three fifths go on at first, and fewer the longer they are.

Chosen by `benchmarks/stopping.py` among W&B's hyperband, asha, Optuna's pruners and rules of this form, on curves of
real trainings; what it costs and loses on others stands in benchmarks/results/stopping.md.
"""

from collections.abc import Sequence
from math import ceil

from sweepkit.model.columns import RunColumn, column_of
from sweepkit.model.metric import Goal
from sweepkit.model.numbers import how_many
from sweepkit.model.runs import Decision, RunView
from sweepkit.stopping.histories import best_of, finite, judged
from sweepkit.stopping.steps import finished
from sweepkit.sweep_config.sweep import EarlyTerminate

_SHARE = 0.6  # of the runs that go on at the first look
_FALL = 1.2  # the power of the report by which the share falls
_OF_LENGTH = 0.08  # where of a run's length the first look is
_FIRST = 4  # reports before the first look while no run has finished; afterwards at least:
_LEAST = 2
_APART = 1.15  # one look and the next, as a ratio, where that is more than one report


class Auto:
    """End a run whose best so far is outside the best part of all runs, stopped ones too, at the last look it passed.

    Looks are at reports, the first at 8 % of the length of the longest finished run; there 60 % of the runs go on, at
    report t that share times (first / t) ** 1.2, rounded up. A run that was ended earlier counts there with its
    best. Asked again at every report, as W&B's hyperband: a run can fall out later, as others come.

    Args:
        rule: Has no settings.
        goal: Direction of the metric.
    """

    def __init__(self, rule: EarlyTerminate, goal: Goal) -> None:
        self._goal = goal
        self._sign = goal.sign

    def decide(self, run: RunView, runs: Sequence[RunView]) -> Decision:
        """Judge `run` after its newest report."""
        history = finite(run.history)
        first = _first_look(runs)
        look = _look_before(first, len(history))
        if look is None:
            return Decision(
                stop=False, reason=f"auto: {how_many(len(history), 'report')}, the first look is at {first}"
            )
        values = self._best_by(look, runs).values
        share = _SHARE * (first / look) ** _FALL
        kept = max(1, ceil(share * len(values)))
        if kept >= len(values):
            return Decision(
                stop=False, reason=f"auto: {how_many(len(values), 'run')} at report {look}, of which {kept} go on"
            )
        of = f"the best {kept} of {how_many(len(values), 'run')} by report {look}"
        limit, best = self._sign * values[kept - 1], best_of(history, self._goal)
        return judged("auto", best, limit, self._goal, where=", its best,", of=of)

    def _best_by(self, look: int, runs: Sequence[RunView]) -> RunColumn:
        """Return the best by a report of every run that got so far, or has ended."""

        def of(run: RunView) -> float | None:
            if len(run.history) < look and not run.state.ended_well:
                return None
            values = finite(run.history[:look])
            return self._sign * best_of(values, self._goal) if values else None

        return column_of(runs, ("best by", look, self._sign), of)


def _first_look(runs: Sequence[RunView]) -> int:
    """Return the report at which runs are looked at first."""
    lengths = finished(runs).values
    return max(_LEAST, round(_OF_LENGTH * lengths[-1])) if lengths else _FIRST


def _look_before(first: int, reports: int) -> int | None:
    """Return the last look that a run of so many reports has passed; None before the first.

    >>> [_look_before(4, reports) for reports in (3, 4, 9, 40, 1000)]
    [None, 4, 9, 37, 932]
    """
    if reports < first:
        return None
    look: float = first
    while (following := max(look * _APART, int(look) + 1)) < reports + 1:
        look = following
    return int(look)
