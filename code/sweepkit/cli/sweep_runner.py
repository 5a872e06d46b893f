"""`sweep_runner.py`: make or continue a sweep, run one worker, show the result; or control a sweep that runs."""

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sweepkit.cli.guard import guarded
from sweepkit.cli.options import parse
from sweepkit.paths import OUTPUT_DIR

if TYPE_CHECKING:
    from sweepkit.agents.slots import Slot
    from sweepkit.runner.plan import Plan


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = parse(argv, output_dir=OUTPUT_DIR)
    if options.command == "push":
        from sweepkit.cli.push import push

        return push(options)
    if options.command is not None:
        return _control(options)
    if options.backend == "wandb":
        from sweepkit.runner.call import one_slot
        from sweepkit.wandb.agents import Limits
        from sweepkit.wandb.backend import run_backend

        limits = Limits(count=options.count)
        return run_backend(options, options.sweep_config, slots_of=lambda plan: (one_slot(plan), []), limits=limits)
    from sweepkit.runner.call import Call, one_slot

    if options.confirm is not None:
        from sweepkit.confirm.confirm import confirm

        return confirm(options, lambda plan: (one_slot(plan), ()))
    from sweepkit.runner.plan import make_plan

    plan = make_plan(options)
    slots = one_slot(plan)
    if options.dry_run:
        return show_dry_run(options, plan, slots)
    with Call(options, [plan], slots=slots) as call:
        return call.run()


def _control(options: Namespace) -> int:
    """Ask something of a sweep that runs elsewhere; tell where it stands now."""
    from sweepkit.agents.control import SweepCommand, ask, find_sweep_record
    from sweepkit.runner.plan import check_storage_exists, storage_of
    from sweepkit.store.open import open_store

    storage = storage_of(options)
    check_storage_exists(storage)
    with open_store(storage) as store:
        if (led := find_sweep_record(store, options.name)).meta.get("wandb", {}).get("path"):
            from sweepkit.wandb.backend import control_at_wandb

            control_at_wandb(led, options.command)
        sweep = ask(store, options.name, SweepCommand(options.command))
        live = len(store.live_attempts(sweep.sweep_id))
    if options.json:
        told = {"event": options.command, "sweep": sweep.name, "state": sweep.state.value, "running": live}
        sys.stdout.write(json.dumps(told, ensure_ascii=False) + "\n")
        return 0
    under_way = f"{live} run{'' if live == 1 else 's'} under way"
    words = {
        "pause": f"paused; {under_way} will end by themselves; --resume {sweep.name} goes on",
        "resume": f"running; {under_way}; runners that wait go on at once, without one start it by its YAML",
        "stop": f"stopped; {under_way} will end by themselves, then its runners end",
        "cancel": f"cancelled; {under_way} will be terminated by their runners and released",
    }
    print(f"{sweep.name}: {words[options.command]}")
    return 0


def show_dry_run(options: Namespace, plan: "Plan", slots: "tuple[Slot, ...]") -> int:
    """Print what would be run; return the exit code."""
    from sweepkit.runner.dry_run import dry_run, dry_run_text

    report = dry_run(plan, slots=slots, sampler=options.sampler, seed=options.seed)
    if options.json:
        sys.stdout.write(json.dumps(report.plain(), ensure_ascii=False) + "\n")
    else:
        print(dry_run_text(report))
    return 0
