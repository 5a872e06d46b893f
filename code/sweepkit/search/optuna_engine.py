"""Bayesian search by Optuna's samplers, used in memory and rebuilt from the told runs at every ask.

The only module of the room that knows Optuna, which it imports when first asked. Nothing of Optuna outlives an ask:
each one makes a study of the told runs in order of their number and a sampler seeded by `(seed, number)`, so equal
runs give equal proposals, in this process or the next.
What the samplers are made of and where they come from stands in `samplers`.
"""

import random
import statistics
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sweepkit.model.metric import Goal, Metric
from sweepkit.model.runs import Exhausted, Proposal, RunView
from sweepkit.model.space import Space
from sweepkit.search.active_ask import ask_active
from sweepkit.search.coding import Coding, Scale, codings, fixed_values
from sweepkit.search.ledger import Ledger
from sweepkit.search.observations import Observation, ObservationState, observe, observe_several
from sweepkit.search.points import FinitePoints, SeenPoints, flat_key, nested, support_points
from sweepkit.search.random import derived_seed, draw, draw_new, pick_unseen
from sweepkit.search.samplers import (
    ATTEMPTS,
    NAMES,
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


class OptunaEngine:
    """Propose by one of Optuna's samplers, aware of pending runs, never the same configuration twice.

    Pending and running runs are shown to the sampler as running trials; every told configuration is refused when
    it comes up again. A prior run counts as an observation, not as a configuration of this sweep: it does not use
    up its point. One whose values the space cannot draw, or that lacks a parameter, is left out.

    Args:
        space: Any space.
        metric: What is optimized; several objectives as a sequence (not with "cmaes").
        seed: Seed of the search, >= 0.
        sampler: "gp" (TPE beyond 300 observed runs), "tpe", "cmaes", "nsga" or "auto".
        prior: Ended runs of other sweeps, in any order that is kept.
        options: The sampler's options, as `sweep_config.sampler.OPTIONS` names them.
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
    ) -> None:
        self._space = space
        self._metrics = (metric,) if isinstance(metric, Metric) else tuple(metric)
        self._seed = seed
        self._sampler = sampler
        self._options = dict(options or {})
        self._cmaes: CmaesHistory | None = None
        self._prior = tuple(prior)
        self._runs: dict[int, RunView] = {}
        self._codings = codings(space)
        self._fixed = fixed_values(space)
        self._points: FinitePoints | None = support_points(space)
        self._seen = SeenPoints()
        self._seen_keys: set[Hashable] = set()
        self._codes: dict[int, dict[str, float | int] | None] = {}
        self._ledger = Ledger(self._metrics[0]) if len(self._metrics) == 1 else None
        self._trials: dict[int, tuple[tuple[float, ...], FrozenTrial]] = {}
        for number, run in enumerate(self._prior, -len(self._prior)):
            self._codes[number] = self._encode(run)
            self._enter(number, run)

    def tell(self, run: RunView) -> None:
        """Take in the newest view of a run."""
        self._runs[run.number] = run
        known = run.number in self._codes
        if not known:
            self._codes[run.number] = self._encode(run)
        self._enter(run.number, run)
        if known:
            return
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
        kind, told, pending, observed = self._look()
        info = {"sampler": kind, "observed": observed, "pending": len(pending), "seed": self._seed}
        reason = f"{NAMES[kind]} over {observed} observed and {len(pending)} pending runs"
        for attempt, sampler in enumerate(ATTEMPTS[kind]):
            kept: dict[str, Any] = {}
            if sampler == "random":
                params = draw(self._space, generator)
            else:
                seed = derived_seed(self._seed, number, attempt)
                params, kept = self._sample(sampler, seed, told, pending, number)
            if self._is_new(params):
                note = "" if sampler == kind else f"{NAMES[sampler]}, as only told configurations came from "
                return Proposal(params=params, reason=note + reason, info={**info, "attempt": attempt, **kept})
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

    def _encode(self, run: RunView) -> dict[str, float | int] | None:
        """Return the codes of a run's active parameters by trial parameter, None when the space cannot draw it."""
        flat = self._space.flatten(run.params)
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

    def _look(self) -> tuple[str, list[ToldRun], list[ToldRun], int]:
        """Return who proposes, the told runs that it is shown, the pending ones, and how many are told in all."""
        if self._ledger is None:
            told, pending = self._observations()
            return self._kind(len(told)), told, pending, len(told)
        observed = self._ledger.told
        if (kind := self._kind(observed)) not in ("tpe", "random"):
            return kind, *self._observations(), observed
        told = [self._told_run(number) for number in self._ledger.shown()]
        return kind, told, [self._told_run(number) for number in self._ledger.waiting()], observed

    def _kind(self, observed: int) -> str:
        return kind_for(self._sampler, observed=observed, objectives=len(self._metrics), options=self._options)

    def _told_run(self, number: int) -> ToldRun:
        run = self._runs[number] if number >= 0 else self._prior[number]
        values = self._ledger.values_of(number) if self._ledger is not None else ()
        return ToldRun(number=number, codes=self._codes[number] or {}, values=values, info=run.info)

    def _observations(self) -> tuple[list[ToldRun], list[ToldRun]]:
        """Return the runs that have values, prior ones first, then by number; and the pending ones."""
        numbers = sorted(self._runs)
        views = [*self._prior, *(self._runs[number] for number in numbers)]
        codes = [*(self._encode(run) for run in self._prior), *(self._codes[number] for number in numbers)]
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

        distributions = {_name(index): _optuna_distribution(coding) for index, coding in enumerate(self._codings)}
        conditional = bool(self._space.conditions)
        options = options_of(kind, self._sampler, self._options)
        if kind == "tpe" and conditional:
            options = {"group": options.get("multivariate", True), **options}
        shown = _winsorised_runs(told, self._metrics) if kind == "gp" else told
        kept: dict[str, Any] = {}
        with quiet_optuna():
            sampler = make_sampler(kind, options, seed=seed, objectives=len(self._metrics))
            rows: list[tuple[ToldRun, dict[str, Any]]] = [(run, {}) for run in shown]
            if kind == "cmaes":
                rows, kept = self._cmaes_history(distributions).trials(told, pending)
            elif kind == "nsga":
                rows = [(run, nsga_attributes(sampler, run)) for run in shown]
            directions = [optuna.study.StudyDirection[metric.goal.value.upper()] for metric in self._metrics]
            if kind == "tpe" and self._ledger is not None:
                storage = self._storage([*told, *pending], distributions, number)
                if told and not conditional and options.get("multivariate", True) and not options.get("group"):
                    _know_the_space(sampler, distributions)
                study = optuna.create_study(storage=storage, directions=directions, sampler=sampler)
            else:
                study = optuna.create_study(directions=directions, sampler=sampler)
                study.add_trials([frozen(run, distributions, system) for run, system in rows])
                study.add_trials([frozen(run, distributions, {}) for run in pending])
            if conditional:
                asked = study.ask()
                flat = ask_active(asked, self._space, self._named(), self._fixed)
            else:
                asked = study.ask(fixed_distributions=distributions)
                decoded = {coding.path: coding.decode(asked.params[name]) for name, coding in self._named().items()}
                flat = {**self._fixed, **decoded}
            if kind in ("cmaes", "nsga"):
                kept |= kept_of(kind, study.trials[asked.number].system_attrs)
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


def _winsorised_runs(told: list[ToldRun], metrics: Sequence[Metric]) -> list[ToldRun]:
    """Return the runs with the bad outliers of every objective cut."""
    if len(told) < 2:
        return told
    columns = [
        _winsorised(list(column), metric.goal)
        for column, metric in zip(zip(*(run.values for run in told), strict=True), metrics, strict=True)
    ]
    return [replace(run, values=row) for run, row in zip(told, zip(*columns, strict=True), strict=True)]


def _winsorised(values: list[float], goal: Goal) -> list[float]:
    """Cut bad outliers: a loss of 1e12 before a divergence would flatten all the rest for a Gaussian process.

    Values worse than the best by more than ten times the median's distance are moved there. Where the median itself
    has exploded, 1000 times as far as the better quartile, the better quartile takes its place. The order of the
    others is kept and good values are never touched. (TPE only looks at ranks and needs none of it.)
    """
    sign = goal.sign
    losses = [min(max(sign * value, -1e100), 1e100) for value in values]
    quartile, median, _ = statistics.quantiles(losses, n=4, method="inclusive")
    best = min(losses)
    spread = median - best
    if 0 < 1000 * (quartile - best) < spread:
        spread = quartile - best
    limit = best + 10 * spread if spread > 0 else max(losses)
    return [sign * min(loss, limit) for loss in losses]


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
