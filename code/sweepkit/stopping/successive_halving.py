"""Optuna's successive halving: a run that reaches a rung goes on when it is among the best of those that were there.

Source: Optuna 5.0, `SuccessiveHalvingPruner`, after Li et al. 2020, "A System for Massively Parallel Hyperparameter
Tuning" (MLSys). Beside our `asha`: rungs are steps from 0, so each lies one report later; with fewer than
`reduction_factor` runs only the best goes on, as there; NaN at a rung ends the run; `bootstrap_count` ends the first.
"""

from array import array
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from math import isnan

from sweepkit.model.columns import column_of
from sweepkit.model.metric import Goal
from sweepkit.model.numbers import how_many
from sweepkit.model.runs import Decision, RunState, RunView
from sweepkit.stopping.histories import judged, number, share
from sweepkit.stopping.steps import longest, not_a_number
from sweepkit.sweep_config.sweep import EarlyTerminate

_FACTOR = 4  # Optuna's default


@dataclass(frozen=True, slots=True)
class Among:
    """Some of a sweep's runs.

    Args:
        key: What they are known by.
        holds: Whether the run of a number is one of them.
    """

    key: Hashable
    holds: Callable[[int], bool]


_ALL = Among("all", lambda number: True)


class SuccessiveHalving:
    """Compare a run once at each rung with all runs that reached it, in any state.

    Rung k is step min_resource · reduction_factor^(min_early_stopping_rate + k), counted from 0: one report more. Of n
    runs there max(1, n // reduction_factor) go on, and those level with the last of them.

    Args:
        rule: min_resource (None: a hundredth of the longest finished run's steps, at least 1; nothing is judged before
            one has finished); reduction_factor; min_early_stopping_rate; bootstrap_count.
        goal: Direction of the metric.
        name: How reasons begin.
    """

    def __init__(self, rule: EarlyTerminate, goal: Goal, name: str = "successive_halving") -> None:
        self._goal = goal
        self._rule = rule
        self._factor = rule.reduction_factor or _FACTOR
        self._sign = goal.sign
        self._name = name

    def decide(self, run: RunView, runs: Sequence[RunView], among: Among | None = None) -> Decision:
        """Judge `run` after its newest report.

        Args:
            run: The running run.
            runs: All runs of the sweep.
            among: Which of them it is compared with; None for all.
        """
        least = self._least(runs)
        if least is None:
            return self._goes_on("no run has finished, so the first rung is not known")
        step = len(run.history) - 1
        following = least * self._factor**self._rule.min_early_stopping_rate
        while following < step:
            following *= self._factor
        if following != step:
            return self._goes_on(f"{how_many(step + 1, 'report')}, the next rung is at report {following + 1}")
        newest = run.history[-1]
        if isnan(newest):
            return not_a_number(self._name, f"at report {step + 1}, a rung,")
        return self._compared(run, runs, step, among or _ALL)

    def _least(self, runs: Sequence[RunView]) -> int | None:
        """Return `min_resource`, found out when it is not given."""
        if self._rule.min_resource is not None:
            return self._rule.min_resource
        reports = longest(runs)
        return None if reports is None else max((reports - 1) // 100, 1)

    def _compared(self, run: RunView, runs: Sequence[RunView], step: int, among: Among) -> Decision:
        """Return the verdict at a rung."""
        value = self._sign * run.history[step]

        def of(other: RunView) -> float | None:
            # What a run reported before it was released is of an attempt that will be retried.
            if other.state is RunState.PENDING or len(other.history) <= step or not among.holds(other.number):
                return None
            return self._sign * other.history[step]

        values = column_of(runs, ("at rung", step, self._sign, among.key), of).values
        if of(run) is None:  # it counts itself, in any state
            values = array("d", sorted([*values, value]))
        shown, where = number(self._sign * value), f"at report {step + 1}, a rung,"
        if len(values) <= self._rule.bootstrap_count:
            why = f"the first {self._rule.bootstrap_count} runs there are ended"
            return Decision(stop=True, reason=f"{self._name}: {shown} {where} is ended, {why}")
        limit = self._sign * values[max(len(values) // self._factor, 1) - 1]
        whose = f"{share(self._factor)} of {how_many(len(values), 'run')} that reached it"
        return judged(self._name, run.history[step], limit, self._goal, where=f" {where}", of=whose)

    def _goes_on(self, why: str) -> Decision:
        return Decision(stop=False, reason=f"{self._name}: {why}")
