"""What command lines that make runs take. Imports argparse and nothing heavy: `--help` must answer at once."""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from sweepkit.cli.parsing import OutputFolder
from sweepkit.confirm.options import ConfirmOptions
from sweepkit.runner.options import RunOptions, SlotOptions

# Those of `sweep_config.sampler`, which imports too much for a `--help`; a test compares the two.
_SAMPLERS = ("tpe", "gp", "cmaes", "nsga", "random", "grid", "qmc", "auto")
SCRIPT_ENDS = """\

sweepkit.early_terminate in the YAML ends bad runs early: {type: asha|median|patience|percentile|successive_halving|
optuna_hyperband|patient|threshold|wilcoxon|none, …}; docs/stopping.md has the settings of each.
Ctrl-C waits for the running runs, a second one terminates them, a third one kills them; SIGTERM terminates them at
once. The same command continues; what trainer.py trained goes on where it was terminated.
exit codes: 0 there is a value of the metric; 3 none: all runs failed, or none logged it; 1 given up, paused by a
failure or cancelled; 2 wrong input; 130 Ctrl-C; SIGTERM 0, or what --preempted-exit-code says (docs/deploy.md).
"""
# The same for the sub-commands, whose help is to fit a screen.
ENDS = """\

Ctrl-C waits for running runs, again terminates them; the same call continues.
exit codes: 0 there is a value of the metric; 3 none; 1 given up; 2 bad input.
{more}

A third Ctrl-C kills the running runs; SIGTERM terminates them. docs/stopping.md: sweepkit.early_terminate.
1 is also the code of a sweep that was paused by a failure or cancelled; 130 Ctrl-C; SIGTERM 0, or what
--preempted-exit-code says.
"""


CONFIRM_HELP = "run the best of a recorded sweep again with fresh seeds: is it really best?"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerCommand:
    """What a runner is asked for.

    Exactly one of `sweep`, `sweeps`, `join`, `recorded`, `wandb_sweep`, `confirm` and `control` is given.

    Args:
        run: How sweeps are run.
        slots: What their runs may occupy.
        backend: Who leads: "local" for this program, "wandb" for W&B's server.
        sweep: A sweep's YAML, or its name in config/sweep/.
        sweeps: Several of them, which share the workers.
        join: Name of a recorded sweep to work along on.
        recorded: Name of a recorded sweep to continue, as its YAML would.
        wandb_sweep: A sweep that is at W&B already: entity/project/id, or the URL of its page.
        confirm: A sweep whose best configurations are run again, and how.
        control: What is asked of a sweep that runs elsewhere: pause, resume, stop, cancel or push; or a replay
            of stopping rules on one that has ended.
        name: Its name; "" without `control`.
        runs_per_worker: Runs that each worker makes at most in this call, >= 1; None for no limit.
        stagger: Seconds between the first starts of two workers, >= 0.
        delay: Seconds that a worker rests between two runs, >= 0.
    """

    run: RunOptions
    slots: SlotOptions = field(default_factory=SlotOptions)
    backend: str = "local"
    sweep: str | None = None
    sweeps: tuple[str, ...] = ()
    join: str | None = None
    recorded: str | None = None
    wandb_sweep: str | None = None
    confirm: ConfirmOptions | None = None
    control: str | None = None
    name: str = ""
    runs_per_worker: int | None = None
    stagger: float = 0.0
    delay: float = 0.0


def _whole(text: str, least: int, most: int | None = None) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least or (most is not None and number > most):
        rule = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise argparse.ArgumentTypeError(f"must be a whole number {rule}, got {text!r}")
    return number


def positive(text: str) -> int:
    """Return a positive whole number of the command line."""
    return _whole(text, 1)


def _sharing(text: str) -> int | str:
    """Return how many runs share a GPU as the command line says it: a positive whole number, or auto."""
    return text if text == "auto" else positive(text)


def natural(text: str) -> int:
    """Return a whole number of at least 0 of the command line."""
    return _whole(text, 0)


def _exit_status(text: str) -> int:
    """Return an exit status of the command line."""
    return _whole(text, 0, 255)


def seconds(text: str) -> float:
    """Return a number of seconds of the command line, at least 0."""
    return _at_least_0(text, "a number of seconds")


def margin(text: str) -> float:
    """Return a margin of the command line, a number of at least 0."""
    return _at_least_0(text, "a number")


def _at_least_0(text: str, what: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"must be {what} of at least 0, got {text!r}")
    return number


