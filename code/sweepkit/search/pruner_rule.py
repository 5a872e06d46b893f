"""A pruner of Optuna's kind as a stopping rule."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sweepkit.model.metric import Metric
from sweepkit.model.objectives import value_of
from sweepkit.model.runs import Decision, RunState, RunView
from sweepkit.search.optuna_engine import quiet_optuna

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.trial import FrozenTrial


class PrunerRule:
    """Ask a pruner after each report; reports are counted from 0, as in the mirror.

    Args:
        pruner: Of Optuna's kind.
        metric: What is optimized.
    """

    def __init__(self, pruner: "BasePruner", metric: Metric) -> None:
        self._pruner, self._metric = pruner, metric

    def decide(self, run: RunView, runs: Sequence[RunView]) -> Decision:
        """Judge `run` after its newest report."""
        import optuna

        with quiet_optuna():
            study = optuna.create_study(direction=self._metric.goal.value)
            ordered = sorted(
                [run, *(other for other in runs if other.number != run.number)], key=lambda one: one.number
            )
            study.add_trials([self._trial(one) for one in ordered])
            mine = study.trials[ordered.index(run)]
            stop = bool(self._pruner.prune(study, mine))
        name = type(self._pruner).__name__
        newest = f"{self._metric.name} = {run.history[-1]:.5g} at report {len(run.history)}" if run.history else ""
        return Decision(stop=stop, reason=f"{name}: {newest or 'no report yet'}")

    def _trial(self, run: RunView) -> "FrozenTrial":
        from optuna.trial import TrialState, create_trial

        value = value_of(run, self._metric)
        states = {RunState.FINISHED: TrialState.COMPLETE, RunState.STOPPED: TrialState.PRUNED}
        state = states.get(run.state, TrialState.FAIL if run.state.done else TrialState.RUNNING)
        if state is TrialState.COMPLETE and value is None:
            state = TrialState.FAIL
        ended = state in (TrialState.COMPLETE, TrialState.PRUNED)
        return create_trial(
            state=state, value=value if ended else None, intermediate_values=dict(enumerate(run.history))
        )
