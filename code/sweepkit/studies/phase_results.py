"""What came of the phases of a search, as values and as text."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sweepkit.model.metric import Metric
from sweepkit.model.records import RunRecord
from sweepkit.reports.table import short
from sweepkit.studies.yaml.optuna_values import Phase, PhaseKind


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseResult:
    """What came of one phase.

    Args:
        phase: The phase.
        sweeps: The names of its sweeps as recorded: one, or one for each configuration that is confirmed.
        lines: What was narrowed or fixed, one parameter a line.
        runs: Its runs, best first.
        best: The best of them that ended with a value, and the value; None without one.
        confirmed: confirm: of each configuration, best mean first: its sweep, parameters and values, one a seed.
    """

    phase: Phase
    sweeps: tuple[str, ...]
    lines: tuple[str, ...]
    runs: tuple[RunRecord, ...] = ()
    best: tuple[RunRecord, float] | None = None
    confirmed: tuple[tuple[str, Mapping[str, Any], tuple[float, ...]], ...] = ()


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


def best_of(found: Sequence[tuple[RunRecord, float] | None], metric: Metric) -> tuple[RunRecord, float] | None:
    """Return the best of several best runs, the earlier of equal ones; None when there is none."""
    best: tuple[RunRecord, float] | None = None
    for item in found:
        if item is not None and (best is None or metric.goal.better(item[1], best[1])):
            best = item
    return best


def by_mean(
    confirmed: Sequence[tuple[str, Mapping[str, Any], tuple[float, ...]]], metric: Metric
) -> tuple[tuple[str, Mapping[str, Any], tuple[float, ...]], ...]:
    """Return confirmed configurations in order of their mean over seeds, best first; those without values last."""
    sign = metric.goal.sign
    return tuple(sorted(confirmed, key=lambda item: sign * statistics.fmean(item[2]) if item[2] else float("inf")))


def best_configuration(results: Sequence[PhaseResult], metric: Metric) -> tuple[Mapping[str, Any], str]:
    """Return the best configuration and its sweep: of the best mean where one was confirmed, else of the best run."""
    for result in reversed(results):
        if result.confirmed and result.confirmed[0][2]:
            return result.confirmed[0][1], result.confirmed[0][0]
    best = best_of([result.best for result in results], metric)
    if best is None:
        return {}, ""
    return best[0].params, next(result.sweeps[0] for result in results if best[0] in result.runs)


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
        {"sweep": name, "params": dict(params), "values": list(values)} for name, params, values in result.confirmed
    ]
    plain = {"phase": result.phase.name, "kind": result.phase.kind.value, "sweeps": list(result.sweeps)}
    return {**plain, "changed": list(result.lines), "runs": len(result.runs), "best": best, "confirmed": confirmed}


def summary_lines(result: PhaseResult) -> list[str]:
    """Return a phase's line of the summary, and one for each configuration that was confirmed."""
    name = f"{result.phase.name:10}"
    if result.confirmed:
        return [f"{name} {sweep}: {_spread_text(values)}" for sweep, _, values in result.confirmed]
    best = "no run with a value" if result.best is None else f"best {result.best[1]:.4f} (run {result.best[0].number})"
    changed = f", {len(result.lines)} parameters narrowed or fixed" if result.lines else ""
    return [f"{name} {len(result.runs)} runs, {best}{changed}"]


def _spread_text(values: Sequence[float]) -> str:
    """Return mean, standard deviation (n - 1) and number of values."""
    if not values:
        return "no run with a value"
    spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"mean {statistics.fmean(values):.4f}{spread} of {len(values)} seed{'s' if len(values) > 1 else ''}"
