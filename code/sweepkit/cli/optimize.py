"""`optimize.py`: a study of Optuna's kind, run as a sweep."""

import json
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sweepkit.cli.guard import guarded_training
from sweepkit.cli.optimize_options import parse
from sweepkit.studies.options import StudyOptions
from sweepkit.text.shown import say

if TYPE_CHECKING:
    from sweepkit.runner.options import RunOptions, SlotOptions
    from sweepkit.studies.objective import ObjectiveStudy
    from sweepkit.studies.yaml.optuna_values import OptunaConfig


@guarded_training
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    return optimize(parse(argv, output_dir=None))


def optimize(options: StudyOptions) -> int:
    """Run the study that is asked for; return the exit code."""
    from sweepkit.cli.sweep_runner import show_dry_run
    from sweepkit.runner.call import slots_of
    from sweepkit.studies.plan import make_plan_of, run_options, slot_options, sweep_of, tuned_config
    from sweepkit.studies.run import check_recorded, check_recorded_phases, run_study, run_study_of_phases, show_outcome
    from sweepkit.wandb.upload_client import Online

    if options.objective is not None:
        return _optimize_objective(options)
    config = None if options.config is None else tuned_config(options)
    running, slots = run_options(options, config), slot_options(options, config)
    if config is not None and config.phases:
        if options.resume:
            check_recorded_phases(running, config)
        if options.dry_run:
            return _show_phases(running, config, slots)
        return run_study_of_phases(running, config, slots, uploads=Online)
    sweep, directory, notes = sweep_of(options, config)
    plan = make_plan_of(sweep, running, directory=directory)
    if options.resume and not (config is not None and config.phases):
        check_recorded(plan)
    if options.dry_run:
        places, more = slots_of(slots, [plan])
        for note in () if options.json else (*notes, *more):
            say(note)
        return show_dry_run(running, plan, places)
    ended = run_study(running, plan, slots, notes=notes, config=config, uploads=Online)
    show_outcome(ended, running)
    return ended.code


def _show_phases(options: "RunOptions", config: "OptunaConfig", slots: "SlotOptions") -> int:
    """Print what each phase would run; return the exit code."""
    from sweepkit.runner.dry_run import dry_run_text
    from sweepkit.studies.phase_results import WORDS
    from sweepkit.studies.phases import phases_ahead

    for note in () if options.json else config.notes:
        say(note)
    for number, ahead in enumerate(phases_ahead(options, config, slots=slots), 1):
        if options.json:
            said = {"event": "phase", "phase": ahead.phase.name, "number": number, "runs": ahead.runs}
            say(json.dumps({**said, "sweeps": [item.plain() for item in ahead.sweeps]}, ensure_ascii=False))
            continue
        words = f"phase {number} of {len(config.phases)}: {ahead.phase.name} ({WORDS[ahead.phase.kind]})"
        say(words if ahead.sweeps else f"{words}: {ahead.runs} runs, of what the phases before find")
        for item in ahead.sweeps:
            say(textwrap.indent(dry_run_text(item), "  "))
    return 0


def _optimize_objective(options: StudyOptions) -> int:
    """Run the study of one's own objective; return the exit code."""
    from dataclasses import replace

    from sweepkit.studies.objective import plan_of_objective, run_objective, study_of
    from sweepkit.studies.plan import run_options, slot_options
    from sweepkit.studies.run import check_recorded, conclude_objective
    from sweepkit.wandb.upload_client import Online

    asked = study_of(options)
    running, slots = replace(run_options(options), seed=options.seed), slot_options(options)
    if options.dry_run:
        return _show_objective(asked, running, slots)
    if options.resume:
        check_recorded(plan_of_objective(asked, running))
    return conclude_objective(run_objective(asked, running, slots, uploads=Online), running)


def _show_objective(asked: "ObjectiveStudy", options: "RunOptions", slots: "SlotOptions") -> int:
    """Print what a study of one's own objective would run, and leave nothing behind; return the exit code."""
    from sweepkit.runner.dry_run import dry_run_text
    from sweepkit.studies.objective import dry_run_of
    from sweepkit.text.json_text import json_text

    report = dry_run_of(asked, options, slots)
    say(json_text(report.plain()) if options.json else dry_run_text(report))
    return 0
