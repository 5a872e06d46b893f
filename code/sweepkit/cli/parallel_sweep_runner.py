"""`parallel_sweep_runner.py`: one sweep or several on all slots of this machine, or working along on a recorded one."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sweepkit.cli.guard import guarded
from sweepkit.cli.options import RunnerCommand, parse_parallel
from sweepkit.errors import ConflictError
from sweepkit.runner.options import RunOptions

if TYPE_CHECKING:
    from sweepkit.runner.plan import Plan


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    return run_parallel(parse_parallel(argv, output_dir=None))


def run_parallel(command: RunnerCommand) -> int:
    """Do what is asked for on all slots; return the exit code."""
    from sweepkit.agents.worker_pool import StartSchedule
    from sweepkit.cli.sweep_runner import run_at_wandb, show_dry_run
    from sweepkit.runner.call import Call, slots_of

    if command.backend == "wandb":
        return run_at_wandb(command, slots_of=lambda plan: slots_of(command.slots, [plan], packs=False))
    from sweepkit.wandb.upload_client import Online

    if command.confirm is not None:
        from sweepkit.confirm.confirm import confirm

        return confirm(
            command.run, command.confirm, slots_for=lambda plan: slots_of(command.slots, [plan]), uploads=Online
        )
    plans = _plans(command)
    if plans[0].spec.suggests_itself:
        return _run_objective(command, plans[0])
    slots, notes = slots_of(command.slots, plans)
    if command.run.dry_run:
        return max(show_dry_run(command.run, plan, slots, runs_per_worker=command.runs_per_worker) for plan in plans)
    schedule = StartSchedule(stagger_s=command.stagger, delay_s=command.delay, runs_per_worker=command.runs_per_worker)
    with Call(command.run, plans, slots=slots, schedule=schedule, notes=notes, uploads=Online) as call:
        return call.run()


def _run_objective(command: RunnerCommand, plan: "Plan") -> int:
    """Work along on a recorded study of an objective, or go on with it; return the exit code."""
    from sweepkit.agents.worker_pool import StartSchedule
    from sweepkit.cli.sweep_runner import print_dry_run
    from sweepkit.studies.objective import dry_run_of_recorded, run_recorded_objective
    from sweepkit.studies.run import conclude_objective
    from sweepkit.wandb.upload_client import Online

    if command.run.dry_run:
        return print_dry_run(dry_run_of_recorded(plan, command.slots), json_lines=command.run.json)
    schedule = StartSchedule(stagger_s=command.stagger, delay_s=command.delay, runs_per_worker=command.runs_per_worker)
    ended = run_recorded_objective(plan, command.run, command.slots, schedule=schedule, uploads=Online)
    return conclude_objective(ended, command.run)


def _plans(command: RunnerCommand) -> "list[Plan]":
    """Return the sweeps to run, each of a name of its own."""
    from sweepkit.runner.plan import make_plan

    if command.join is not None:
        return [_joined(command.run, command.join)]
    if command.recorded is not None:
        return [replace(_joined(command.run, command.recorded), joins=None)]
    files = command.sweeps if command.sweep is None else (command.sweep,)
    plans = [make_plan(command.run, file) for file in files]
    twice = [name for name, times in Counter(plan.spec.name for plan in plans).items() if times > 1]
    if twice:
        raise ConflictError(f"--sweeps: each must be a sweep of its own, got {twice[0]!r} twice; give one a `name:`")
    return plans


def _joined(options: RunOptions, name: str) -> "Plan":
    from sweepkit.agents.control import find_sweep_record
    from sweepkit.runner.plan import make_join_plan, open_recorded, storage_of

    with open_recorded(storage_of(options)) as store:
        return make_join_plan(options, find_sweep_record(store, name))
