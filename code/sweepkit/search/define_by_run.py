"""Define-by-run search: a function of the user's suggests the parameters of each run from a trial.

    def space(trial):
        model = trial.suggest_categorical("model", ["bart", "llama"])
        if model == "bart":
            return {"model": model, "num_beams": trial.suggest_int("num_beams", 2, 8)}
        return {"model": model, "temperature": trial.suggest_float("temperature", 0.5, 1.5)}

What was suggested, with its distribution, is noted in the proposal (`info["suggestions"]`) and comes back with the run,
so an engine is rebuilt from the record alone. A parameter keeps its distribution for the whole sweep: a model of one
whose range moves would compare what cannot be compared.

Source: Optuna 5.0, define-by-run (Akiba et al. 2019); `TPESampler(group=True)` as in `search.active_ask`.
"""

import json
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sweepkit.errors import SweepKitError
from sweepkit.model.distributions import content_key
from sweepkit.model.metric import Goal, Metric
from sweepkit.model.runs import Exhausted, Proposal, RunView
from sweepkit.search.observations import ObservationState, observe
from sweepkit.search.optuna_engine import quiet_optuna
from sweepkit.search.random import derived_seed
from sweepkit.search.samplers import STARTUP_RUNS, make_sampler

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial, Trial

SUGGESTIONS = "suggestions"
_TPE_ATTEMPTS = 8
# A space that has nothing new in so many random runs is taken for used up: nobody knows how large a function's is.
_RANDOM_ATTEMPTS = 200


class SpaceFunctionError(SweepKitError):
    """A search space function did what it must not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceFunction:
    """The user's function.

    Args:
        call: Takes a trial; returns the parameters, or None when they are what it suggested.
        name: As the YAML names it, "module:function".
        file: Where it was found, for messages.
    """

    call: Callable[[Any], Any]
    name: str
    file: str = ""

    def error(self, rule: str) -> SpaceFunctionError:
        """Return an error that says where."""
        place = f"{self.file}: " if self.file else ""
        return SpaceFunctionError(f"{place}search_space {self.name}: {rule}")


class _SuggestingTrial:
    """What a search space function gets: Optuna's suggestions, and nothing else of a trial.

    Args:
        trial: Optuna's.
        number: Of the run, from 0.
        function: For messages.
        known: The distributions of earlier runs.
    """

    def __init__(
        self, trial: "Trial", number: int, function: SpaceFunction, known: "Mapping[str, BaseDistribution]"
    ) -> None:
        self.number = number
        self.distributions: dict[str, BaseDistribution] = {}
        self.params: dict[str, Any] = {}
        self._trial = trial
        self._function = function
        self._known = known

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Suggest a number in [low, high], `step` apart from `low` on, or on a logarithmic scale."""
        from optuna.distributions import FloatDistribution

        return float(self._suggest(name, lambda: FloatDistribution(float(low), float(high), log=log, step=step)))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """Suggest a whole number in [low, high], `step` apart from `low` on, or on a logarithmic scale."""
        from optuna.distributions import IntDistribution

        return int(self._suggest(name, lambda: IntDistribution(int(low), int(high), log=log, step=step)))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Suggest one of the choices: text, numbers, true, false or None."""
        from optuna.distributions import CategoricalDistribution

        for choice in choices:
            if not (choice is None or type(choice) in (bool, int, float, str)):
                raise self._function.error(
                    f"choices of {name} must be text, numbers, true, false or None, got {choice!r}; "
                    "suggest a name for it and look it up"
                )
        return self._suggest(name, lambda: CategoricalDistribution(tuple(choices)))

    def suggest_loguniform(self, name: str, low: float, high: float) -> float:
        """Suggest a number on a logarithmic scale: Optuna's word of old for suggest_float(…, log=True)."""
        return self.suggest_float(name, low, high, log=True)

    def suggest_uniform(self, name: str, low: float, high: float) -> float:
        """Suggest a number: Optuna's word of old for suggest_float."""
        return self.suggest_float(name, low, high)

    def suggest_discrete_uniform(self, name: str, low: float, high: float, q: float) -> float:
        """Suggest a number, q apart from `low` on: Optuna's word of old for suggest_float(…, step=q)."""
        return self.suggest_float(name, low, high, step=q)

    def __getattr__(self, name: str) -> Any:
        """Tell what a trial here has not."""
        raise AttributeError(
            f"a search space function can call suggest_float, suggest_int and suggest_categorical of its trial, and "
            f"read number and params; it has no {name}"
        )

    def _suggest(self, name: str, make: "Callable[[], BaseDistribution]") -> Any:
        if not isinstance(name, str) or not name:
            raise self._function.error(f"a parameter's name must be text, got {name!r}")
        try:
            distribution = make()
        except (ValueError, TypeError) as error:
            raise self._function.error(f"{name}: {error}") from None
        for before, when in ((self.distributions.get(name), "this run"), (self._known.get(name), "earlier runs")):
            if before is not None and before != distribution:
                raise self._function.error(
                    f"{name} must have one distribution in all runs, got {distribution} after {before} in {when}; "
                    "give each case a name of its own, or start anew with --fresh"
                )
        self.distributions[name] = distribution
        self.params[name] = self._trial._suggest(name, distribution)
        return self.params[name]


