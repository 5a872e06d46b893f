"""Optuna's Wilcoxon rule: a run is ended that is surely worse than the best one, instance by instance.

Instances are what a run scores one after the other, the same for every run: folds of a cross-validation, problems of a
benchmark. Their values are paired, so what makes one fold harder than another is not taken for a difference of runs.

Source: Optuna 5.0, `WilcoxonPruner`. Testing again after each instance finds a difference by chance more often than one
test would.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sweepkit.model.columns import column_of
from sweepkit.model.course import Course, course_of
from sweepkit.model.metric import Goal
from sweepkit.model.numbers import distinct_texts
from sweepkit.model.runs import Decision, RunState, RunView
from sweepkit.stopping.histories import compared
from sweepkit.stopping.signed_ranks import SignedRanks
from sweepkit.sweep_config.sweep import EarlyTerminate

_MOST = 256  # runs whose comparison is kept, more than are under way at once; beyond it all are made anew


@dataclass(slots=True)
class _Pairs:
    """A run's instances beside those of the best one.

    Args:
        own: Of the run, as far as they have been compared.
        others: Of the best one.
        ranks: Of the differences, the newer pairs still to come.
    """

    own: Course
    others: Course
    ranks: SignedRanks

    def go_on(self, own: Course) -> None:
        """Take in what a run has reported since."""
        for place in range(len(self.ranks), min(len(own), len(self.others))):
            self.ranks.add(own[place] - self.others[place])
        self.own = own


class Wilcoxon:
    """Compare a run with the best finished one by a one-sided signed-rank test over the instances both have.

    The best run is the one with the best mean of its instances. A run whose own mean is level or better is never
    ended. A run's k-th instance is paired with the other's k-th. With values that are not finite nothing is judged.

    The least p-value of n instances is 2**-n: with p_threshold 0.1 the fourth is the first that can end a run.

    Args:
        rule: p_threshold; n_startup_steps, instances that both must have, at least two; instances, the reported name
            that the views' `instances` are of. When none is named and a run reports none, its history counts: each
            report of the metric is an instance then, as in Optuna.
        goal: Direction of the metric.
    """

    def __init__(self, rule: EarlyTerminate, goal: Goal) -> None:
        self._rule = rule
        self._sign = goal.sign
        # What is kept from verdict to verdict: the best run, its instances, and beside them those of the others.
        self._known: RunView | None = None
        self._others = Course()
        self._pairs: dict[int, _Pairs] = {}

    def decide(self, run: RunView, runs: Sequence[RunView]) -> Decision:
        """Judge `run` after its newest report."""
        own = self._values(run)
        if not own:
            return _goes_on("no instance yet")
        if len(own.finite()) < len(own):
            return _goes_on("the run has values that are not finite")
        best = self._best(runs)
        if best is None:
            return _goes_on("no run has finished")
        if len(self._others.finite()) < len(self._others):
            return _goes_on(f"the best run, {best.number}, has values that are not finite")
        pairs = self._pairs_of(run.number, own)
        needed = max(2, self._rule.n_startup_steps)
        if len(pairs.ranks) < needed:
            return _goes_on(f"{len(pairs.ranks)} of {needed} instances to compare")
        return self._verdict(best, pairs)

    def _verdict(self, best: RunView, pairs: _Pairs) -> Decision:
        p = pairs.ranks.p_greater(self._sign)
        count = len(pairs.ranks)
        shown, limit = distinct_texts([p, self._rule.p_threshold], digits=3)
        test = f"p = {shown} over {count} instances against run {best.number}"
        if not p < self._rule.p_threshold:
            return _goes_on(f"{test}, not below {limit} (the least possible is {0.5**count:.3g})")
        mean, other = _mean_of(pairs.own), _mean_of(pairs.others)
        means = f"mean {' to '.join(compared(mean, other))}"
        if self._sign * other >= self._sign * mean:
            return _goes_on(f"{test}, but its mean is no worse, {means}")
        return Decision(stop=True, reason=f"wilcoxon: {test} is below {limit}, {means}")

    def _values(self, run: RunView) -> Course:
        """Return a run's instances."""
        return course_of(run.instances or (run.history if self._rule.instances is None else ()))

    def _best(self, runs: Sequence[RunView]) -> RunView | None:
        """Return the first of the finished runs with the best mean, and have its instances at hand."""
        means = column_of(runs, "means of instances", self._mean)
        if not means.values:
            return None
        best = runs[means.place_of(means.values[0])]
        if best is not self._known:
            self._known, self._others, self._pairs = best, self._values(best), {}
        return best

    def _pairs_of(self, number: int, own: Course) -> _Pairs:
        """Return a run's instances beside the best one's; only what is new of them is looked at."""
        pairs = self._pairs.get(number)
        if pairs is None or not own.goes_on(pairs.own):
            if len(self._pairs) >= _MOST:
                self._pairs.clear()
            pairs = self._pairs[number] = _Pairs(Course(), self._others, SignedRanks())
        pairs.go_on(own)
        return pairs

    def _mean(self, run: RunView) -> float | None:
        """Return the mean of a finished run's instances, such that less is better."""
        values = self._values(run) if run.state is RunState.FINISHED else Course()
        return self._sign * _mean_of(values) if values else None


def _mean_of(values: Course) -> float:
    return values.folded("sum", _sum) / len(values)


def _sum(before: float | None, value: float) -> float:
    return value if before is None else before + value


def _goes_on(why: str) -> Decision:
    return Decision(stop=False, reason=f"wilcoxon: {why}")
