"""Which run is best: the value of a run and the order of a table. Pure."""

import math
from collections.abc import Sequence

from sweepkit.analysis.pareto import default_reference, hypervolume, layers
from sweepkit.spec.objectives import objectives_of
from sweepkit.spec.records import RunRecord
from sweepkit.spec.runs import RunState, RunView
from sweepkit.spec.sweep import Metric

__all__ = ["Objectives", "best_run", "front_runs", "front_volume", "objectives_of", "ranked", "value_of", "values_of"]

# What is optimized: nothing, one metric, or several (`SweepSpec.objectives`).
Objectives = Metric | Sequence[Metric] | None

_MAY_WIN = (RunState.FINISHED, RunState.STOPPED, RunState.RUNNING)
_ENDED_WELL = (RunState.FINISHED, RunState.STOPPED)


def value_of(run: RunRecord | RunView, metric: Metric | None) -> float | None:
    """Return a run's value: the best finite one over its history and summary, as W&B's engine counts it.

    None when there is no metric, or the run has no finite value of it.
    """
    if metric is None:
        return None
    values = [*run.history, *([] if run.summary is None else [run.summary])]
    finite = [value for value in values if math.isfinite(value)]
    return metric.goal.best(finite) if finite else None


def values_of(run: RunRecord | RunView, objectives: Objectives) -> tuple[float, ...] | None:
    """Return a run's value of each objective: `value_of` for one, `objectives_of` for several; None when unknown."""
    metrics = _metrics(objectives)
    if len(metrics) > 1:
        return objectives_of(run, metrics)
    value = value_of(run, metrics[0]) if metrics else None
    return None if value is None else (value,)


def ranked(runs: Sequence[RunRecord], objectives: Objectives) -> list[RunRecord]:
    """Return the runs, best first; runs that failed, diverged or have no value come last, by number.

    With several objectives the runs of the front come first, then those of the front that is left without them, and so
    on; within each the best on the first objective leads.
    """
    metrics = _metrics(objectives)
    valued = [(run, values) for run in runs if run.state in _MAY_WIN and (values := values_of(run, metrics))]
    layer = dict.fromkeys((run.number for run, _ in valued), 0)
    if len(metrics) > 1:
        found = layers([values for _, values in valued], [metric.goal for metric in metrics])
        layer = {valued[i][0].number: depth for depth, members in enumerate(found) for i in members}
    first = {run.number: -values[0] if metrics[0].goal.better(1.0, 0.0) else values[0] for run, values in valued}

    def key(run: RunRecord) -> tuple[bool, int, float, int]:
        if run.number not in first:
            return (True, 0, 0.0, run.number)
        return (False, layer[run.number], first[run.number], run.number)

    return sorted(runs, key=key)


def best_run(runs: Sequence[RunRecord], objectives: Objectives) -> RunRecord | None:
    """Return the best run that ended by itself or by a stopping rule; None when no such run has a value.

    With several objectives it is the one of the front that is best on the first of them.
    """
    metrics = _metrics(objectives)
    if len(metrics) > 1:
        return next(iter(front_runs(runs, metrics)), None)
    for run in ranked(runs, metrics):
        if run.state in _ENDED_WELL and values_of(run, metrics) is not None:
            return run
    return None


def front_runs(runs: Sequence[RunRecord], objectives: Objectives) -> list[RunRecord]:
    """Return the runs that ended well and that no other such run beats: with one objective the best run and its equals.

    The best on the first objective leads.
    """
    metrics = _metrics(objectives)
    ended = [run for run in runs if run.state in _ENDED_WELL]
    valued = [(run, values) for run in ranked(ended, metrics) if (values := values_of(run, metrics)) is not None]
    found = layers([values for _, values in valued], [metric.goal for metric in metrics]) if valued else []
    return [valued[i][0] for i in found[0]] if found else []


def front_volume(
    runs: Sequence[RunRecord], metrics: Sequence[Metric]
) -> tuple[float, tuple[float, ...]] | tuple[None, None]:
    """Return the hypervolume of the runs that ended well and its reference point (`default_reference`), or Nones."""
    ended = [run for run in runs if run.state in _ENDED_WELL]
    points = [values for run in ended if (values := values_of(run, metrics)) is not None]
    if not points:
        return None, None
    goals = [metric.goal for metric in metrics]
    reference = default_reference(points, goals)
    return hypervolume(points, reference, goals), reference


def _metrics(objectives: Objectives) -> tuple[Metric, ...]:
    if objectives is None:
        return ()
    return (objectives,) if isinstance(objectives, Metric) else tuple(objectives)