@dataclass(frozen=True, slots=True)
class _Made:
    """What the function made of one trial."""

    params: dict[str, Any]
    suggestions: dict[str, Any]


class DefineByRunEngine:
    """Propose what a function suggests, guided by TPE or at random, never the same parameters twice.

    Args:
        function: The user's.
        metric: What is optimized; None with "random" only.
        seed: Seed of the search, >= 0.
        sampler: "tpe" or "random".
        fixed: Parameters that every run has besides, nested.
        prior: Ended runs of other sweeps; those without recorded suggestions are left out.
        options: Of "tpe", as `sweep_config.sampler.OPTIONS` names them.
    """

    def __init__(
        self,
        function: SpaceFunction,
        metric: Metric | None,
        *,
        seed: int,
        sampler: str,
        fixed: Mapping[str, Any] | None = None,
        prior: Sequence[RunView] = (),
        options: Mapping[str, Any] | None = None,
    ) -> None:
        # Groups: which parameters a run has is up to the function. They need a multivariate model.
        self._options = {"group": (options or {}).get("multivariate", True), **(options or {})}
        self._function = function
        self._metric = metric
        self._seed = seed
        self._sampler = sampler
        self._fixed = dict(fixed or {})
        self._prior = tuple(prior)
        self._runs: dict[int, RunView] = {}
        self._seen: set[Hashable] = set()

    def tell(self, run: RunView) -> None:
        """Take in the newest view of a run."""
        self._runs[run.number] = run
        self._seen.add(content_key(run.params))

    def ask(self, number: int) -> Proposal | Exhausted:
        """Propose the configuration of run `number`.

        Raises:
            SpaceFunctionError: The function raised, suggested nothing, returned what is no configuration, or changed a
                parameter's distribution.
        """
        known, trials, observed, pending = self._history()
        kind = (
            "tpe"
            if self._sampler == "tpe" and observed >= self._options.get("n_startup_trials", STARTUP_RUNS)
            else "random"
        )
        attempts = ["random"] * _RANDOM_ATTEMPTS
        if kind == "tpe":
            attempts = ["tpe"] * _TPE_ATTEMPTS + attempts
        info = {"sampler": kind, "observed": observed, "pending": pending, "seed": self._seed}
        reason = f"{'TPE' if kind == 'tpe' else 'random'} over {observed} observed and {pending} pending runs"
        for attempt, sampler in enumerate(attempts):
            made = self._sample(sampler, (number, attempt), known, trials)
            if content_key(made.params) not in self._seen:
                noted = {**info, "attempt": attempt, SUGGESTIONS: made.suggestions}
                return Proposal(params=made.params, reason=f"suggested by {self._function.name}, {reason}", info=noted)
        return Exhausted(reason=f"{_RANDOM_ATTEMPTS} suggestions of {self._function.name} brought nothing new")

    def total(self) -> int | None:
        """Return None: nobody knows how many configurations a function can suggest."""
        return None

    def _history(self) -> "tuple[dict[str, BaseDistribution], list[FrozenTrial], int, int]":
        """Return the distributions so far, the runs as trials, and how many have a value and how many are pending."""
        from optuna.trial import TrialState, create_trial

        views = [*self._prior, *(self._runs[number] for number in sorted(self._runs))]
        known: dict[str, BaseDistribution] = {}
        trials: list[FrozenTrial] = []
        observed = pending = 0
        observations = observe(views, self._metric) if self._metric is not None else ()
        for observation in observations:
            params, distributions = suggestions_of(observation.run.info)
            if not params or observation.state is ObservationState.UNKNOWN:
                continue
            told = observation.state is ObservationState.TOLD
            observed, pending = observed + told, pending + (not told)
            state = TrialState.COMPLETE if told else TrialState.RUNNING
            trials.append(
                create_trial(state=state, value=observation.value, params=params, distributions=distributions)
            )
        for view in self._runs.values():  # of this sweep's runs: an earlier sweep's function may have been another one
            for name, distribution in suggestions_of(view.info)[1].items():
                known.setdefault(name, distribution)
        return known, trials, observed, pending

    def _sample(
        self,
        sampler: str,
        place: tuple[int, int],
        known: "Mapping[str, BaseDistribution]",
        trials: "Sequence[FrozenTrial]",
    ) -> _Made:
        """Return what the function makes of a trial of a fresh sampler."""
        import optuna

        number, attempt = place
        goal = self._metric.goal if self._metric is not None else Goal.MINIMIZE
        with quiet_optuna():
            study = optuna.create_study(
                direction=goal.value, sampler=self._made_sampler(sampler, derived_seed(self._seed, number, attempt))
            )
            if sampler != "random":  # which looks at nothing, and may be asked 200 times
                study.add_trials(trials)
            trial = _SuggestingTrial(study.ask(), number, self._function, known)
            returned = self._call(trial)
        if not trial.params:
            raise self._function.error("must suggest at least one parameter, got none; call trial.suggest_…")
        params = dict(trial.params) if returned is None else self._plain(returned, "the returned value")
        suggestions = {
            name: {"value": value, "distribution": _as_json(trial.distributions[name])}
            for name, value in trial.params.items()
        }
        return _Made(self._merged(self._fixed, params, ""), suggestions)

    def _made_sampler(self, kind: str, seed: int) -> "BaseSampler":
        from optuna.samplers import RandomSampler

        return RandomSampler(seed=seed) if kind == "random" else make_sampler(kind, self._options, seed=seed)

    def _call(self, trial: _SuggestingTrial) -> Any:
        """Return what the function returns; what it raises is told with its line."""
        try:
            returned = self._function.call(trial)
        except SweepKitError:
            raise
        except Exception as error:
            number, frame = None, error.__traceback__
            while frame is not None:
                number = frame.tb_lineno if frame.tb_frame.f_code.co_filename == self._function.file else number
                frame = frame.tb_next
            line = "" if number is None else f" (line {number})"
            raise self._function.error(
                f"must not raise, got {type(error).__name__}{line}: {error}; it had suggested {trial.params}"
            ) from error
        if returned is not None and (not isinstance(returned, Mapping) or not returned):
            raise self._function.error(
                f"must return a dictionary of parameters, or nothing, got {returned!r} ({type(returned).__name__})"
            )
        return returned

    def _plain(self, value: Any, where: str) -> Any:
        """Return a value made of JSON's types only, as a copy."""
        if isinstance(value, Mapping):
            for key in value:
                if not isinstance(key, str):
                    raise self._function.error(f"a key of {where} must be text, got {key!r}")
            return {key: self._plain(item, key) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._plain(item, where) for item in value]
        if value is None or type(value) in (bool, int, str) or (type(value) is float and math.isfinite(value)):
            return value
        raise self._function.error(
            f"{where} must be a value that JSON has, got {value!r} ({type(value).__name__}); "
            "write float(…), int(…) or str(…)"
        )

    def _merged(self, fixed: Mapping[str, Any], found: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        """Return the fixed parameters and those of a run together."""
        merged = dict(fixed)
        for key, value in found.items():
            if key in fixed and isinstance(fixed[key], Mapping) and isinstance(value, Mapping):
                merged[key] = self._merged(fixed[key], value, f"{prefix}{key}.")
            elif key in fixed:
                raise self._function.error(
                    f"{prefix}{key} is fixed under parameters, got {value!r} for it; give it in one place"
                )
            else:
                merged[key] = value
        return merged


def suggestions_of(info: Mapping[str, Any]) -> "tuple[dict[str, Any], dict[str, BaseDistribution]]":
    """Return what a proposal noted: values and distributions by name; {} twice when it noted none."""
    from optuna.distributions import json_to_distribution

    noted = info.get(SUGGESTIONS) or {}
    values = {name: item["value"] for name, item in noted.items()}
    return values, {name: json_to_distribution(json.dumps(item["distribution"])) for name, item in noted.items()}


def _as_json(distribution: "BaseDistribution") -> Any:
    from optuna.distributions import distribution_to_json

    return json.loads(distribution_to_json(distribution))
