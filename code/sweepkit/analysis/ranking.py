"""Which run is best: the value of a run and the order of a table. Pure.

It is configurations that are compared, by the mean over their runs where they have several (`model.seeds` says which
runs those are): the best single run of many is the one with the luckiest seed.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from sweepkit.analysis.pareto import default_reference, hypervolume, layers
from sweepkit.model.metric import Metric
from sweepkit.model.numbers import mean
from sweepkit.model.objectives import objectives_of
from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunState, RunView
from sweepkit.model.seeds import ConfigurationRuns, by_configuration, configuration_key

__all__ = [
    "BestSoFar",
    "Objectives",
    "Standing",
    "best_run",
    "best_standing",
    "configuration_numbers",
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
    """What a configuration is worth: a run's values, or the means over its runs.

    Args:
        key: What it is known by, see `model.seeds.configuration_key`.
        members: All its runs that ended with a value, by number; at least one.
        runs: Those that count, see `model.seeds.by_configuration`.
        each: The values of each run that counts.
        values: Their mean on each objective.
        contends: It may be the best one, see `model.seeds.by_configuration`.
    """

    key: Hashable | None = None
    members: tuple[RunRecord, ...] = ()
    runs: tuple[RunRecord, ...]
    each: tuple[tuple[float, ...], ...]
    values: tuple[float, ...]
    contends: bool = True

    @property
    def run(self) -> RunRecord:
        """Return the run that stands for the configuration: the first that counts."""
        return self.runs[0]

    @property
    def several(self) -> bool:
        """Return whether it is judged by a mean: it has several runs, or is meant to have."""
        return len(self.members) > 1 or isinstance(self.key, int)


def standings(
    runs: Sequence[RunRecord],
    objectives: Objectives,
    states: Sequence[RunState] = _ENDED_WELL,
    *,
    seed_parameter: str | None = None,
) -> list[Standing]:
    """Return every configuration that has a value, by the number of its first run.

    Args:
        runs: All runs of a sweep.
        objectives: What is optimized.
        states: The runs that are looked at.
        seed_parameter: `sweepkit.seed_parameter`, beside what is a seed by its name.
    """
    metrics = _metrics(objectives)
    valued = [
        (run, values)
        for run in sorted(runs, key=lambda run: run.number)
        if run.state in states and (values := values_of(run, metrics)) is not None
    ]
    groups = by_configuration(
        valued, lambda item: configuration_key(item[0], seed_parameter), lambda item: item[0].state
    )
    return [_standing(group) for group in groups]


def _standing(group: ConfigurationRuns[tuple[RunRecord, tuple[float, ...]]]) -> Standing:
    each = tuple(values for _, values in group.counted)
    return Standing(
        key=group.key,
        members=tuple(run for run, _ in group.members),
        runs=tuple(run for run, _ in group.counted),
        each=each,
        values=each[0] if len(each) == 1 else tuple(map(mean, zip(*each, strict=True))),
        contends=group.contends,
    )


def configuration_numbers(runs: Sequence[RunRecord], seed_parameter: str | None = None) -> dict[str, int]:
    """Return the number of each run's configuration by run id; {} where no configuration has several runs.

    It is the engine's where that deals the seeds, else 0-based by the configuration's first run.
    """
    ordered = sorted(runs, key=lambda run: run.number)
    groups = by_configuration(ordered, lambda run: configuration_key(run, seed_parameter), lambda run: run.state)
    if not any(len(group.members) > 1 or isinstance(group.key, int) for group in groups):
        return {}
    return {
        run.run_id: group.key if isinstance(group.key, int) else number
        for number, group in enumerate(groups)
        for run in group.members
    }


def ranked(runs: Sequence[RunRecord], objectives: Objectives, *, seed_parameter: str | None = None) -> list[RunRecord]:
    """Return the runs, best first; runs that failed, diverged or have no value come last, by number.

    With several objectives the runs of the front come first, then those of the front that is left without them, and so
    on; within each the best on the first objective leads. The runs of one configuration stand together, those of
    configurations that contend first.
    """
    metrics = _metrics(objectives)
    found = standings(runs, metrics, seed_parameter=seed_parameter)
    if not any(item.several for item in found):
        found = standings(runs, metrics, _MAY_WIN, seed_parameter=seed_parameter)
    depth = dict.fromkeys(range(len(found)), 0)
    if len(metrics) > 1:
        layered = layers([item.values for item in found], [metric.goal for metric in metrics])
        depth = {i: level for level, members in enumerate(layered) for i in members}
    places: dict[int, tuple[bool, int, float, int]] = {}
    for i, item in enumerate(found):
        first = -item.values[0] if metrics[0].goal.better(1.0, 0.0) else item.values[0]
        for run in item.members:
            places[run.number] = (not item.contends, depth[i], first, item.members[0].number)
    last = (True, len(found), math.inf, 0)
    return sorted(runs, key=lambda run: (run.number not in places, *places.get(run.number, last), run.number))


def best_standing(
    runs: Sequence[RunRecord], objectives: Objectives, *, seed_parameter: str | None = None
) -> Standing | None:
    """Return the best configuration among those whose runs ended by themselves or by a stopping rule.

    None when no such run has a value. With several objectives it is the one of the front that is best on the first.
    """
    metrics = _metrics(objectives)
    found = [item for item in standings(runs, metrics, seed_parameter=seed_parameter) if item.contends]
    if not found:
        return None
    best = metrics[0].goal.best([item.values[0] for item in found])
    if len(metrics) > 1:
        found = _front(found, metrics)
    return next(item for item in found if item.values[0] == best)


def best_run(
    runs: Sequence[RunRecord], objectives: Objectives, *, seed_parameter: str | None = None
) -> RunRecord | None:
    """Return the run of `best_standing`, of several the first one that counts; None when there is none."""
    best = best_standing(runs, objectives, seed_parameter=seed_parameter)
    return None if best is None else best.run


class BestSoFar:
    """The best configuration of one metric, kept from the runs as they end: what `best_standing` says of all of them.

    Taking a run costs the same however many there are, unless the best configuration itself became worse.
    """

    def __init__(self, metric: Metric, seed_parameter: str | None = None) -> None:
        self._metric = metric
        self._seed_parameter = seed_parameter
        self._groups: dict[Hashable, dict[int, tuple[RunRecord | RunView, float]]] = {}
        self._order: tuple[int, float, int] | None = None
        self._at: Hashable = None

    def take(self, run: RunRecord | RunView) -> None:
        """Take in a run that ended well; one without a value does not count."""
        value = value_of(run, self._metric)
        if value is None:
            return
        key = configuration_key(run, self._seed_parameter)
        at = (run.number,) if key is None else key
        runs = self._groups.setdefault(at, {})
        if run.number in runs and self._metric.goal.better(runs[run.number][1], value):
            return  # its end is told twice: the value stays what it was best
        runs[run.number] = (run, value)
        order = self._order_of(at)
        if self._order is None or order > self._order:
            self._order, self._at = order, at
        elif at == self._at:
            self._order, self._at = max(((self._order_of(one), one) for one in self._groups), key=lambda item: item[0])

    def _counted(self, at: Hashable) -> list[tuple[RunRecord | RunView, float]]:
        items = [self._groups[at][number] for number in sorted(self._groups[at])]
        (group,) = by_configuration(items, lambda _: at, lambda item: item[0].state)
        return group.counted

    def _order_of(self, at: Hashable) -> tuple[int, float, int]:
        counted = self._counted(at)
        finished = sum(run.state is RunState.FINISHED for run, _ in counted) if isinstance(at, int) else 0
        middle = mean([value for _, value in counted])
        sign = 1.0 if self._metric.goal.better(1.0, 0.0) else -1.0
        return finished, sign * middle, -min(self._groups[at])

    @property
    def best(self) -> tuple[float, list[RunRecord | RunView]] | None:
        """Return the best value, a mean where there are several runs, and the runs that count; None before any."""
        if self._order is None:
            return None
        counted = self._counted(self._at)
        return mean([value for _, value in counted]), [run for run, _ in counted]


def front_runs(
    runs: Sequence[RunRecord], objectives: Objectives, *, seed_parameter: str | None = None
) -> list[RunRecord]:
    """Return the runs that ended well and that no other such run beats: with one objective the best run and its equals.

    The best on the first objective leads. Of a configuration with several runs the first one that counts is shown.
    """
    metrics = _metrics(objectives)
    found = [item for item in standings(runs, metrics, seed_parameter=seed_parameter) if item.contends]
    return [item.run for item in _front(found, metrics)]


def _front(found: Sequence[Standing], metrics: Sequence[Metric]) -> list[Standing]:
    if not found:
        return []
    members = [found[i] for i in layers([item.values for item in found], [metric.goal for metric in metrics])[0]]
    sign = -1.0 if metrics[0].goal.better(1.0, 0.0) else 1.0
    return sorted(members, key=lambda item: (sign * item.values[0], item.run.number))


def front_volume(
    runs: Sequence[RunRecord], metrics: Sequence[Metric], *, seed_parameter: str | None = None
) -> tuple[float, tuple[float, ...]] | tuple[None, None]:
    """Return the hypervolume of the runs that ended well and its reference point (`default_reference`), or Nones."""
    points = [item.values for item in standings(runs, metrics, seed_parameter=seed_parameter) if item.contends]
    if not points:
        return None, None
    goals = [metric.goal for metric in metrics]
    reference = default_reference(points, goals)
    return hypervolume(points, reference, goals), reference


def _metrics(objectives: Objectives) -> tuple[Metric, ...]:
    if objectives is None:
        return ()
    return (objectives,) if isinstance(objectives, Metric) else tuple(objectives)
