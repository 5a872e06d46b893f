"""An Optuna study kept in memory for a sweep, fed from its record: samplers and pruners are Optuna's own, or a user's.

What the two engines share that keep one (`objective_engine`, `trial_engine`): trials that run here are told how they
ended, those that ended before, or under other agents, are added.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from sweepkit.errors import SweepKitError
from sweepkit.model.metric import Metric
from sweepkit.model.objectives import values_of
from sweepkit.model.runs import RunState, RunView
from sweepkit.search.define_by_run import suggestions_of
from sweepkit.search.optuna_engine import quiet_optuna
from sweepkit.search.random import derived_seed

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

_SAMPLERS = ("tpe", "random", "gp", "cmaes", "qmc", "nsga", "auto")
_PRUNERS = ("median", "percentile", "hyperband", "successive_halving", "asha", "patient", "patience", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class PastTrial:
    """What the record keeps of a trial beside its run's view.

    Args:
        intermediates: Reported values by step.
        user_attrs: What the objective set.
    """

    intermediates: Mapping[int, float] = field(default_factory=dict)
    user_attrs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySettings:
    """How the study searches.

    Args:
        sampler: A name of _SAMPLERS, or a sampler of Optuna's kind.
        pruner: A name of _PRUNERS, or a pruner of Optuna's kind.
        parallel: Several trials run at once.
        first_points: Values of parameters for the first trials, by name; what one leaves out is sampled.
    """

    sampler: Any = "tpe"
    pruner: Any = "median"
    parallel: bool = False
    first_points: tuple[Mapping[str, Any], ...] = ()


class _StudyReachedError(BaseException):
    """A file that is read for what it defines runs a study of its own: what follows is about that one."""


@contextmanager
def until_a_study_runs() -> Iterator[None]:
    """End the block without an error where it calls `study.optimize`."""
    from optuna.study import Study

    def reached(*_: Any, **__: Any) -> NoReturn:
        raise _StudyReachedError

    optimize = Study.optimize
    Study.optimize = reached  # type: ignore[method-assign]
    try:
        yield
    except _StudyReachedError:
        pass
    finally:
        Study.optimize = optimize  # type: ignore[method-assign]


def random_trials(count: int) -> "list[Trial]":
    """Return trials of a study that draws at random, always the same numbers."""
    import optuna

    with quiet_optuna():
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        return [study.ask() for _ in range(count)]


class KeptStudy:
    """The study; any thread may call.

    Args:
        settings: How it searches.
        metrics: What is optimized.
        seed: Of a named sampler, >= 0.
        past: Returns what the record keeps of an ended run beside its view.
    """

    def __init__(
        self,
        settings: StudySettings,
        metrics: Sequence[Metric],
        *,
        seed: int,
        past: Callable[[RunView], PastTrial],
    ) -> None:
        self.settings = settings
        self.metrics = tuple(metrics)
        self.live: dict[int, Trial] = {}
        self.lock = threading.RLock()
        self._seed = seed
        self._past = past
        self._study: Study | None = None
        self._ended: dict[int, RunView] = {}
        self._told: set[int] = set()

    def tell(self, run: RunView) -> None:
        """Take in the newest view of a run; one that ended is told to the study when it is asked next."""
        with self.lock:
            if run.state.done:
                self._ended[run.number] = run
            else:
                self._ended.pop(run.number, None)

    def total(self) -> int | None:
        """Return None: nobody knows how many configurations can be suggested."""
        return None

    def study(self) -> "Study":
        """Return the study with all that is known."""
        with self.lock, quiet_optuna():
            return self.fed()

    def ask_trial(self, number: int, known: Mapping[str, Any]) -> "Trial":
        """Return the trial of a run, begun now; `known` are the values that it must have. Called with the lock held."""
        if self._study is None:
            self._study = self._made(begun=number)
        study = self.fed()
        self._told.discard(number)  # one that ended before is tried again
        if known:
            study.enqueue_trial(dict(known))
        self.live[number] = study.ask()
        return self.live[number]

    def fed(self) -> "Study":
        """Return the study, after telling it what has ended since."""
        if self._study is None:
            self._study = self._made(begun=len(self._ended))
        for number in sorted(self._ended.keys() - self._told):
            self._end(self._study, self._ended[number])
            self._told.add(number)
        return self._study

    def _made(self, *, begun: int) -> "Study":
        """Return the study, nothing told; `begun`: how many trials of it there are, here or under other agents."""
        import optuna

        return optuna.create_study(
            directions=[metric.goal.value for metric in self.metrics],
            sampler=_sampler(self.settings, self._seed, begun=begun),
            pruner=_pruner(self.settings.pruner),
        )

    def _end(self, study: "Study", run: RunView) -> None:
        from optuna.trial import TrialState

        values = values_of(run, self.metrics if len(self.metrics) > 1 else self.metrics[0])
        finished = run.state is RunState.FINISHED and values is not None
        trial = self.live.pop(run.number, None)
        if trial is None:
            study.add_trial(_frozen(run, values if finished else None, self._past(run)))
        elif finished:
            study.tell(trial, list(values or ()))
        elif run.state is RunState.STOPPED:
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, state=TrialState.FAIL)


def _frozen(run: RunView, values: Sequence[float] | None, past: PastTrial) -> "FrozenTrial":
    """Return an ended run as a trial."""
    from optuna.trial import TrialState, create_trial

    params, distributions = suggestions_of(run.info)
    state = TrialState.PRUNED if run.state is RunState.STOPPED else TrialState.FAIL
    last = past.intermediates[max(past.intermediates)] if past.intermediates else None
    if values is None and state is TrialState.PRUNED and last is not None:
        values = [last]  # as Optuna has it
    elif values is not None:
        state = TrialState.COMPLETE
    return create_trial(
        state=state,
        values=None if values is None else list(values),
        params=params,
        distributions=distributions,
        intermediate_values=dict(past.intermediates),
        user_attrs=dict(past.user_attrs),
    )


def _sampler(settings: StudySettings, seed: int, *, begun: int) -> "BaseSampler":
    """Return the study's sampler; one of a study that goes on draws other numbers than it drew at its beginning."""
    from optuna import samplers

    asked = settings.sampler
    if not isinstance(asked, str):
        if begun:
            asked.reseed_rng()
        return asked  # type: ignore[no-any-return]
    seed = derived_seed(seed, begun) if begun else seed
    if asked == "random":
        return samplers.RandomSampler(seed=seed)
    if asked == "qmc":
        return samplers.QMCSampler(seed=seed, warn_independent_sampling=False)
    if asked == "gp":
        return samplers.GPSampler(seed=seed)
    if asked == "cmaes":
        return samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
    if asked == "nsga":
        return samplers.NSGAIISampler(seed=seed)
    if asked in ("tpe", "auto"):
        return samplers.TPESampler(seed=seed, constant_liar=settings.parallel)
    raise SweepKitError(f"sampler: must be one of {', '.join(_SAMPLERS)} or a sampler of Optuna, got {asked!r}")


def _pruner(asked: Any) -> "BasePruner":
    from optuna import pruners

    if not isinstance(asked, str):
        return asked  # type: ignore[no-any-return]
    made: dict[str, Callable[[], BasePruner]] = {
        "median": pruners.MedianPruner,
        "percentile": lambda: pruners.PercentilePruner(25.0),
        "hyperband": pruners.HyperbandPruner,
        "successive_halving": pruners.SuccessiveHalvingPruner,
        "asha": lambda: pruners.SuccessiveHalvingPruner(min_resource=1),
        "patient": lambda: pruners.PatientPruner(pruners.MedianPruner(), patience=2),
        "patience": lambda: pruners.PatientPruner(None, patience=3),
        "none": pruners.NopPruner,
    }
    if asked not in made:
        raise SweepKitError(f"pruner: must be one of {', '.join(_PRUNERS)} or a pruner of Optuna, got {asked!r}")
    return made[asked]()
