"""Which run is best, and the order of a table: `model.configurations` over the recorded runs of a sweep. Pure."""

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple, TypeVar

from sweepkit.analysis.pareto import default_reference, dominates, hypervolume, layers
from sweepkit.model.configurations import Configuration, best_first, configuration_key, configurations
from sweepkit.model.metric import Metric
from sweepkit.model.objectives import Objectives, metrics_in, values_of
from sweepkit.model.records import RunRecord
from sweepkit.model.runs import ENDED_WELL, RunState, RunView

T = TypeVar("T")
AnyRun = RunRecord | RunView


def recorded_configurations(
    runs: Sequence[RunRecord],
    objectives: Objectives,
    states: Sequence[RunState] = ENDED_WELL,
    *,
    seed_parameter: str | None = None,
) -> list[Configuration[RunRecord]]:
    """Return every configuration that has a value, by the number of its first run.

    Args:
        runs: All runs of a sweep.
        objectives: What is optimized.
        states: The runs that are looked at.
        seed_parameter: `sweepkit.seed_parameter`, beside what is a seed by its name.
    """
    return configurations(
        (run for run in sorted(runs, key=_number) if run.state in states),
        key=lambda run: configuration_key(run, seed_parameter),
        state=lambda run: run.state,
        values=lambda run: values_of(run, objectives),
    )


def configuration_numbers(runs: Sequence[RunRecord], seed_parameter: str | None = None) -> dict[str, int]:
    """Return the number of each run's configuration by run id; {} where no configuration has several runs.

    It is the engine's where that deals the seeds, else 0-based by the configuration's first run.
    """
    groups = configurations(
        sorted(runs, key=_number),
        key=lambda run: configuration_key(run, seed_parameter),
        state=lambda run: run.state,
        values=lambda _: (),
    )
    if not any(group.several for group in groups):
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
    metrics = metrics_in(objectives)
    found = recorded_configurations(runs, metrics, (*ENDED_WELL, RunState.RUNNING), seed_parameter=seed_parameter)
    if any(item.several for item in found):  # a mean is of runs that have ended
        ended = recorded_configurations(runs, metrics, seed_parameter=seed_parameter)
        found = ended if any(item.several for item in ended) else found
    layered: list[Configuration[RunRecord]] = []
    for contends in (True, False):
        left = [item for item in found if item.contends is contends]
        fronts = _layers(left, metrics) if len(metrics) > 1 else [left]
        layered += [item for front in fronts for item in best_first(front, metrics, _number)]
    best = [run for item in layered for run in item.members]
    placed = {run.number for run in best}
    return [*best, *sorted((run for run in runs if run.number not in placed), key=_number)]


def best_configuration(
    runs: Sequence[RunRecord], objectives: Objectives, *, seed_parameter: str | None = None
) -> Configuration[RunRecord] | None:
    """Return the best configuration among those whose runs ended by themselves or by a stopping rule.

    None when no such run has a value. With several objectives it is the one of the front that is best on the first.
    """
    return next(iter(best_configurations(runs, objectives, seed_parameter=seed_parameter)), None)


def best_configurations(
    runs: Sequence[RunRecord], objectives: Objectives, *, seed_parameter: str | None = None, limit: int | None = None
) -> list[Configuration[RunRecord]]:
    """Return the configurations that have a value, best first, at most `limit`; see `best_configuration`."""
    found = recorded_configurations(runs, objectives, seed_parameter=seed_parameter)
    return best_first(found, metrics_in(objectives), _number)[:limit]


def front_of(
    found: Sequence[Configuration[T]], metrics: Sequence[Metric], number: Callable[[T], int]
) -> list[Configuration[T]]:
    """Return the configurations that may be the best and that no other such one beats, the best on the first first."""
    contending = [item for item in found if item.contends]
    return best_first(_layers(contending, metrics)[0], metrics, number) if contending else []


def recorded_front(
    runs: Sequence[RunRecord], objectives: Objectives, *, seed_parameter: str | None = None
) -> list[Configuration[RunRecord]]:
    """Return the configurations of the recorded runs that no other one beats: with one objective the best, its equals.

    The best on the first objective leads.
    """
    found = recorded_configurations(runs, objectives, seed_parameter=seed_parameter)
    return front_of(found, metrics_in(objectives), _number)


def front_runs(
    runs: Sequence[RunRecord], objectives: Objectives, *, seed_parameter: str | None = None
) -> list[RunRecord]:
    """Return the run of each configuration of `recorded_front`, of several the first one that counts."""
    return [item.first for item in recorded_front(runs, objectives, seed_parameter=seed_parameter)]


