"""`sweep_runner.py`: make or continue a sweep, run one worker, show the result; or control a sweep that runs."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sweepkit.called import place_words, typed
from sweepkit.cli.guard import guarded
from sweepkit.cli.options import (
    CONFIRM_HELP,
    SCRIPT_ENDS,
    RunnerCommand,
    add_common,
    add_confirm,
    add_wandb_sweep,
    runner_command,
)
from sweepkit.cli.parsing import make_parser
from sweepkit.runner.options import RunOptions
from sweepkit.text.shown import say

if TYPE_CHECKING:
    from sweepkit.agents.slots import Slot
    from sweepkit.runner.dry_run import DryRun
    from sweepkit.runner.plan import Plan

_EPILOG = """\
examples:
  python sweep_runner.py --sweep-config first_sweep            run it, or continue where it stopped
  python sweep_runner.py --sweep-config first_sweep --dry-run  what would be run
  python sweep_runner.py --sweep-config my.yaml --count 10 --sampler tpe
  python sweep_runner.py --sweep-config my.yaml --storage postgresql://user@host/sweeps
  python sweep_runner.py --sweep-config my.yaml --backend wandb                  W&B's server leads, W&B agents run it
  python sweep_runner.py --wandb-sweep ENTITY/PROJECT/ID                         work on a sweep that is at W&B already
  python sweep_runner.py --confirm first_sweep                 its best again with fresh seeds, as a race of 15 runs

from another terminal, while it runs:
  python sweep_runner.py --pause first_sweep                   no run starts; --resume goes on, --stop ends after the
                                                               running runs, --cancel terminates them as well
"""
_CONTROLS = {
    "pause": "start no further run of a recorded sweep, wherever it runs, until --resume",
    "resume": "let a paused sweep go on",
    "stop": "start no further run; its runners end when the running runs have ended",
    "cancel": "terminate its running runs, too; they are run again if it is started again",
    "push": "send a recorded sweep to W&B: runs, histories, states, reasons; what is there is not sent again",
}
_REPLAY = "replay-stopping"
_REPLAY_HELP = (
    "show what stopping rules would have done with a recorded sweep: epochs used, regret, is the winner stopped"
)


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    return run_one(parse(argv, output_dir=None))


def parse(argv: Sequence[str] | None, *, output_dir: Path | None) -> RunnerCommand:
    """Return what `sweep_runner.py` is asked for; argparse exits with code 2 on a wrong option."""
    description = "Run a W&B sweep on this machine: no account, no network."
    parser = make_parser("sweep_runner.py", description, _EPILOG + SCRIPT_ENDS)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--sweep-config", metavar="NAME|FILE", help="a sweep YAML, or its name in config/sweep/")
    add_wandb_sweep(what)
    for word, meaning in _CONTROLS.items():
        what.add_argument(f"--{word}", metavar="NAME", help=meaning)
    what.add_argument("--confirm", metavar="NAME", help=CONFIRM_HELP)
    what.add_argument(f"--{_REPLAY}", metavar="NAME", help=_REPLAY_HELP)
    add_confirm(parser.add_argument_group("with --confirm"))
    add_common(parser, output_dir)
    given = parser.parse_args(argv)
    if given.replay_stopping is not None:
        return replace(runner_command(parser, given), control=_REPLAY, name=given.replay_stopping)
    named = [(word, name) for word in _CONTROLS if (name := getattr(given, word))]
    control, name = named[0] if named else (None, "")
    return replace(runner_command(parser, given), sweep=given.sweep_config, control=control, name=name)


def run_one(command: RunnerCommand) -> int:
    """Do what is asked for with one worker; return the exit code."""
    if command.control == "push":
        from sweepkit.wandb.push import push

        return push(command.run, command.name)
    if command.control == _REPLAY:
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
