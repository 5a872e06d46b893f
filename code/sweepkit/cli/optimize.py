"""`optimize.py`: a study of Optuna's kind, run as a sweep."""

from collections.abc import Sequence

from sweepkit.cli.guard import guarded
from sweepkit.cli.optimize_options import parse
from sweepkit.paths import default_output_dir
from sweepkit.studies.options import StudyOptions


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    return optimize(parse(argv, output_dir=default_output_dir()))


def optimize(options: StudyOptions) -> int:
    """Run the study that is asked for; return the exit code."""
    from sweepkit.cli.sweep_runner import show_dry_run
    from sweepkit.runner.call import slots_of
    from sweepkit.studies.plan import make_plan_of, run_options, slot_options, sweep_of, tuned_config
    from sweepkit.studies.run import check_recorded, check_recorded_phases, run_study, run_study_of_phases, show_outcome
    from sweepkit.wandb.upload_client import Online

    config = None if options.config is None else tuned_config(options)
    running, slots = run_options(options, config), slot_options(options, config)
    if config is not None and config.phases and options.resume:
        check_recorded_phases(running, config)
    if config is not None and config.phases and not options.dry_run:
        return run_study_of_phases(running, config, slots, uploads=Online)
    sweep, directory, notes = sweep_of(options, config)
    plan = make_plan_of(sweep, running, directory=directory)
    if options.resume and not (config is not None and config.phases):
        check_recorded(plan)
    if options.dry_run:
        places, more = slots_of(slots, [plan])
        for note in () if options.json else (*notes, *more):
            print(note)
        return show_dry_run(running, plan, places)
    ended = run_study(running, plan, slots, notes=notes, config=config, uploads=Online)
    show_outcome(ended, running)
    return ended.code
