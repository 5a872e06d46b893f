"""The trial that an objective gets in a run of its own: what Optuna's trial does, asked of the study over a line.

Suggestions, reports and verdicts come from the study that the agent keeps (`search.objective_engine`), so samplers and
pruners, also a user's own, work as in `study.optimize`. An objective sees Optuna's names and errors alone.
"""

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.trial import BaseTrial

Ask = Callable[[dict[str, Any]], dict[str, Any]]
_SIMPLE = (bool, int, float, str)
_DEPRECATED = "{name} has been deprecated in Optuna 3; write suggest_float(…{instead}) in its place"


class ObjectiveTrial(BaseTrial):
    """A trial of a study that another process keeps.

    Args:
        number: Of the run, from 0.
        ask: Sends a question to the study and returns its answer.
        suggested: Told of every new suggestion: {"name", "value", "distribution"}.
        reported: Told of every intermediate value: value, step.
        attributed: Told of all user attributes when one is set.
    """

    def __init__(
        self,
        number: int,
        ask: Ask,
        *,
        suggested: Callable[[dict[str, Any]], None] = lambda _: None,
        reported: Callable[[float, int], None] = lambda *_: None,
        attributed: Callable[[Mapping[str, Any]], None] = lambda _: None,
    ) -> None:
        self._number = number
        self._ask = ask
        self._tell_suggested, self._tell_reported, self._tell_attributed = suggested, reported, attributed
        self._params: dict[str, Any] = {}
        self._distributions: dict[str, BaseDistribution] = {}
        self._user_attrs: dict[str, Any] = {}
        self._constraints: Any = None
        self._steps: set[int] = set()

    # -- suggestions --------------------------------------------------------------------------------------------------

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Suggest a number in [low, high]."""
        return float(self._suggest(name, FloatDistribution(low, high, log=log, step=step)))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """Suggest a whole number in [low, high]."""
        return int(self._suggest(name, IntDistribution(low, high, log=log, step=step)))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Suggest one of the choices."""
        return self._suggest(name, CategoricalDistribution(choices))

    def suggest_uniform(self, name: str, low: float, high: float) -> float:
        """Suggest a number in [low, high]; deprecated."""
        _deprecated("suggest_uniform", "")
        return self.suggest_float(name, low, high)

    def suggest_loguniform(self, name: str, low: float, high: float) -> float:
        """Suggest a number in [low, high] on a logarithmic scale; deprecated."""
        _deprecated("suggest_loguniform", ", log=True")
        return self.suggest_float(name, low, high, log=True)

    def suggest_discrete_uniform(self, name: str, low: float, high: float, q: float) -> float:
        """Suggest a number in [low, high], `q` apart; deprecated."""
        _deprecated("suggest_discrete_uniform", ", step=…")
        return self.suggest_float(name, low, high, step=q)

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        if name in self._params:
            before = self._distributions[name]
            optuna.distributions.check_distribution_compatibility(before, distribution)
            return self._params[name]
        plain = _plain(distribution)
        told = distribution_to_json(plain)
        internal = self._ask({"op": "suggest", "name": name, "distribution": told})["internal"]
        value = distribution.to_external_repr(internal)
        self._params[name], self._distributions[name] = value, distribution
        noted = {"name": name, "value": plain.to_external_repr(internal), "distribution": json.loads(told)}
        self._tell_suggested(noted)
        return value

    # -- reports ------------------------------------------------------------------------------------------------------

    def report(self, value: float, step: int) -> None:
        """Report an intermediate value; the first one of a step counts.

        Raises:
            TypeError: A value or a step is no number.
            ValueError: A step is negative.
        """
        try:
            value = float(value)
        except (TypeError, ValueError):
            raise TypeError(f"The `value` argument is of type '{type(value)}' but supposed to be a float.") from None
        try:
            step = int(step)
        except (TypeError, ValueError):
            raise TypeError(f"The `step` argument is of type '{type(step)}' but supposed to be an int.") from None
        if step < 0:
            raise ValueError(f"The `step` argument is {step} but cannot be negative.")
        if step in self._steps:
            warnings.warn(
                f"The reported value is ignored because this `step` {step} is already reported.", stacklevel=2
            )
            return
        self._steps.add(step)
        self._ask({"op": "report", "value": value, "step": step})
        self._tell_reported(value, step)

    def should_prune(self) -> bool:
        """Return whether the study's pruner ends the trial now."""
        return bool(self._ask({"op": "should_prune"})["prune"])

    def standing(self) -> str:
        """Return how far it has come, in words."""
        return f"at step {max(self._steps)}" if self._steps else "before its first report"

    # -- attributes ---------------------------------------------------------------------------------------------------

    def set_user_attr(self, key: str, value: Any) -> None:
        """Keep a value with the trial; it must have a JSON form."""
        self._user_attrs[key] = value
        self._ask({"op": "user_attr", "key": key, "value": value})
        self._tell_attributed(self._user_attrs)

    def set_constraint(self, *args: Any, **kwargs: Any) -> None:
        """Refuse: constraints are what a sampler's own `constraints_func` makes of user attributes."""
        raise NotImplementedError("set user attributes, and give the sampler a constraints_func that reads them")

    @property
    def number(self) -> int:
        """Return the number of its run, from 0."""
        return self._number

    @property
    def params(self) -> dict[str, Any]:
        """Return what was suggested so far."""
        return dict(self._params)

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Return what it was suggested from."""
        return dict(self._distributions)

    @property
    def user_attrs(self) -> dict[str, Any]:
        """Return the attributes that were set."""
        return dict(self._user_attrs)

    @property
    def constraints(self) -> Any:
        """Return None: a trial of ours has none of its own."""
        return self._constraints

    @property
    def datetime_start(self) -> None:
        """Return None: the record knows when the run began."""
        return None


def _plain(distribution: BaseDistribution) -> BaseDistribution:
    """Return a distribution that a record can hold: choices that are no plain values stand there by their text."""
    if not isinstance(distribution, CategoricalDistribution):
        return distribution
    choices = distribution.choices
    return CategoricalDistribution(
        [item if item is None or isinstance(item, _SIMPLE) else repr(item) for item in choices]
    )


def _deprecated(name: str, instead: str) -> None:
    warnings.warn(_DEPRECATED.format(name=name, instead=instead), FutureWarning, stacklevel=3)


def outcome_of(function: Callable[[Any], Any], trial: ObjectiveTrial, objectives: int) -> tuple[float, ...] | str:
    """Return the values of an objective for a trial, or why it was pruned.

    Args:
        function: The objective.
        trial: What it is called with.
        objectives: How many values it returns.

    Raises:
        ValueError: It returns no number, or not as many as there are directions.
    """
    try:
        returned = function(trial)
    except optuna.TrialPruned as pruned:
        return str(pruned) or trial.standing()
    values = returned if isinstance(returned, Sequence) and not isinstance(returned, str) else [returned]
    if len(values) != objectives:
        raise ValueError(
            f"The number of the values {len(values)} did not match the number of the objectives {objectives}."
        )
    try:
        return tuple(float(value) for value in values)
    except (TypeError, ValueError):
        raise ValueError(f"The value {returned!r} could not be cast to float.") from None
