"""Optuna's samplers: how each is made from its options, and what keeps those alive that go by generations.

**Generations.** Optuna keeps the state of CMA-ES and NSGA in attributes of its trials. Our trials live for one ask, so
a proposal notes what its run must bring back (`Proposal.info`, given back as `RunView.info`):

* `generation`, from 0, of the run, for both;
* `parents`, for CMA-ES: the numbers of the runs whose values ended the generation before. The distribution is made
  anew from these at each ask (its update draws nothing at random), so nothing pickled ever enters the record, and a
  straggler of an ended generation changes nothing;
* `x_for_tell`, for CMA-ES with margin: the point before it was rounded, which the update needs.

Sources: Optuna 5.0 `TPESampler` (Watanabe 2023, arXiv:2304.11127; several objectives: Ozaki et al. 2022, JAIR 73),
`CmaEsSampler` (Hansen 2016, arXiv:1604.00772; with margin: Hamano et al. 2022, arXiv:2205.13482), `NSGAIISampler` (Deb
et al. 2002), `NSGAIIISampler` (Deb and Jain 2014).
"""

import math
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sweepkit.model.space import Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.study import Study
    from optuna.trial import FrozenTrial

_POPULATION = 20  # of NSGA; Optuna's 50 would leave most sweeps in their first generation, which is random
# Runs before the sampler acts: Optuna's own numbers. NSGA's first generation is random anyway.
STARTUP_RUNS = 10
_STARTUP = {"tpe": STARTUP_RUNS, "gp": STARTUP_RUNS, "auto": STARTUP_RUNS, "cmaes": 1, "nsga": 0}
STARTED_EVENLY = ("gp", "auto")  # by a quasi-random sequence
# Who is asked, each time with a seed of its own, until a configuration comes that was not told; at last it is random.
# A Gaussian process likes a corner of the space again and again; TPE then looks around it.
ATTEMPTS: Mapping[str, Sequence[str]] = {
    "sobol": ("sobol", *["random"] * 31),
    "gp": ("gp", *["tpe"] * 6),
    "turn": (*["tpe"] * 3, "gp", *["tpe"] * 4),  # TPE beside a Gaussian process that knows where runs fail
    "tpe": ("tpe",) * 8,
    "cmaes": (*["cmaes"] * 4, *["tpe"] * 4),
    "nsga": ("nsga",) * 8,
    "random": ("random",) * 32,
}
NAMES = {
    "gp": "Gaussian process",
    "tpe": "TPE",
    "cmaes": "CMA-ES",
    "nsga": "NSGA",
    "random": "random start",
    "sobol": "quasi-random start",
}
_GENERATION = "generation"
_PARENTS = "parents"
_X_FOR_TELL = "x_for_tell"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldRun:
    """A run as a sampler is told it.

    Args:
        number: Of the run; negative for a prior one.
        codes: By trial parameter.
        values: One for each objective, finite; () while pending.
        info: What its proposal noted.
    """

    number: int
    codes: Mapping[str, Any]
    values: tuple[float, ...] = ()
    info: Mapping[str, Any]


def kind_for(sampler: str, *, number: int, observed: int, asked: int, options: Mapping[str, Any]) -> str:
    """Return who proposes next: "random", "sobol", "gp", "tpe", "cmaes" or "nsga".

    "auto" is the Gaussian process and TPE in turn, on one history: each wins where the other is weak (smooth and mixed
    spaces; plateaus of ordered values). The start of those three counts the runs that were asked for, so many workers
    get no longer one than a single worker does; it goes on while nothing at all is observed.

    Args:
        sampler: As asked for.
        number: Of the run.
        observed: Runs that have a value.
        asked: Runs in all, pending and failed ones too.
        options: The sampler's.
    """
    startup = options.get("n_startup_trials", _STARTUP[sampler])
    if sampler in STARTED_EVENLY:
        if asked < startup or not observed:
            return "sobol"
        return "gp" if sampler == "gp" or number % 2 == 0 else "tpe"
    if sampler == "tpe" and observed:
        observed = asked
    return "random" if observed < startup else sampler


def make_sampler(kind: str, options: Mapping[str, Any], *, seed: int, objectives: int = 1) -> "BaseSampler":
    """Return Optuna's sampler.

    Args:
        kind: "tpe", "cmaes" or "nsga".
        options: As the YAML names them (`sweep_config.sampler.OPTIONS`); absent ones have the defaults named there.
        seed: In [0, 2**32).
        objectives: How many there are: with four or more NSGA is NSGA-III by default.
    """
    from optuna import samplers

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "experimental", "deprecated": the user named the option and can read here
        if kind == "tpe":
            settings = {"multivariate": True, "constant_liar": True, "group": False, **options}
            return samplers.TPESampler(seed=seed, **settings)
        if kind == "cmaes":
            return samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False, **options)
        variant = options.get("variant", 2 if objectives < 4 else 3)
        settings = {"population_size": _POPULATION, **{k: v for k, v in options.items() if k != "variant"}}
        nsga = samplers.NSGAIISampler if variant == 2 else samplers.NSGAIIISampler
        return nsga(seed=seed, **settings)


