"""A study of a user's own objective, run as a sweep: each trial is a run in a process of its own, warm and recorded."""

import importlib.util
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sweepkit.agents.run_cache import view_of
from sweepkit.agents.worker_pool import StartSchedule
from sweepkit.environ import TRIALS_ENV
from sweepkit.errors import SweepKitError
from sweepkit.functions.arguments import Handing
from sweepkit.functions.objective import INTERMEDIATE
from sweepkit.functions.packing import PICKLE, pack
from sweepkit.model.records import RunRecord, SweepRecord
from sweepkit.model.runs import RunView
from sweepkit.runner.call import Call, MakeUploads, slots_of
from sweepkit.runner.dry_run import DryRun
from sweepkit.runner.leader import Leader
from sweepkit.runner.options import RunOptions, SlotOptions
from sweepkit.runner.plan import Plan, plan_of
from sweepkit.search.kept_study import PastTrial, StudySettings, until_a_study_runs
from sweepkit.search.objective_engine import ObjectiveEngine
from sweepkit.store.open import open_store
from sweepkit.studies.options import StudyOptions
from sweepkit.studies.results import StudyResult
from sweepkit.studies.trial_server import TrialServer
from sweepkit.sweep_config.read import from_config
from sweepkit.sweep_config.sweep import OBJECTIVES

if TYPE_CHECKING:
    from sweepkit.store.base import Store

_TRIALS = 50  # of a command that does not say it
_SETTINGS = "study"  # of a sweep's meta
_VALUE = "value"  # what an objective's value is called, as in Optuna's tables


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveStudy:
    """What is asked for.

    Args:
        objective: Takes a trial; returns a number, or one for each direction.
        name: Of the study.
        directions: "minimize" or "maximize", one for each number.
        n_trials: At most so many trials, over all calls, >= 1; None for no limit.
        timeout_s: A call starts no further trial after so many seconds; None for no limit.
        settings: How it searches.
    """

    objective: Callable[[Any], Any]
    name: str
    directions: tuple[str, ...] = ("minimize",)
    n_trials: int | None = None
    timeout_s: float | None = None
    settings: StudySettings = StudySettings()

    @property
    def metrics(self) -> list[str]:
        """Return the names of what the objective returns."""
        if len(self.directions) == 1:
            return [_VALUE]
        return [f"{_VALUE}_{place}" for place in range(len(self.directions))]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedStudy:
    """What a call came to.

    Args:
        code: The exit code.
        result: The trials as runs.
        study: The same as Optuna's study, kept in memory.
        preempted: SIGTERM ended the call.
    """

    code: int
    result: StudyResult
    study: Any
    preempted: bool


def study_of(asked: StudyOptions) -> ObjectiveStudy:
    """Return the study that `optimize FILE.py:FUNCTION` asks for.

    Raises:
        SweepKitError: There is no such function, or an option is only for our own trainer.
    """
    named = str(asked.objective)
    for option in ("experiment", "config", "base_config", "metric", "wandb"):
        if getattr(asked, option):
            shown = option.replace("_", "-")
            raise SweepKitError(f"--{shown}: is for our own trainer, and {named} is trained; leave it out")
    place, _, function = named.rpartition(":")
    return ObjectiveStudy(
        objective=load_objective(named),
        name=asked.study_name or f"{Path(place).stem}_{function}",
        directions=(asked.direction or "minimize",),
        n_trials=asked.n_trials or _TRIALS,
        timeout_s=asked.timeout,
        settings=StudySettings(sampler=asked.sampler or "tpe", pruner=asked.pruner or "median"),
    )


def load_objective(named: str) -> Callable[[Any], Any]:
    """Return the function of "FILE.py:FUNCTION".

    The file is executed as a module, so what stands under `if __name__ == "__main__"` is left out; where it calls
    `study.optimize` at its top, it is executed until there.

    Args:
        named: File and function; the file may be named as a module, too ("pkg.tune:objective").

    Raises:
        SweepKitError: There is no such file or function.
    """
    place, _, name = named.rpartition(":")
    file = Path(place if place.endswith(".py") else place.replace(".", "/") + ".py").absolute()
    if not file.is_file():
        raise SweepKitError(f"{named}: must be FILE.py:FUNCTION, got no file {file}")
    module = _executed(file)
    found = getattr(module, name, None)
    if not callable(found):
        own = [key for key, value in vars(module).items() if getattr(value, "__module__", "") == file.stem]
        near = get_close_matches(name, own, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(own) or 'none'}"
        raise SweepKitError(f"{named}: {file.name} must have a function {name}, got none; {hint}")
    return found  # type: ignore[no-any-return]


