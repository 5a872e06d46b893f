"""The sweep that an Optuna configuration asks for: a W&B-style dictionary with our `sweepkit:` keys.

How a parameter of Optuna is drawn by W&B's distributions, so that bounds, scale, step and choices stay the same:

    float                       uniform                      float, log       log_uniform_values
    int                         int_uniform                  int, log         q_log_uniform_values with q: 1
    a step, low a multiple      q_uniform, half a step wider else             values, listed
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sweepkit.model.distributions import Distribution, Kind
from sweepkit.model.space import Parameter, Space
from sweepkit.studies.narrowing import even_steps, space_tree, with_constants
from sweepkit.studies.yaml.optuna_values import OptunaConfig, SearchParameter

PROGRAM = "trainer.py"
_PRELOAD: Mapping[str, str] = {"summarization": "sweepkit.training.preload"}
_IMAGES_PRELOAD = "sweepkit.training.images.preload"
# Methods of W&B that are samplers of their own.
_OWN_METHOD = ("grid", "random")
_MOST_LISTED = 10_000


def sweep_dict(
    config: OptunaConfig,
    *,
    n_trials: int | None = None,
    name: str | None = None,
    space: Space | None = None,
    sampler: Mapping[str, Any] | None = None,
    extensions: Mapping[str, Any] | None = None,
    description: str | None = None,
) -> dict[str, Any]:
    """Return the sweep of a study, or of one phase of it.

    Args:
        config: The study.
        n_trials: Runs of the sweep in place of the study's, >= 1.
        name: The sweep's name in place of the study's.
        space: What is searched in place of the study's own space; the study's constants are in it already.
        sampler: `name` and options in place of the study's.
        extensions: More keys for `sweepkit:`; None for one takes it out.
        description: The sweep's.

    Returns:
        A dictionary that `sweepkit.sweep_config.read.from_config` takes.
    """
    chosen = dict(sampler or config.sampler)
    grid = chosen["name"] == "grid"
    space = space_of(config, listed=grid) if space is None else space
    sweep: dict[str, Any] = {"name": name or config.study_name}
    if description is not None:
        sweep["description"] = description
    if config.project is not None:
        sweep["project"] = config.project
    sweep |= {"program": PROGRAM, **_method(config, chosen["name"])}
    cap = n_trials or config.n_trials
    if cap is not None and (not grid or n_trials is not None):
        sweep["run_cap"] = cap
    sweep["parameters"] = space_tree(space)
    ours = _extensions(config, chosen, space) | dict(extensions or {})
    sweep["sweepkit"] = {key: value for key, value in ours.items() if value is not None}
    return sweep


def space_of(config: OptunaConfig, *, listed: bool = False) -> Space:
    """Return a study's search space with its constants.

    Args:
        config: The study.
        listed: Every parameter lists its values, for a grid; one that cannot stays as it is, and a grid refuses it.
    """
    parameters = [
        Parameter(path=(item.name,), distribution=_distribution_of(item, listed=listed)) for item in config.parameters
    ]
    space = Space(parameters=tuple(sorted(parameters, key=lambda item: item.path)))
    return with_constants(space, config.constants)


def _distribution_of(parameter: SearchParameter, *, listed: bool = False) -> Distribution:
    """Return the distribution of W&B that draws what the parameter says.

    Args:
        parameter: The parameter.
        listed: List its values where there are at most 10,000 of them.

    >>> _distribution_of(SearchParameter(name="r", kind="int", low=4, high=64, step=4)).kind.value
    'q_uniform'
    """
    low, high, step = parameter.low, parameter.high, parameter.step
    if parameter.kind == "categorical":
        if len(parameter.choices) == 1:
            return Distribution(kind=Kind.CONSTANT, values=parameter.choices)
        return Distribution(kind=Kind.CATEGORICAL, values=parameter.choices)
    assert low is not None and high is not None
    lattice = values_of(parameter) if listed or (step is not None and _off_lattice(low, step)) else ()
    if lattice:
        return Distribution(kind=Kind.CATEGORICAL, values=lattice)
    if step is not None:
        return even_steps(low, high, step)
    if parameter.kind == "int":
        if parameter.log:
            return Distribution(kind=Kind.Q_LOG_UNIFORM_VALUES, min=low, max=high, q=1)
        return Distribution(kind=Kind.INT_UNIFORM, min=low, max=high)
    kind = Kind.LOG_UNIFORM_VALUES if parameter.log else Kind.UNIFORM
    return Distribution(kind=kind, min=float(low), max=float(high))


def values_of(parameter: SearchParameter) -> tuple[Any, ...]:
    """Return the values of a parameter that has few of them, in order; () when they are too many or infinitely many."""
    if parameter.kind == "categorical":
        return parameter.choices
    step = parameter.step if parameter.step is not None else 1 if parameter.kind == "int" else None
    if step is None or parameter.low is None or parameter.high is None:
        return ()
    # Decimals: 0.1 + 2 * 0.1 is 0.30000000000000004 in floats, and 0.3 is what the user means.
    low, high, exact = (Decimal(str(number)) for number in (parameter.low, parameter.high, step))
    count = int((high - low) / exact) + 1
    if count > _MOST_LISTED:
        return ()
    whole = parameter.kind == "int"
    return tuple(int(low + index * exact) if whole else float(low + index * exact) for index in range(count))


def _off_lattice(low: float | int, step: float | int) -> bool:
    """Return whether low is no multiple of the step: W&B's q_uniform draws multiples of q, Optuna counts from low."""
    return bool(Decimal(str(low)) % Decimal(str(step)))


