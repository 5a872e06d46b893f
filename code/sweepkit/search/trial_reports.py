"""What a training in this process reports to an Optuna trial, and what the trial's pruner answers.

Beside the engine the only place of the room that imports Optuna, when a pruner has decided.
"""

import math
from collections.abc import Mapping
from typing import Any, Protocol

from sweepkit.model.metric import Metric
from sweepkit.model.objectives import value_in


class _ReportedTrial(Protocol):
    """What is asked of a trial; `optuna.Trial` has it."""

    def report(self, value: float, step: int) -> None:
        """Take an intermediate value."""

    def should_prune(self) -> bool:
        """Return whether the study's pruner ends the trial now."""


class TrialReports:
    """A training's reporter (`training.tasks.base.Reporter`) that speaks to a trial.

    Reports are counted from 0, as in the mirror, so pruners see the same steps in both.

    Args:
        trial: Of Optuna.
        metric: Which of the reported values it is told.

    Attributes:
        history: The values told so far.
    """

    def __init__(self, trial: _ReportedTrial, metric: Metric) -> None:
        self.history: list[float] = []
        self._trial, self._metric = trial, metric

    def report(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Report one row of metrics to the trial; a row without the metric is passed over.

        Raises:
            optuna.TrialPruned: The study's pruner ends the trial, in the middle of its training.
        """
        value = values.get(self._metric.name)
        if value is None:
            return
        self.history.append(float(value))
        self._trial.report(float(value), len(self.history) - 1)
        if math.isfinite(value) and self._trial.should_prune():
            import optuna

            raise optuna.TrialPruned(
                f"{self._metric.name} = {value:.5g} at report {len(self.history)}: ended by the study's pruner"
            )

    def message(self, **message: Any) -> None:
        """Pass over what is said to an agent: there is none."""

    def value(self) -> float:
        """Return what the finite reports come to, as the record counts a run's; NaN without one: the trial fails."""
        finite = [value for value in self.history if math.isfinite(value)]
        return value_in(finite, self._metric.goal, self._metric.value) if finite else math.nan
