"""`optimize.py`: a study of Optuna's kind, run as a sweep: by agents, resumable, mirrored into an Optuna storage."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sweepkit.cli.guard import guarded
from sweepkit.cli.optimize_options import parse
from sweepkit.errors import ConflictError, SweepKitError
from sweepkit.paths import OUTPUT_DIR

if TYPE_CHECKING:
    from sweepkit.runner.plan import Plan
    from sweepkit.studies.results import StudyResult
    from sweepkit.studies.yaml.optuna_values import OptunaConfig


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = parse(argv, output_dir=OUTPUT_DIR)
    from sweepkit.cli.sweep_runner import show_dry_run
    from sweepkit.runner.call import slots_of
    from sweepkit.studies.plan import make_plan_of, run_options, sweep_of, tuned_config

    config = None if options.config is None else tuned_config(options)
    running = run_options(options, config)
    if config is not None and config.phases and not options.dry_run:
        return _phases(running, config)
    sweep, directory, notes = sweep_of(options, config)
    plan = make_plan_of(sweep, running, directory=directory)
    if options.resume:
        _check_recorded(plan)
    if options.dry_run:
        slots, more = slots_of(running, [plan])
        for note in () if options.json else (*notes, *more):
            print(note)
        return show_dry_run(running, plan, slots)
    ended = run_study(running, plan, notes=notes, config=config)
    _tell(ended, running)
    return ended.code


def _phases(options: Namespace, config: "OptunaConfig") -> int:
    """Run a study of several phases; return the exit code."""
    from sweepkit.runner.call import slots_of
    from sweepkit.studies.phases import run_phases

    outcome = run_phases(options, config, slots_for=lambda running, plans: slots_of(running, plans)[0])
    if outcome.params:
        from sweepkit.reports.files import relative
        from sweepkit.studies.plan import base_of, final_text
        from sweepkit.studies.results import folder_of, write_optimized

        folder = folder_of(options.output_dir, config.study_name)
        folder.mkdir(parents=True, exist_ok=True)
        file = write_optimized(folder, final_text(base_of(config), config, outcome.params), now=datetime.now())
        if not options.json:
            print(f"train it: python trainer.py --config {relative(file)}")
    return outcome.code


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What a call came to.

    Args:
        code: The exit code.
        result: The study as far as it has come.
        folder: Its results.
        config: The configuration that trains with the best trial's values, None without one.
    """

    code: int
    result: "StudyResult"
    folder: Path
    config: Path | None


def run_study(
    options: Namespace, plan: "Plan", *, notes: Sequence[str] = (), config: "OptunaConfig | None" = None
) -> Ended:
    """Run a study in this call, to its end or to what ends the call; write its results, also of a part.

    Args:
        options: As `optimize_plan.run_options` returns them.
        plan: What to run.
        notes: What to tell first.
        config: The --config that it is made of: what its `quick_validation` cuts is whole in the final configuration.

    Raises:
        SweepKitError: The study is recorded with other settings, or record or storage cannot be used.
    """
    from sweepkit.runner.call import Call, slots_of
    from sweepkit.studies.plan import final_text
    from sweepkit.studies.results import StudyResult, folder_of

    slots, more = slots_of(options, [plan])
    with Call(options, [plan], slots=slots, notes=[*notes, *more]) as call:
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
    return Ended(code=code, result=result, folder=folder, config=write_all(folder, result, text))


def write_all(folder: Path, result: "StudyResult", text: str | None) -> Path | None:
    """Write every file of a study; return the configuration of its best trial.

    Args:
        folder: Where they go.
        result: The study.
        text: The best trial's full training configuration; None when there is none.
    """
    from sweepkit.studies.figures import write_figures
    from sweepkit.studies.results import write_optimized, write_results

    write_results(folder, result)
    write_figures(folder, result)
    return None if text is None else write_optimized(folder, text, now=datetime.now())


def _check_recorded(plan: "Plan") -> None:
    """Refuse --resume of a study that is not there."""
    from sweepkit.runner.plan import check_storage_exists
    from sweepkit.store.open import open_store

    check_storage_exists(plan.storage)
    with open_store(plan.storage) as store:
        if not store.sweeps(family=plan.spec.name):
            known = ", ".join(sorted({sweep.family for sweep in store.sweeps()})) or "none"
            raise ConflictError(
                f"--resume: study {plan.spec.name!r} must be recorded, got none of that name; "
                f"recorded are: {known}; leave --resume out to begin it"
            )


def _tell(ended: Ended, options: Namespace) -> None:
    """Show where the results are and how to go on with them."""
    from sweepkit.reports.files import relative
    from sweepkit.studies.results import study_stats
    from sweepkit.text.json_text import json_text

    if options.json:
        told = {
            "event": "study_ended",
            **study_stats(ended.result),
            "directory": str(ended.folder),
            "config": None if ended.config is None else str(ended.config),
            "storage": _shown(options.optuna_storage),
        }
        sys.stdout.write(json_text(told) + "\n")
        return
    stats = study_stats(ended.result)
    counts = ", ".join(f"{stats[key]} {word}" for key, word in _COUNTS if stats[key] or key == "n_completed")
    print(f"study {ended.result.name}: {stats['n_trials']} trials: {counts}")
    print(f"results: {relative(ended.folder)}/")
    print(f"study: optuna.load_study(study_name={ended.result.name!r},")
    print(f"                         storage={_shown(options.optuna_storage)!r})")
    if ended.config is not None:
        print(f"train it: python trainer.py --config {relative(ended.config)}")


_COUNTS = (
    ("n_completed", "completed"),
    ("n_pruned", "pruned"),
    ("n_failed", "failed"),
    ("n_unfinished", "unfinished"),
)


def _shown(url: str) -> str:
    """Return a storage's URL without its password."""
    from sweepkit.store.open import parse_url, shown_url

    try:
        return shown_url(parse_url(url))
    except SweepKitError:
        return "…"