def _method(config: OptunaConfig, sampler: str) -> dict[str, Any]:
    """Return method and metric(s): several objectives are W&B's `method: custom` with Optuna as its scheduler."""
    objectives = [{"name": item.metric, "goal": item.goal.value} for item in config.objectives]
    if len(objectives) > 1:
        return {"method": "custom", "metrics": objectives, "scheduler": {"engine": "optuna"}}
    return {"method": sampler if sampler in _OWN_METHOD else "bayes", "metric": objectives[0]}


def _extensions(config: OptunaConfig, sampler: Mapping[str, Any], space: Space) -> dict[str, Any]:
    """Return the keys under `sweepkit:`."""
    bare = set(sampler) == {"name"}
    own_method = sampler["name"] in _OWN_METHOD and len(config.objectives) == 1 and bare
    preload = _PRELOAD.get(config.task, _IMAGES_PRELOAD)
    return {
        "seed": config.seed,
        "sampler": None if own_method else sampler["name"] if bare else dict(sampler),
        "early_terminate": dict(config.pruning) or None,
        "conditions": _conditions_in(config.conditions, space) or None,
        "time_budget_s": config.timeout_s,
        "base_config": config.base_config,
        "wandb": dict(config.wandb) or None,
        "preload": [preload],
        **config.extensions,
    }


def _conditions_in(conditions: Mapping[str, Any], space: Space) -> dict[str, Any]:
    """Return the conditions that a part of the space still has: of parameters in it whose parents are in it, too."""
    present = {parameter.name for parameter in space.parameters}
    return {
        name: node
        for name, node in conditions.items()
        if not isinstance(node, Mapping)
        or (name in present and _parents(node) <= present)
        or not isinstance(node.get("when"), Mapping)
    }


def _parents(node: Mapping[str, Any]) -> set[str]:
    when = node.get("when")
    return set(when) if isinstance(when, Mapping) else set()


def full_parameters(config: OptunaConfig, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's parameters without those of `quick_validation`: what a final training is given.

    Args:
        config: The study.
        params: The parameters of a run, by name.
    """
    return {name: value for name, value in params.items() if name not in config.quick}
