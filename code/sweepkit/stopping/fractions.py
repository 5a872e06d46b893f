"""Runs of unequal length by equal fractions: where a sweep searches the number of epochs, report 5 is not report 5."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil
from statistics import median
from typing import Any

from sweepkit.model.columns import RunViews
from sweepkit.model.runs import Decision, RunState, RunView
from sweepkit.model.space import Space
from sweepkit.stopping.base import StoppingRule

# The last part of the names by which programs are told how long to train.
_LENGTHS = frozenset(
    "epochs num_epochs n_epochs max_epochs num_train_epochs train_epochs steps max_steps num_steps n_steps train_steps "
    "num_train_steps max_train_steps iterations num_iterations n_iterations max_iterations max_iter n_iter "
    "n_estimators num_boost_round num_rounds".split()
)
# Rules that compare a run with others report by report; wilcoxon compares folds, the rest looks at no other run.
COMPARING = ("hyperband", "asha", "median", "percentile", "successive_halving", "optuna_hyperband", "auto")


def searched_length(space: Space) -> tuple[str, ...] | None:
    """Return the path of the parameter that says how long a run trains, where the sweep searches it; else None."""
    found = [
        parameter.path
        for parameter in space.parameters
        if parameter.path[-1].split(".")[-1].lower() in _LENGTHS and parameter.distribution.support_size() != 1
    ]
    return found[0] if found else None


class SaysUnequal:
    """Ask a rule that compares report by report, and say in its reason that runs differ in length.

    Args:
        rule: The rule.
        name: The parameter that says how long a run trains.
    """

    def __init__(self, rule: StoppingRule, name: str) -> None:
        self._rule, self._note = rule, f"; runs differ in {name}, and are compared report by report"

    def decide(self, run: RunView, runs: Sequence[RunView]) -> Decision:
        """Judge `run` after its newest report."""
        decision = self._rule.decide(run, runs)
        return replace(decision, reason=decision.reason + self._note)


class EqualFractions:
    """Show a rule every run as if it were as long as the longest: its history spread over that many reports.

    How many reports a run will make follows from its parameter and from the runs that have finished (the median of
    their reports for each unit of it). Before one has, nothing is judged. The rule then sees of a run that is to make L
    reports, of which it has made t, those that lie at 1/M, 2/M, … t/L of its length, M being the longest run's.

    Args:
        rule: The rule, which compares runs report by report.
        path: Where the parameter stands in a configuration.
    """

    def __init__(self, rule: StoppingRule, path: tuple[str, ...]) -> None:
        self._rule, self._path = rule, path
        self._scale: tuple[float, int] = (0.0, 0)
        # What was made of each run, by number: of the same view the same.
        self._seen: dict[int, RunView] = {}
        self._spread = RunViews()

    def decide(self, run: RunView, runs: Sequence[RunView]) -> Decision:
        """Judge `run` after its newest report."""
        name = ".".join(self._path)
        scale = self._scale_of(runs)
        if scale is None:
            return Decision(stop=False, reason=f"{name} differs among runs: judged once one has finished")
        if scale != self._scale:
            self._scale, self._seen, self._spread = scale, {}, RunViews()
        for other in runs:
            if self._seen.get(other.number) is not other:
                self._seen[other.number] = other
                self._spread.put(self._shown(other))
        decision = self._rule.decide(self._shown(run), self._spread)
        return replace(decision, reason=f"{decision.reason}; at equal fractions of {name}, of {scale[1]} reports")

    def _scale_of(self, runs: Sequence[RunView]) -> tuple[float, int] | None:
        """Return the reports for each unit of the parameter, and those of the longest run; None before one finished."""
        pairs = [
            (len(run.history), length)
            for run in runs
            if run.state is RunState.FINISHED and run.history and (length := _length(run.params, self._path))
        ]
        if not pairs:
            return None
        each = median(reports / length for reports, length in pairs)
        longest = max(length for run in runs if (length := _length(run.params, self._path)))
        return each, max(1, round(each * longest))

    def _shown(self, run: RunView) -> RunView:
        """Return a run as if it were as long as the longest."""
        each, longest = self._scale
        length = _length(run.params, self._path)
        whole = max(1, round(each * length)) if length else longest
        reports = longest * len(run.history) // whole
        history = tuple(run.history[ceil((place + 1) * whole / longest) - 1] for place in range(min(reports, longest)))
        return replace(run, history=history)


def _length(params: Mapping[str, Any], path: tuple[str, ...]) -> float | None:
    """Return a run's value of the parameter; None where it has none above 0."""
    node: Any = params
    for key in path:
        if not isinstance(node, Mapping) or key not in node:
            return None
        node = node[key]
    return float(node) if isinstance(node, int | float) and not isinstance(node, bool) and node > 0 else None
