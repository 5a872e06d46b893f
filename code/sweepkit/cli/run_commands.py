"""The sub-commands that make runs, and those that steer sweeps which run elsewhere."""

import argparse
import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from sweepkit.cli.cluster_options import add_launcher, cluster_options
from sweepkit.cli.comparison_options import (
    COMPARE_EPILOG,
    TTEST_EPILOG,
    add_compare,
    add_ttest,
    comparison_command,
    ttest_options,
)
from sweepkit.cli.optimize_options import EPILOG, add_optimize
from sweepkit.cli.options import (
    ENDS,
    RunnerCommand,
    add_calls,
    add_common,
    add_confirm,
    add_places,
    add_wandb_sweep,
    add_wandb_wait,
    add_workers,
    run_options,
    runner_command,
)
from sweepkit.cli.parsing import CommandLine, Parser
from sweepkit.cluster.options import ClusterOptions
from sweepkit.environ import OUTPUT_DIR_ENV, STORAGE_ENV
from sweepkit.errors import SpecError
from sweepkit.studies.options import StudyOptions
from sweepkit.text.shown import say

_USUAL = "sweep.yaml"
_AT_WANDB = re.compile(r"[^/\s]+/[^/\s]+/[^/\s]+|https?://\S+")


def _add_run(parser: Parser, output_dir: Path | None) -> None:
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "sweep",
        nargs="?",
        metavar="NAME|FILE",
        help=f"a sweep YAML, one that comes with us, or a script that calls wandb.agent (default: ./{_USUAL})",
    )
    add_wandb_sweep(what)
    add_common(parser, output_dir)
    add_launcher(parser)


def _run(parser: Parser, given: argparse.Namespace) -> int:
    from sweepkit.cli.sweep_runner import run_one

    if given.sweep is not None and given.sweep.endswith(".py"):
        _run_script(parser, given)
    command = replace(runner_command(parser, given), sweep=_sweep(parser, given.sweep, given))
    cluster = cluster_options(parser, given)
    return run_one(command) if cluster is None else _on_cluster(parser, command, cluster)


def _on_cluster(parser: Parser, command: RunnerCommand, cluster: ClusterOptions) -> int:
    """Run one sweep by agents on a cluster; argparse exits with code 2 where several are named, or W&B leads."""
    if command.sweep is None or command.backend == "wandb":
        parser.error("--launcher: needs one sweep's YAML, which this program leads")
    from sweepkit.cluster.run import run_on_cluster
    from sweepkit.runner.plan import make_plan

    return run_on_cluster(command.run, make_plan(command.run, command.sweep), cluster)


def _run_script(parser: Parser, given: argparse.Namespace) -> NoReturn:
    """Become a script that calls `wandb.sweep` and `wandb.agent` itself; argparse exits with code 2 where it cannot."""
    if not Path(given.sweep).is_file():
        parser.error(f"a script must be a file, got none at {given.sweep}")
    places = {"output_dir": OUTPUT_DIR_ENV, "storage": STORAGE_ENV}
    for name, value in vars(given).items():
        if name not in ("sweep", *places) and value != parser.get_default(name):
            option = f"--{name.replace('_', '-')}"
            parser.error(f"{option}: a script itself says what it runs, by wandb.sweep and wandb.agent; leave it out")
    env = dict(os.environ)
    for name, variable in places.items():
        if (value := getattr(given, name)) is not None:
            env[variable] = str(value) if "://" in str(value) else os.path.abspath(value)
    os.execve(sys.executable, [sys.executable, "-m", "sweepkit.wandb_compat", given.sweep], env)


def _sweep(parser: Parser, named: str | None, given: argparse.Namespace) -> str | None:
    """Return the YAML that is meant, None for a sweep at W&B; argparse exits with code 2 where there is none."""
    if named is not None or given.wandb_sweep is not None:
        return named
    if not Path(_USUAL).is_file():
        parser.error(f"a sweep's YAML must be named, or be here as {_USUAL}; `sweepkit init` writes one")
    return _USUAL


def _add_parallel(parser: Parser, output_dir: Path | None) -> None:
    parser.add_argument(
        "sweeps", nargs="*", metavar="NAME|FILE", help=f"sweep YAMLs; several share the workers (default: ./{_USUAL})"
    )
    add_wandb_sweep(parser)
    add_workers(parser)
    add_common(parser, output_dir)
    add_launcher(parser)


def _parallel(parser: Parser, given: argparse.Namespace) -> int:
    from sweepkit.cli.parallel_sweep_runner import run_parallel

    command, cluster = runner_command(parser, given), cluster_options(parser, given)
    if cluster is not None:
        named = next(iter(given.sweeps), None) if len(given.sweeps) < 2 else None
        return _on_cluster(parser, replace(command, sweep=_sweep(parser, named, given)), cluster)
    if len(given.sweeps) > 1:
        return run_parallel(replace(command, sweeps=tuple(given.sweeps)))
    return run_parallel(replace(command, sweep=_sweep(parser, next(iter(given.sweeps), None), given)))


