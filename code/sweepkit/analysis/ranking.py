"""Which run is best: the value of a run and the order of a table. Pure.

With several seeds for each configuration (`sweepkit.seeds_per_run`) it is configurations that are compared, by the mean
over their seeds: the best single run of many is the one with the luckiest seed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sweepkit.analysis.pareto import default_reference, hypervolume, layers
from sweepkit.model.metric import Metric
from sweepkit.model.objectives import objectives_of
from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunState, RunView
from sweepkit.model.seeds import by_configuration, configuration_of
from sweepkit.stats.groups import mean

__all__ = [
    "Objectives",
    "Standing",
    "best_run",
    "best_standing",
    "front_runs",
    "front_volume",
    "objectives_of",
    "ranked",
    "standings",
    "value_of",
    "values_of",
]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a configuration is worth: a run's values, or the means over the runs of its seeds.

    Args:
        runs: Those that count, by number; at least one.
        each: The values of each of them.
        values: Their mean on each objective.
        contends: It may be the best one. Of configurations with several seeds those may that have the most finished
            ones: a mean of fewer has more luck in it, and one that got no further seed is worse.
    """

    runs: tuple[RunRecord, ...]
    each: tuple[tuple[float, ...], ...]
    values: tuple[float, ...]
    contends: bool = True

    @property
    def run(self) -> RunRecord:
        """Return the run that stands for the configuration: that of its first seed."""
        return self.runs[0]


def standings(
    runs: Sequence[RunRecord], objectives: Objectives, states: Sequence[RunState] = _ENDED_WELL
) -> list[Standing]:
    """Return every configuration that has a value, by the number of its first run that counts.

    Args:
        runs: All runs of a sweep.
        objectives: What is optimized.
        states: The runs that count.
    """
    metrics = _metrics(objectives)
    valued = [
        (run, values)
        for run in sorted(runs, key=lambda run: run.number)
        if run.state in states and (values := values_of(run, metrics)) is not None
    ]
    groups = by_configuration(
        valued, lambda item: configuration_of(item[0]), lambda item: item[0].state is RunState.FINISHED
    )
    return [_standing(group, contends) for group, contends in groups]


def _standing(group: Sequence[tuple[RunRecord, tuple[float, ...]]], contends: bool) -> Standing:
    each = tuple(values for _, values in group)
    values = each[0] if len(each) == 1 else tuple(map(mean, zip(*each, strict=True)))
    return Standing(runs=tuple(run for run, _ in group), each=each, values=values, contends=contends)


def ranked(runs: Sequence[RunRecord], objectives: Objectives) -> list[RunRecord]:
    """Return the runs, best first; runs that failed, diverged or have no value come last, by number.

    With several objectives the runs of the front come first, then those of the front that is left without them, and so
    on; within each the best on the first objective leads. The seeds of one configuration stand together, those of
    configurations that contend first.
    """
    metrics = _metrics(objectives)
    seeded = any(configuration_of(run) is not None for run in runs)
    found = standings(runs, metrics, _ENDED_WELL if seeded else _MAY_WIN)
    depth = dict.fromkeys(range(len(found)), 0)
    if len(metrics) > 1:
        layered = layers([item.values for item in found], [metric.goal for metric in metrics])
        depth = {i: level for level, members in enumerate(layered) for i in members}
    places: dict[int, tuple[bool, int, float, int]] = {}
    for i, item in enumerate(found):
        first = -item.values[0] if metrics[0].goal.better(1.0, 0.0) else item.values[0]
        for run in item.runs:
            places[run.number] = (not item.contends, depth[i], first, item.run.number)
    last = (True, len(found), math.inf, 0)
    return sorted(runs, key=lambda run: (run.number not in places, *places.get(run.number, last), run.number))


def best_standing(runs: Sequence[RunRecord], objectives: Objectives) -> Standing | None:
    """Return the best configuration among those whose runs ended by themselves or by a stopping rule.

    None when no such run has a value. With several objectives it is the one of the front that is best on the first.
    """
    metrics = _metrics(objectives)
    found = [item for item in standings(runs, metrics) if item.contends]
    if not found:
        return None
    best = metrics[0].goal.best([item.values[0] for item in found])
    if len(metrics) > 1:
        found = _front(found, metrics)
    return next(item for item in found if item.values[0] == best)


def best_run(runs: Sequence[RunRecord], objectives: Objectives) -> RunRecord | None:
    """Return the run of `best_standing`, with several seeds that of its first one; None when there is none."""
    best = best_standing(runs, objectives)
    return None if best is None else best.run


def front_runs(runs: Sequence[RunRecord], objectives: Objectives) -> list[RunRecord]:
    """Return the runs that ended well and that no other such run beats: with one objective the best run and its equals.

    The best on the first objective leads. With several seeds it is configurations, each shown by its first one's run.
    """
    metrics = _metrics(objectives)
    return [item.run for item in _front([item for item in standings(runs, metrics) if item.contends], metrics)]


def _front(found: Sequence[Standing], metrics: Sequence[Metric]) -> list[Standing]:
    if not found:
        return []
    members = [found[i] for i in layers([item.values for item in found], [metric.goal for metric in metrics])[0]]
    sign = -1.0 if metrics[0].goal.better(1.0, 0.0) else 1.0
    return sorted(members, key=lambda item: (sign * item.values[0], item.run.number))


def front_volume(
    runs: Sequence[RunRecord], metrics: Sequence[Metric]
) -> tuple[float, tuple[float, ...]] | tuple[None, None]:
    """Return the hypervolume of the runs that ended well and its reference point (`default_reference`), or Nones."""
    points = [item.values for item in standings(runs, metrics) if item.contends]
    if not points:
        return None, None
    goals = [metric.goal for metric in metrics]
    reference = default_reference(points, goals)
    return hypervolume(points, reference, goals), reference


def _metrics(objectives: Objectives) -> tuple[Metric, ...]:
    if objectives is None:
        return ()
    return (objectives,) if isinstance(objectives, Metric) else tuple(objectives)
