"""Optuna's patient rule: another rule may end a run only when it has not improved for some reports.

Source: Optuna 5.0, `PatientPruner`.
"""

from collections.abc import Sequence

from sweepkit.model.course import course_of
from sweepkit.model.metric import Goal
from sweepkit.model.numbers import how_many
from sweepkit.model.runs import Decision, RunView
from sweepkit.stopping.base import StoppingRule
from sweepkit.stopping.histories import compared
from sweepkit.stopping.steps import numbers
from sweepkit.sweep_config.sweep import EarlyTerminate


class Patient:
    """Ask the wrapped rule once the best of the newest patience + 1 reports is worse than the best before them.

    Worse by more than `min_delta`: a run that stays level is left alone, and a larger `min_delta` is *more* patient
    (in `patience` it is less). NaN is left out; a part of the history with nothing else keeps the run.

    Args:
        rule: patience >= 0; min_delta >= 0, in units of the metric.
        goal: Direction of the metric.
        wrapped: The rule that decides then; None ends the run.
    """

    def __init__(self, rule: EarlyTerminate, goal: Goal, wrapped: StoppingRule | None) -> None:
        self._rule = rule
        self._goal = goal
        self._sign = goal.sign
        self._wrapped = wrapped

    def decide(self, run: RunView, runs: Sequence[RunView]) -> Decision:
        """Judge `run` after its newest report."""
        window = self._rule.patience + 1
        reports = len(run.history)
        if reports <= window:
            return Decision(
                stop=False, reason=f"patient: {how_many(reports, 'report')}, the first {window} are not judged"
            )
        history = course_of(run.history)
        before, newest = course_of(history[:-window]).numbers(), numbers(history[-window:])
        if not before or not newest:
            return Decision(stop=False, reason="patient: nothing but NaN to compare")
        old, new = self._sign * before.best(self._goal), self._sign * self._goal.best(newest)
        shown, earlier = compared(self._sign * new, self._sign * old)
        words = f"{shown}, the best of the newest {window} reports, "
        if not old + self._rule.min_delta < new:
            return Decision(stop=False, reason=f"patient: {words}is no worse than {earlier} before")
        words += f"is worse than {earlier} before"
        if self._wrapped is None:
            return Decision(stop=True, reason=f"patient: {words}")
        inner = self._wrapped.decide(run, runs)
        return Decision(
            stop=inner.stop,
            diverged=inner.diverged,
            reason=f"patient: {words}; {inner.reason}",
            margin=inner.margin,
        )