def _add_launch(parser: Parser, output_dir: Path | None) -> None:
    add_launcher(parser, shown=True)
    parser.add_argument("sweep", nargs="?", metavar="NAME|FILE", help=f"a sweep YAML (default: ./{_USUAL})")
    listed = {id(action) for action in parser._actions}
    add_workers(parser)
    add_common(parser, output_dir)
    for action in parser._actions:
        if id(action) not in listed and action.dest not in ("output_dir", "storage", "fresh", "retry_failed", "json"):
            action.help = argparse.SUPPRESS


def _launch(parser: Parser, given: argparse.Namespace) -> int:
    if given.launcher is None:
        parser.error("--launcher: must name what places the agents: slurm, ray or local")
    given.wandb_sweep = None
    cluster = cluster_options(parser, given)
    assert cluster is not None
    command = replace(runner_command(parser, given), sweep=_sweep(parser, given.sweep, given))
    return _on_cluster(parser, command, cluster)


def _add_agent(parser: Parser, output_dir: Path | None) -> None:
    parser.add_argument(
        "sweep", metavar="NAME|ENTITY/PROJECT/ID", help="a recorded sweep, or one at W&B (or the URL of its page)"
    )
    add_workers(parser)
    add_calls(parser, output_dir)


def _agent(parser: Parser, given: argparse.Namespace) -> int:
    from sweepkit.cli.parallel_sweep_runner import run_parallel

    command = runner_command(parser, given)
    if _AT_WANDB.fullmatch(given.sweep):
        return run_parallel(replace(command, backend="wandb", wandb_sweep=given.sweep))
    return run_parallel(replace(command, join=given.sweep))


def _add_retry(parser: Parser, output_dir: Path | None) -> None:
    parser.add_argument("sweep", metavar="NAME|FILE", help="a recorded sweep, or its YAML")
    add_workers(parser)
    add_calls(parser, output_dir)


def _retry(parser: Parser, given: argparse.Namespace) -> int:
    from sweepkit.cli.parallel_sweep_runner import run_parallel

    command = runner_command(parser, given)
    command = replace(command, run=replace(command.run, retry_failed=True))
    if _is_file(given.sweep):
        return run_parallel(replace(command, sweep=given.sweep))
    return run_parallel(replace(command, recorded=given.sweep))


def _is_file(sweep: str) -> bool:
    """Say whether a sweep's YAML is meant; else it is a recorded sweep's name."""
    from sweepkit.paths import CONFIG_DIR
    from sweepkit.sweep_config.read import find_sweep

    try:
        find_sweep(sweep, cwd=Path.cwd(), config_dir=CONFIG_DIR)
    except SpecError:
        return False
    return True


def _add_confirm(parser: Parser, output_dir: Path | None) -> None:
    parser.add_argument("confirm", metavar="NAME", help="a recorded sweep")
    add_confirm(parser.add_argument_group("the race"))
    add_workers(parser)
    add_calls(parser, output_dir)
    parser.add_argument("--fresh", action="store_true", help="race anew under a new name; what there is stays")
    parser.add_argument("--retry-failed", action="store_true", help="run the failed runs again, too")


def _confirm(parser: Parser, given: argparse.Namespace) -> int:
    from sweepkit.cli.parallel_sweep_runner import run_parallel

    return run_parallel(runner_command(parser, given))


def _stop_run(given: argparse.Namespace) -> int:
    from sweepkit.agents.control import stop_run
    from sweepkit.runner.plan import open_recorded, storage_of

    with open_recorded(storage_of(run_options(given))) as store:
        attempt = stop_run(store, given.sweep, given.run)
    said = {"event": "stop_run", "run": given.run, "attempt": attempt}
    words = f"run {given.run} is asked to end; what it reported counts, and it is not run again"
    say(json.dumps(said) if given.json else words)
    return 0


def _control(word: str, *, wait: bool = False) -> CommandLine:
    """Return the command that asks something of a recorded sweep; `wait` gives it an option to wait for W&B."""

    def add(parser: Parser, output_dir: Path | None) -> None:
        parser.add_argument("sweep", metavar="NAME", help="a recorded sweep")
        add_places(parser, output_dir)
        if wait:
            add_wandb_wait(parser)
        if word == "stop":
            parser.add_argument("--run", metavar="RUN", help="end this running run alone, by its id; its value counts")
        parser.add_argument("--json", action="store_true", help="one JSON object on stdout")

    def act(_: Parser, given: argparse.Namespace) -> int:
        if getattr(given, "run", None) is not None:
            return _stop_run(given)
        from sweepkit.cli.sweep_runner import run_one

        return run_one(RunnerCommand(run=run_options(given), control=word, name=given.sweep))

    return CommandLine(name=word, add=add, act=act)


def _compare(parser: Parser, given: argparse.Namespace) -> int:
    from sweepkit.cli.compare_models import compare

    return compare(comparison_command(parser, given))


