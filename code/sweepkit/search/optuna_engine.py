"""Bayesian search by Optuna's samplers, used in memory and rebuilt from the told runs at every ask.

The only module of the room that knows Optuna, which it imports when first asked. Nothing of Optuna outlives an ask:
each one makes a study of the told runs in order of their number and a sampler seeded by `(seed, number)`, so equal
runs give equal proposals, in this process or the next.

Sources: Optuna 5.0 `GPSampler` (Matern-5/2 with one length scale per parameter, logEI, qLogEI with running trials)
and `TPESampler` (multivariate, constant liar; Watanabe 2023, arXiv:2304.11127).
"""

import random
import statistics
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sweepkit.search.active_ask import ask_active, sampler_warnings_off
from sweepkit.search.coding import Coding, Scale, codings, fixed_values
from sweepkit.search.observations import Observation, Standing, observe
from sweepkit.search.points import FinitePoints, SeenPoints, flat_key, nested, support_points
from sweepkit.search.random import derived_seed, draw, draw_new, pick_unseen
from sweepkit.spec.runs import Exhausted, Proposal, RunView
from sweepkit.spec.space import Space
from sweepkit.spec.sweep import Goal, Metric

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

# Measured: GPSampler takes 0.17 s of CPU per ask at 100 runs, 0.6 s at 300 and 5 s at 1000.
GP_MAX_RUNS = 300
STARTUP_RUNS = 10  # observed runs before a model is fitted, Optuna's own number; random draws until then
# Who is asked, each time with a seed of its own, until a configuration comes that was not told; at last it is random.
# A Gaussian process likes a corner of the space again and again; TPE then looks around it.
_ATTEMPTS = {
    "gp": ("gp", "gp", *["tpe"] * 6),
    "tpe": ("tpe",) * 8,
    "random": ("random",) * 32,
}