def front_volume(
    runs: Sequence[RunRecord], metrics: Sequence[Metric], *, seed_parameter: str | None = None
) -> tuple[float, tuple[float, ...]] | tuple[None, None]:
    """Return the hypervolume of the configurations and its reference point (`default_reference`), or Nones."""
    found = recorded_configurations(runs, metrics, seed_parameter=seed_parameter)
    points = [item.values for item in found if item.contends]
    if not points:
        return None, None
    goals = [metric.goal for metric in metrics]
    reference = default_reference(points, goals)
    return hypervolume(points, reference, goals), reference


class _Ended(NamedTuple):
    """A run that ended well, its values, and what its configuration is known by."""

    run: AnyRun
    values: tuple[float, ...]
    key: Hashable | None


class BestSoFar:
    """The best of a sweep, kept from its runs as they end: what `best_configuration` and `recorded_front` say of all.

    Taking a run costs the same however many there are, unless the best configuration itself became worse, or with
    several objectives a configuration got a further run.

    Args:
        objectives: What is optimized.
        seed_parameter: `sweepkit.seed_parameter`, beside what is a seed by its name.
    """

    def __init__(self, objectives: Objectives, seed_parameter: str | None = None) -> None:
        self._metrics = metrics_in(objectives)
        self._goals = [metric.goal for metric in self._metrics]
        self._seed_parameter = seed_parameter
        self._groups: dict[Hashable, dict[int, _Ended]] = {}
        self._order: tuple[int, float, int] | None = None
        self._at: Hashable = None
        self._best: Configuration[AnyRun] | None = None
        self._front: list[Configuration[AnyRun]] | None = []  # None: to be worked out anew

    def take(self, run: AnyRun) -> None:
        """Take in a run that ended well; one without a value does not count."""
        values = values_of(run, self._metrics)
        if values is None:
            return
        key = configuration_key(run, self._seed_parameter)
        at = (run.number,) if key is None else (key, None)
        group = self._groups.setdefault(at, {})
        known = group.get(run.number)
        if known is not None and known.values == values and known.run.state is run.state:
            return  # its end is reported twice
        if known is not None and len(values) == 1 and self._goals[0].better(known.values[0], values[0]):
            return  # its value stays what it was best
        group[run.number] = _Ended(run, values, key)
        item = self._configuration(at)
        if len(self._metrics) > 1:
            self._take_for_front(item, again=known is not None)
        elif self._order is None or self._order_of(at, item) > self._order:
            self._lead(at, item)
        elif at == self._at:
            found = {one: self._configuration(one) for one in self._groups}
            best = max(found, key=lambda one: self._order_of(one, found[one]))
            self._lead(best, found[best])

    def _lead(self, at: Hashable, item: Configuration[AnyRun]) -> None:
        self._at, self._best, self._order = at, item, self._order_of(at, item)

    def _take_for_front(self, item: Configuration[AnyRun], *, again: bool) -> None:
        if self._front is None or again or item.several:
            self._front = None
        elif not any(dominates(other.values, item.values, self._goals) for other in self._front):
            kept = [other for other in self._front if not dominates(item.values, other.values, self._goals)]
            self._front = [*kept, item]

    def _configuration(self, at: Hashable) -> Configuration[AnyRun]:
        (found,) = self._configurations([self._groups[at]])
        return found

    def _configurations(self, groups: Sequence[dict[int, _Ended]]) -> list[Configuration[AnyRun]]:
        held = {number: item for group in groups for number, item in group.items()}
        return configurations(
            [held[number].run for number in sorted(held)],
            key=lambda run: held[run.number].key,
            state=lambda run: run.state,
            values=lambda run: held[run.number].values,
        )

    def _order_of(self, at: Hashable, item: Configuration[AnyRun]) -> tuple[int, float, int]:
        finished = sum(run.state is RunState.FINISHED for run in item.runs) if item.dealt else 0
        return finished, -self._goals[0].sign * item.value, -min(self._groups[at])

    @property
    def best(self) -> Configuration[AnyRun] | None:
        """Return the best configuration by the one metric; None before any, and with several objectives."""
        return self._best

    @property
    def front(self) -> list[Configuration[AnyRun]]:
        """Return the configurations that no other one beats on several objectives; [] with one."""
        if self._front is None:
            self._front = front_of(self._configurations(list(self._groups.values())), self._metrics, _number)
        return self._front


def _layers(found: Sequence[Configuration[T]], metrics: Sequence[Metric]) -> list[list[Configuration[T]]]:
    layered = layers([item.values for item in found], [metric.goal for metric in metrics])
    return [[found[i] for i in members] for members in layered]


def _number(run: AnyRun) -> int:
    return run.number
