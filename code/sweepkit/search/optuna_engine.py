"""Bayesian search: a Gaussian process of our own, Optuna's samplers, or both in turn on one history ("auto").

Optuna is imported when it is first asked, used in memory, and nothing of it outlives an ask: each one makes a study of
told runs in order of their number and a sampler seeded by `(seed, number)`. What the Gaussian process (`gp_member`)
keeps is a memo. So equal runs give equal proposals, in this process or the next.
What the samplers are made of and where they come from stands in `samplers`.
"""

import random
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sweepkit.model.metric import Goal, Metric
from sweepkit.model.runs import Exhausted, Proposal, RunView
from sweepkit.model.space import Space
from sweepkit.search.active_ask import ask_active
from sweepkit.search.coding import Coding, Scale, codings, fixed_values
from sweepkit.search.ledger import Ledger
from sweepkit.search.observations import Observation, ObservationState, observe, observe_several
from sweepkit.search.points import FinitePoints, SeenPoints, flat_key, nested, support_points
from sweepkit.search.qmc import QmcEngine
from sweepkit.search.random import derived_seed, draw, draw_new, pick_unseen
from sweepkit.search.samplers import (
    ATTEMPTS,
    NAMES,
    STARTED_EVENLY,
    CmaesHistory,
    ToldRun,
    frozen,
    kept_of,
    kind_for,
    make_sampler,
    nsga_attributes,
    options_of,
)

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.storages import InMemoryStorage
    from optuna.trial import FrozenTrial

    from sweepkit.search.gp_member import GpMember
    from sweepkit.search.gp_search import Shown


_FEW_LEFT = 500  # configurations of a finite space that are all looked at
_MAY_BE_TRIED = 0.499  # the chance of what fails more often than not is told as even, of what is barred as far less


@dataclass(frozen=True, slots=True, kw_only=True)
class _Snapshot:
    """Who proposes, and what it is shown: the runs as Optuna's samplers see them, and as the Gaussian process does."""

    kind: str
    told: list[ToldRun]
    pending: list[ToldRun]
    observed: int
    shown: "Shown | None" = None


