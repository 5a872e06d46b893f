"""Configurations: which runs are one, by which of them it is judged, and which one is best. The one rule. Pure.

A configuration is a run's parameters without its seeds. The best single run of many is the one with the luckiest seed,
so it is configurations that are compared, by the mean over their runs where they have several.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Generic, TypeVar

from sweepkit.model.distributions import content_key
from sweepkit.model.metric import Metric
from sweepkit.model.numbers import mean
from sweepkit.model.objectives import value_of
from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunState, RunView
from sweepkit.model.seeds import CONFIGURATION, without_seeds

T = TypeVar("T")


def configuration_of(run: RunRecord | RunView) -> int | None:
    """Return which configuration a run is one seed of; None in a sweep without `seeds_per_run`."""
    found = _noted(run).get(CONFIGURATION)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def configuration_key(run: RunRecord | RunView, seed_parameter: str | None = None) -> Hashable | None:
    """Return what is the same for all runs of one configuration, whatever their seeds, and for no other run.

    Args:
        run: A run of the sweep.
        seed_parameter: `sweepkit.seed_parameter`, beside what is a seed by its name.

    Returns:
        The configuration's number, an int, where the engine deals its seeds (`sweepkit.seeds_per_run`), else a digest
        of its parameters without those that are seeds, as bytes: the parameters themselves take 2 KB of each run that
        somebody keeps. None for a run that is one of its own: without parameters, or noted so.
    """
    number = configuration_of(run)
    if number is not None:
        return number
    if CONFIGURATION in _noted(run):
        return None
    return parameters_key(run.params, seed_parameter)


def parameters_key(params: Mapping[str, Any], seed_parameter: str | None = None) -> bytes | None:
    """Return the key of a configuration that the engine has not numbered, as `configuration_key` has it."""
    if not params:
        return None
    content = content_key(without_seeds(params, seed_parameter))
    return blake2b(repr(content).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _noted(run: RunRecord | RunView) -> Mapping[str, Any]:
    return run.info if isinstance(run, RunView) else run.proposal


def finished_scores(runs: Iterable[RunRecord | RunView], metric: Metric) -> list[float]:
    """Return the values of the finished runs of one configuration, by number: what it is judged worse by."""
    finished = sorted((run for run in runs if run.state is RunState.FINISHED), key=lambda run: run.number)
    return [value for run in finished if (value := value_of(run, metric)) is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration(Generic[T]):
    """The runs of one configuration, in whatever form, and what it is worth.

    Args:
        key: As `configuration_key` has it; None for a run of its own.
        members: All its runs that have a value, in the order given; at least one.
        runs: Those that it is judged by.
        each: The values of each of these, one for each objective.
        values: Their mean on each objective.
        contends: It may be the best one.
        stopped: None of its runs finished: what it is worth was reached with a smaller budget.
    """

    key: Hashable | None = None
    members: tuple[T, ...] = ()
    runs: tuple[T, ...]
    each: tuple[tuple[float, ...], ...]
    values: tuple[float, ...]
    contends: bool = True
    stopped: bool = False

    @property
    def first(self) -> T:
        """Return the run that stands for the configuration: the first that counts."""
        return self.runs[0]

    @property
    def value(self) -> float:
        """Return its mean on the first objective."""
        return self.values[0]

    @property
    def scores(self) -> tuple[float, ...]:
        """Return the value of each run that counts on the first objective."""
        return tuple(values[0] for values in self.each)

    @property
    def whole_scores(self) -> tuple[float, ...]:
        """Return these of a full budget: () when every run was stopped early."""
        return () if self.stopped else self.scores

    @property
    def dealt(self) -> bool:
        """Return whether the engine deals its seeds: its key is its number then."""
        return isinstance(self.key, int)

    @property
    def several(self) -> bool:
        """Return whether it is judged by a mean: it has several runs, or is meant to have."""
        return len(self.members) > 1 or self.dealt


def configurations(
    runs: Iterable[T],
    *,
    key: Callable[[T], Hashable | None],
    state: Callable[[T], RunState],
    values: Callable[[T], tuple[float, ...] | None],
) -> list[Configuration[T]]:
    """Return the configurations that have a value, in order of appearance.

    Where the engine deals the seeds a configuration is judged by the mean over all of them, and those contend that have
    the most finished ones: a mean of fewer has more luck in it, and what got no further seed is worse. Elsewhere it is
    judged by its runs of full budget, the finished ones, and only without any by those that were stopped early; each
    contends, since how many runs it has is chance or the space's.

    Args:
        runs: The runs whose value counts, in any form.
        key: What a run's configuration is known by, see `configuration_key`; None for a run of its own.
        state: Where a run stands.
        values: A run's value of each objective; None without, and it is passed over.

    >>> runs = [("a", 0.9), ("b", 0.6), ("a", 0.1), ("b", 0.6)]
    >>> found = configurations(
    ...     runs, key=lambda r: r[0], state=lambda r: RunState.FINISHED, values=lambda r: (r[1],)
    ... )
    >>> [(item.key, item.value, len(item.runs)) for item in found]
    [('a', 0.5, 2), ('b', 0.6, 2)]
    """
    groups: dict[tuple[Hashable | None, int], list[tuple[T, tuple[float, ...]]]] = {}
    for place, run in enumerate(runs):
        if (own := values(run)) is not None:
            known = key(run)
            groups.setdefault((None, place) if known is None else (known, 0), []).append((run, own))
    finished = [[item for item in group if state(item[0]) is RunState.FINISHED] for group in groups.values()]
    dealt = [isinstance(known, int) for known, _ in groups]
    most = max((len(whole) for whole, is_dealt in zip(finished, dealt, strict=True) if is_dealt), default=0)
    return [
        _judged(
            known,
            group,
            group if is_dealt else whole or group,
            contends=not is_dealt or len(whole) == most,
            stopped=not whole,
        )
        for ((known, _), group), whole, is_dealt in zip(groups.items(), finished, dealt, strict=True)
    ]


def _judged(
    key: Hashable | None,
    members: Sequence[tuple[T, tuple[float, ...]]],
    counted: Sequence[tuple[T, tuple[float, ...]]],
    *,
    contends: bool,
    stopped: bool,
) -> Configuration[T]:
    each = tuple(values for _, values in counted)
    return Configuration(
        key=key,
        members=tuple(run for run, _ in members),
        runs=tuple(run for run, _ in counted),
        each=each,
        values=each[0] if len(each) == 1 else tuple(map(mean, zip(*each, strict=True))),
        contends=contends,
        stopped=stopped,
    )


def best_first(
    found: Iterable[Configuration[T]], metrics: Sequence[Metric], number: Callable[[T], int]
) -> list[Configuration[T]]:
    """Return configurations, the best on the first objective first, those that do not contend after all that do.

    Of equals the better one on the next objective leads, so no other one beats the first on all of them; then the one
    whose first run was begun first.

    Args:
        found: Of one sweep.
        metrics: What is optimized, as many as the configurations have values.
        number: A run's number.
    """
    signs = [metric.goal.sign for metric in metrics]

    def order(item: Configuration[T]) -> tuple[bool, list[float], int]:
        signed = [sign * value for sign, value in zip(signs, item.values, strict=False)]
        return not item.contends, signed, min(map(number, item.members))

    return sorted(found, key=order)
