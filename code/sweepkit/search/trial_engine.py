"""Propose what a function suggests from the trials of a study whose sampler is a user's own, or Optuna's plain one."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sweepkit.model.metric import Metric
from sweepkit.model.runs import Exhausted, Proposal, RunView
from sweepkit.search.define_by_run import SUGGESTIONS
from sweepkit.search.kept_study import KeptStudy, PastTrial, StudySettings
from sweepkit.search.optuna_engine import quiet_optuna


class TrialEngine(KeptStudy):
    """Ask a function for each run's configuration.

    Args:
        suggest: Takes an Optuna trial, returns a configuration.
        fixed: Parameters that every run has besides.
        settings: How the study searches.
        metrics: What is optimized.
        seed: Of a named sampler, >= 0.
    """

    def __init__(
        self,
        suggest: Callable[[Any], Mapping[str, Any]],
        fixed: Mapping[str, Any],
        settings: StudySettings,
        metrics: Sequence[Metric],
        *,
        seed: int,
    ) -> None:
        super().__init__(settings, metrics, seed=seed, past=_reported)
        self._suggest, self._fixed = suggest, dict(fixed)

    def ask(self, number: int) -> Proposal | Exhausted:
        """Propose the configuration of run `number`."""
        from optuna.distributions import distribution_to_json
        from optuna.trial import TrialState

        with self.lock, quiet_optuna():
            if (unused := self.live.pop(number, None)) is not None:  # somebody else made the run of that number
                self.fed().tell(unused, state=TrialState.FAIL)
            points = self.settings.first_points
            trial = self.ask_trial(number, points[number] if number < len(points) else {})
            params = {**self._fixed, **self._suggest(trial)}
            suggestions = {
                name: {"value": value, "distribution": json.loads(distribution_to_json(trial.distributions[name]))}
                for name, value in trial.params.items()
            }
            sampler = type(self.fed().sampler).__name__
        return Proposal(params=params, reason=f"suggested by {sampler}", info={SUGGESTIONS: suggestions})


def _reported(run: RunView) -> PastTrial:
    """Return what a run reported, counted from 0."""
    return PastTrial(intermediates=dict(enumerate(run.history)))