class OptunaEngine:
    """Propose by a Gaussian process or by TPE, aware of pending runs, never the same configuration twice.

    Pending and running runs are shown to the sampler as running trials; every told configuration is refused when
    it comes up again. A prior run counts as an observation, not as a configuration of this sweep: it does not use
    up its point. One whose values the space cannot draw, or that lacks a parameter, is left out.

    Args:
        space: Any space.
        metric: What is optimized.
        seed: Seed of the search, >= 0.
        sampler: "gp" (TPE beyond 300 observed runs) or "tpe".
        prior: Ended runs of other sweeps, in any order that is kept.
    """

    def __init__(self, space: Space, metric: Metric, *, seed: int, sampler: str, prior: Sequence[RunView] = ()) -> None:
        self._space = space
        self._metric = metric
        self._seed = seed
        self._sampler = sampler
        self._prior = tuple(prior)
        self._runs: dict[int, RunView] = {}
        self._codings = codings(space)
        self._fixed = fixed_values(space)
        self._points: FinitePoints | None = support_points(space)
        self._seen = SeenPoints()
        self._seen_keys: set[Hashable] = set()
        self._codes: dict[int, dict[str, float | int] | None] = {}

    def tell(self, run: RunView) -> None:
        """Take in the newest view of a run."""
        self._runs[run.number] = run
        if run.number in self._codes:
            return
        self._codes[run.number] = self._encode(run)
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
        told, pending = self._observations()
        kind = "gp" if self._sampler == "gp" and len(told) <= GP_MAX_RUNS else "tpe"
        if len(told) < STARTUP_RUNS:
            kind = "random"
        info = {"sampler": kind, "observed": len(told), "pending": len(pending), "seed": self._seed}
        reason = f"{_NAMES[kind]} over {len(told)} observed and {len(pending)} pending runs"
        for attempt, sampler in enumerate(_ATTEMPTS[kind]):
            if sampler == "random":
                params = draw(self._space, generator)
            else:
                params = self._sample(sampler, derived_seed(self._seed, number, attempt), told, pending)
            if self._is_new(params):
                note = "" if sampler == kind else f"{_NAMES[sampler]}, as only told configurations came from "
                return Proposal(params=params, reason=note + reason, info={**info, "attempt": attempt})
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

    def _observations(self) -> tuple[list[tuple[dict[str, Any], float]], list[dict[str, Any]]]:
        """Return (codes, value) of the told runs, prior ones first, then by number; and the codes of the pending."""
        numbers = sorted(self._runs)
        views = [*self._prior, *(self._runs[number] for number in numbers)]
        codes = [*(self._encode(run) for run in self._prior), *(self._codes[number] for number in numbers)]
        told: list[tuple[dict[str, Any], float]] = []
        pending: list[dict[str, Any]] = []
        for observation, code in zip(observe(views, self._metric), codes, strict=True):
            if code is not None:
                _sort_in(observation, code, told, pending)
        return told, pending

    def _sample(
        self, kind: str, seed: int, told: list[tuple[dict[str, Any], float]], pending: list[dict[str, Any]]
    ) -> dict[str, Any]:
        """Return what a fresh sampler proposes, decoded and nested."""
        import optuna
        from optuna.trial import TrialState, create_trial

        distributions = {_name(index): _optuna_distribution(coding) for index, coding in enumerate(self._codings)}
        values = [value for _, value in told]
        if kind == "gp":
            values = _winsorised(values, self._metric.goal)
        trials: list[FrozenTrial] = [
            create_trial(value=value, params=codes, distributions={name: distributions[name] for name in codes})
            for (codes, _), value in zip(told, values, strict=True)
        ]
        trials += [
            create_trial(state=TrialState.RUNNING, params=codes, distributions={n: distributions[n] for n in codes})
            for codes in pending
        ]
        with _quiet_optuna():
            sampler = _sampler(kind, seed, group=bool(self._space.conditions))
            study = optuna.create_study(direction=self._metric.goal.value, sampler=sampler)
            study.add_trials(trials)
            if self._space.conditions:
                named = {_name(index): coding for index, coding in enumerate(self._codings)}
                return nested(self._space, ask_active(study.ask(), self._space, named, self._fixed))
            codes = study.ask(fixed_distributions=distributions).params
        flat = dict(self._fixed)
        for index, coding in enumerate(self._codings):
            flat[coding.path] = coding.decode(codes[_name(index)])
        return nested(self._space, flat)


_NAMES = {"gp": "Gaussian process", "tpe": "TPE", "random": "random start"}


def _name(index: int) -> str:
    """Return the trial parameter of a coding; padded, since Optuna sorts by name."""
    return f"p{index:05d}"


def _sort_in(
    observation: Observation,
    codes: dict[str, Any],
    told: list[tuple[dict[str, Any], float]],
    pending: list[dict[str, Any]],
) -> None:
    if observation.standing is Standing.TOLD and observation.value is not None:
        told.append((codes, observation.value))
    elif observation.standing is Standing.PENDING:
        pending.append(codes)


def _winsorised(values: list[float], goal: Goal) -> list[float]:
    """Cut bad outliers: a loss of 1e12 before a divergence would flatten all the rest for a Gaussian process.

    Values worse than the best by more than ten times the median's distance are moved there. Where the median itself
    has exploded, 1000 times as far as the better quartile, the better quartile takes its place. The order of the
    others is kept and good values are never touched. (TPE only looks at ranks and needs none of it.)
    """
    sign = 1.0 if goal is Goal.MINIMIZE else -1.0
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


def _sampler(kind: str, seed: int, *, group: bool) -> "BaseSampler":
    from optuna.samplers import GPSampler, TPESampler

    if kind == "gp":
        return GPSampler(seed=seed, warn_independent_sampling=False)
    with sampler_warnings_off():
        return TPESampler(seed=seed, multivariate=True, constant_liar=True, group=group)


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Keep Optuna's own log silent for the moment, then as the user had it."""
    from optuna import logging

    before = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(before)