def _executed(file: Path) -> ModuleType:
    """Return the module of a file. It is not left among the modules: its functions are handed to runs whole."""
    sys.path.insert(0, str(file.parent))
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(file.stem)
    sys.modules[file.stem] = module  # dataclasses look their module up
    try:
        with until_a_study_runs():
            spec.loader.exec_module(module)
    finally:
        del sys.modules[file.stem]
        if before is not None:
            sys.modules[file.stem] = before
    return module


def plan_of_objective(asked: ObjectiveStudy, options: RunOptions) -> Plan:
    """Return the plan of a study; the objective's files are written.

    Raises:
        SweepKitError: A direction is none, or the objective cannot be handed to another process.
    """
    wrong = [item for item in asked.directions if item not in ("minimize", "maximize")]
    if wrong or not asked.directions:
        raise SweepKitError(f"direction: must be minimize or maximize, got {wrong[0] if wrong else 'none'!r}")
    call = {"handing": Handing.TRIAL.value, "metrics": asked.metrics}
    packed = pack(asked.objective, call, sweep=asked.name, output_dir=options.output_dir)
    called = packed.name if packed.name.isidentifier() else "objective"
    own: dict[str, Any] = {"search_space": f"{OBJECTIVES}:{called}"}
    if asked.timeout_s is not None:
        own["time_budget_s"] = asked.timeout_s
    goals = [{"name": name, "goal": goal} for name, goal in zip(asked.metrics, asked.directions, strict=True)]
    config: dict[str, Any] = {
        "name": asked.name,
        "program": str(packed.program),
        "command": ["${interpreter}", "${program}", "${args_json_file}"],
        "method": "custom",
        "scheduler": {"engine": "optuna"},
        **({"metric": goals[0]} if len(goals) == 1 else {"metrics": goals}),
        **({} if asked.n_trials is None else {"run_cap": asked.n_trials}),
        "sweepkit": own,
    }
    spec = from_config(config, source=f"study {asked.name}", directory=os.getcwd(), default_name=asked.name)
    return plan_of(options, replace(spec, warnings=()), searches=False)


def dry_run_of(asked: ObjectiveStudy, options: RunOptions, slots: SlotOptions) -> DryRun:
    """Return what a study would run. Nothing is left behind."""
    with tempfile.TemporaryDirectory() as folder:
        return _ahead(plan_of_objective(asked, replace(options, output_dir=Path(folder))), slots)


def _ahead(plan: Plan, slots: SlotOptions) -> DryRun:
    places, _ = slots_of(slots, [plan])
    return DryRun(
        name=plan.spec.name,
        runs=plan.spec.run_cap,
        first=(),
        commands=(),
        slots=places,
        mean_s=None,
        warnings=(),
        note="each trial is suggested its parameters while it runs, so none can be shown before",
    )


def run_objective(
    asked: ObjectiveStudy,
    options: RunOptions,
    slots: SlotOptions,
    *,
    uploads: MakeUploads | None = None,
) -> EndedStudy:
    """Run a study in this call, to its end or to what ends the call.

    Args:
        asked: The study.
        options: How.
        slots: What trials may occupy.
        uploads: As `runner.call.Call` takes it.

    Raises:
        SweepKitError: What is wrong with it; it is recorded as another one.
    """
    return _run(plan_of_objective(asked, options), asked.settings, options, slots, uploads=uploads)


def run_recorded_objective(
    plan: Plan,
    options: RunOptions,
    slots: SlotOptions,
    *,
    schedule: StartSchedule | None = None,
    uploads: MakeUploads | None = None,
) -> EndedStudy:
    """Work along on a recorded study, or go on with it, by the objective that it was begun with.

    Args:
        plan: As `runner.plan.make_join_plan` makes it; without `joins` to go on with it.
        options: How.
        slots: What trials may occupy.
        schedule: When workers may begin.
        uploads: As `runner.call.Call` takes it.

    Raises:
        SweepKitError: Its objective is not on this host, or it searches by an object of the script that began it.
    """
    _check_packed(plan)
    return _run(plan, None, options, slots, schedule=schedule, uploads=uploads)


def dry_run_of_recorded(plan: Plan, slots: SlotOptions) -> DryRun:
    """Return what `run_recorded_objective` would run."""
    _check_packed(plan)
    return _ahead(plan, slots)


