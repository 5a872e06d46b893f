"""The engine of a sweep: which one its YAML, the command line and its method ask for."""

import importlib.util
from collections.abc import Sequence

from sweepkit.errors import SweepKitError
from sweepkit.search.base import Engine
from sweepkit.search.grid import GridEngine
from sweepkit.search.optuna_engine import OptunaEngine
from sweepkit.search.qmc import QmcEngine
from sweepkit.search.random import RandomEngine
from sweepkit.search.samplers import numeric_parameters
from sweepkit.spec.runs import RunView
from sweepkit.spec.sampler import ONE_METRIC, SAMPLERS
from sweepkit.spec.sweep import Method, SweepSpec

_SYNONYMS = {"bayes": "gp", "gaussian_process": "gp"}


def make_engine(spec: SweepSpec, *, seed: int, sampler: str | None = None, prior: Sequence[RunView] = ()) -> Engine:
    """Return the engine of a sweep, told nothing yet but `prior`.

    Args:
        spec: The sweep.
        seed: Seed of the search, >= 0.
        sampler: A name of `spec.sampler.SAMPLERS`, or "bayes" for "gp", before `sweepkit.sampler` and the method. The
            options of `sweepkit.sampler` hold when it names the same one.
        prior: Ended runs of other sweeps. Their values teach those that learn; no engine takes their points or
            their numbers for its own.

    Raises:
        SweepKitError: The sweep and the sampler do not go together, or the engine is not one of ours.
    """
    name = _engine_name(spec, sampler)
    own = spec.extensions.sampler
    options = own.options if own is not None and own.name == name else {}
    if name == "grid":
        return GridEngine(spec.space, any_finite=spec.method is not Method.GRID)
    if name == "random":
        return RandomEngine(spec.space, seed=seed)
    if name == "qmc":
        return QmcEngine(spec.space, seed=seed, **options)
    _check_objectives(spec, name)
    return OptunaEngine(spec.space, spec.objectives, seed=seed, sampler=name, prior=prior, options=options)


def _check_objectives(spec: SweepSpec, name: str) -> None:
    """Refuse what one of Optuna's samplers cannot optimize."""
    if not spec.objectives:
        raise SweepKitError(
            f"{_where(spec)}metric: engine {name} needs a metric to optimize, got none; "
            "name it under `metric:`, or use method random or grid"
        )
    if name in ONE_METRIC and len(spec.objectives) > 1:
        raise SweepKitError(
            f"{_where(spec)}metrics: sampler {name} optimizes one metric, got {len(spec.objectives)}; "
            "use tpe, nsga, gp, random, qmc or auto"
        )
    if name != "cmaes":
        return
    if importlib.util.find_spec("cmaes") is None:
        raise SweepKitError(
            f"{_where(spec)}sweepkit.sampler: cmaes needs the package cmaes, which is not installed; "
            "pip install -r requirements.txt"
        )
    if numeric_parameters(spec.space) < 1:
        raise SweepKitError(
            f"{_where(spec)}sweepkit.sampler: cmaes needs a numeric parameter, got unordered choices only; "
            "use tpe, or give bounds in place of values"
        )


def _engine_name(spec: SweepSpec, sampler: str | None) -> str:
    """Return the name of an engine."""
    origin = "--sampler" if sampler is not None else "sweepkit.sampler"
    recorded = spec.extensions.sampler
    asked = sampler if sampler is not None else recorded.name if recorded is not None else None
    own = _own_engine(spec)
    if asked is None:
        return own
    if own == "grid" and asked != "grid":
        raise SweepKitError(
            f"{_where(spec)}{origin}: method grid takes no sampler, got {asked!r}; leave it out or change the method"
        )
    chosen = _SYNONYMS.get(asked, asked)
    if chosen not in SAMPLERS:
        raise SweepKitError(f"{_where(spec)}{origin}: must be one of {', '.join(SAMPLERS)}, got {asked!r}")
    return chosen


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
