"""The engine of a sweep: which one its YAML, the command line and its method ask for."""

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

from sweepkit.errors import SweepKitError
from sweepkit.model.runs import RunView
from sweepkit.search.active_ask import sampler_for
from sweepkit.search.base import Engine
from sweepkit.search.define_by_run import DefineByRunEngine, SpaceFunction
from sweepkit.search.first_points import FirstPoints
from sweepkit.search.grid import GridEngine
from sweepkit.search.optuna_engine import OptunaEngine
from sweepkit.search.qmc import QmcEngine
from sweepkit.search.random import RandomEngine
from sweepkit.search.samplers import numeric_parameters
from sweepkit.search.seeded import SeededEngine, averaged_prior, seed_path
from sweepkit.sweep_config.first_points import flat_point
from sweepkit.sweep_config.sampler import LEARN_COST, ONE_METRIC, SAMPLERS
from sweepkit.sweep_config.sweep import Method, SweepSpec

_SYNONYMS = {"bayes": "auto", "gaussian_process": "gp"}


def make_engine(
    spec: SweepSpec,
    *,
    seed: int,
    sampler: str | None = None,
    prior: Sequence[RunView] = (),
    function: SpaceFunction | None = None,
) -> Engine:
    """Return the engine of a sweep, told nothing yet but `prior`; with `seeds_per_run` around that of configurations.

    Args:
        spec: The sweep.
        seed: Seed of the search, >= 0.
        sampler: A name of `SAMPLERS`, or "bayes" for "auto", before `sweepkit.sampler` and the method. The
            options of `sweepkit.sampler` hold when it names the same one.
        prior: Ended runs of other sweeps. Their values teach those that learn; no engine takes their points or
            their numbers for its own.
        function: What `sweepkit.search_space` names, loaded; needed by a sweep that has it.

    Raises:
        SweepKitError: The sweep and the sampler do not go together, or the engine is not one of ours.
    """
    seeds = spec.extensions.seeds_per_run
    if seeds is None:
        return _make_plain(spec, seed=seed, sampler=sampler, prior=prior, function=function)
    inner = _make_plain(spec, seed=seed, sampler=sampler, prior=averaged_prior(prior, spec), function=function)
    return SeededEngine(inner, seeds, objectives=spec.objectives, path=seed_path(spec))


def _make_plain(
    spec: SweepSpec, *, seed: int, sampler: str | None, prior: Sequence[RunView], function: SpaceFunction | None
) -> Engine:
    """Return the engine of a sweep's configurations, with those that the user names first."""
    inner = _make_searching(spec, seed=seed, sampler=sampler, prior=prior, function=function)
    points = [flat_point(point, spec.space) for point in spec.extensions.first_points]
    return FirstPoints(inner, points, spec.space, seed=seed) if points else inner


def _make_searching(
    spec: SweepSpec, *, seed: int, sampler: str | None, prior: Sequence[RunView], function: SpaceFunction | None
) -> Engine:
    """Return the engine that the method, the YAML or the command line names."""
    name = _engine_name(spec, sampler)
    own = spec.extensions.sampler
    options = own.options if own is not None and own.name == name else {}
    if spec.extensions.search_space is not None:
        return _define_by_run(spec, function, name, seed=seed, prior=prior, options=options)
    if name == "grid":
        return GridEngine(spec.space, any_finite=spec.method is not Method.GRID)
    if name == "random":
        return RandomEngine(spec.space, seed=seed)
    if name == "qmc":
        return QmcEngine(spec.space, seed=seed, **options)
    _check_objectives(spec, name)
    if spec.extensions.cost is not None and name not in LEARN_COST:
        raise SweepKitError(
            f"{_where(spec)}sweepkit.cost: needs sampler {' or '.join(LEARN_COST)}, which learn durations, got {name}"
        )
    cost = spec.extensions.cost is not None
    return OptunaEngine(spec.space, spec.objectives, seed=seed, sampler=name, prior=prior, options=options, cost=cost)


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
            f"{_where(spec)}sweepkit.sampler: cmaes needs the package cmaes, which is not installed; pip install cmaes"
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
    own, known = _own_engine(spec), spec.extensions.search_space is None
    if asked is None:
        return sampler_for(own, known=known, asked=False) if _varies_by_run(spec) else own
    if own == "grid" and asked != "grid":
        raise SweepKitError(
            f"{_where(spec)}{origin}: method grid takes no sampler, got {asked!r}; leave it out or change the method"
        )
    chosen = _SYNONYMS.get(asked, asked)
    if chosen not in SAMPLERS:
        raise SweepKitError(f"{_where(spec)}{origin}: must be one of {', '.join(SAMPLERS)}, got {asked!r}")
    if not _varies_by_run(spec):
        return chosen
    try:
        return sampler_for(chosen, known=known, asked=True)
    except SweepKitError as error:
        raise SweepKitError(f"{_where(spec)}{origin}: {error}") from None


def _varies_by_run(spec: SweepSpec) -> bool:
    """Return whether a run may lack parameters that others have."""
    return bool(spec.space.conditions) or spec.extensions.search_space is not None


def _define_by_run(
    spec: SweepSpec,
    function: SpaceFunction | None,
    name: str,
    *,
    seed: int,
    prior: Sequence[RunView],
    options: Mapping[str, Any],
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
    return DefineByRunEngine(function, spec.metric, seed=seed, sampler=name, fixed=fixed, prior=prior, options=options)


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
    return {Method.GRID: "grid", Method.RANDOM: "random"}.get(spec.method, "auto")


def _where(spec: SweepSpec) -> str:
    return f"{spec.source}: " if spec.source else ""