def options_of(kind: str, sampler: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the options for `kind`: the user's when it is the one that was asked for, none when it stands in."""
    return options if kind == sampler else {}


def numeric_parameters(space: Space) -> int:
    """Return how many parameters vary and are no bare choices: those that CMA-ES adapts to."""
    from sweepkit.search.coding import Scale, codings

    return sum(coding.scale is not Scale.CHOICE for coding in codings(space))


def frozen(run: ToldRun, distributions: "Mapping[str, BaseDistribution]", system: Mapping[str, Any]) -> "FrozenTrial":
    """Return a run as a trial, complete when it has values and running otherwise."""
    from optuna.trial import TrialState, create_trial

    return create_trial(
        state=TrialState.COMPLETE if run.values else TrialState.RUNNING,
        values=run.values or None,
        params=dict(run.codes),
        distributions={name: distributions[name] for name in run.codes},
        system_attrs=dict(system),
    )


def kept_of(kind: str, system: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an asked trial's attributes add to what its run must bring back, for "cmaes" and "nsga"."""
    kept: dict[str, Any] = {}
    if kind == "nsga":
        kept[_GENERATION] = next(value for key, value in system.items() if key.endswith(f":{_GENERATION}"))
    elif _X_FOR_TELL in system:
        kept[_X_FOR_TELL] = list(system[_X_FOR_TELL])
    return kept


# -- NSGA ------------------------------------------------------------------------------------------------------------


def nsga_attributes(sampler: "BaseSampler", run: ToldRun) -> dict[str, Any]:
    """Return the trial attributes of a run for NSGA; runs without a generation (prior ones) belong to the first."""
    return {sampler._get_generation_key(): int(run.info.get(_GENERATION, 0))}  # type: ignore[attr-defined]


# -- CMA-ES ----------------------------------------------------------------------------------------------------------


class CmaesHistory:
    """Makes CMA-ES's distribution anew from the runs that ended its generations.

    What it remembers between calls is only a memo: equal runs give equal answers, in a fresh one too.

    Args:
        distributions: Of the trial parameters.
        maximize: Whether the metric is to be maximized.
        options: The sampler's.
    """

    def __init__(
        self, distributions: "Mapping[str, BaseDistribution]", *, maximize: bool, options: Mapping[str, Any]
    ) -> None:
        from optuna.distributions import CategoricalDistribution

        self._distributions = distributions
        self._direction: Literal["maximize", "minimize"] = "maximize" if maximize else "minimize"
        # Startup runs are counted by the engine; here every call is past them.
        self._options = {**options, "n_startup_trials": 0}
        numeric = sum(not isinstance(item, CategoricalDistribution) for item in distributions.values())
        self._population = 4 + math.floor(3 * math.log(max(1, numeric)))  # Hansen 2016, eq. 48, as in Optuna
        self._prefix = "cmawm:" if options.get("with_margin") else "cma:"
        self._memo: list[tuple[tuple[ToldRun, ...], dict[str, Any]]] = []

    def trials(
        self, told: Sequence[ToldRun], pending: Sequence[ToldRun]
    ) -> tuple[list[tuple[ToldRun, dict[str, Any]]], dict[str, Any]]:
        """Return the told runs with their attributes, and what a proposal made from them notes.

        The last trial carries the distribution, as Optuna leaves it there.
        """
        state: dict[str, Any] = {}
        generation, parents, used = 0, [], set[int]()
        while chosen := self._chosen(generation, told, pending, used):
            state = self._advanced(generation, tuple(chosen), state)
            generation, parents = generation + 1, [run.number for run in chosen]
            used.update(parents)
        rows = [(run, self._attributes(run)) for run in told]
        if rows:
            rows[-1][1].update(state)
        note: dict[str, Any] = {_GENERATION: generation}
        return rows, {**note, _PARENTS: parents} if parents else note

    def _chosen(
        self, generation: int, told: Sequence[ToldRun], pending: Sequence[ToldRun], used: Collection[int]
    ) -> list[ToldRun]:
        """Return the runs that end a generation, [] while it goes on: those that a later run names, else the first.

        Stragglers of generations before count like its own. (Optuna leaves them out: with eight runs at once that is
        every second run.)
        """
        following = [run for run in (*told, *pending) if run.info.get(_GENERATION) == generation + 1]
        by_number = {run.number: run for run in told}
        if following:
            named = min(following, key=lambda run: run.number).info.get(_PARENTS, ())
            if len(named) == self._population and all(number in by_number for number in named):
                return [by_number[number] for number in named]
        members = [run for run in told if self._can_be_told(run, generation) and run.number not in used]
        return members[: self._population] if len(members) >= self._population else []

    def _can_be_told(self, run: ToldRun, generation: int) -> bool:
        whole = self._prefix == "cma:" or _X_FOR_TELL in run.info
        return whole and run.info.get(_GENERATION, math.inf) <= generation

    def _attributes(self, run: ToldRun) -> dict[str, Any]:
        if _GENERATION not in run.info:
            return {}
        known = {f"{self._prefix}generation": run.info[_GENERATION]}
        return {**known, _X_FOR_TELL: run.info[_X_FOR_TELL]} if _X_FOR_TELL in run.info else known

    def _advanced(self, generation: int, chosen: tuple[ToldRun, ...], state: dict[str, Any]) -> dict[str, Any]:
        """Return the distribution after a generation: Optuna's own update, read from the trial that it leaves it in."""
        if len(self._memo) > generation and self._memo[generation][0] == chosen:
            return self._memo[generation][1]
        del self._memo[generation:]
        import optuna

        study: Study = optuna.create_study(
            direction=self._direction, sampler=make_sampler("cmaes", self._options, seed=0)
        )
        for index, run in enumerate(chosen):
            system = {**self._attributes(run), f"{self._prefix}generation": generation}
            study.add_trial(frozen(run, self._distributions, {**system, **(state if index == 0 else {})}))
        asked = study.ask(fixed_distributions=dict(self._distributions))
        attributes = study.get_trials(deepcopy=False)[asked.number].system_attrs
        after = {key: value for key, value in attributes.items() if key.startswith(f"{self._prefix}optimizer")}
        self._memo.append((chosen, after))
        return after
