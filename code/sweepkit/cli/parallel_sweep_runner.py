"""`parallel_sweep_runner.py`: one sweep or several on all slots of this machine, or working along on a recorded one."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sweepkit.cli.guard import guarded
from sweepkit.cli.options import (
    CONFIRM_HELP,
    SCRIPT_ENDS,
    RunnerCommand,
    add_common,
    add_confirm,
    add_wandb_sweep,
    add_workers,
    runner_command,
)
from sweepkit.cli.parsing import make_parser
from sweepkit.errors import ConflictError
from sweepkit.runner.options import RunOptions

if TYPE_CHECKING:
    from sweepkit.runner.plan import Plan

_EPILOG = """\
examples:
  python parallel_sweep_runner.py --single-parallel first_sweep               a worker for each GPU, else per two cores
  python parallel_sweep_runner.py --single-parallel my.yaml --num-workers 4 --runs-per-worker 5
  python parallel_sweep_runner.py --single-parallel my.yaml --gpus 0,1,2,3 --gpus-per-run 2
  python parallel_sweep_runner.py --sweeps a_sweep b_sweep c_sweep            three sweeps share the workers fairly
  python parallel_sweep_runner.py --confirm first_sweep                       its best again with fresh seeds
  python parallel_sweep_runner.py --join my --storage postgresql://…          work along, from any terminal or host
  python parallel_sweep_runner.py --single-parallel my.yaml --backend wandb   a W&B agent on every GPU
"""


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    return run_parallel(parse_parallel(argv, output_dir=None))


def parse_parallel(argv: Sequence[str] | None, *, output_dir: Path | None) -> RunnerCommand:
    """Return what `parallel_sweep_runner.py` is asked for; argparse exits with code 2 on a wrong option."""
    description = "Run W&B sweeps on all GPUs of this machine: no account, no network."
    parser = make_parser("parallel_sweep_runner.py", description, _EPILOG + SCRIPT_ENDS)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--single-parallel", metavar="NAME|FILE", help="one sweep on all workers: a YAML, or its name in config/sweep/"
    )
    what.add_argument("--sweeps", nargs="+", metavar="NAME|FILE", help="several sweeps that share the workers fairly")
    what.add_argument(
        "--join", metavar="NAME", help="work along on a recorded sweep, which others run: its YAML is in the record"
    )
    add_wandb_sweep(what)
    what.add_argument("--confirm", metavar="NAME", help=CONFIRM_HELP)
    add_confirm(parser.add_argument_group("with --confirm"))
    add_workers(parser)
    add_common(parser, output_dir)
    given = parser.parse_args(argv)
    files = tuple(given.sweeps or ())
    return replace(runner_command(parser, given), sweep=given.single_parallel, sweeps=files, join=given.join)


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
