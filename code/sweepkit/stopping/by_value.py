"""What a run is worth while it runs, for the rules that look at it: by the sweep's rule, or as its program says."""

from collections.abc import Sequence
from dataclasses import replace

from sweepkit.model.metric import BEST
from sweepkit.model.numbers import how_many
from sweepkit.model.runs import Decision, RunView
from sweepkit.stopping.base import StoppingRule


class ByValue:
    """Tell a rule what a run's value is of its reports, and the user over how much of the run a partial mean is.

    Args:
        rule: The rule.
        value: The sweep's (`Metric.value`), for programs that say nothing themselves.
    """

    def __init__(self, rule: StoppingRule, value: str) -> None:
        self._rule, self._value = rule, "" if value == BEST else value

    def decide(self, run: RunView, runs: Sequence[RunView]) -> Decision:
        """Judge `run` after its newest report."""
        if self._value and not run.value_rule:
            run = replace(run, value_rule=self._value)
        decision = self._rule.decide(run, runs)
        if not run.mean_over:
            return decision
        over = how_many(len(run.history), run.mean_over)
        return replace(decision, reason=f"{decision.reason}; report {len(run.history)} is the mean over {over}")
