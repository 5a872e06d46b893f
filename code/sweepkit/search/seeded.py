"""Several runs of each configuration, one for each seed, around any engine (`sweepkit.seeds_per_run`).

A configuration is what the inner engine proposes; its number there is the configuration's. Every seed of it is a run of
its own, so that seeds of one configuration run side by side, are recorded, retried and shown like any other run. The
inner engine is told one view for each configuration: running while a seed of it is under way or due, then the mean.

What comes next depends on the recorded runs alone, so it is the same after a kill, whoever asks: a due seed of the
lowest configuration first, and a new configuration when none is due. The first `min_seeds` seeds are due at once;
each further one when the earlier ones have ended and the configuration is not clearly worse than the best
(`stats.seed_race`), or at once without `stop_worse`. A configuration of which a seed failed, diverged or was stopped
early gets no further one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sweepkit.errors import SweepKitError
from sweepkit.model.configurations import configuration_of, finished_scores
from sweepkit.model.distributions import content_key
from sweepkit.model.metric import Metric
from sweepkit.model.numbers import mean
from sweepkit.model.objectives import objectives_of, value_of
from sweepkit.model.runs import Exhausted, Proposal, RunState, RunView, Wait
from sweepkit.model.seeds import CONFIGURATION, RUN_SEED, parameter_path, with_value, without_seeds, without_value
from sweepkit.model.space import Path
from sweepkit.search.base import Engine
from sweepkit.sweep_config.sweep import Seeds, SweepSpec


class SeededEngine:
    """Propose each configuration of another engine with several seeds.

    Args:
        inner: The engine of the configurations, told nothing yet.
        seeds: Which seeds, and when a configuration gets no further one.
        objectives: What is optimized; with several, or none, no configuration is found worse before its last seed.
        path: Where the seed stands in a configuration; None when programs get it by the variable SEED alone.
    """

    def __init__(self, inner: Engine, seeds: Seeds, *, objectives: Sequence[Metric], path: Path | None) -> None:
        self._inner = inner
        self._seeds = seeds
        self._objectives = tuple(objectives)
        self._path = path
        self._races = seeds.stop_worse and len(self._objectives) == 1
        self._runs: dict[int, dict[int, RunView]] = {}  # of each configuration, by run number
        self._scores: dict[int, list[float]] = {}  # of each configuration that has any, by run number
        self._open: set[int] = set()  # configurations that have a seed under way or due
        self._changed: set[int] = set()  # configurations of which the inner engine knows an older view
        self._worse: Mapping[int, str] = {}

    def tell(self, run: RunView) -> None:
        """Take in a run; one that is no seed of a configuration (it was not proposed here) is passed over."""
        configuration = configuration_of(run)
        if configuration is not None:
            self._runs.setdefault(configuration, {})[run.number] = run
            self._changed.add(configuration)

    def ask(self, number: int) -> Proposal | Exhausted | Wait:
        """Propose a due seed, else a new configuration; wait for a verdict when the inner engine has none left."""
        self._tell_inner()
        for configuration in sorted(self._open):
            if (seed := self._due(configuration)) is not None:
                return self._again(configuration, seed)
        following = max(self._runs, default=-1) + 1
        proposal = self._inner.ask(following)
        if isinstance(proposal, Proposal):
            return self._first(following, proposal)
        if isinstance(proposal, Exhausted) and self._races and self._open and any(map(self._left, self._runs)):
            return Wait(reason="running runs decide which configurations get a further seed")
        return self._exhausted(proposal) if isinstance(proposal, Exhausted) else proposal

    def total(self) -> int | None:
        """Return the number of runs if every configuration gets all its seeds, None when unbounded."""
        total = self._inner.total()
        return None if total is None else total * len(self._seeds.seeds)

    def _exhausted(self, found: Exhausted) -> Exhausted:
        fewer = sum(bool(self._left(number)) for number in self._worse)
        if not fewer:
            return found
        number = f"{fewer} clearly worse configuration{'s' if fewer != 1 else ''}"
        return Exhausted(reason=f"{found.reason}, {number} with fewer than {len(self._seeds.seeds)} seeds")

    # -- what is due --------------------------------------------------------------------------------------------------

    def _left(self, configuration: int) -> list[int]:
        """Return the seeds that a configuration may still get; () once a seed of it ended badly."""
        runs = self._runs[configuration].values()
        if any(run.state.done and run.state is not RunState.FINISHED for run in runs):
            return []
        used = {run.info.get(RUN_SEED) for run in runs}
        return [seed for seed in self._seeds.seeds if seed not in used]

    def _due(self, configuration: int) -> int | None:
        """Return the seed that a configuration shall get now, None when none."""
        left = self._left(configuration)
        if not left:
            return None
        runs = self._runs[configuration].values()
        if not self._races or len(runs) < self._seeds.min_seeds:
            return left[0]
        return left[0] if all(run.state.done for run in runs) and configuration not in self._worse else None

    def _judge(self) -> None:
        """Find the configurations that are clearly worse; where that changed the inner engine is told so."""
        from sweepkit.stats.seed_race import clearly_worse  # it needs scipy, which other sweeps do without

        metric = self._objectives[0]
        for configuration in self._changed:
            self._scores.pop(configuration, None)
            if values := finished_scores(self._runs[configuration].values(), metric):
                self._scores[configuration] = values
        before, by_number = self._worse, dict(sorted(self._scores.items()))
        self._worse = clearly_worse(by_number, metric.goal, min_seeds=self._seeds.min_seeds)
        self._changed |= before.keys() ^ self._worse.keys()

    # -- proposals ----------------------------------------------------------------------------------------------------

    def _first(self, configuration: int, proposal: Proposal) -> Proposal:
        if self._path is not None and _has(proposal.params, self._path):
            raise SweepKitError(
                f"sweepkit.seeds_per_run: {'.'.join(self._path)} gets the seeds, but the search space suggests it; "
                "leave it out there, or name another sweepkit.seed_parameter"
            )
        seed = self._seeds.seeds[0]
        return replace(
            proposal,
            params=self._seeded(proposal.params, seed),
            reason=f"{proposal.reason}; configuration {configuration}, {self._place(1, seed)}",
            info={**proposal.info, CONFIGURATION: configuration, RUN_SEED: seed},
        )

    def _again(self, configuration: int, seed: int) -> Proposal:
        runs = self._in_order(configuration)
        info = {key: value for key, value in runs[0].info.items() if key != "reason"}
        return Proposal(
            params=self._seeded(self._bare(runs[0].params), seed),
            reason=f"configuration {configuration} again, {self._place(len(runs) + 1, seed)}",
            info={**info, CONFIGURATION: configuration, RUN_SEED: seed},
        )

    def _place(self, position: int, seed: int) -> str:
        return f"seed {seed} ({position} of {len(self._seeds.seeds)})"

    def _seeded(self, params: Mapping[str, Any], seed: int) -> Mapping[str, Any]:
        return params if self._path is None else with_value(params, self._path, seed)

    def _bare(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        return params if self._path is None else without_value(params, self._path)

    # -- what the inner engine is told --------------------------------------------------------------------------------

    def _tell_inner(self) -> None:
        """Tell every configuration whose view changed, in their order."""
        if self._races and self._changed:
            self._judge()
        for configuration in sorted(self._changed):
            view = self._view(configuration)
            (self._open.discard if view.state.done else self._open.add)(configuration)
            self._inner.tell(view)
        self._changed.clear()

    def _view(self, configuration: int) -> RunView:
        """Return the one view of a configuration."""
        runs = self._in_order(configuration)
        goes_on = not all(run.state.done for run in runs) or self._due(configuration) is not None
        bare = replace(runs[0], number=configuration, params=self._bare(runs[0].params), instances=())
        return _averaged(bare, runs, self._objectives, state=RunState.RUNNING if goes_on else None)

    def _in_order(self, configuration: int) -> list[RunView]:
        runs = self._runs[configuration]
        return [runs[number] for number in sorted(runs)]


def _averaged(
    view: RunView, runs: Sequence[RunView], objectives: Sequence[Metric], *, state: RunState | None
) -> RunView:
    """Return `view` with the state and the mean of all seeds of its configuration.

    Args:
        view: What to keep of it: number, id, parameters, what was noted.
        runs: The seeds, at least one.
        objectives: What is optimized.
        state: Where the configuration stands; None decides it from its runs: diverged when one of them did (it cannot
            be relied on), else stopped when one was, else finished when one did, else failed. Means are over the
            finished and stopped ones, each with its best value as in a sweep of single runs.
    """
    states = {run.state for run in runs}
    order = (RunState.DIVERGED, RunState.STOPPED, RunState.FINISHED, RunState.FAILED)
    state = state or next((item for item in order if item in states), RunState.RUNNING)
    counted = [run for run in runs if run.state.ended_well]
    if len(objectives) > 1:
        vectors = [vector for run in counted if (vector := objectives_of(run, objectives)) is not None]
        means = tuple((mean(column),) for column in zip(*vectors, strict=True))
        return replace(view, state=state, history=(), summary=None, objectives=means, summaries=())
    if state is RunState.FAILED:  # what it was worth is imputed from its own history, as `metric.impute` says
        return replace(view, state=state, history=runs[-1].history, summary=runs[-1].summary)
    values = [value for run in counted for item in objectives if (value := value_of(run, item)) is not None]
    return replace(view, state=state, history=(mean(values),) if values else (), summary=None)


def _has(params: Mapping[str, Any], path: Path) -> bool:
    node: Any = params
    for key in path:
        if not isinstance(node, Mapping) or key not in node:
            return False
        node = node[key]
    return True


def seed_path(spec: SweepSpec) -> Path | None:
    """Return where a sweep's runs have their seed among their parameters; None when they get it by SEED alone."""
    name = spec.extensions.seed_parameter
    return None if name is None else parameter_path(name, spec.space)


def averaged_prior(prior: Sequence[RunView], spec: SweepSpec) -> list[RunView]:
    """Return ended runs of other sweeps as one view for each configuration, in order of appearance, numbered anew."""
    path, name = seed_path(spec), spec.extensions.seed_parameter
    groups: dict[Any, list[RunView]] = {}
    for run in prior:  # the numbers that configurations had in other sweeps say nothing here
        bare = dict(run.params) if path is None else without_value(run.params, path)
        groups.setdefault(content_key(without_seeds(bare, name)), []).append(replace(run, params=bare))
    return [
        _averaged(replace(runs[0], number=number), runs, spec.objectives, state=None)
        for number, runs in enumerate(groups.values())
    ]
