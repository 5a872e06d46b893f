"""The engine of a sweep: which one its YAML, the command line and its method ask for."""

from collections.abc import Sequence

from sweepkit.errors import SweepKitError
from sweepkit.search.active_ask import sampler_for
from sweepkit.search.base import Engine
from sweepkit.search.define_by_run import DefineByRunEngine, SpaceFunction
from sweepkit.search.grid import GridEngine
from sweepkit.search.optuna_engine import OptunaEngine
from sweepkit.search.random import RandomEngine
from sweepkit.spec.runs import RunView
from sweepkit.spec.sweep import Method, SweepSpec

SAMPLERS = ("tpe", "gp", "random")
_SYNONYMS = {"bayes": "gp", "gaussian_process": "gp"}


def make_engine(
    spec: SweepSpec,
    *,
    seed: int,
    sampler: str | None = None,
    prior: Sequence[RunView] = (),
    function: SpaceFunction | None = None,
) -> Engine:
    """Return the engine of a sweep, told nothing yet but `prior`.

    Args:
        spec: The sweep.
        seed: Seed of the search, >= 0.
        sampler: "tpe", "gp" (or "bayes") or "random", before `sweepkit.sampler` and the method.
        prior: Ended runs of other sweeps. Their values teach "gp" and "tpe"; no engine takes their points or their
            numbers for its own.
        function: What `sweepkit.search_space` names, loaded; needed by a sweep that has it.

    Raises:
        SweepKitError: The sweep and the sampler do not go together, or the engine is not one of ours.
    """
    name = _engine_name(spec, sampler)
    if spec.extensions.search_space is not None:
        return _define_by_run(spec, function, name, seed=seed, prior=prior)
    if name == "grid":
        return GridEngine(spec.space)
    if name == "random":
        return RandomEngine(spec.space, seed=seed)
    if spec.metric is None:
        several = "several (`metrics`), which no engine here optimizes yet" if spec.metrics else "none"
        raise SweepKitError(
            f"{_where(spec)}metric: engine {name} needs one metric to optimize, got {several}; "
            "name it under `metric:`, or use method random or grid"
        )
    return OptunaEngine(spec.space, spec.metric, seed=seed, sampler=name, prior=prior)


def _engine_name(spec: SweepSpec, sampler: str | None) -> str:
    """Return "grid", "random", "gp" or "tpe"."""
    origin = "--sampler" if sampler is not None else "sweepkit.sampler"
    asked = sampler if sampler is not None else spec.extensions.sampler
    own = _own_engine(spec)
    if asked is None:
        return sampler_for(own, asked=False) if _varies_by_run(spec) else own
    if own == "grid":
        raise SweepKitError(
            f"{_where(spec)}{origin}: method grid takes no sampler, got {asked!r}; leave it out or change the method"
        )
    chosen = _SYNONYMS.get(asked, asked)
    if chosen not in SAMPLERS:
        raise SweepKitError(f"{_where(spec)}{origin}: must be one of {', '.join(SAMPLERS)}, got {asked!r}")
    if not _varies_by_run(spec):
        return chosen
    try:
        return sampler_for(chosen, asked=True)
    except SweepKitError as error:
        raise SweepKitError(f"{_where(spec)}{origin}: {error}") from None


def _varies_by_run(spec: SweepSpec) -> bool:
    """Return whether a run may lack parameters that others have."""
    return bool(spec.space.conditions) or spec.extensions.search_space is not None


def _define_by_run(
    spec: SweepSpec, function: SpaceFunction | None, name: str, *, seed: int, prior: Sequence[RunView]
) -> Engine:
    """Return the engine of a search space function."""
    if function is None:
        raise SweepKitError(f"{_where(spec)}sweepkit.search_space: the function must be loaded, got none")
    if name not in ("tpe", "random"):
        raise SweepKitError(
            f"{_where(spec)}sweepkit.search_space: {name} needs to know all parameters beforehand, and a function "
            "tells them run by run; use sampler tpe or random"
        )
    if name == "tpe" and spec.metric is None:
        got = "several" if spec.metrics else "none"
        raise SweepKitError(
            f"{_where(spec)}metric: a search space function with tpe needs one metric to optimize, got {got}; "
            "name it under `metric:`, or use method random"
        )
    fixed = spec.space.nest({p.path: p.distribution.support_value(0) for p in spec.space.parameters})
    return DefineByRunEngine(function, spec.metric, seed=seed, sampler=name, fixed=fixed, prior=prior)


def _own_engine(spec: SweepSpec) -> str:
    """Return the engine of the method and the scheduler.

    Raises:
        SweepKitError: The scheduler is one that only W&B's own program can run.
    """
    scheduler = spec.scheduler
    if scheduler is not None:
        if scheduler.source is not None:
            raise SweepKitError(
                f"{_where(spec)}scheduler.source: a scheduler's own program is not run, got {scheduler.source!r}; "
                "leave it out to search with TPE, or use `wandb sweep-scheduler`"
            )
        if scheduler.engine == "optuna" and spec.method is Method.CUSTOM:
            return "tpe"
        if scheduler.engine != "wandb":
            raise SweepKitError(
                f"{_where(spec)}scheduler.engine: must be optuna (with method custom) or wandb, "
                f"got {scheduler.engine!r} with method {spec.method}"
            )
    if spec.method is Method.CUSTOM:
        raise SweepKitError(
            f"{_where(spec)}method: custom needs `scheduler: {{engine: optuna}}`, "
            f"got {'engine wandb' if scheduler else 'no scheduler'}; or use grid, random or bayes"
        )
    return {Method.GRID: "grid", Method.RANDOM: "random"}.get(spec.method, "gp")


def _where(spec: SweepSpec) -> str:
    return f"{spec.source}: " if spec.source else ""
