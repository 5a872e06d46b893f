"""Optuna's Wilcoxon rule: a run is ended that is surely worse than the best one, instance by instance.

Instances are what a run scores one after the other, the same for every run: folds of a cross-validation, problems of a
benchmark. Their values are paired, so what makes one fold harder than another is not taken for a difference of runs.

Sources: Optuna 5.0, `WilcoxonPruner`; Wilcoxon 1945, "Individual Comparisons by Ranking Methods". Testing again after
each instance finds a difference by chance more often than one test would.
"""

from collections.abc import Sequence
from math import erfc, fsum, isfinite, sqrt

from sweepkit.model.columns import column_of
from sweepkit.model.metric import Goal
from sweepkit.model.runs import Decision, RunState, RunView
from sweepkit.stopping.histories import compared
from sweepkit.sweep_config.sweep import EarlyTerminate

_EXACT = 50  # differences up to which scipy counts all outcomes, and with ties:
_EXACT_TIED = 13


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

    def decide(self, run: RunView, runs: Sequence[RunView]) -> Decision:
        """Judge `run` after its newest report."""
        own = self._values(run)
        if not own:
            return _goes_on("no instance yet")
        if not all(map(isfinite, own)):
            return _goes_on("the run has values that are not finite")
        found = self._best(runs)
        if found is None:
            return _goes_on("no run has finished")
        best, values = found
        if not all(map(isfinite, values)):
            return _goes_on(f"the best run, {best.number}, has values that are not finite")
        differences = [mine - other for mine, other in zip(own, values, strict=False)]
        needed = max(2, self._rule.n_startup_steps)
        if len(differences) < needed:
            return _goes_on(f"{len(differences)} of {needed} instances to compare")
        return self._verdict(best, own, values, differences)

    def _verdict(
        self, best: RunView, own: Sequence[float], values: Sequence[float], differences: Sequence[float]
    ) -> Decision:
        p = p_greater(differences)
        count = len(differences)
        test = f"p = {p:.3g} over {count} instances against run {best.number}"
        if not p < self._rule.p_threshold:
            return _goes_on(f"{test}, not below {self._rule.p_threshold:g} (the least possible is {0.5**count:.3g})")
        mean, other = sum(own) / len(own), sum(values) / len(values)
        means = f"mean {' to '.join(compared(self._sign * mean, self._sign * other))}"
        if other >= mean:
            return _goes_on(f"{test}, but its mean is no worse, {means}")
        return Decision(stop=True, reason=f"wilcoxon: {test} is below {self._rule.p_threshold:g}, {means}")

    def _values(self, run: RunView) -> list[float]:
        """Return a run's instances, such that less is better."""
        values = run.instances or (run.history if self._rule.instances is None else ())
        return [self._sign * value for value in values]

    def _best(self, runs: Sequence[RunView]) -> tuple[RunView, list[float]] | None:
        """Return the first of the finished runs with the best mean, and its instances."""
        means = column_of(runs, "means of instances", self._mean)
        if not means.values:
            return None
        best = runs[means.place_of(means.values[0])]
        return best, self._values(best)

    def _mean(self, run: RunView) -> float | None:
        """Return the mean of a finished run's instances."""
        values = self._values(run) if run.state is RunState.FINISHED else ()
        return sum(values) / len(values) if values else None


def _goes_on(why: str) -> Decision:
    return Decision(stop=False, reason=f"wilcoxon: {why}")


def p_greater(differences: Sequence[float]) -> float:
    """Return the p-value of the signed-rank test that differences tend to be above 0.

    As scipy's `wilcoxon(…, alternative="greater", zero_method="zsplit")`: ties get the mean of their ranks, half of a
    zero's rank counts as above. All outcomes are counted up to 50 differences, with ties or zeros up to 13; beyond
    that the normal approximation with the correction for ties stands.

    >>> p_greater([0.1, 0.2, 0.3])
    0.125
    """
    ranks, ties = _ranks([abs(value) for value in differences])
    paired = list(zip(ranks, differences, strict=True))
    above = fsum(rank for rank, value in paired if value > 0)
    zeros = fsum(rank for rank, value in paired if value == 0)
    count = len(ranks)
    if count > (_EXACT_TIED if ties or zeros else _EXACT):
        variance = (count * (count + 1) * (2 * count + 1) - ties / 2) / 24
        return 0.5 * erfc((above + zeros / 2 - count * (count + 1) / 4) / sqrt(2 * variance))
    ways = [1]  # ways[s]: patterns of signs whose positive ranks, in halves, add up to s; the zeros' share is fixed
    signed = [round(2 * rank) for rank, value in paired if value != 0]
    for rank in signed:
        longer = ways + [0] * rank
        for total, patterns in enumerate(ways):
            longer[total + rank] += patterns
        ways = longer
    p: float = sum(ways[round(2 * above) :]) / 2 ** len(signed)
    return p


def _ranks(sizes: Sequence[float]) -> tuple[list[float], float]:
    """Return the mean rank of each value, from 1, and the sum of t³ - t over groups of t equal ones."""
    order = sorted(range(len(sizes)), key=sizes.__getitem__)
    ranks, ties, begin = [0.0] * len(sizes), 0.0, 0
    while begin < len(order):
        end = begin
        while end < len(order) and sizes[order[end]] == sizes[order[begin]]:
            end += 1
        for place in order[begin:end]:
            ranks[place] = (begin + 1 + end) / 2
        ties += (end - begin) ** 3 - (end - begin)
        begin = end
    return ranks, ties
