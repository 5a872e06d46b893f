"""`parallel_sweep_runner.py`: one sweep or several on all slots of this machine, or working along on a recorded one."""

from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sweepkit.cli.guard import guarded
from sweepkit.cli.options import parse_parallel
from sweepkit.errors import ConflictError
from sweepkit.paths import OUTPUT_DIR

if TYPE_CHECKING:
    from sweepkit.runner.plan import Plan


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = parse_parallel(argv, output_dir=OUTPUT_DIR)
    if options.backend == "wandb":
        return _at_wandb(options)
    from sweepkit.agents.worker_pool import StartSchedule
    from sweepkit.cli.sweep_runner import show_dry_run
    from sweepkit.runner.call import Call, slots_of

    if options.confirm is not None:
        from sweepkit.confirm.confirm import confirm

        return confirm(options, lambda plan: slots_of(options, [plan]))
    plans = _plans(options)
    slots, notes = slots_of(options, plans)
    if options.dry_run:
        return max(show_dry_run(options, plan, slots) for plan in plans)
    schedule = StartSchedule(stagger_s=options.stagger, delay_s=options.delay, runs_per_worker=options.runs_per_worker)
    with Call(options, plans, slots=slots, schedule=schedule, notes=notes) as call:
        return call.run()


def _at_wandb(options: Namespace) -> int:
    """Let W&B lead one sweep, with one of its agents on each slot; return the exit code."""
    from sweepkit.runner.call import slots_of
    from sweepkit.wandb.agents import Limits
    from sweepkit.wandb.backend import run_backend

    limits = Limits(count=options.count, runs_per_worker=options.runs_per_worker, stagger_s=options.stagger)
    return run_backend(options, options.single_parallel, slots_of=lambda plan: slots_of(options, [plan]), limits=limits)


def _plans(options: Namespace) -> "list[Plan]":
    """Return the sweeps to run, each of a name of its own."""
    from sweepkit.runner.plan import make_plan

    if options.join is not None:
        return [_joined(options)]
    plans = [make_plan(options, sweep) for sweep in options.sweeps or [options.single_parallel]]
    twice = [name for name, times in Counter(plan.spec.name for plan in plans).items() if times > 1]
    if twice:
        raise ConflictError(f"--sweeps: each must be a sweep of its own, got {twice[0]!r} twice; give one a `name:`")
    return plans


def _joined(options: Namespace) -> "Plan":
    from sweepkit.agents.control import find_sweep_record
    from sweepkit.runner.plan import check_storage_exists, make_join_plan, storage_of
    from sweepkit.store.open import open_store

    storage = storage_of(options)
    check_storage_exists(storage)
    with open_store(storage) as store:
        return make_join_plan(options, find_sweep_record(store, options.join))