def _ttest(parser: Parser, given: argparse.Namespace) -> int:
    from sweepkit.cli.seed_ttest import test

    return test(ttest_options(parser, given))


def _optimize(_: Parser, given: argparse.Namespace) -> int:
    from sweepkit.cli.optimize import optimize

    return optimize(StudyOptions(**vars(given)))


_SEARCH = ("--sampler", "--seed", "--count", "--fresh", "--retry-failed", "--dry-run")
_WHERE = ("--output-dir", "--storage", "--json")
_WORKERS = ("--num-workers", "--gpus", "--gpus-per-run")

RUN = CommandLine(
    name="run",
    add=_add_run,
    act=_run,
    common=(*_SEARCH, *_WHERE, "--wandb", "--notify"),
    epilog="""\
examples:
  {call}                                  ./sweep.yaml; the same command continues it
  {call} my.yaml --dry-run                what would be run
  {call} my.yaml --count 10 --sampler tpe
  {call} train.py                         it calls wandb.sweep and wandb.agent itself
"""
    + ENDS
    + """
more examples:
  {call} my.yaml --storage postgresql://user@host/sweeps
  {call} my.yaml --backend wandb          W&B's server leads, a W&B agent runs it
""",
)
PARALLEL = CommandLine(
    name="parallel",
    add=_add_parallel,
    act=_parallel,
    common=(*_SEARCH, *_WHERE, *_WORKERS, "--runs-per-worker", "--runs-per-gpu"),
    epilog="""\
examples:
  {call} my.yaml --num-workers 4 --runs-per-worker 5
  {call} my.yaml --gpus 0,1,2,3 --gpus-per-run 2
  {call} a.yaml b.yaml c.yaml        three sweeps share the workers
"""
    + ENDS
    + """
more examples:
  {call} my.yaml --backend wandb     W&B's server leads, a W&B agent on every GPU
""",
)
LAUNCH = CommandLine(
    name="launch",
    add=_add_launch,
    act=_launch,
    common=(
        *("--launcher", "--agents", "--gpus-per-agent", "--cpus-per-agent", "--nodes-per-agent", "--time"),
        *("--partition", "--no-shared-folder", "--detach", "--output-dir", "--storage"),
    ),
    epilog="""\
examples:
  {call} my.yaml --launcher slurm --agents 4 --gpus-per-agent 2
  {call} my.yaml --launcher local --detach   outlives the terminal

The options of sweepkit parallel hold here too, for each agent. docs/cluster.md says what survives what.
"""
    + ENDS,
)
AGENT = CommandLine(
    name="agent",
    add=_add_agent,
    act=_agent,
    common=("--count", *_WHERE, *_WORKERS, "--runs-per-worker", "--runs-per-gpu"),
    epilog="""\
examples:
  {call} my --storage postgresql://user@host/sweeps     its YAML comes from the database
  {call} entity/project/id                              a sweep that is at W&B
""",
)
RETRY = CommandLine(
    name="retry",
    add=_add_retry,
    act=_retry,
    common=("--count", *_WHERE, *_WORKERS, "--runs-per-worker", "--runs-per-gpu", "--dry-run"),
    epilog="""\
examples:
  {call} my.yaml                  the program is mended: its failed runs again
  {call} my --num-workers 4       by the name of a recorded sweep
""",
)
CONFIRMATION = CommandLine(
    name="confirm",
    add=_add_confirm,
    act=_confirm,
    common=(
        *("--budget", "--seeds-from", "--rope", "--holdout", "--no-holdout", "--again"),
        *("--fresh", "--retry-failed", "--dry-run", *_WHERE, *_WORKERS),
    ),
    epilog="""\
examples:
  {call} my                       a race of 15 runs between its five best configurations
  {call} my --budget 30 --rope 0.002
""",
)
OPTIMIZE = CommandLine(
    name="optimize",
    add=add_optimize,
    act=_optimize,
    epilog=EPILOG,
    common=(
        *("--experiment", "--config", "--study-name", "--n-trials", "--timeout", "--direction", "--sampler"),
        *("--pruner", "--n-jobs", "--fresh", "--retry-failed", "--dry-run", "--output-dir", "--storage"),
    ),
)
COMPARISON = CommandLine(
    name="compare",
    add=add_compare,
    act=_compare,
    epilog=COMPARE_EPILOG,
    common=(
        *("--models", "--seeds", "--analyze-only", "--metric", "--goal", "--rope", "--paired", "--preset", "--set"),
        *("--num-workers", "--gpus", "--name", "--dry-run", "--output-dir", "--storage"),
    ),
)
T_TEST = CommandLine(
    name="ttest",
    add=add_ttest,
    act=_ttest,
    epilog=TTEST_EPILOG,
    common=(
        "--sweep",
        "--results",
        "--csv",
        "--by",
        "--seed-column",
        "--metric",
        "--goal",
        "--rope",
        "--save",
        "--json",
    ),
)
PAUSE = _control("pause")
RESUME = _control("resume")
STOP = _control("stop")
CANCEL = _control("cancel")
PUSH = _control("push", wait=True)
