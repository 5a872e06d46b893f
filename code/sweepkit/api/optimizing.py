"""`sweepkit.optimize`: one's own Optuna objective, as it is, each trial a run in a process of its own."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sweepkit.api.plans import Asked, gpu_names, options_of
from sweepkit.api.sweep import Sweep
from sweepkit.errors import SweepKitError

if TYPE_CHECKING:
    from sweepkit.studies.objective import EndedStudy


class OptimizedSweep(Sweep):
    """A sweep whose runs are the trials of an objective.

    Attributes:
        study: The same as an `optuna.Study`, kept in memory: trials with values, attributes and intermediate values.
    """

    def __init__(self, asked: Asked, *, name: str, study: Any) -> None:
        super().__init__(asked, name=name, recorded=True)
        self.study = study

    def _ended(self, study: "EndedStudy") -> None:
        super()._ended(study)
        self.study = study.study


def optimize(
    objective: Callable[[Any], Any] | str,
    n_trials: int | None = None,
    *,
    direction: str = "minimize",
    directions: Sequence[str] = (),
    sampler: Any = "tpe",
    pruner: Any = "median",
    seed: int | None = None,
    timeout: float | None = None,
    name: str | None = None,
    first_points: Sequence[Mapping[str, Any]] = (),
    workers: int | None = None,
    gpus: Sequence[int | str] | None = None,
    fresh: bool = False,
    retry_failed: bool = False,
    output_dir: str | os.PathLike[str] | None = None,
    storage: str | None = None,
) -> OptimizedSweep:
    """Optimize an objective as `study.optimize` does; the same call again goes on, with more trials where it asks so.

    Args:
        objective: `objective(trial)` as for Optuna, or "FILE.py:FUNCTION".
        n_trials: Trials in all, over all calls, >= 1; None for no limit.
        direction: "minimize" or "maximize".
        directions: One for each value that the objective returns, in place of `direction`.
        sampler: A sampler of Optuna's kind, or "tpe", "random", "gp", "cmaes", "qmc", "nsga".
        pruner: A pruner of Optuna's kind, or "median", "percentile", "hyperband", "successive_halving", "asha",
            "patient", "patience", "none".
        seed: Of a named sampler, >= 0; None draws one, which is recorded.
        timeout: Seconds after which this call starts no further trial.
        name: Of the study; None for the objective's name.
        first_points: Parameters of the first trials, as `study.enqueue_trial` takes them.
        workers: Trials at once; None for one, or for one on each of `gpus`.
        gpus: Use these only, by index or UUID.
        fresh: Start anew under a new name; what there is stays.
        retry_failed: Run the failed trials again, too.
        output_dir: Where everything is written; None for the usual place.
        storage: The database; None for the one in `output_dir`.

    Raises:
        SweepKitError: What is wrong with it; it is recorded as another one (ConflictError).
    """
    from sweepkit.api.calls import end_as_asked, slot_options
    from sweepkit.search.kept_study import StudySettings
    from sweepkit.studies.objective import ObjectiveStudy, load_objective, run_objective
    from sweepkit.wandb.upload_client import Online

    if n_trials is not None and n_trials < 1:
        raise SweepKitError(f"n_trials: must be at least 1, got {n_trials}")
    function = load_objective(objective) if isinstance(objective, str) else objective
    called = getattr(function, "__name__", "objective")
    asked = Asked(config="", output_dir=output_dir, storage=storage)
    study = ObjectiveStudy(
        objective=function,
        name=name or (called if called.isidentifier() else "objective"),
        directions=tuple(directions) or (direction,),
        n_trials=n_trials,
        timeout_s=timeout,
        settings=StudySettings(sampler=sampler, pruner=pruner, first_points=tuple(dict(item) for item in first_points)),
    )
    slots = slot_options(workers, gpu_names(gpus))
    options = options_of(asked, fresh=fresh, retry_failed=retry_failed, seed=seed)
    ended = run_objective(study, options, slots, uploads=Online)
    end_as_asked(ended.code, preempted=ended.preempted)
    return OptimizedSweep(asked, name=ended.result.name, study=ended.study)
