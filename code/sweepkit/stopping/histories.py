"""Reading histories: only finite values count as reports, and a thousand of them must cost a few milliseconds."""

from collections.abc import Sequence
from math import isfinite

from sweepkit.model.columns import RunColumn, column_of
from sweepkit.model.course import Course
from sweepkit.model.metric import BEST, LAST, Goal
from sweepkit.model.numbers import distinct_texts
from sweepkit.model.runs import Decision, RunView

_DIGITS = 4


def finite(history: Sequence[float]) -> Sequence[float]:
    """Return the finite values of a history in order; the history itself when all are."""
    if isinstance(history, Course):
        return history.finite()
    # The sum of finite numbers may overflow, but a finite sum proves that no NaN or infinity is among them.
    return history if isfinite(sum(history)) else [value for value in history if isfinite(value)]


def standing(rule: str, report: int) -> str:
    """Return what a run's value by a report is, as a reason says it behind the value.

    Args:
        rule: Of its value (`RunView.value_rule`).
        report: From 1.

    >>> standing("", 3), standing("last", 3)
    (', the best by report 3,', ' at report 3')
    """
    if rule in ("", BEST):
        return f", the best by report {report},"
    return f" at report {report}" if rule == LAST else f", its value by report {report},"


def values_at(runs: Sequence[RunView], report: int, sign: float = 1.0) -> RunColumn:
    """Return `sign` times the `report`-th (from 1) finite value of every run that has so many."""
    return column_of(runs, ("finite value at", report, sign), lambda run: _value_at(run.history, report, sign))


def _value_at(history: Sequence[float], report: int, sign: float) -> float | None:
    if len(history) < report:
        return None
    if isinstance(history, Course):
        history = history.finite()
        return sign * history[report - 1] if len(history) >= report else None
    if not isfinite(sum(history[:report])):
        history = [value for value in history if isfinite(value)]
        if len(history) < report:
            return None
    return sign * history[report - 1]


def number(value: float) -> str:
    """Return a metric's value as a reason prints it, with four digits."""
    return f"{value:.{_DIGITS}g}"


def compared(value: float, other: float) -> tuple[str, str]:
    """Return two values as a reason that compares them prints them: with the digits in which they differ."""
    one, two = distinct_texts([value, other], digits=_DIGITS)
    return one, two


def judged(rule: str, value: float, limit: float, goal: Goal, *, where: str, of: str) -> Decision:
    """Return the verdict on a run whose value may be no worse than a limit.

    Args:
        rule: What the rule is called.
        value: Of the run, as reported.
        limit: The worst that goes on, as reported.
        goal: The metric's direction.
        where: What follows the value: whose it is, or of which report.
        of: What the limit is of.

    >>> judged("median", 3.0, 2.0, Goal.MINIMIZE, where=" at report 1", of="the median of 5 runs").reason
    'median: 3 at report 1 is worse than 2, the median of 5 runs'
    """
    stop = goal.better(limit, value)
    verdict = "is worse than" if stop else "is no worse than"
    shown, least = compared(value, limit)
    return Decision(
        stop=stop, reason=f"{rule}: {shown}{where} {verdict} {least}, {of}", margin=goal.sign * (limit - value)
    )


def share(eta: float) -> str:
    """Return "the best third" for 3, "the best 1/2.5" for 2.5."""
    words = {2: "half", 3: "third", 4: "quarter"}
    return f"the best {words.get(int(eta), f'1/{eta:g}')}" if eta == int(eta) else f"the best 1/{eta:g}"
