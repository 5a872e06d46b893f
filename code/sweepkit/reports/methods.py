"""How a sweep was run, in the sentences of a methods section: true numbers only, read from the sweep and its runs."""

from collections.abc import Sequence

from sweepkit.analysis.importance import Importance
from sweepkit.analysis.table import RunTable
from sweepkit.reports.table import short
from sweepkit.spec.space import Parameter
from sweepkit.spec.sweep import SweepSpec


def methods(spec: SweepSpec, table: RunTable, importance: Importance | None = None, *, seed: int | None = None) -> list[str]:
    """Return the sentences: space, engine and budget, stopping, importance.

    Args:
        spec: The sweep.
        table: Its runs.
        importance: How importance was measured, None when it was not.
        seed: Of the search, when it is known.
    """
    told = [_engine(spec, table, seed)]
    if spec.space.parameters:
        listed = "; ".join(_parameter(parameter) for parameter in spec.space.parameters)
        told.append(f"Search space: {listed}.")
    told.append(_stopping(spec))
    if importance is not None and importance.estimator == "forest" and importance.r2 is not None:
        told.append(
            "Importance: random forest (200 trees, leaves of at least 3) on one group of columns per parameter, grouped "
            "out-of-bag permutation as share of the variance; whiskers: 5 % to 95 % of 30 refits on 63.2 % of the "
            "configurations without replacement; noise floor: 99 % quantile of shuffled shadow parameters."
        )
    return told


def _engine(spec: SweepSpec, table: RunTable, seed: int | None) -> str:
    goals = " and ".join(f"{metric.name} ({metric.goal.value}d)" for metric in table.metrics) or "no metric"
    engine = table.method or spec.method.value
    cap = f", at most {spec.run_cap} runs" if spec.run_cap is not None else ""
    seeded = f", seed {seed}" if seed is not None else ""
    return f"Engine: {engine} (method {spec.method.value}){cap}{seeded}; optimized: {goals}; {len(table.rows)} runs so far."


def _parameter(parameter: Parameter) -> str:
    given = parameter.distribution
    if given.values:
        shown: Sequence[object] = given.values[:12]
        more = ", …" if len(given.values) > 12 else ""
        return f"{parameter.name} in {{{', '.join(short(value) for value in shown)}{more}}}"
    kind = given.kind.value.replace("_", " ")
    bounds = given.bounds()
    if bounds is None:
        return f"{parameter.name} {kind} (mu {short(given.mu)}, sigma {short(given.sigma)})"
    return f"{parameter.name} {kind} in [{short(bounds[0])}, {short(bounds[1])}]"


def _stopping(spec: SweepSpec) -> str:
    rule = spec.extensions.early_terminate or spec.early_terminate
    if rule is None:
        return "No run was stopped early by a rule."
    fields = {"min_iter": rule.min_iter, "max_iter": rule.max_iter, "eta": rule.eta}
    shown = ", ".join(f"{name} {short(value)}" for name, value in fields.items() if value is not None)
    return f"Stopping rule: {rule.type} ({shown})." if rule.type in ("hyperband", "asha") else f"Stopping rule: {rule.type}."
