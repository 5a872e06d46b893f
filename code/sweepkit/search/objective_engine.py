"""Answer the trials of an objective while they run, from a study that is kept in memory.

Other engines propose a configuration before its run begins; an objective suggests its own, call by call, so what this
one proposes is an empty one.
"""

from typing import Any

from sweepkit.model.runs import Exhausted, Proposal, RunView
from sweepkit.model.seeds import CONFIGURATION
from sweepkit.search.define_by_run import suggestions_of
from sweepkit.search.kept_study import KeptStudy
from sweepkit.search.optuna_engine import quiet_optuna


class ObjectiveEngine(KeptStudy):
    """Propose runs whose parameters are suggested while they run; any thread may call."""

    def ask(self, number: int) -> Proposal | Exhausted:
        """Propose a run whose parameters are suggested while it runs."""
        # Each is a trial of its own, as in Optuna: the best one is the best single one.
        return Proposal(params={}, reason="a trial of the study", info={CONFIGURATION: None})

    # -- asked by trials ----------------------------------------------------------------------------------------------

    def begin(self, run: RunView) -> None:
        """Begin the trial of a run, or go on with that of an earlier attempt: what was suggested stays."""
        with self.lock, quiet_optuna():
            if run.number in self.live:
                self.study()
                return
            known = suggestions_of(run.info)[0]
            if not known and run.number < len(self.settings.first_points):
                known = dict(self.settings.first_points[run.number])
            self.ask_trial(run.number, known)

    def suggest(self, number: int, name: str, distribution: str) -> float:
        """Return a suggestion in Optuna's internal form.

        Args:
            number: Of the run, which has begun.
            name: Of the parameter.
            distribution: As `optuna.distributions.distribution_to_json` writes it.
        """
        from optuna.distributions import json_to_distribution

        with self.lock, quiet_optuna():
            trial = self.live[number]
            made = json_to_distribution(distribution)
            value = trial._suggest(name, made)
            return float(made.to_internal_repr(value))

    def report(self, number: int, value: float, step: int) -> None:
        """Take an intermediate value."""
        with self.lock, quiet_optuna():
            self.live[number].report(value, step)

    def should_prune(self, number: int) -> bool:
        """Return whether the pruner ends a trial now."""
        with self.lock, quiet_optuna():
            self.fed()
            return bool(self.live[number].should_prune()) if len(self.metrics) == 1 else False

    def set_user_attr(self, number: int, key: str, value: Any) -> None:
        """Keep a value with a trial."""
        with self.lock, quiet_optuna():
            self.live[number].set_user_attr(key, value)
