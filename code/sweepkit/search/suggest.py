"""Our search spaces for users of Optuna: a trial's `suggest_…` calls make the values, as an objective of theirs does.

Every distribution of W&B is drawn as W&B means it. What Optuna has as well (ranges, logarithmic ones, steps, choices)
is suggested under the parameter's own name. What it has not (normal, beta, weighted choices, steps on a logarithmic
scale) is suggested as a quantile, named `<parameter> (quantile)`, and the value stands in the trial's user attribute
`param:<parameter>`, where the mirror puts it, too.

Optuna itself is not imported here: a trial is anything with these methods, so `optuna.trial.FixedTrial` serves as well.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sweepkit.model.distributions import Distribution, Kind, as_choice
from sweepkit.model.space import Parameter, Path, Space
from sweepkit.search.coding import Coding, Scale, codings, fixed_values

QUANTILE = " (quantile)"
ATTRIBUTE = "param:"
_STEPPED = (Kind.Q_UNIFORM, Kind.Q_LOG_UNIFORM, Kind.Q_LOG_UNIFORM_VALUES)
_LARGEST_WHOLE = 2**53  # Optuna's storages keep every number as a float
_MOST_STEPS = 10_000  # of a lattice that is told to Optuna as one; beyond, its quantile is as good


class Trial(Protocol):
    """What is asked of a trial; `optuna.Trial` and `optuna.trial.FixedTrial` have it."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Return a number in [low, high]."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """Return a whole number in [low, high]."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return one of the choices."""

    def set_user_attr(self, key: str, value: Any) -> None:
        """Keep a value with the trial."""


def suggest(space: Space, trial: Trial) -> dict[str, Any]:
    """Return a configuration of the space, nested as W&B nests it, from a trial's suggestions.

    Args:
        space: Any space. Parameters of one value are not suggested; they are in the configuration all the same. One
            whose condition does not hold is not asked for, and no part of the configuration.
        trial: Of Optuna. It is asked in the order of the space, by dotted names.

    Returns:
        Values that the space's distributions can draw, as native Python scalars.

    >>> class Lowest:
    ...     def suggest_float(self, name, low, high, *, step=None, log=False):
    ...         return low
    >>> lr = Distribution(kind=Kind.LOG_UNIFORM_VALUES, min=1e-5, max=1e-3)
    >>> suggest(Space(parameters=(Parameter(path=("optimizer", "lr"), distribution=lr),)), Lowest())
    {'optimizer': {'lr': 1e-05}}
    """
    coded = {coding.path: coding for coding in codings(space)}
    fixed = fixed_values(space)
    flat: dict[Path, Any] = {}
    for parameter in _parents_first(space):
        if not _is_active(space, parameter.path, flat):
            continue
        if parameter.path in coded:
            flat[parameter.path] = _value(coded[parameter.path], parameter.name, trial)
        else:
            flat[parameter.path] = fixed[parameter.path]
    return space.nest(flat)


def _parents_first(space: Space) -> list[Parameter]:
    """Return the parameters in the space's order, those with conditions last, a parent before its children."""
    conditions = [condition.path for condition in getattr(space, "conditions", ())]
    by_path = {parameter.path: parameter for parameter in space.parameters}
    return [*(p for p in space.parameters if p.path not in conditions), *(by_path[path] for path in conditions)]


def _is_active(space: Space, path: Path, flat: dict[Path, Any]) -> bool:
    """Return whether a parameter is part of a configuration whose parents' values are these."""
    conditional: Any = space
    return not getattr(space, "conditions", ()) or path in conditional.active(flat)


def _value(coding: Coding, name: str, trial: Trial) -> Any:
    """Return one parameter's value."""
    distribution = coding.distribution
    if coding.scale is Scale.CHOICE:
        return _chosen(distribution, name, trial)
    if coding.scale is Scale.INTEGER:
        return trial.suggest_int(name, int(coding.low), int(coding.high))
    if coding.scale is not Scale.UNIT:
        return trial.suggest_float(name, coding.low, coding.high, log=coding.scale is Scale.LOG)
    if distribution.kind is Kind.INT_UNIFORM and (bounds := distribution.bounds()) is not None:
        if max(abs(bound) for bound in bounds) <= _LARGEST_WHOLE:
            return trial.suggest_int(name, int(bounds[0]), int(bounds[1]))
    elif distribution.kind in _STEPPED and (lattice := _lattice(distribution)) is not None:
        if distribution.kind is Kind.Q_UNIFORM:
            return _on_lattice(distribution, lattice, name, trial)
        if lattice[0] >= 1 and all(type(number) is int for number in lattice) and lattice[2] == 1:
            return trial.suggest_int(name, int(lattice[0]), int(lattice[1]), log=True)
    value = coding.decode(trial.suggest_float(name + QUANTILE, coding.low, coding.high))
    trial.set_user_attr(ATTRIBUTE + name, as_choice(value))
    return value


def _chosen(distribution: Distribution, name: str, trial: Trial) -> Any:
    """Return one of the choices. Optuna keeps text, numbers, booleans and None; others are JSON text there."""
    size = distribution.support_size() or 0
    values = [distribution.support_value(index) for index in range(size)]
    shown = [as_choice(value) for value in values]
    if any(shown[index] in shown[:index] for index in range(size)):  # 1, 1.0 and True are one choice to Optuna
        shown = [json.dumps(value, ensure_ascii=False, sort_keys=True) for value in values]
    return values[shown.index(trial.suggest_categorical(name, shown))]


def _lattice(distribution: Distribution) -> tuple[float | int, float | int, float | int] | None:
    """Return least value, greatest value and step of a quantised range; None when Optuna cannot count so.

    A bound stands in where no multiple of q lies inside the range, which makes steps uneven.
    """
    size = distribution.support_size()
    if size is None or not 2 <= size <= _MOST_STEPS:
        return None
    step = 1.0 if distribution.q is None else distribution.q
    low, high = distribution.support_value(0), distribution.support_value(size - 1)
    if not math.isclose(high - low, (size - 1) * step, rel_tol=1e-9):
        return None
    return low, high, step


def _on_lattice(
    distribution: Distribution, lattice: tuple[float | int, float | int, float | int], name: str, trial: Trial
) -> Any:
    """Return a value of the lattice itself: Optuna's own sums of steps differ from it in the last digits."""
    low, high, step = lattice
    if all(isinstance(number, int) for number in lattice):
        return trial.suggest_int(name, int(low), int(high), step=int(step))
    given = trial.suggest_float(name, float(low), float(high), step=float(step))
    size = distribution.support_size() or 1
    return distribution.support_value(min(max(round((given - low) / step), 0), size - 1))


class Replay:
    """A trial that gives again what a recorded one was given.

    Args:
        params: Of the recorded trial, by the names that `suggest` asks for.

    Raises:
        KeyError: From `suggest`, when a parameter is missing.
    """

    def __init__(self, params: Mapping[str, Any]) -> None:
        self._params = params

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Return the recorded number."""
        return float(self._params[name])

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """Return the recorded whole number."""
        return int(self._params[name])

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return the recorded choice."""
        return self._params[name]

    def set_user_attr(self, key: str, value: Any) -> None:
        """Keep nothing."""