class OptunaEngine:
    """Propose by one of Optuna's samplers, aware of pending runs, never the same configuration twice.

    Pending and running runs are shown to the sampler as running trials; every told configuration is refused when
    it comes up again. A prior run counts as an observation, not as a configuration of this sweep: it does not use
    up its point. One whose values the space cannot draw, or that lacks a parameter, is left out.

    Args:
        space: Any space.
        metric: What is optimized; several objectives as a sequence (not with "cmaes").
        seed: Seed of the search, >= 0.
        sampler: "gp", "tpe", "cmaes", "nsga", or "auto": the Gaussian process and TPE in turn.
        prior: Ended runs of other sweeps, in any order that is kept.
        options: The sampler's options, as `sweep_config.sampler.OPTIONS` names them.
        cost: Weigh improvements with how long runs take, as the Gaussian process learns it; TPE, which cannot, then
            has no turn. With one metric and "gp" or "auto".
    """

    def __init__(
        self,
        space: Space,
        metric: Metric | Sequence[Metric],
        *,
        seed: int,
        sampler: str,
        prior: Sequence[RunView] = (),
        options: Mapping[str, Any] | None = None,
        cost: bool = False,
    ) -> None:
        self._space = space
        self._metrics = (metric,) if isinstance(metric, Metric) else tuple(metric)
        self._seed = seed
        self._sampler = sampler
        self._options = dict(options or {})
        self._cost = cost
        self._cmaes: CmaesHistory | None = None
        self._gp: GpMember | None = None
        self._start = QmcEngine(space, seed=seed) if sampler in STARTED_EVENLY else None
        self._prior = tuple(prior)
        self._runs: dict[int, RunView] = {}
        self._codings = codings(space)
        self._fixed = fixed_values(space)
        self._points: FinitePoints | None = support_points(space)
        self._seen = SeenPoints()
        self._seen_keys: set[Hashable] = set()
        self._codes: dict[int, dict[str, float | int] | None] = {}
        self._drawable = 0  # how many of them the space can draw
        self._ledger = Ledger(self._metrics[0]) if len(self._metrics) == 1 else None
        self._trials: dict[int, tuple[tuple[float, ...], FrozenTrial]] = {}
        for number, run in enumerate(self._prior, -len(self._prior)):
            self._take_in(number, run.params)
            self._enter(number, run)

    def tell(self, run: RunView) -> None:
        """Take in the newest view of a run."""
        self._runs[run.number] = run
        known = run.number in self._codes
        if not known:
            self._take_in(run.number, run.params)
        self._enter(run.number, run)
        if known:
            return
        if self._start is not None:
            self._start.tell(run)
        self._seen_keys.add(flat_key(self._space, run.params))
        if self._points is not None and (index := self._points.index(run.params)) is not None:
            self._seen.add(index)

    def ask(self, number: int) -> Proposal | Exhausted:
        """Propose the configuration of run `number`."""
        generator = random.Random(derived_seed(self._seed, number))
        if self._points is not None:
            left = self._points.total - len(self._seen)
            if left <= 0:
                return Exhausted(reason=f"all {self._points.total} configurations have been proposed")
            if left == 1:
                return Proposal(params=pick_unseen(self._points, self._seen, generator), reason="the last one left")
        look = self._look(number)
        info = {"sampler": look.kind, "observed": look.observed, "pending": len(look.pending), "seed": self._seed}
        reason = f"{NAMES[look.kind]} over {look.observed} observed and {len(look.pending)} pending runs"
        risky: Proposal | None = None
        for attempt, (sampler, params, kept) in enumerate(self._candidates(look, number, generator)):
            if not self._is_new(params):
                continue
            came = "risky" if risky is not None else "told"
            note = "" if sampler == look.kind else f"{NAMES[sampler]}, as only {came} configurations came from "
            found = Proposal(params=params, reason=note + reason, info={**info, "attempt": attempt, **kept})
            if sampler != "tpe" or self._chance(look, params) > _MAY_BE_TRIED:
                return found
            risky = risky or found
        if risky is not None:
            return risky
        if self._points is None:
            params = draw_new(self._space, generator, self._is_new)
        else:
            params = pick_unseen(self._points, self._seen, generator)
        return Proposal(params=params, reason=f"a random unseen one, as only told ones came from {reason}", info=info)

    def total(self) -> int | None:
        """Return the number of distinct configurations, None when infinitely many."""
        return None if self._points is None else self._points.total

    def _is_new(self, params: dict[str, Any]) -> bool:
        if self._points is not None and (index := self._points.index(params)) is not None:
            return index not in self._seen
        return flat_key(self._space, params) not in self._seen_keys

    def _take_in(self, number: int, params: Mapping[str, Any]) -> None:
        self._codes[number] = codes = self._encode(params)
        self._drawable += codes is not None

    def _encode(self, params: Mapping[str, Any]) -> dict[str, float | int] | None:
        """Return the codes of the active parameters by trial parameter, None when the space cannot draw them."""
        flat = self._space.flatten(params)
        active = self._space.active({**self._fixed, **flat})
        codes: dict[str, float | int] = {}
        for index, coding in enumerate(self._codings):
            if coding.path not in active:
                continue
            code = coding.encode(flat[coding.path]) if coding.path in flat else None
            if code is None:
                return None
            codes[_name(index)] = code
        return codes

    def _enter(self, number: int, run: RunView) -> None:
        """Take a run that the space can draw into the ledger; another one only tells how bad runs can be."""
        if self._ledger is not None:
            self._ledger.tell(number, run, counts=self._codes[number] is not None)

    def _look(self, number: int) -> "_Snapshot":
        """Return who proposes, and what it is shown."""
        if self._ledger is None:
            told, pending = self._observations()
            kind = self._kind(number, len(told))
            shown = None
            if kind == "gp":
                shown = self._member().of_runs(told, pending, [metric.goal.sign for metric in self._metrics])
            return _Snapshot(kind=kind, told=told, pending=pending, observed=len(told), shown=shown)
        observed = self._ledger.told
        kind = self._kind(number, self._ledger.with_value)
        if kind in ("cmaes", "nsga"):
            told, pending = self._observations()
            return _Snapshot(kind=kind, told=told, pending=pending, observed=observed)
        shown = None
        if kind in ("gp", "tpe") and self._sampler in STARTED_EVENLY:
            sign = self._metrics[0].goal.sign
            shown = self._member().of_ledger(self._ledger, self._codes, number, sign)
            if self._cost:
                shown = self._member().with_seconds(shown, self._ledger, number, self._seconds)
        told = [self._told_run(run) for run in self._ledger.shown()]
        pending = [self._told_run(run) for run in self._ledger.waiting()]
        return _Snapshot(kind=kind, told=told, pending=pending, observed=observed, shown=shown)

    def _kind(self, number: int, observed: int) -> str:
        sampler = "gp" if self._cost else self._sampler
        return kind_for(sampler, number=number, observed=observed, asked=self._drawable, options=self._options)

    def _seconds(self, number: int) -> float | None:
        run = self._runs[number] if number >= 0 else self._prior[number]
        return run.seconds

    def _member(self) -> "GpMember":
        if self._gp is None:
            from sweepkit.search.gp_member import GpMember

            names = [_name(index) for index in range(len(self._codings))]
            noisy = not self._options.get("deterministic_objective", False)
            self._gp = GpMember(self._space, self._codings, self._fixed, names, noisy=noisy)
        return self._gp

    def _candidates(
        self, look: "_Snapshot", number: int, generator: random.Random
    ) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
        """Yield who proposes, a configuration, and what its run must bring back, until one is taken."""
        in_turn = look.kind == "tpe" and look.shown is not None
        for attempt, sampler in enumerate(ATTEMPTS["turn" if in_turn else look.kind]):
            seed = derived_seed(self._seed, number, attempt)
            if sampler == "random":
                yield sampler, draw(self._space, generator), {}
            elif sampler == "sobol" and self._start is not None:
                if isinstance(found := self._start.ask(number), Proposal):
                    yield sampler, dict(found.params), {}
            elif sampler == "gp" and look.shown is not None:
                for flat in self._member().propose(look.shown, seed, self._few_left()):
                    yield sampler, nested(self._space, flat), {}
            else:
                yield sampler, *self._sample(sampler, seed, look.told, look.pending, number)

    def _few_left(self) -> list[dict[str, float | int]]:
        """Return the codes of all configurations that are left, when they are few; [] else."""
        if self._points is None or self._points.total - len(self._seen) > _FEW_LEFT:
            return []
        left = (self._points.params(self._seen.unseen(i)) for i in range(self._points.total - len(self._seen)))
        return [codes for params in left if (codes := self._encode(params)) is not None]

    def _chance(self, look: "_Snapshot", params: Mapping[str, Any]) -> float:
        """Return the chance that a run ends with a value, as far as anybody learned it."""
        codes = None if look.shown is None else self._encode(params)
        return 1.0 if look.shown is None or codes is None else self._member().chance(look.shown, codes)

    def _told_run(self, number: int) -> ToldRun:
        run = self._runs[number] if number >= 0 else self._prior[number]
        values = self._ledger.values_of(number) if self._ledger is not None else ()
        return ToldRun(number=number, codes=self._codes[number] or {}, values=values, info=run.info)

    def _observations(self) -> tuple[list[ToldRun], list[ToldRun]]:
        """Return the runs that have values, prior ones first, then by number; and the pending ones."""
        numbers = sorted(self._runs)
        views = [*self._prior, *(self._runs[number] for number in numbers)]
        codes = [*(self._encode(run.params) for run in self._prior), *(self._codes[number] for number in numbers)]
        told: list[ToldRun] = []
        pending: list[ToldRun] = []
        several = len(self._metrics) > 1
        observed = observe_several(views, self._metrics) if several else observe(views, self._metrics[0])
        for place, (observation, code) in enumerate(zip(observed, codes, strict=True), -len(self._prior)):
            if code is not None:
                _sort_in(observation, code, told, pending, prior=place if place < 0 else None)
        return told, pending

    def _sample(
        self, kind: str, seed: int, told: list[ToldRun], pending: list[ToldRun], number: int
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what a fresh sampler proposes, decoded and nested, and what its run must bring back."""
        import optuna

        from sweepkit.search.shown_trials import numbered

        distributions = {_name(index): _optuna_distribution(coding) for index, coding in enumerate(self._codings)}
        conditional = bool(self._space.conditions)
        options = options_of(kind, self._sampler, self._options)
        if kind == "tpe" and conditional:
            options = {"group": options.get("multivariate", True), **options}
        kept: dict[str, Any] = {}
        with quiet_optuna():
            sampler = make_sampler(kind, options, seed=seed, objectives=len(self._metrics))
            rows: list[tuple[ToldRun, dict[str, Any]]] = [(run, {}) for run in told]
            if kind == "cmaes":
                rows, kept = self._cmaes_history(distributions).trials(told, pending)
            elif kind == "nsga":
                rows = [(run, nsga_attributes(sampler, run)) for run in told]
            directions = [optuna.study.StudyDirection[metric.goal.value.upper()] for metric in self._metrics]
            if kind == "tpe" and self._ledger is not None:
                storage = self._storage([*told, *pending], distributions, number)
                if told and not conditional and options.get("multivariate", True) and not options.get("group"):
                    _know_the_space(sampler, distributions)
                study = optuna.create_study(storage=storage, directions=directions, sampler=sampler)
            else:
                rows = [*rows, *((run, {}) for run in pending)]
                trials = [frozen(run, distributions, system) for run, system in rows]
                study = optuna.create_study(storage=numbered(trials), directions=directions, sampler=sampler)
            if conditional:
                asked = study.ask()
                flat = ask_active(asked, self._space, self._named(), self._fixed)
            else:
                asked = study.ask(fixed_distributions=distributions)
                decoded = {coding.path: coding.decode(asked.params[name]) for name, coding in self._named().items()}
                flat = {**self._fixed, **decoded}
            if kind in ("cmaes", "nsga"):
                kept |= kept_of(kind, study.get_trials(deepcopy=False)[-1].system_attrs)
        return nested(self._space, flat), kept

    def _storage(
        self, runs: Sequence[ToldRun], distributions: "Mapping[str, BaseDistribution]", number: int
    ) -> "InMemoryStorage":
        """Return runs as the trials of a study, each made once."""
        from sweepkit.search.shown_trials import ShownTrials

        trials = []
        for run in runs:
            values, trial = self._trials.get(run.number, ((), None))
            if trial is None or values != run.values:
                trial = frozen(run, distributions, {})
                trial.number = run.number
                self._trials[run.number] = run.values, trial
            trials.append(trial)
        return ShownTrials(sorted(trials, key=lambda trial: trial.number), number)

    def _named(self) -> dict[str, Coding]:
        """Return the codings by the names of their trial parameters."""
        return {_name(index): coding for index, coding in enumerate(self._codings)}

    def _cmaes_history(self, distributions: "dict[str, BaseDistribution]") -> CmaesHistory:
        """Return the one history of this engine, so that it remembers."""
        if self._cmaes is None:
            maximize = self._metrics[0].goal is Goal.MAXIMIZE
            self._cmaes = CmaesHistory(distributions, maximize=maximize, options=self._options)
        return self._cmaes


def _know_the_space(sampler: "BaseSampler", distributions: "Mapping[str, BaseDistribution]") -> None:
    """Tell a sampler what it would find out by comparing all trials: each of them has every parameter."""
    space = {name: distributions[name] for name in sorted(distributions) if not distributions[name].single()}
    sampler.infer_relative_search_space = lambda study, trial: space  # type: ignore[method-assign]


def _name(index: int) -> str:
    """Return the trial parameter of a coding; padded, since Optuna sorts by name."""
    return f"p{index:05d}"


def _sort_in(
    observation: Observation, codes: dict[str, Any], told: list[ToldRun], pending: list[ToldRun], *, prior: int | None
) -> None:
    number = observation.run.number if prior is None else prior
    run = ToldRun(number=number, codes=codes, values=observation.values, info=observation.run.info)
    if observation.state is ObservationState.TOLD:
        told.append(run)
    elif observation.state is ObservationState.PENDING:
        pending.append(run)


def _optuna_distribution(coding: Coding) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if coding.scale is Scale.CHOICE:
        return CategoricalDistribution(range(int(coding.high) + 1))
    if coding.scale is Scale.INTEGER:
        return IntDistribution(int(coding.low), int(coding.high))
    return FloatDistribution(coding.low, coding.high, log=coding.scale is Scale.LOG)


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Keep Optuna's own log silent for the moment, then as the user had it."""
    from optuna import logging

    before = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(before)
