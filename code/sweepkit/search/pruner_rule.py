"""A pruner of Optuna's kind as a stopping rule."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sweepkit.model.columns import RunViews
from sweepkit.model.course import Course, course_of
from sweepkit.model.metric import Metric
from sweepkit.model.objectives import value_of
from sweepkit.model.runs import Decision, RunState, RunView
from sweepkit.search.optuna_engine import quiet_optuna

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.storages import InMemoryStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial, TrialState

_STUDY = "sweep"  # Hyperband's brackets follow from the study's name: a trial stays in its own


class PrunerRule:
    """Ask a pruner after each report; reports are counted from 0, as in the mirror.

    It sees one study as long as the sweep's runs only go on, with what it notes on its trials itself (successive
    halving: the rungs that they reached). A run that begins again, or comes late, makes the study anew.

    Args:
        pruner: Of Optuna's kind.
        metric: What is optimized.
    """

    def __init__(self, pruner: "BasePruner", metric: Metric) -> None:
        self._pruner, self._metric = pruner, metric
        self._source: Sequence[RunView] | None = None
        self._study: _Told | None = None
        self._seen = 0  # the change of the source up to which its runs have been told

    def decide(self, run: RunView, runs: Sequence[RunView]) -> Decision:
        """Judge `run` after its newest report; `RunViews` cost what they gained, other sequences all of them."""
        with quiet_optuna():
            told = self._told(run, runs)
            stop = bool(self._pruner.prune(told.study, told.trial(run.number)))
        name = type(self._pruner).__name__
        newest = f"{self._metric.name} = {run.history[-1]:.5g} at report {len(run.history)}" if run.history else ""
        return Decision(stop=stop, reason=f"{name}: {newest or 'no report yet'}")

    def _told(self, run: RunView, runs: Sequence[RunView]) -> "_Told":
        """Return the study that knows these runs as they are now."""
        changed: Sequence[RunView] | None = None
        if isinstance(runs, RunViews):
            changed, self._seen = runs.newer(self._seen if runs is self._source else 0)
        if runs is self._source and changed is not None and self._study is not None:
            newest = sorted([*(other for other in changed if other.number != run.number), run], key=_number)
            if all(map(self._study.tell, newest)):
                return self._study
        self._source, self._study = runs, (told := _Told(self._metric))
        for one in sorted([run, *(other for other in runs if other.number != run.number)], key=_number):
            told.tell(one)
        return told


def _number(run: RunView) -> int:
    return run.number


class _Told:
    """A study in memory, and which of its trials is which run.

    Args:
        metric: What is optimized.
    """

    def __init__(self, metric: Metric) -> None:
        import optuna

        self._metric = metric
        self._storage: InMemoryStorage = optuna.storages.InMemoryStorage()
        self.study: Study = optuna.create_study(storage=self._storage, study_name=_STUDY, direction=metric.goal.value)
        self._ids: dict[int, int] = {}
        self._views: dict[int, tuple[RunView, Course]] = {}

    def trial(self, number: int) -> "FrozenTrial":
        """Return the trial of a run."""
        return self._storage.get_trial(self._ids[number])

    def tell(self, run: RunView) -> bool:
        """Take in a run; return False where Optuna cannot: it is no longer what it was, or comes after later ones."""
        history, known = course_of(run.history), self._views.get(run.number)
        if known is None:
            if self._ids and run.number < next(reversed(self._ids)):
                return False
            self._add(run)
        elif known[0] is not run and not self._goes_on(run, history, *known):
            return False
        self._views[run.number] = run, history
        return True

    def _add(self, run: RunView) -> None:
        from optuna.trial import create_trial

        state, value = self._end_of(run)
        trial = create_trial(state=state, value=value, intermediate_values=dict(enumerate(run.history)))
        self.study.add_trial(trial)
        self._ids[run.number] = self._storage.get_trial_id_from_study_id_trial_number(
            self.study._study_id, len(self._ids)
        )

    def _goes_on(self, run: RunView, history: Course, view: RunView, before: Course) -> bool:
        """Add what a run has gained to its trial, and its end; False where it has not just gone on."""
        state, value = self._end_of(run)
        was, number = self._end_of(view), self._ids[run.number]
        if was[0].is_finished() or not history.goes_on(before):
            return was == (state, value) and tuple(history) == tuple(before)
        for report in range(len(before), len(history)):
            self._storage.set_trial_intermediate_value(number, report, history[report])
        if state.is_finished():
            self._storage.set_trial_state_values(number, state, None if value is None else [value])
        return True

    def _end_of(self, run: RunView) -> "tuple[TrialState, float | None]":
        """Return the state of a run's trial, and its value where one of that state has any."""
        from optuna.trial import TrialState

        states = {RunState.FINISHED: TrialState.COMPLETE, RunState.STOPPED: TrialState.PRUNED}
        state = states.get(run.state, TrialState.FAIL if run.state.done else TrialState.RUNNING)
        if state not in (TrialState.COMPLETE, TrialState.PRUNED):
            return state, None
        value = value_of(run, self._metric)
        return TrialState.FAIL if state is TrialState.COMPLETE and value is None else state, value
