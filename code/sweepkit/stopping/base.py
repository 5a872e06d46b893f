"""The one contract that every stopping rule keeps: history in, a decision with its reason out."""

from collections.abc import Sequence
from typing import Protocol

from sweepkit.model.runs import Decision, RunView


class StoppingRule(Protocol):
    """Decide whether a running run is ended early. What a rule keeps saves work alone: verdicts follow from views."""

    def decide(self, run: RunView, runs: Sequence[RunView]) -> Decision:
        """Judge `run` after its newest report.

        Args:
            run: The running run, its history up to date.
            runs: All runs of the sweep in any state, `run` itself among them.

        Returns:
            The decision, with its reason in words and, where the rule knows one, the margin.
        """
        ...
