"""Optuna's hyperband: successive halving in brackets that begin later and later; a run's number decides its bracket.

Source: Optuna 5.0, `HyperbandPruner`, after Li et al. 2018, "Hyperband: A Novel Bandit-Based Approach to
Hyperparameter Optimization" (JMLR). W&B's `hyperband` is another rule.
"""

from binascii import crc32
from collections.abc import Sequence
from dataclasses import replace
from math import ceil, floor, log

from sweepkit.model.metric import Goal
from sweepkit.model.runs import Decision, RunView
from sweepkit.stopping.steps import longest
from sweepkit.stopping.successive_halving import Among, SuccessiveHalving
from sweepkit.sweep_config.sweep import EarlyTerminate

_FACTOR = 3  # Optuna's default


class OptunaHyperband:
    """Judge a run by successive halving among the runs of its bracket.

    There are floor(log(max_resource / min_resource) / log(reduction_factor)) + 1 brackets; bracket b leaves out the
    first b rungs. Earlier ones get more runs, by a hash of the study's name and the run's number, as in Optuna.

    Args:
        rule: min_resource (None: 1), max_resource (None: the reports of the longest finished run; nothing is judged
            before one has finished), reduction_factor, bootstrap_count.
        goal: Direction of the metric.
        study: The sweep's name, which is that of its Optuna study.
    """

    def __init__(self, rule: EarlyTerminate, goal: Goal, study: str) -> None:
        self._rule = rule
        self._goal = goal
        self._study = study
        self._least = rule.min_resource or 1
        self._factor = rule.reduction_factor or _FACTOR

    def decide(self, run: RunView, runs: Sequence[RunView]) -> Decision:
        """Judge `run` after its newest report."""
        most = self._rule.max_resource or longest(runs)
        if most is None:
            return Decision(stop=False, reason="optuna_hyperband: no run has finished, so the brackets are not known")
        budgets = self._budgets(most)
        if not budgets:
            why = f"no bracket, the longest run has {most} reports and the first rung is at step {self._least}"
            return Decision(stop=False, reason=f"optuna_hyperband: {why}")
        own = self._bracket(run.number, budgets)
        peers = Among((own, *budgets), lambda number: self._bracket(number, budgets) == own)
        rule = replace(
            self._rule,
            min_resource=self._least,
            reduction_factor=self._factor,
            min_early_stopping_rate=own,
        )
        name = f"optuna_hyperband: bracket {own} of {len(budgets)}"
        return SuccessiveHalving(rule, self._goal, name).decide(run, runs, peers)

    def _budgets(self, most: int) -> list[int]:
        """Return each bracket's share of the runs; [] when runs are shorter than the first rung."""
        count = floor(log(most / self._least, self._factor)) + 1  # in floats, so 3**5 may count as one less: Optuna's
        remaining = range(count - 1, -1, -1)
        return [ceil(count * self._factor**later / (later + 1)) for later in remaining]

    def _bracket(self, number: int, budgets: Sequence[int]) -> int:
        """Return the bracket of a run."""
        place = crc32(f"{self._study}_{number}".encode()) % sum(budgets)
        bracket = 0
        while place >= budgets[bracket]:
            place -= budgets[bracket]
            bracket += 1
        return bracket
