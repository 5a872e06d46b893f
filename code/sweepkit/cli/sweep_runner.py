"""`sweep_runner.py`: make or continue a sweep, run one worker, show the result; or control a sweep that runs."""

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sweepkit.called import place_words, typed
from sweepkit.cli.guard import guarded
from sweepkit.cli.options import REPLAY, RunnerCommand, parse
from sweepkit.runner.options import RunOptions
from sweepkit.text.shown import say

if TYPE_CHECKING:
    from sweepkit.agents.slots import Slot
    from sweepkit.runner.dry_run import DryRun
    from sweepkit.runner.plan import Plan


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    return run_one(parse(argv, output_dir=None))


def run_one(command: RunnerCommand) -> int:
    """Do what is asked for with one worker; return the exit code."""
    if command.control == "push":
        from sweepkit.wandb.push import push

        return push(command.run, command.name)
    if command.control == REPLAY:
        from sweepkit.cli.analyze_sweep import replay_stopping
        from sweepkit.sources.options import SourceOptions

        run = command.run
        named = SourceOptions(sweep=command.name, output_dir=run.output_dir, storage=run.storage)
        return replay_stopping(named, json=run.json)
    if command.control is not None:
        return _control(command.run, command.control, command.name)
    from sweepkit.runner.call import Call, one_slot

    if command.backend == "wandb":
        return run_at_wandb(command, slots_of=lambda plan: (one_slot(plan), []))
    from sweepkit.wandb.upload_client import Online

    if command.confirm is not None:
        from sweepkit.confirm.confirm import confirm

        return confirm(command.run, command.confirm, slots_for=lambda plan: (one_slot(plan), ()), uploads=Online)
    from sweepkit.runner.plan import make_plan

    assert command.sweep is not None
    plan = make_plan(command.run, command.sweep)
    slots = one_slot(plan)
    if command.run.dry_run:
        return show_dry_run(command.run, plan, slots)
    with Call(command.run, [plan], slots=slots, uploads=Online) as call:
        return call.run()


def run_at_wandb(command: RunnerCommand, *, slots_of: "Callable[[Plan], tuple[tuple[Slot, ...], list[str]]]") -> int:
    """Let W&B lead one sweep, with one of its agents on each slot; return the exit code."""
    from sweepkit.wandb.agents import Limits
    from sweepkit.wandb.backend import run_backend
    from sweepkit.wandb.backend_plan import check_options

    check_options(command.run, join=command.join is not None, sweeps=bool(command.sweeps), delay=command.delay > 0)
    limits = Limits(count=command.run.count, runs_per_worker=command.runs_per_worker, stagger_s=command.stagger)
    return run_backend(
        command.run, sweep=command.sweep, wandb_sweep=command.wandb_sweep, slots_of=slots_of, limits=limits
    )


def _control(options: RunOptions, control: str, name: str) -> int:
    """Ask something of a sweep that runs elsewhere; say where it stands now."""
    from sweepkit.agents.control import SweepCommand, ask, find_sweep_record
    from sweepkit.runner.plan import open_recorded, storage_of

    with open_recorded(storage_of(options)) as store:
        if (led := find_sweep_record(store, name)).meta.get("wandb", {}).get("path"):
            from sweepkit.wandb.backend import control_at_wandb

            control_at_wandb(led, control)
        sweep = ask(store, name, SweepCommand(control))
        live = len(store.live_attempts(sweep.sweep_id))
    if options.json:
        said = {"event": control, "sweep": sweep.name, "state": sweep.state.value, "running": live}
        say(json.dumps(said, ensure_ascii=False))
        return 0
    under_way = f"{live} run{'' if live == 1 else 's'} under way"
    resume = typed("resume", sweep.name, *place_words(options.output_dir, options.storage))
    words = {
        "pause": f"paused; {under_way} will end by themselves; {resume} goes on",
        "resume": f"running; {under_way}; runners that wait go on at once, without one start it by its YAML",
        "stop": f"stopped; {under_way} will end by themselves, then its runners end",
        "cancel": f"cancelled; {under_way} will be terminated by their runners and released",
    }
    say(f"{sweep.name}: {words[control]}")
    return 0


def show_dry_run(
    options: RunOptions, plan: "Plan", slots: "tuple[Slot, ...]", *, runs_per_worker: int | None = None
) -> int:
    """Print what would be run; return the exit code."""
    from sweepkit.runner.dry_run import dry_run

    limits = [(options.count, f"--count {options.count}")] if options.count else []
    if runs_per_worker is not None:
        limits.append((runs_per_worker * len(slots), f"--runs-per-worker {runs_per_worker}"))
    report = dry_run(plan, slots=slots, options=options, most=min(limits, default=None))
    return print_dry_run(report, json_lines=options.json)


def print_dry_run(report: "DryRun", *, json_lines: bool) -> int:
    """Print what would be run, as text or as one JSON object; return the exit code."""
    from sweepkit.runner.dry_run import dry_run_text

    if json_lines:
        say(json.dumps(report.plain(), ensure_ascii=False))
    else:
        say(dry_run_text(report))
    return 0
