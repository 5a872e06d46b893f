"""Runs of unequal length by equal fractions: where a sweep searches the number of epochs, report 5 is not report 5."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from sweepkit.model.columns import RunViews, column_of
from sweepkit.model.course import Course, course_of
from sweepkit.model.numbers import is_number
from sweepkit.model.runs import Decision, RunState, RunView
from sweepkit.stopping.base import StoppingRule


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


@dataclass(frozen=True, slots=True)
class _Scale:
    """How histories are spread.

    Args:
        each: Reports for each unit of the parameter.
        longest, shortest: Reports of the longest and of the shortest run.
    """

    each: float
    longest: int
    shortest: int

    @property
    def first(self) -> int:
        """Return the place, from 1, that the first report of the shortest run has on the longest run's scale."""
        return ceil(self.longest / self.shortest)


class EqualFractions:
    """Show a rule every run as if it were as long as the longest: its history spread over that many reports.

    How many reports a run will make follows from its parameter and from the runs that have finished (the median of
    their reports for each unit of it). Before one has, nothing is judged, nor before the first report of the shortest
    run's share of a run's length. Between two reports of a run its value is taken to go evenly from one to the other.

    Args:
        rule: The rule, which compares runs report by report.
        path: Where the parameter stands in a configuration.
    """

    def __init__(self, rule: StoppingRule, path: tuple[str, ...]) -> None:
        self._rule, self._path = rule, path
        self._scale = _Scale(0.0, 1, 1)
        self._source: Sequence[RunView] = ()
        self._forget()

    def _forget(self) -> None:
        """Begin anew: nothing that was spread counts any more."""
        self._seen = 0  # the change of the source up to which all runs are among the spread ones
        self._courses: dict[int, tuple[Course, Course]] = {}  # by number: what a run reported, and that spread
        self._spread = RunViews()

    def decide(self, run: RunView, runs: Sequence[RunView]) -> Decision:
        """Judge `run` after its newest report; `RunViews` cost what they gained, other sequences all of them."""
        name = ".".join(self._path)
        scale = self._scale_of(runs)
        if scale is None:
            return Decision(stop=False, reason=f"{name} differs among runs: judged once one has finished")
        if scale != self._scale or runs is not self._source or not isinstance(runs, RunViews):
            self._scale, self._source = scale, runs
            self._forget()
        changed, self._seen = runs.newer(self._seen) if isinstance(runs, RunViews) else (runs, 0)
        for other in changed:
            self._spread.put(self._shown(other))
        whole = self._shown(run)
        decision = self._asked(whole, self._places(run, len(run.history) - 1))
        return replace(decision, reason=f"{decision.reason}; at equal fractions of {name}, of {scale.longest} reports")

    def _asked(self, whole: RunView, before: int) -> Decision:
        """Ask the rule at every place that the newest report has brought; the first that stops decides."""
        decision = Decision(stop=False, reason="too early in the run")
        for place in range(max(before + 1, self._scale.first), len(whole.history) + 1):
            decision = self._rule.decide(replace(whole, history=whole.history[:place]), self._spread)
            if decision.stop:
                break
        return decision

    def _scale_of(self, runs: Sequence[RunView]) -> _Scale | None:
        """Return how histories are spread; None before a run has finished."""
        each = column_of(runs, ("reports for each unit", self._path), self._reports_each).values
        if not each:
            return None
        lengths = column_of(runs, ("length", self._path), lambda run: _length(run.params, self._path)).values
        middle = len(each) // 2
        unit = each[middle] if len(each) % 2 else (each[middle - 1] + each[middle]) / 2
        longest, shortest = (max(1, round(unit * length)) for length in (lengths[-1], lengths[0]))
        return _Scale(unit, longest, shortest)

    def _reports_each(self, run: RunView) -> float | None:
        """Return how many reports a finished run made for each unit of its length."""
        length = _length(run.params, self._path) if run.state is RunState.FINISHED and run.history else None
        return len(run.history) / length if length else None

    def _whole(self, run: RunView) -> int:
        """Return how many reports a run is to make."""
        length = _length(run.params, self._path)
        return max(1, round(self._scale.each * length)) if length else self._scale.longest

    def _places(self, run: RunView, reports: int) -> int:
        """Return how far so many reports of a run reach on the longest run's scale."""
        return min(self._scale.longest, self._scale.longest * reports // self._whole(run))

    def _shown(self, run: RunView) -> RunView:
        """Return a run as if it were as long as the longest."""
        history, places = course_of(run.history), self._places(run, len(run.history))
        if places < self._scale.first:  # not judged yet, and of what it has so far the newest counts
            return replace(run, history=(history[-1],) * places if places else ())
        before, spread = self._courses.get(run.number, (Course(), Course()))
        if not history.goes_on(before):
            spread = Course()
        values = [self._at(history, place, run) for place in range(len(spread) + 1, places + 1)]
        spread = spread.extended(values) if values else spread
        self._courses[run.number] = history, spread
        return replace(run, history=spread)

    def _at(self, history: Sequence[float], place: int, run: RunView) -> float:
        """Return the value at a place of the longest run's scale, which the history reaches."""
        below, rest = divmod(max(place, self._scale.first) * self._whole(run), self._scale.longest)
        if rest == 0 or below == 0:
            return history[max(below, 1) - 1]
        part = rest / self._scale.longest
        return history[below - 1] * (1 - part) + history[below] * part


def _length(params: Mapping[str, Any], path: tuple[str, ...]) -> float | None:
    """Return a run's value of the parameter; None where it has none above 0."""
    node: Any = params
    for key in path:
        if not isinstance(node, Mapping) or key not in node:
            return None
        node = node[key]
    return float(node) if is_number(node) and node > 0 else None
