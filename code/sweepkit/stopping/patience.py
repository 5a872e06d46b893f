"""Patience: a run is ended that has not improved for some reports. It looks at no other run.

Source: Prechelt 1998, "Early Stopping - But When?", the class UP in its usual form with a least improvement.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sweepkit.model.course import course_of
from sweepkit.model.metric import Goal
from sweepkit.model.runs import Decision, RunView
from sweepkit.stopping.histories import number
from sweepkit.sweep_config.sweep import EarlyTerminate


class _Standing(NamedTuple):
    """Where a run stands: its best by an improvement that counted, less is better, and the reports since."""

    best: float
    since: int


class Patience:
    """End a run after `patience` finite reports in a row without an improvement of more than `min_delta`.

    An improvement is measured from the last one, so many small steps that add up do count.

    Args:
        rule: patience >= 1; min_delta >= 0, in units of the metric; n_warmup_reports, the first reports of a run,
            after which it may be ended.
        goal: Direction of the metric.
    """

    def __init__(self, rule: EarlyTerminate, goal: Goal) -> None:
        self._rule = rule
        self._sign = goal.sign

    def decide(self, run: RunView, runs: Sequence[RunView]) -> Decision:
        """Judge `run` after its newest report; `runs` is not looked at."""
        history = course_of(run.history).finite()
        if not history:
            return Decision(stop=False, reason="patience: no finite report yet")
        found = history.folded(("patience", self._sign, self._rule.min_delta), self._taken)
        best, since, reports = found.best, found.since, len(history)
        state = f"{since} reports since the last improvement, {number(self._sign * best)} at report {reports - since}"
        if since < self._rule.patience:
            return Decision(stop=False, reason=f"patience: {state}; {self._rule.patience} are allowed")
        if reports <= self._rule.n_warmup_reports:
            return Decision(
                stop=False, reason=f"patience: {state}, but the first {self._rule.n_warmup_reports} are not judged"
            )
        return Decision(stop=True, reason=f"patience: {state}; only {self._rule.patience} are allowed")

    def _taken(self, before: _Standing | None, value: float) -> _Standing:
        """Return where a run stands after its next finite value."""
        value = self._sign * value
        if before is None or value < before.best - self._rule.min_delta:
            return _Standing(value, 0)
        return _Standing(before.best, before.since + 1)
