"""Which run is best: the value of a run and the order of a table. Pure."""

import math
from collections.abc import Sequence

from sweepkit.spec.records import RunRecord
from sweepkit.spec.runs import RunState, RunView
from sweepkit.spec.sweep import Metric

_MAY_WIN = (RunState.FINISHED, RunState.STOPPED, RunState.RUNNING)


def value_of(run: RunRecord | RunView, metric: Metric | None) -> float | None:
    """Return a run's value: the best finite one over its history and summary, as W&B's engine counts it.

    None when there is no metric, or the run has no finite value of it.
    """
    if metric is None:
        return None
    values = [*run.history, *([] if run.summary is None else [run.summary])]
    finite = [value for value in values if math.isfinite(value)]
    return metric.goal.best(finite) if finite else None


def ranked(runs: Sequence[RunRecord], metric: Metric | None) -> list[RunRecord]:
    """Return the runs, best first; runs that failed, diverged or have no value come last, by number."""

    def key(run: RunRecord) -> tuple[bool, float, int]:
        value = value_of(run, metric)
        if value is None or run.state not in _MAY_WIN or metric is None:
            return (True, 0.0, run.number)
        return (False, -value if metric.goal.better(1.0, 0.0) else value, run.number)

    return sorted(runs, key=key)


def best_run(runs: Sequence[RunRecord], metric: Metric | None) -> RunRecord | None:
    """Return the best run that ended by itself or by a stopping rule; None when no such run has a value."""
    for run in ranked(runs, metric):
        if run.state in (RunState.FINISHED, RunState.STOPPED) and value_of(run, metric) is not None:
            return run
    return None
