"""What a run is worth: its value of a metric, or one vector on several objectives, decided in one place. Pure."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from sweepkit.model.course import Course
from sweepkit.model.metric import BEST, LAST, MAX, MEAN, MIN, Goal, Metric, mean_of_last
from sweepkit.model.numbers import mean
from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunView

# What is optimized: nothing, one metric, or several (`SweepSpec.objectives`).
Objectives = Metric | Sequence[Metric] | None

# W&B's own key for the seconds that a run has taken. As an objective it is the whole run's duration, whatever it logs.
RUNTIME = "_runtime"
OUTCOME = "objectives"  # the key of a run's recorded outcome under which its vector stands, by metric name


def metrics_in(objectives: Objectives) -> tuple[Metric, ...]:
    """Return the metrics that are optimized; () when nothing is."""
    if objectives is None:
        return ()
    return (objectives,) if isinstance(objectives, Metric) else tuple(objectives)


def finite_values(run: RunRecord | RunView) -> list[float]:
    """Return the finite values of a run's metric: those that it reported, in order, then its summary."""
    values = [*run.history, *([] if run.summary is None else [run.summary])]
    return [float(value) for value in values if math.isfinite(value)]


def value_of(run: RunRecord | RunView, metric: Metric | None) -> float | None:
    """Return a run's value by the metric's rule, or by what its own program says: the one place that decides it.

    "best", the default, is the best finite one over history and summary, as W&B's engine counts it; "last" the summary,
    else the last finite report; "mean_of_last N" the mean of the last N finite reports (of fewer where it has fewer).
    None when there is no metric, or the run has no finite value of it.
    """
    if metric is None:
        return None
    finite = finite_values(run)
    if finite and (whole := _OVER_ALL.get(run.value_rule)):
        return whole(finite)
    count = _last_reports(run, metric)
    if not finite or not count:
        return metric.goal.best(finite) if finite else None
    reported = finite[:-1] if _summarized(run) else finite
    if count == 1 or not reported:
        return finite[-1]
    return mean(reported[-count:])


def value_in(history: Sequence[float], goal: Goal, rule: str = BEST) -> float:
    """Return what finite values in order, at least one, come to by a rule of a run's value ("": the best of them).

    >>> value_in([0.9, 0.5, 0.7], Goal.MAXIMIZE, "last"), value_in([0.9, 0.5, 0.7], Goal.MAXIMIZE)
    (0.7, 0.9)
    """
    if whole := _OVER_ALL.get(rule):
        return whole(list(history))
    count = mean_of_last(rule)
    if count:
        return history[-1] if count == 1 else mean(history[-count:])
    return history.best(goal) if isinstance(history, Course) else goal.best(tuple(history))


# What only a program says (`model.metric.rule_of_summary`).
_OVER_ALL: Mapping[str, Callable[[list[float]], float]] = {MIN: min, MAX: max, MEAN: mean}


def _last_reports(run: RunRecord | RunView, metric: Metric) -> int:
    """Return how many of its last reports a run's value is the mean of; 0: it is the best of all, or an extreme."""
    if run.value_rule in _OVER_ALL:
        return len(run.history) if run.value_rule == MEAN else 0
    return mean_of_last(run.value_rule) or mean_of_last(metric.value) or 0


def report_of(run: RunRecord | RunView, metric: Metric | None) -> int | None:
    """Return at which report, from 1, a run had its value; None where that is no single report."""
    value = value_of(run, metric)
    if metric is None or value is None or _last_reports(run, metric) > 1:
        return None
    places = [place for place, reported in enumerate(run.history, 1) if float(reported) == value]
    return None if not places else places[-1] if _last_reports(run, metric) else places[0]


def counted_metrics(run: RunRecord, metric: Metric | None) -> Mapping[str, float]:
    """Return the values of the report that counts: that of the best, or the newest ones where the last counts."""
    return run.last_metrics if counted_report(run, metric) == LAST else run.best_metrics


def counted_report(run: RunRecord, metric: Metric | None) -> str:
    """Return which report counts, and names the columns of what it held: "best" or "last"."""
    return LAST if metric is not None and _last_reports(run, metric) else BEST


def _summarized(run: RunRecord | RunView) -> bool:
    return run.summary is not None and math.isfinite(run.summary)


def values_of(run: RunRecord | RunView, objectives: Objectives) -> tuple[float, ...] | None:
    """Return a run's value of each objective: `value_of` for one, `objectives_of` for several; None when unknown."""
    metrics = metrics_in(objectives)
    if len(metrics) > 1:
        return objectives_of(run, metrics)
    value = value_of(run, metrics[0]) if metrics else None
    return None if value is None else (value,)


def has_result(runs: Iterable[RunRecord], objectives: Objectives) -> bool:
    """Return whether a run that ended well has a value of what is optimized; of nothing, whether one ended well."""
    metrics = metrics_in(objectives)
    return any(run.state.ended_well and (not metrics or values_of(run, metrics) is not None) for run in runs)


def objectives_of(run: RunRecord | RunView, metrics: Sequence[Metric]) -> tuple[float, ...] | None:
    """Return a run's values of several metrics, all finite, in the order of `metrics`; None when one is not known.

    They are the values of the run's last report in which all of them are finite; a finite summary (a value set without
    a report) takes the place of its metric. The last and not the best, since the best of each metric may come from
    different moments of the training: no model that the run leaves has them together, while the last ones are those
    of the model it ends with. Metrics that were not reported together (their histories differ in length) count with
    the last finite value of each. A recorded run that is done carries its vector, decided so when it ended; of any
    other record the newest values count.
    """
    if isinstance(run, RunRecord):
        return _recorded(run, metrics)
    summaries = run.summaries or (None,) * len(metrics)
    histories = run.objectives or ((),) * len(metrics)
    given = {i: float(value) for i, value in enumerate(summaries) if value is not None and math.isfinite(value)}
    reported = [i for i in range(len(metrics)) if i not in given]
    last = _last_finite([histories[i] for i in reported])
    if last is None:
        return None
    values = {**given, **dict(zip(reported, last, strict=True))}
    return tuple(values[i] for i in range(len(metrics)))


def _last_finite(histories: Sequence[Sequence[float]]) -> tuple[float, ...] | None:
    """Return the last values that are all finite: of one report where the histories were reported together."""
    if len({len(history) for history in histories}) <= 1:
        rows = reversed(list(zip(*histories, strict=True)))
        whole = next((row for row in rows if all(map(math.isfinite, row))), None)
        return () if not histories else None if whole is None else tuple(map(float, whole))
    last = [next((value for value in reversed(history) if math.isfinite(value)), None) for history in histories]
    found = [float(value) for value in last if value is not None]
    return tuple(found) if len(found) == len(last) else None


def _recorded(run: RunRecord, metrics: Sequence[Metric]) -> tuple[float, ...] | None:
    decided = run.outcome.get(OUTCOME) if run.state.done else None
    known: Mapping[str, float] = decided if isinstance(decided, Mapping) else run.last_metrics
    values = [known.get(metric.name) for metric in metrics]
    finite = [float(value) for value in values if value is not None and math.isfinite(value)]
    return tuple(finite) if len(finite) == len(metrics) else None
