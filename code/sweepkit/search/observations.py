"""The value that a run is told to an engine as.

Source: `sweeps` 0.3.0, `bayes_search.py` (`_construct_gp_data`, `impute`), with two changes: where nothing finite is
known the run is not told (W&B tells 0.0, the best possible loss), and a run ended by divergence is always told as the
worst so far (design decision 6).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite, nan

from sweepkit.model.metric import Impute, Metric
from sweepkit.model.objectives import finite_values, objectives_of, value_of
from sweepkit.model.runs import RunState, RunView


class ObservationState(StrEnum):
    """What an engine may make of a run."""

    TOLD = "told"  # it has a value
    PENDING = "pending"  # its value is still to come; keep away from its point
    UNKNOWN = "unknown"  # it ended and nothing finite is known of it or of any other


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """A run and the values it is told as, one for each objective; finite when TOLD and () otherwise."""

    run: RunView
    state: ObservationState
    values: tuple[float, ...] = ()

    @property
    def value(self) -> float | None:
        """Return the value of the first objective."""
        return self.values[0] if self.values else None


def observe(runs: Sequence[RunView], metric: Metric) -> tuple[Observation, ...]:
    """Return what each run is told as, in the order given.

    * finished: its best value over history and summary; without one, imputed by `metric.impute`
    * stopped: its best value so far; without one, the worst
    * failed: always imputed; diverged: always the worst
    * running: its best value if `metric.impute_while_running` is set, else pending
    * pending: pending

    Imputed "best" and "latest" are the run's own, "worst" is over all runs that ended; where a run has no finite
    value of its own, the worst stands in. NaN and infinities never count.
    """
    ended = [value for run in runs if run.state.done for value in finite_values(run)]
    worst = metric.goal.worst(ended) if ended else None
    return tuple(_observation(run, metric, worst) for run in runs)


def observe_alone(run: RunView, metric: Metric) -> Observation:
    """Return what a run is told as; NaN where the worst value of all runs is to stand in, once there is one."""
    return _observation(run, metric, nan)


def observe_several(runs: Sequence[RunView], metrics: Sequence[Metric]) -> tuple[Observation, ...]:
    """Return what each run is told as on several objectives, in the order given.

    * finished, stopped: its vector (`objectives_of`); without one, the worst
    * failed, diverged: always the worst
    * running, pending: pending, whatever the metrics' imputation says: half a vector is none

    The worst is that of each objective over the vectors of all runs that finished or were stopped; before there is
    one such a run is not told.
    """
    vectors = [objectives_of(run, metrics) if run.state.ended_well else None for run in runs]
    known = [vector for vector in vectors if vector is not None]
    columns = zip(*known, strict=True)
    worst = tuple(metric.goal.worst(column) for metric, column in zip(metrics, columns, strict=bool(known)))
    return tuple(_several(run, vector or worst) for run, vector in zip(runs, vectors, strict=True))


def _several(run: RunView, values: tuple[float, ...]) -> Observation:
    if not run.state.done:
        return Observation(run=run, state=ObservationState.PENDING)
    return Observation(run=run, state=ObservationState.TOLD if values else ObservationState.UNKNOWN, values=values)


def _observation(run: RunView, metric: Metric, worst: float | None) -> Observation:
    if run.state is RunState.PENDING:
        return Observation(run=run, state=ObservationState.PENDING)
    if run.state is RunState.RUNNING:
        value = _while_running(run, metric, worst)
        waiting = ObservationState.PENDING
    else:
        value = _ended_value(run, metric, worst)
        waiting = ObservationState.UNKNOWN
    if value is None:
        return Observation(run=run, state=waiting)
    return Observation(run=run, state=ObservationState.TOLD, values=(value,))


def _while_running(run: RunView, metric: Metric, worst: float | None) -> float | None:
    if metric.impute_while_running is None:
        return None
    best = value_of(run, metric)
    if best is None and metric.impute_while_running is Impute.WORST:
        return worst
    return best


def _ended_value(run: RunView, metric: Metric, worst: float | None) -> float | None:
    own: float | None
    if run.state is RunState.DIVERGED:
        own = None
    elif run.state is RunState.FAILED:
        own = _IMPUTED[metric.impute](run, metric)
    else:
        own = value_of(run, metric)  # a run without any has nothing of its own to impute from either
    return worst if own is None else own


def _latest(run: RunView, metric: Metric) -> float | None:
    values = [value for value in run.history if isfinite(value)]
    return float(values[-1]) if values else None


def _nothing(run: RunView, metric: Metric) -> float | None:
    return None


_IMPUTED: dict[Impute, Callable[[RunView, Metric], float | None]] = {
    Impute.WORST: _nothing,
    Impute.BEST: value_of,
    Impute.LATEST: _latest,
}