def gpu_names(text: str) -> tuple[str, ...]:
    """Return the GPUs of the command line, separated by commas."""
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise argparse.ArgumentTypeError(f"must be indices or UUIDs with commas between, as 0,1,3, got {text!r}")
    return names


def runner_command(parser: argparse.ArgumentParser, given: argparse.Namespace) -> RunnerCommand:
    """Return what all but the sweep's own option says; argparse exits with code 2 on options that do not go together.

    What a command line has no option for keeps its default.
    """
    paces = {name: getattr(given, name) for name in ("runs_per_worker", "stagger", "delay") if name in given}
    return RunnerCommand(
        run=run_options(given),
        slots=slot_options(given),
        backend=_backend(parser, given),
        wandb_sweep=getattr(given, "wandb_sweep", None),
        confirm=_confirm(parser, given),
        **paces,
    )


def add_slots(add: Callable[..., Any], *, gpus_by_default: str) -> None:
    """Add what the runs of a command may occupy.

    Args:
        add: `add_argument` of a group.
        gpus_by_default: How many GPUs a run has unless said otherwise, in words.
    """
    add("--num-workers", type=positive, metavar="N", help="runs at once (default: all GPUs, else one per two cores)")
    add("--gpus", type=gpu_names, metavar="0,1,3", help="use these GPUs only: indices or UUIDs (default: all visible)")
    add("--gpus-per-run", type=natural, metavar="N", help=f"GPUs of each run (default: {gpus_by_default})")
    add(
        "--runs-per-gpu",
        type=_sharing,
        metavar="N|auto",
        help="runs that share a GPU (default: 1); auto: as many as fit by what they take, and pay",
    )
    add("--cpus-per-run", type=positive, metavar="N", help="cores, and so threads, of each run (default: even shares)")


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add what runs may occupy, and the pace of the workers."""
    add = parser.add_argument_group("workers").add_argument
    add_slots(add, gpus_by_default="the YAML's, else 1; 0 uses none")
    add("--runs-per-worker", type=positive, metavar="N", help="each worker makes at most N runs in this call")
    add("--stagger", type=seconds, default=0.0, metavar="SECONDS", help="let workers start their first runs one by one")
    add("--delay", type=seconds, default=0.0, metavar="SECONDS", help="let each worker rest between two runs")


def add_wandb_sweep(what: "argparse._ActionsContainer") -> None:
    """Add the sweep that is at W&B already."""
    what.add_argument(
        "--wandb-sweep", metavar="ENTITY/PROJECT/ID", help="make runs of a sweep at W&B, which others made (or its URL)"
    )


def _backend(parser: argparse.ArgumentParser, given: argparse.Namespace) -> str:
    """Return who leads the sweep; argparse exits with code 2 on two options that differ."""
    at_wandb, asked = getattr(given, "wandb_sweep", None) is not None, getattr(given, "backend", None)
    if at_wandb and asked == "local":
        parser.error("--wandb-sweep: the sweep is at W&B, so --backend must be wandb, got local; leave it out")
    return str(asked or ("wandb" if at_wandb else "local"))


def run_options(given: argparse.Namespace) -> RunOptions:
    """Return what a command line says of how sweeps are run; what it has no option for keeps its default."""
    return RunOptions(**_values(RunOptions, given))


def slot_options(given: argparse.Namespace) -> SlotOptions:
    """Return what a command line says of what runs may occupy."""
    return SlotOptions(**_values(SlotOptions, given))


def _values(kind: type[RunOptions | SlotOptions], given: argparse.Namespace) -> dict[str, Any]:
    return {item.name: getattr(given, item.name) for item in fields(kind) if item.name in given}


def add_confirm(group: "argparse._ArgumentGroup") -> None:
    """Add what concerns a confirmation."""
    add = group.add_argument
    add("--budget", type=positive, metavar="N", help="runs at most (default: 15)")
    add("--seeds-from", type=natural, metavar="S", help="the first fresh seed (default: 1001); used ones are left out")
    add("--rope", type=margin, metavar="M", help="closer than ±M counts as equal: then the cheapest is taken")
    add(
        "--holdout",
        nargs="+",
        metavar="NAME=VALUE",
        help="parameters that choose the hold-out set (default: the YAML's)",
    )
    add("--no-holdout", action="store_true", help="do not open the hold-out set")
    add("--again", action="store_true", help="open it once more; it is no longer unseen then")


def _confirm(parser: argparse.ArgumentParser, given: argparse.Namespace) -> ConfirmOptions | None:
    """Return how a sweep is confirmed, None without --confirm.

    argparse exits with code 2 where options of a confirmation stand without one, or with what it decides.
    """
    names = [item.name for item in fields(ConfirmOptions) if item.name != "sweep"]
    said = {name: getattr(given, name) for name in names if name in given}
    asked = {name: value for name, value in said.items() if value is not None and value is not False}
    if getattr(given, "confirm", None) is None:
        if asked:
            parser.error(f"--{next(iter(asked)).replace('_', '-')}: needs --confirm NAME")
        return None
    if getattr(given, "backend", None) == "wandb":
        parser.error("--confirm: its race is run by this machine's agents, so --backend must be local, got wandb")
    for option in ("base-config", "sampler"):
        if getattr(given, option.replace("-", "_"), None) is not None:
            parser.error(f"--confirm: takes it from the record; leave --{option} out")
    return ConfirmOptions(sweep=given.confirm, **{**asked, "holdout": tuple(given.holdout or ())})


def add_common(parser: argparse.ArgumentParser, output_dir: Path | None) -> None:
    """Add what both runners take."""
    _add_search(parser)
    add_calls(parser, output_dir)


def _add_search(parser: argparse.ArgumentParser) -> None:
    """Add what a sweep is started with: a recorded one has it already."""
    add = parser.add_argument
    add(
        "--base-config",
        type=Path,
        metavar="FILE|NAME",
        help="what trainer.py starts from (default: the sweep's `sweepkit.base_config`, else config/base_config.yaml)",
    )
    add(
        "--backend",
        choices=("local", "wandb"),
        help="who leads the sweep: this program (default), or W&B's server, asked by a real W&B agent on each slot",
    )
    add("--sampler", choices=_SAMPLERS, help="search with this in place of the method's own engine")
    add("--seed", type=natural, metavar="S", help="seed of the search (default: the YAML's, else drawn and recorded)")
    add("--fresh", action="store_true", help="start anew under a new name; what there is stays")
    add("--retry-failed", action="store_true", help="run the failed runs again, too")


def add_calls(parser: argparse.ArgumentParser, output_dir: Path | None) -> None:
    """Add what any call that makes runs takes."""
    add = parser.add_argument
    add("--count", type=positive, metavar="N", help="make at most N runs (of each sweep) in this call")
    add_places(parser, output_dir)
    add(
        "--optuna-storage",
        metavar="URL",
        help="mirror the sweep into an Optuna storage, for optuna-dashboard and Optuna's plots",
    )
    add(
        "--wandb",
        choices=("offline", "online"),
        help="online: send each run to W&B while it logs (default: the YAML's sweepkit.wandb.mode, else offline)",
    )
    add_wandb_wait(parser)
    add("--dry-run", action="store_true", help="show what would be run, write nothing")
    add("--cold", action="store_true", help="start every run in a fresh process")
    add("--json", action="store_true", help="one JSON object a line on stdout")
    add_end(parser)
    add("-v", "--verbose", action="store_true", help="show each run's log file as it starts")


def add_end(parser: "argparse._ActionsContainer") -> None:
    """Add whom to tell of the end, and what to leave with when the machine is taken back."""
    parser.add_argument(
        "--preempted-exit-code",
        type=_exit_status,
        default=0,
        metavar="N",
        help="what to leave with when SIGTERM ended the call before its sweep (default: 0)",
    )
    parser.add_argument("--notify", metavar="URL|COMMAND", help="a web hook or a command that is told at the end")


def add_wandb_wait(parser: argparse.ArgumentParser) -> None:
    """Add how long W&B's server is waited for."""
    parser.add_argument(
        "--wandb-wait",
        type=seconds,
        default=30.0,
        metavar="SECONDS",
        help="how long to wait at the end for a W&B server that takes nothing (default: 30); a push sends the rest",
    )


def add_places(parser: "argparse._ActionsContainer", output_dir: Path | None) -> None:
    """Add where results and the database are."""
    parser.add_argument(
        "--output-dir",
        type=Path,
        action=OutputFolder,
        default=output_dir,
        metavar="DIR",
        help="where results are (default: outputs/ of the project)",
    )
    parser.add_argument(
        "--storage",
        metavar="URL",
        help="the database: a file, sqlite:///FILE or postgresql://… (default: DIR/sweepkit.db)",
    )
