"""What came of the phases of a search, as values and as text."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

from sweepkit.model.metric import Metric
from sweepkit.model.objectives import value_of
from sweepkit.model.records import RunRecord
from sweepkit.reports.table import short
from sweepkit.studies.yaml.optuna_values import Phase, PhaseKind


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmedConfiguration:
    """A configuration that was run again with fresh seeds.

    Args:
        sweep: The sweep that ran it.
        params: Its values, without the seed.
        values: One for each seed that ended with a value.
    """

    sweep: str
    params: Mapping[str, Any]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseResult:
    """What came of one phase.

    Args:
        phase: The phase.
        sweeps: The names of its sweeps as recorded: one, or one for each configuration that is confirmed.
        lines: What was narrowed or fixed, one parameter a line.
        runs: Its runs, by sweep and number.
        best: The best of them that ended with a value, and the value; None without one.
        confirmed: Of a phase that confirms: its configurations, best mean first.
    """

    phase: Phase
    sweeps: tuple[str, ...]
    lines: tuple[str, ...]
    runs: tuple[RunRecord, ...] = ()
    best: tuple[RunRecord, float] | None = None
    confirmed: tuple[ConfirmedConfiguration, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PhasesOutcome:
    """What came of a call.

    Args:
        code: The exit code.
        complete: All phases are done; else the same command continues.
        results: Of the phases so far, in order.
        params: The best configuration: of the best mean where one was confirmed, else of the best run; {} without one.
        sweep: The recorded sweep that it is from, "" without one.
    """

    code: int
    complete: bool
    results: tuple[PhaseResult, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    sweep: str = ""


WORDS: Mapping[PhaseKind, str] = {
    PhaseKind.EXPLORE: "the whole search space",
    PhaseKind.FOCUS: "around the best runs of the phase before",
    PhaseKind.STAGE: "some parameters, the others at their best so far",
    PhaseKind.CONFIRM: "the best configurations again, with fresh seeds",
}


def best_first(runs: Iterable[RunRecord], metric: Metric) -> list[tuple[RunRecord, float]]:
    """Return the runs that ended by themselves or by a stopping rule, each with its value, best first.

    Those without a value are left out; of equal ones the one that was given first leads. The runs may be of several
    sweeps, in each of which they are numbered anew.
    """
    ended = (run for run in runs if run.state.ended_well)
    valued = [(run, value) for run in ended if (value := value_of(run, metric)) is not None]
    return sorted(valued, key=lambda item: metric.goal.sign * item[1])


def by_mean(confirmed: Iterable[ConfirmedConfiguration], metric: Metric) -> tuple[ConfirmedConfiguration, ...]:
    """Return confirmed configurations in order of their mean over seeds, best first; those without values last."""
    return tuple(sorted(confirmed, key=lambda item: metric.goal.sign * fmean(item.values) if item.values else math.inf))


def best_configuration(results: Sequence[PhaseResult], metric: Metric) -> tuple[Mapping[str, Any], str]:
    """Return the best configuration and its sweep: of the best mean where one was confirmed, else of the best run."""
    for result in reversed(results):
        if result.confirmed and result.confirmed[0].values:
            return result.confirmed[0].params, result.confirmed[0].sweep
    for run, _ in best_first((run for result in results for run in result.runs), metric)[:1]:
        return run.params, next(result.sweeps[0] for result in results if run in result.runs)
    return {}, ""


def constants_text(tree: Mapping[str, Any]) -> str:
    """Return the constants of a sweep's parameters on one line, and the seeds."""
    return ", ".join(f"{name}={short(node.get('value', node.get('values')))}" for name, node in tree.items())


def plain(result: PhaseResult) -> dict[str, Any]:
    """Return a result as values for JSON."""
    best = None
    if result.best is not None:
        run, value = result.best
        best = {"run_id": run.run_id, "number": run.number, "value": value, "params": dict(run.params)}
    confirmed = [
        {"sweep": item.sweep, "params": dict(item.params), "values": list(item.values)} for item in result.confirmed
    ]
    plain = {"phase": result.phase.name, "kind": result.phase.kind.value, "sweeps": list(result.sweeps)}
    return {**plain, "changed": list(result.lines), "runs": len(result.runs), "best": best, "confirmed": confirmed}


def summary_lines(result: PhaseResult) -> list[str]:
    """Return a phase's line of the summary, and one for each configuration that was confirmed."""
    name = f"{result.phase.name:10}"
    if result.confirmed:
        return [f"{name} {item.sweep}: {_spread_text(item.values)}" for item in result.confirmed]
    best = "no run with a value" if result.best is None else f"best {result.best[1]:.4f} (run {result.best[0].number})"
    changed = f", {len(result.lines)} parameters narrowed or fixed" if result.lines else ""
    return [f"{name} {len(result.runs)} runs, {best}{changed}"]


def _spread_text(values: Sequence[float]) -> str:
    """Return mean, standard deviation (n - 1) and number of values."""
    if not values:
        return "no run with a value"
    spread = f" ± {stdev(values):.4f}" if len(values) > 1 else ""
    return f"mean {fmean(values):.4f}{spread} of {len(values)} seed{'s' if len(values) > 1 else ''}"
