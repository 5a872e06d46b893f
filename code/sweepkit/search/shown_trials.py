"""The told runs as an Optuna study that copies none of them. Imports Optuna."""

from collections.abc import Container, Sequence

from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState


class ShownTrials(InMemoryStorage):
    """A storage of trials that are there already, each with its number, and of the one that is asked.

    `study.add_trial` copies a trial deeply and costs some 0.1 ms: for some hundred of them more than the proposal.

    Args:
        trials: By number.
        number: Of the trial that is asked, above all of theirs.
    """

    def __init__(self, trials: Sequence[FrozenTrial], number: int) -> None:
        super().__init__()
        self._shown = trials
        self._number = number

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Make the trial that is asked."""
        trial_id = super().create_new_trial(study_id, template_trial)
        self.get_trial(trial_id).number = self._number
        return trial_id

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return the trials in these states, themselves, and after them the one that is asked."""
        shown = [trial for trial in self._shown if states is None or trial.state in states]
        return [*shown, *super().get_all_trials(study_id, deepcopy=deepcopy, states=states)]


def numbered(trials: Sequence[FrozenTrial]) -> ShownTrials:
    """Return a storage of new trials, numbered and named as they come; the one that is asked comes after them."""
    for number, trial in enumerate(trials):
        trial.number, trial._trial_id = number, number + 1  # 0 is the one that is asked
    return ShownTrials(trials, len(trials))
