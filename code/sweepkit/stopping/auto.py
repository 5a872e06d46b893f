"""The rule that `early_terminate: auto` takes: three fifths of the runs go on at first, and fewer the longer they are.

Chosen by `benchmarks/stopping.py` among W&B's hyperband, asha, Optuna's pruners and rules of this form, on curves of
real trainings; what it costs and loses on others stands in benchmarks/results/stopping.md.
"""

from collections.abc import Callable, Sequence
from math import ceil, log2

from sweepkit.model.columns import RunColumn, column_of
from sweepkit.model.metric import Goal
from sweepkit.model.numbers import how_many
from sweepkit.model.objectives import value_in
from sweepkit.model.runs import Decision, RunView
from sweepkit.stopping.histories import compared, finite, judged
from sweepkit.stopping.steps import finished
from sweepkit.sweep_config.sweep import EarlyTerminate

_MOST = 0.6  # of the runs go on at the first looks
_SHARE, _AT, _FALL = 0.2, 0.2, 1.3  # the share at so much of a run's length, and the power by which it falls
_AHEAD = 0.25  # of what a run gained since half as many reports is added to its best
_CATCHES = 0.7  # of what it gained on the best run in the newest doubling it is thought to gain in each further one
_UNTIL = 0.6  # of a run's length: later no run is waited for
_OF_LENGTH = 0.06  # where of a run's length the first look is
_UNKNOWN = 60  # reports that a run is thought to make while none has finished
_LEAST = 2  # reports before the first look
_APART = 1.15  # one look and the next, as a ratio, where that is more than one report


class Auto:
    """End a run that heads for a place outside the best part of all runs, and does not catch up with the best one.

    Looks are at reports, the first at 6 % of the length of the longest finished run. There 60 % of the runs go on, at a
    fifth of the length 20 %, at later report t that share times (length / 5 t) ** 1.3, rounded up. Runs are compared by
    their best so far (their value so far where the best of the reports is not it), plus a quarter of what they gained
    since half as many reports; one that was ended earlier counts with its best. A run outside goes on while its
    distance to the best of all would be gone by the end of its length, if each further doubling of its reports took .7
    of what the last one took. Asked again at every report, as W&B's hyperband: a run can fall out later, as others
    come.

    Args:
        rule: Has no settings.
        goal: Direction of the metric.
    """

    def __init__(self, rule: EarlyTerminate, goal: Goal) -> None:
        self._goal = goal
        self._sign = goal.sign

    def decide(self, run: RunView, runs: Sequence[RunView]) -> Decision:
        """Judge `run` after its newest report."""
        history, length, rule = finite(run.history), _length(runs), run.value_rule
        first = max(_LEAST, round(_OF_LENGTH * length))
        look = _look_before(first, len(history))
        if look is None:
            return Decision(
                stop=False, reason=f"auto: {how_many(len(history), 'report')}, the first look is at {first}"
            )
        values = self._heading_by(look, runs, rule).values
        kept = max(1, ceil(min(_MOST, _SHARE * (_AT * length / look) ** _FALL) * len(values)))
        if kept >= len(values):
            return Decision(
                stop=False, reason=f"auto: {how_many(len(values), 'run')} at report {look}, of which {kept} go on"
            )
        of = f"the best {kept} of {how_many(len(values), 'run')} by report {look}"
        heading = min(self._heading(history, rule), self._heading(history[:look], rule))
        limit = self._sign * values[kept - 1]
        verdict = judged("auto", self._sign * heading, limit, self._goal, where=", where it heads,", of=of)
        if verdict.stop and look <= _UNTIL * length:
            return self._catching_up(history, rule, look, length, runs) or verdict
        return verdict

    def _catching_up(
        self, history: Sequence[float], rule: str, look: int, length: int, runs: Sequence[RunView]
    ) -> Decision | None:
        """Return that a run goes on, because its distance to the best run shrinks fast enough; None where not."""
        half = max(1, look // 2)
        before, now = (self._worth(history[:at], rule) - self._best_by(at, runs, rule).values[0] for at in (half, look))
        if now > _CATCHES * (before - now) * log2(length / look):
            return None
        then, here = compared(before, now)
        distance = f"{then} at report {half}, {here} at report {look}"
        return Decision(stop=False, reason=f"auto: its distance to the best run shrinks, {distance}")

    def _worth(self, history: Sequence[float], rule: str) -> float:
        """Return a run's value by so many reports, less is better; `rule`: see `RunView.value_rule`."""
        return self._sign * value_in(history, self._goal, rule)

    def _heading(self, history: Sequence[float], rule: str) -> float:
        """Return what a run is compared by, less is better."""
        now, half = (self._worth(part, rule) for part in (history, history[: max(1, len(history) // 2)]))
        return now - _AHEAD * (half - now)

    def _heading_by(self, look: int, runs: Sequence[RunView], rule: str) -> RunColumn:
        """Return the heading by a report of every run that got so far, or has ended."""
        return column_of(
            runs, ("heading by", look, self._sign, rule), lambda run: self._of(run, look, rule, self._heading)
        )

    def _best_by(self, look: int, runs: Sequence[RunView], rule: str) -> RunColumn:
        """Return the value by a report of every run that got so far, or has ended; less is better."""
        return column_of(runs, ("best by", look, self._sign, rule), lambda run: self._of(run, look, rule, self._worth))

    def _of(self, run: RunView, look: int, rule: str, measure: Callable[[Sequence[float], str], float]) -> float | None:
        if len(run.history) < look and not run.state.ended_well:
            return None
        values = finite(run.history[:look])
        return measure(values, rule) if values else None


def _length(runs: Sequence[RunView]) -> int:
    """Return how many reports a run makes: as many as the longest finished one."""
    lengths = finished(runs).values
    return int(lengths[-1]) if lengths else _UNKNOWN


def _look_before(first: int, reports: int) -> int | None:
    """Return the last look that a run of so many reports has passed; None before the first.

    >>> [_look_before(4, reports) for reports in (3, 4, 9, 40, 1000)]
    [None, 4, 9, 37, 932]
    """
    if reports < first:
        return None
    look: float = first
    while (following := max(look * _APART, int(look) + 1)) < reports + 1:
        look = following
    return int(look)
