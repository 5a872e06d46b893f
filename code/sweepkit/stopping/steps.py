"""What Optuna's rules share: every report is a step, counted from 0, whether its value is finite or not.

So a rule says of a run what the pruner of the same name would say of the mirrored study, whose trial reported its
values with `trial.report(value, step)` for step 0, 1, 2, …

Source: Optuna 5.0, `optuna/pruners`.
"""

from array import array
from collections.abc import Iterable, Sequence
from math import floor, isnan, nan

from sweepkit.model.columns import RunColumn, column_of
from sweepkit.model.numbers import how_many
from sweepkit.model.runs import Decision, RunState, RunView
from sweepkit.sweep_config.sweep import EarlyTerminate


def wait(rule: EarlyTerminate, reports: int) -> str:
    """Return why a run with so many reports is not judged now, in words; "" when it is.

    The first `n_warmup_reports` are not judged; after them the first, and from there every `interval_reports`-th.
    """
    if reports == 0:
        return "no report yet"
    since = reports - 1 - rule.n_warmup_reports
    if since < 0:
        return f"{how_many(reports, 'report')}, the first {rule.n_warmup_reports} are not judged"
    if since % rule.interval_reports:
        following = reports + rule.interval_reports - since % rule.interval_reports
        return f"{how_many(reports, 'report')}, judged again at report {following}"
    return ""


def numbers(values: Iterable[float]) -> list[float]:
    """Return the values that are no NaN; infinities are numbers."""
    return [value for value in values if not isnan(value)]


def finished(runs: Sequence[RunView]) -> RunColumn:
    """Return the numbers of reports of the runs that Optuna calls COMPLETE."""
    return column_of(
        runs, "reports of finished runs", lambda run: len(run.history) if run.state is RunState.FINISHED else None
    )


def longest(runs: Sequence[RunView]) -> int | None:
    """Return the reports of the longest finished run; None while no run that reported has finished."""
    reports = finished(runs).values
    return int(reports[-1]) or None if reports else None


def not_a_number(name: str, where: str) -> Decision:
    """Return the decision to end a run whose value is NaN, as Optuna does at once."""
    return Decision(stop=True, diverged=True, reason=f"{name}: the value {where} is NaN")


def quantile(values: Sequence[float], percent: float) -> float:
    """Return a percentile as numpy's `percentile` computes it by default, linearly between neighbours.

    NaN where numpy returns it: of no values, and between infinities.

    Args:
        values: No NaN among them; in any order, but those of a column are ascending.
        percent: In [0, 100].
    """
    if not values:
        return nan
    ordered = values if isinstance(values, array) else sorted(values)
    position = (len(ordered) - 1) * (percent / 100)
    below = min(floor(position), len(ordered) - 1)
    low, high = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    part = position - below
    # Which side it is counted from decides the last digit, and so a tie.
    return high - (high - low) * (1 - part) if part >= 0.5 else low + (high - low) * part
