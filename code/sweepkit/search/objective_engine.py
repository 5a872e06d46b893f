"""An Optuna study kept in memory for a sweep whose runs are trials of an objective: they ask it while they run.

Other engines propose a configuration before its run begins; an objective suggests its own, call by call, so what this
one proposes is an empty one. The study is fed from the record: trials that ended before, or under other agents.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sweepkit.errors import SweepKitError
from sweepkit.model.metric import Metric
from sweepkit.model.objectives import values_of
from sweepkit.model.runs import Exhausted, Proposal, RunState, RunView
from sweepkit.model.seeds import CONFIGURATION
from sweepkit.search.define_by_run import suggestions_of
from sweepkit.search.optuna_engine import quiet_optuna
from sweepkit.search.random import derived_seed

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

SAMPLERS = ("tpe", "random", "gp", "cmaes", "qmc", "nsga", "auto")
PRUNERS = ("median", "percentile", "hyperband", "successive_halving", "asha", "patient", "patience", "none")


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
        sampler: A name of SAMPLERS, or a sampler of Optuna's kind.
        pruner: A name of PRUNERS, or a pruner of Optuna's kind.
        parallel: Several trials run at once.
        first_points: Values of parameters for the first trials, by name; what one leaves out is sampled.
    """

    sampler: Any = "tpe"
    pruner: Any = "median"
    parallel: bool = False
    first_points: tuple[Mapping[str, Any], ...] = ()


class ObjectiveEngine:
    """Answer what trials ask; any thread may call.

    Args:
        settings: How it searches.
        seed: Of a named sampler, >= 0.
        metrics: What the objective returns, one for each direction.
        past: Returns what the record keeps of an ended run, by its id.
    """

    def __init__(
        self, settings: StudySettings, metrics: Sequence[Metric], *, seed: int, past: Callable[[str], PastTrial]
    ) -> None:
        self._seed = seed
        self._settings = settings
        self._metrics = tuple(metrics)
        self._past = past
        self._lock = threading.RLock()
        self._study: Study | None = None
        self._live: dict[int, Trial] = {}
        self._ended: dict[int, RunView] = {}
        self._told: set[int] = set()

    # -- as any engine ------------------------------------------------------------------------------------------------

    def tell(self, run: RunView) -> None:
        """Take in the newest view of a run; one that ended is told to the study."""
        with self._lock:
            if run.state.done:
                self._ended[run.number] = run
            else:
                self._ended.pop(run.number, None)

    def ask(self, number: int) -> Proposal | Exhausted:
        """Propose a run whose parameters are suggested while it runs."""
        # Each is a trial of its own, as in Optuna: the best one is the best single one.
        return Proposal(params={}, reason="a trial of the study", info={CONFIGURATION: None})

    def total(self) -> int | None:
        """Return None: nobody knows how many configurations an objective can suggest."""
        return None

    # -- asked by trials ----------------------------------------------------------------------------------------------

    def begin(self, run: RunView) -> None:
        """Begin the trial of a run, or go on with that of an earlier attempt: what was suggested stays."""
        with self._lock, quiet_optuna():
            study = self._fed()
            if run.number in self._live:
                return
            self._told.discard(run.number)  # one that ended before is tried again
            known = suggestions_of(run.info)[0]
            if not known and run.number < len(self._settings.first_points):
                known = dict(self._settings.first_points[run.number])
            if known:
                study.enqueue_trial(known)
            self._live[run.number] = study.ask()

    def suggest(self, number: int, name: str, distribution: str) -> float:
        """Return a suggestion in Optuna's internal form.

        Args:
            number: Of the run, which has begun.
            name: Of the parameter.
            distribution: As `optuna.distributions.distribution_to_json` writes it.
        """
        from optuna.distributions import json_to_distribution

        with self._lock, quiet_optuna():
            trial = self._live[number]
            made = json_to_distribution(distribution)
            value = trial._suggest(name, made)
            return float(made.to_internal_repr(value))

    def report(self, number: int, value: float, step: int) -> None:
        """Take an intermediate value."""
        with self._lock, quiet_optuna():
            self._live[number].report(value, step)

    def should_prune(self, number: int) -> bool:
        """Return whether the pruner ends a trial now."""
        with self._lock, quiet_optuna():
            self._fed()
            return bool(self._live[number].should_prune()) if len(self._metrics) == 1 else False

    def set_user_attr(self, number: int, key: str, value: Any) -> None:
        """Keep a value with a trial."""
        with self._lock, quiet_optuna():
            self._live[number].set_user_attr(key, value)

    # -- the study ----------------------------------------------------------------------------------------------------

    def study(self) -> "Study":
        """Return the study with all that is known."""
        with self._lock, quiet_optuna():
            return self._fed()

    def _fed(self) -> "Study":
        """Return the study, after telling it what has ended since."""
        if self._study is None:
            self._study = self._made()
        for number in sorted(self._ended.keys() - self._told):
            self._end(self._study, self._ended[number])
            self._told.add(number)
        return self._study

    def _made(self) -> "Study":
        import optuna

        begun = len(self._ended)
        return optuna.create_study(
            directions=[metric.goal.value for metric in self._metrics],
            sampler=_sampler(self._settings, self._seed, begun=begun),
            pruner=_pruner(self._settings.pruner),
        )

    def _end(self, study: "Study", run: RunView) -> None:
        from optuna.trial import TrialState

        values = values_of(run, self._metrics if len(self._metrics) > 1 else self._metrics[0])
        finished = run.state is RunState.FINISHED and values is not None
        trial = self._live.pop(run.number, None)
        if trial is None:
            study.add_trial(_frozen(run, values if finished else None, self._past(run.run_id)))
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
    raise SweepKitError(f"sampler: must be one of {', '.join(SAMPLERS)} or a sampler of Optuna, got {asked!r}")


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
        raise SweepKitError(f"pruner: must be one of {', '.join(PRUNERS)} or a pruner of Optuna, got {asked!r}")
    return made[asked]()