def _check_packed(plan: Plan) -> None:
    """Refuse a study whose trials are no calls of a packed objective: only the script that began it has its space."""
    if Path(plan.program).with_name(PICKLE).is_file():
        return
    raise SweepKitError(
        f"sweep {plan.spec.name}: must be a study of an objective to go on by its name, got one whose search space is "
        "a method of an optimizer; start its script once more, which works along"
    )


def _run(
    plan: Plan,
    settings: StudySettings | None,
    options: RunOptions,
    slots: SlotOptions,
    *,
    schedule: StartSchedule | None = None,
    uploads: MakeUploads | None = None,
) -> EndedStudy:
    places, notes = slots_of(slots, [plan])
    with open_store(plan.storage) as store:
        kept = _KeptStudy(store, settings, plan, parallel=len(places) > 1)
        with TrialServer(lambda: kept.engine, kept.view) as server:
            leader = Leader(make_engine=kept.begin, env={TRIALS_ENV: server.address})
            with Call(
                options, [plan], slots=places, schedule=schedule, leader=leader, uploads=uploads, notes=notes
            ) as call:
                code = call.run()
                session = call.sessions[0]
        runs = kept.tell_all()
        return EndedStudy(
            code=code,
            result=StudyResult(name=session.sweep.name, spec=session.spec, runs=runs),
            study=kept.engine.study(),
            preempted=call.interrupts.preempted,
        )


def _plain(settings: StudySettings) -> dict[str, Any]:
    """Return how a study searches as its record keeps it; None for what is an object of a script."""
    named = {key: getattr(settings, key) for key in ("sampler", "pruner")}
    said = {key: value if isinstance(value, str) else None for key, value in named.items()}
    return {**said, "first_points": [dict(point) for point in settings.first_points]}


def _recorded_settings(sweep: SweepRecord) -> StudySettings:
    """Return how a recorded study searches.

    Raises:
        SweepKitError: By a sampler or pruner that is an object of the script that began it.
    """
    said = sweep.meta.get(_SETTINGS)
    if said is None:  # of an earlier version
        return StudySettings()
    for key in ("sampler", "pruner"):
        if said[key] is None:
            raise SweepKitError(
                f"sweep {sweep.name}: its {key} must have a name to go on by the record alone, got an object of the "
                "script that began it; start that script once more, which works along"
            )
    return StudySettings(sampler=said["sampler"], pruner=said["pruner"], first_points=tuple(said["first_points"]))


class _KeptStudy:
    """The study of a call and what the record has of its runs, looked at when it is asked for.

    Attributes:
        engine: Keeps the study, once the sweep is open.
    """

    engine: ObjectiveEngine

    def __init__(self, store: "Store", settings: StudySettings | None, plan: Plan, *, parallel: bool) -> None:
        self._store, self._settings, self._metrics = store, settings, plan.spec.objectives
        self._parallel = parallel
        self._sweep = ""
        self._lock = threading.Lock()
        self._runs: dict[str, RunRecord] = {}
        self._change = 0

    def begin(self, sweep: SweepRecord) -> ObjectiveEngine:
        """Return the engine of a sweep, told its runs."""
        self._sweep = sweep.sweep_id
        if self._settings is None:
            settings = _recorded_settings(sweep)
        else:
            settings = self._settings
            self._store.update_sweep(sweep.sweep_id, meta={_SETTINGS: _plain(settings)})
        settings = replace(settings, parallel=self._parallel)
        self.engine = ObjectiveEngine(settings, self._metrics, seed=sweep.seed, past=self.trial)
        self.tell_all()
        return self.engine

    def tell_all(self) -> list[RunRecord]:
        """Tell the engine the runs as they are recorded now; return them by number."""
        self._look()
        for run in self._runs.values():
            self.engine.tell(view_of(run))
        return sorted(self._runs.values(), key=lambda run: run.number)

    def view(self, run_id: str) -> RunView:
        """Return a run as it is recorded now."""
        self._look()
        return view_of(self._runs[run_id])

    def trial(self, run: RunView) -> PastTrial:
        """Return what is known of an ended run beside its view."""
        self._look()
        facts: Mapping[str, Any] = self._runs[run.run_id].outcome.get("facts") or {}
        return PastTrial(
            intermediates={
                int(report.step): report.values[INTERMEDIATE]
                for report in self._store.reports(run.run_id)
                if INTERMEDIATE in report.values and report.step is not None
            },
            user_attrs=facts.get("user_attrs") or {},
        )

    def _look(self) -> None:
        with self._lock:
            for run in self._store.runs(self._sweep, since=self._change):
                self._runs[run.run_id] = run
                self._change = max(self._change, run.change)
