"""A study run in this call: by agents, resumable, mirrored into an Optuna storage; its results written and shown."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from sweepkit.called import typed
from sweepkit.errors import ConflictError, SweepKitError
from sweepkit.reports.files import relative
from sweepkit.runner.call import Call, MakeUploads, slots_of
from sweepkit.runner.leader import Leader
from sweepkit.runner.options import RunOptions, SlotOptions
from sweepkit.runner.own_sweep import settled
from sweepkit.runner.plan import Plan, base_config_of, open_recorded, storage_of
from sweepkit.store.url import parse_url, shown_url
from sweepkit.studies.figures import write_figures
from sweepkit.studies.objective import EndedStudy
from sweepkit.studies.phase_results import PhasesOutcome
from sweepkit.studies.phases import run_phases
from sweepkit.studies.plan import final_text
from sweepkit.studies.results import StudyResult, folder_of, study_stats, write_optimized, write_results
from sweepkit.studies.yaml.optuna_sweep import sweep_dict
from sweepkit.studies.yaml.optuna_values import OptunaConfig
from sweepkit.sweep_config.read import from_config
from sweepkit.text.json_text import json_text
from sweepkit.text.shown import say


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyOutcome:
    """What a call came to.

    Args:
        code: The exit code.
        result: The study as far as it has come.
        folder: Its results.
        config: The configuration that trains with the best trial's values, None without one.
    """

    code: int
    result: StudyResult
    folder: Path
    config: Path | None


def run_study(
    options: RunOptions,
    plan: Plan,
    slots: SlotOptions,
    *,
    notes: Sequence[str] = (),
    config: OptunaConfig | None = None,
    uploads: MakeUploads | None = None,
    leader: Leader | None = None,
) -> StudyOutcome:
    """Run a study in this call, to its end or to what ends the call; write its results, also of a part.

    Args:
        options: How, as `studies.plan.run_options` says.
        plan: What to run.
        slots: What trials may occupy.
        notes: What to say first.
        config: The --config that it is made of: what its `quick_validation` cuts is whole in the final configuration.
        uploads: As `runner.call.Call` takes it.
        leader: Likewise.

    Raises:
        SweepKitError: The study is recorded with other settings, or record or storage cannot be used.
    """
    places, more = slots_of(slots, [plan])
    with Call(options, [plan], slots=places, notes=[*notes, *more], uploads=uploads, leader=leader) as call:
        code = call.run()
        session = call.sessions[0]
        runs = sorted(call.store.runs(session.sweep.sweep_id), key=lambda run: run.number)
    result = StudyResult(name=session.sweep.name, spec=session.spec, runs=runs)
    folder = folder_of(plan.output_dir, result.name)
    best = session.paths.best_config
    winner = result.best()
    text = best.read_text(encoding="utf-8") if plan.trains and best.is_file() and winner is not None else None
    if config is not None and config.quick and winner is not None and plan.trains:
        text = final_text(plan.base_config, config, winner.params)
    return StudyOutcome(code=code, result=result, folder=folder, config=_write_all(folder, result, text))


def _write_all(folder: Path, result: StudyResult, text: str | None) -> Path | None:
    """Write every file of a study; return the configuration of its best trial.

    Args:
        folder: Where they go.
        result: The study.
        text: The best trial's full training configuration; None when there is none.
    """
    write_results(folder, result)
    write_figures(folder, result)
    return None if text is None else write_optimized(folder, text, now=datetime.now())


def run_study_of_phases(
    options: RunOptions, config: OptunaConfig, slots: SlotOptions, *, uploads: MakeUploads | None = None
) -> int:
    """Run a study of several phases, write the configuration of its best trial; return the exit code."""
    outcome = run_phases(options, config, slots=slots, uploads=uploads)
    folder = folder_of(options.output_dir, config.study_name)
    if any(result.runs for result in outcome.results):
        _write_all(folder, _result_of_phases(config, outcome), None)
        if not options.json:
            say(f"results: {relative(folder)}/")
    if outcome.params:
        base = base_config_of(config.base_config, config.directory)
        file = write_optimized(folder, final_text(base, config, outcome.params), now=datetime.now())
        if not options.json:
            say(f"train it: {typed('train', '--config', relative(file))}")
    return outcome.code


def _result_of_phases(config: OptunaConfig, outcome: PhasesOutcome) -> StudyResult:
    """Return the runs of all phases as one study, numbered through; its best is what the phases came to."""
    spec = from_config(sweep_dict(config), source=config.source, directory=config.directory)
    runs = [run for result in outcome.results for run in result.runs]
    numbered = [replace(run, number=number) for number, run in enumerate(runs)]
    return StudyResult(name=config.study_name, spec=spec, runs=numbered, chosen=outcome.params or None)


def check_recorded_phases(options: RunOptions, config: OptunaConfig) -> None:
    """Refuse to resume a study of phases of which none is there. Raises as `check_recorded`."""
    with open_recorded(storage_of(options)) as store:
        names = [f"{config.study_name}-{phase.name}" for phase in config.phases]
        if not any(store.sweeps(family=name) for name in names):
            known = ", ".join(sorted({sweep.family for sweep in store.sweeps()})) or "none"
            raise ConflictError(
                f"--resume: a phase of study {config.study_name!r} must be recorded, got none; recorded are: {known}; "
                "leave --resume out to begin it"
            )


def check_recorded(plan: Plan) -> None:
    """Refuse to resume a study that is not there. Raises ConflictError, or StoreError without its database."""
    with open_recorded(plan.storage) as store:
        if not store.sweeps(family=settled(plan, store).spec.name):
            known = ", ".join(sorted({sweep.family for sweep in store.sweeps()})) or "none"
            raise ConflictError(
                f"--resume: study {plan.spec.name!r} must be recorded, got none of that name; "
                f"recorded are: {known}; leave --resume out to begin it"
            )


def conclude_objective(ended: EndedStudy, options: RunOptions) -> int:
    """Write the results of a study of one's own objective, show them; return the exit code."""
    folder = folder_of(options.output_dir, ended.result.name)
    outcome = StudyOutcome(code=ended.code, result=ended.result, folder=folder, config=None)
    _write_all(folder, ended.result, None)
    show_outcome(outcome, options)
    return ended.code


def show_outcome(ended: StudyOutcome, options: RunOptions) -> None:
    """Show where the results are and how to go on with them."""
    if options.json:
        shown = {
            "event": "study_ended",
            **study_stats(ended.result),
            "directory": str(ended.folder),
            "config": None if ended.config is None else str(ended.config),
            "storage": _shown(options.optuna_storage),
        }
        say(json_text(shown))
        return
    stats = study_stats(ended.result)
    counts = ", ".join(f"{stats[key]} {word}" for key, word in _COUNTS if stats[key] or key == "n_completed")
    say(f"study {ended.result.name}: {stats['n_trials']} trials: {counts}")
    say(f"results: {relative(ended.folder)}/")
    if options.optuna_storage is not None:
        say(f"study: optuna.load_study(study_name={ended.result.name!r},")
        say(f"                         storage={_shown(options.optuna_storage)!r})")
    if ended.config is not None:
        say(f"train it: {typed('train', '--config', relative(ended.config))}")


_COUNTS = (
    ("n_completed", "completed"),
    ("n_pruned", "pruned"),
    ("n_failed", "failed"),
    ("n_unfinished", "unfinished"),
)


def _shown(url: str | None) -> str:
    """Return a storage's URL without its password."""
    try:
        return shown_url(parse_url(url or ""))
    except SweepKitError:
        return "…"
