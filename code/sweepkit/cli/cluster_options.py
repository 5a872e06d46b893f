"""The options of `--launcher`: agents on a cluster."""

import argparse
import re
from typing import Any

from sweepkit.cli.options import natural, positive
from sweepkit.cluster.options import ClusterOptions

_LAUNCHERS = ("slurm", "ray", "local")
_TIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d{1,2}))?(?::(\d{1,2}))?")
# What concerns the workers of each agent is handed to its own command.
_WORKERS = ("num_workers", "runs_per_worker", "gpus_per_run", "runs_per_gpu", "cpus_per_run", "stagger", "delay")


def add_launcher(parser: argparse.ArgumentParser, *, shown: bool = False) -> None:
    """Add where agents are placed; `shown` lists all of it in the help, else `sweepkit launch` is named for it."""
    group = parser.add_argument_group("on a cluster") if shown else parser

    def add(*words: str, **said: Any) -> None:
        group.add_argument(*words, **said | ({} if shown else {"help": argparse.SUPPRESS}))

    line = "what places the agents" if shown else "by agents on a cluster: sweepkit launch --help"
    group.add_argument("--launcher", choices=_LAUNCHERS, help=line)
    add("--agents", type=positive, metavar="N", help="so many agents (default: 1)")
    add("--gpus-per-agent", type=natural, metavar="N", help="GPUs of each agent's node (default: 0)")
    add("--cpus-per-agent", type=positive, metavar="N", help="cores of each agent's node (default: the cluster's)")
    add("--nodes-per-agent", type=positive, metavar="N", help="nodes of each agent: several are one slot (default: 1)")
    add("--time", type=_time, metavar="H:MM:SS", help="time of an agent, which is placed again then; as sbatch has it")
    add("--partition", metavar="NAME", help="SLURM's partition")
    add("--account", metavar="NAME", help="SLURM's account")
    add(
        "--sbatch", action="append", metavar="ARG", help="one more option of sbatch, as --sbatch=--qos=high; repeatable"
    )
    add(
        "--ray-address",
        metavar="ADDRESS",
        help="a Ray cluster that runs (default: RAY_ADDRESS, else that of this host)",
    )
    add(
        "--no-shared-folder",
        action="store_true",
        help="nodes share no folder with this host: the database carries the code there, results and logs back",
    )
    add("--detach", action="store_true", help="leave once they are placed; sweepkit watch shows the sweep")


def cluster_options(parser: argparse.ArgumentParser, given: argparse.Namespace) -> ClusterOptions | None:
    """Return what is asked of a cluster, None without --launcher; argparse exits with code 2 on what makes no sense."""
    own = ("agents", "gpus_per_agent", "cpus_per_agent", "nodes_per_agent", "time", "no_shared_folder", "detach")
    slurms, rays = ("partition", "account", "sbatch"), ("ray_address",)
    if given.launcher is None:
        for name in (*own, *slurms, *rays):
            if getattr(given, name):
                parser.error(f"{_option(name)}: needs --launcher")
        return None
    for launcher, names in (("slurm", slurms), ("ray", rays)):
        for name in names:
            if given.launcher != launcher and getattr(given, name):
                parser.error(f"{_option(name)}: is of --launcher {launcher}, got --launcher {given.launcher}")
    if given.count is not None:
        parser.error("--count: each agent would make so many; write run_cap into the YAML")
    extra = [f"--{name}={getattr(given, name)}" for name in ("partition", "account") if getattr(given, name)]
    return ClusterOptions(
        launcher=given.launcher,
        agents=given.agents or 1,
        gpus_per_agent=given.gpus_per_agent or 0,
        cpus_per_agent=given.cpus_per_agent,
        nodes_per_agent=given.nodes_per_agent or 1,
        time_limit_s=given.time,
        extra=(*extra, *(given.sbatch or ())),
        address=given.ray_address,
        wait=not given.detach,
        shares_folder=not given.no_shared_folder,
        agent_words=tuple(_agent_words(given)),
    )


def _agent_words(given: argparse.Namespace) -> list[str]:
    """Return what each agent's own command takes of this one."""
    words: list[str] = []
    for name in _WORKERS:
        value = getattr(given, name, None)
        if value:
            words += [_option(name), f"{value:g}" if isinstance(value, float) else str(value)]
    return [*words, *(["--cold"] if given.cold else []), *(["--wandb", given.wandb] if given.wandb else [])]


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _time(text: str) -> int:
    """Return the seconds of a time as sbatch writes it: minutes, M:S, H:M:S, D-H, D-H:M, D-H:M:S.

    >>> _time("90"), _time("1:30:00"), _time("1-0")
    (5400, 5400, 86400)
    """
    found = _TIME.fullmatch(text.strip())
    seconds = 0
    if found:
        days, *parts = found.groups()
        numbers = [int(part) for part in parts if part is not None]
        first = 3600 if days is not None or len(numbers) == 3 else 60
        weights = [first, first // 60 or 1, 1] if first == 3600 else [60, 1]
        seconds = int(days or 0) * 86400 + sum(n * weight for n, weight in zip(numbers, weights, strict=False))
    if not seconds:
        raise argparse.ArgumentTypeError(f"must be minutes, M:S, H:M:S or D-H:M:S, got {text!r}")
    return seconds
