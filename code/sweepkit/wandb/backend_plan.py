"""`--backend wandb`: which configuration W&B gets of a sweep, what it cannot be asked, and what does not hold there.

What is sent means at W&B what the YAML means here; what cannot be said there is refused, and the user is notified of
settings of ours that only our own agents obey. Also what a call needs beside the sweep: its agents' environment, one
runner for a folder, the dry run.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import IO, Any

from sweepkit.agents.slots import Slot
from sweepkit.environ import ASKED_ENV, BASE_CONFIG_ENV, CACHE_DIR_ENV, RUNS_DIR_ENV
from sweepkit.errors import ConflictError, Problem, SpecError
from sweepkit.files import hold
from sweepkit.paths import SweepPaths, python
from sweepkit.runner.options import RunOptions
from sweepkit.runner.plan import Plan
from sweepkit.sweep_config.command import MACROS, names_module
from sweepkit.sweep_config.sweep import Extensions, Method, SweepSpec
from sweepkit.tracking.wandb_env import FOREIGN_VARIABLES

_MACRO = re.compile(r"\$\{([^{}]*)\}")
_OWN_ENGINE = {Method.GRID: ("grid",), Method.RANDOM: ("random",), Method.BAYES: ("auto", "gp")}
# What our agents do for a run, or our engine for a search, and W&B's agents and server do not.
_ONLY_HERE = {
    "seed": "W&B draws by a seed of its own",
    "retries": "W&B does not run a failed run again",
    "on_failure": "W&B does not run a failed run again",
    "timeout_s": "W&B's agents know no timeout",
    "early_terminate": "W&B stops by early_terminate: hyperband only, so no run is stopped",
    "prior_runs": "W&B's search begins without them",
    "first_points": "W&B's search begins without them",
    "preload": "W&B's agents start a fresh process for every run",
    "runs_per_gpu": "W&B's agents make one run at a time",
    "min_free_gpu_memory_gb": "W&B's agents do not look at a GPU's memory",
}
# What says which configurations are tried: without it the sweep would be another one.
_CHANGES_THE_SWEEP = {
    "search_space": "a function as search space is not known at W&B; write scheduler: {engine: optuna, source: …}",
    "seeds_per_run": "several seeds of a configuration are not known at W&B; make the seed a parameter",
}


def check_options(options: RunOptions, *, join: bool = False, sweeps: bool = False, delay: bool = False) -> None:
    """Refuse options that mean nothing when W&B leads the sweep; raises ConflictError with the first one.

    Args:
        options: How it is run.
        join: A recorded sweep is to be worked along on.
        sweeps: Several sweeps are to share the workers.
        delay: Workers are to rest between two runs.
    """
    work_along = "the record does not lead a W&B sweep; work along with --wandb-sweep ENTITY/PROJECT/ID"
    for option, is_given, why in (
        ("seed", options.seed is not None, "W&B draws by a seed of its own"),
        ("retry-failed", options.retry_failed, "W&B does not run a failed run again"),
        ("cold", options.cold, "every run of a W&B agent is a fresh process anyway"),
        ("join", join, work_along),
        ("sweeps", sweeps, "give each its own call, with its own --gpus"),
        ("delay", delay, "W&B's agents do not rest"),
        ("wandb", options.wandb is not None, "the runs of a W&B sweep are W&B runs anyway"),
    ):
        if is_given:
            raise ConflictError(f"--{option}: cannot be with --backend wandb: {why}; leave it out")


def check_sweep(spec: SweepSpec, *, sampler: str | None) -> None:
    """Refuse a sweep that would be another one at W&B.

    Args:
        spec: The sweep.
        sampler: The one that --sampler names, or None.

    Raises:
        SpecError: All that stands in the way.
    """
    found: list[tuple[str, str, str]] = []
    if spec.space.conditions:
        hint = "leave --backend wandb out, or write scheduler: {engine: optuna, source: …, search_space: …}"
        found.append(("sweepkit.conditions", "conditions are not known at W&B", hint))
    for key, rule in _CHANGES_THE_SWEEP.items():
        if getattr(spec.extensions, key, None):
            what, _, hint = rule.partition("; ")
            found.append((f"sweepkit.{key}", what, hint))
    if spec.controller == "local":
        hint = "leave it out"
        found.append(("controller", "W&B's local controller is a program of its own, which is not started here", hint))
    names = {parameter.path[0] for parameter in spec.space.parameters} | {item.name for item in spec.space.parameters}
    for item in spec.command:
        used = [name for name in _MACRO.findall(item) if name in names and name not in MACROS]
        if used:
            rule = f"{item} stands for a parameter here only: W&B drops it or passes it on as it is written"
            found.append(("command", rule, "use ${args}"))
    found += _sampler_faults(spec, sampler)
    if found:
        where = spec.source
        raise SpecError([Problem(where=where, key=key, rule=rule, hint=hint) for key, rule, hint in found])


def _sampler_faults(spec: SweepSpec, sampler: str | None) -> list[tuple[str, str, str]]:
    """Return why a sampler of ours cannot search at W&B; [] when there is none, or W&B's scheduler has it."""
    name, origin = _wanted_sampler(spec, sampler)
    if name is None or not _needs_scheduler(spec, name):
        return []
    hint = "leave it out"
    faults = []
    if name != ("nsga" if spec.metrics else "tpe"):
        rule = f"W&B's scheduler searches with Optuna's {'NSGA-II' if spec.metrics else 'TPE'}, not with {name}"
        faults.append(
            (origin, rule, "or name a study of your own: scheduler: {engine: optuna, source: …, optimizer: …}")
        )
    if spec.extensions.sampler is not None and spec.extensions.sampler.options and sampler is None:
        faults.append((origin, "its options cannot be sent: W&B's scheduler takes Optuna's own defaults", hint))
    if spec.early_terminate is not None and spec.extensions.early_terminate is None:
        faults.append(("early_terminate", f"W&B does not take it beside a scheduler, which {name} needs there", hint))
    return faults


def _wanted_sampler(spec: SweepSpec, sampler: str | None) -> tuple[str | None, str]:
    own = spec.extensions.sampler
    return (sampler, "--sampler") if sampler is not None else (own.name if own else None, "sweepkit.sampler")


def _needs_scheduler(spec: SweepSpec, name: str) -> bool:
    """Return whether a sampler is neither the method's own nor what the YAML's scheduler does."""
    return spec.scheduler is None and name not in _OWN_ENGINE.get(spec.method, ())


def notes_of(spec: SweepSpec) -> list[str]:
    """Return what the user should know of settings that W&B does not have."""
    default = {item.name: item.default for item in fields(Extensions)}
    notes = []
    for key, why in _ONLY_HERE.items():
        if getattr(spec.extensions, key) != default[key]:
            notes.append(f"sweepkit.{key} does not hold with --backend wandb: {why}")
    if spec.extensions.wandb is not None and spec.extensions.wandb.name is not None:
        notes.append("sweepkit.wandb.name does not hold with --backend wandb: W&B names the runs of its sweeps")
    return notes


def sent_config(plan: Plan, *, sampler: str | None) -> dict[str, Any]:
    """Return the configuration that W&B gets: the YAML without `sweepkit:`, every value as this program reads it.

    * A sampler of ours becomes W&B 0.31's `scheduler: {engine: optuna}`, `method: custom`.
    * `min: 1, max: 2.5` gets its distribution, which W&B's client refuses to guess.
    * The program is named as an agent in this folder finds it.
    """
    spec = plan.spec
    config = dict(spec.wandb_config)
    config.setdefault("name", spec.name)
    if isinstance(config.get("parameters"), Mapping):
        config["parameters"] = _explicit(config["parameters"])
    name, _ = _wanted_sampler(spec, sampler)
    if name is not None and _needs_scheduler(spec, name):
        config["method"] = Method.CUSTOM.value
        config["scheduler"] = {"engine": "optuna"}
    if plan.program and spec.program is not None:
        config["program"] = _program_for_agents(plan)
    return config


def _explicit(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters in which bounds of two types say that they are drawn from as decimals."""
    made = {}
    for name, node in tree.items():
        new = dict(node)
        if isinstance(node.get("parameters"), Mapping):
            new["parameters"] = _explicit(node["parameters"])
        elif {"min", "max"} <= node.keys() and "distribution" not in node:
            if {type(node["min"]), type(node["max"])} == {int, float}:
                new["distribution"] = "uniform"
        made[name] = new
    return made


def _program_for_agents(plan: Plan) -> str:
    """Return the program as it is written when that names it in the agents' folder; else its path from there."""
    written = plan.spec.program or ""
    if Path(plan.cwd, written).is_file() and os.path.samefile(Path(plan.cwd, written), plan.program):
        return written
    inside = Path(plan.program).is_relative_to(plan.cwd)
    return os.path.relpath(plan.program, plan.cwd) if inside else plan.program


def agents_folder(plan: Plan) -> Path:
    """Return the folder that agents of a sweep which others made must run in, for its program to be found there.

    Raises:
        SpecError: The program is nowhere here.
    """
    written = plan.spec.program
    if written is None or not plan.program or Path(plan.cwd, written).is_file() or names_module(plan.spec.command):
        return plan.cwd
    folder = Path(plan.program)
    for _ in Path(written).parts:
        folder = folder.parent
    return folder


def agent_environment(plan: Plan, paths: SweepPaths, sweep: str) -> dict[str, str]:
    """Return the environment of a sweep's agents, and so of their runs, without what is a slot's own.

    Args:
        plan: The sweep.
        paths: Its files.
        sweep: Where it is at W&B: entity/project/id.
    """
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("SWEEPKIT_") and name not in FOREIGN_VARIABLES
    }
    entity, project, _ = sweep.split("/")
    interpreter = os.path.dirname(python())
    env |= {
        "WANDB_ENTITY": entity,
        "WANDB_PROJECT": project,
        # W&B's ${interpreter} is the word python: let it be the one that has the packages.
        "PATH": os.pathsep.join([interpreter, *filter(None, [env.get("PATH")])]),
        CACHE_DIR_ENV: str(paths.cache),
        RUNS_DIR_ENV: str(paths.runs),
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
    }
    env.setdefault("WANDB_AGENT_KILL_DELAY", str(max(1, round(plan.spec.extensions.kill_delay_s))))
    if plan.trains:
        env |= {BASE_CONFIG_ENV: str(plan.base_config), ASKED_ENV: "online"}
    return env | _naming(plan, paths)


def _naming(plan: Plan, paths: SweepPaths) -> dict[str, str]:
    """Return how `sweepkit.wandb` wants the runs to appear; the sweep they belong to is W&B's business."""
    naming = plan.spec.extensions.wandb
    if naming is None:
        return {}
    group = naming.group and naming.group.format(sweep=paths.root.name.removeprefix("sweep_"))
    wanted = {"WANDB_RUN_GROUP": group, "WANDB_JOB_TYPE": naming.job_type, "WANDB_TAGS": ",".join(naming.tags)}
    return {name: value for name, value in wanted.items() if value}


def lock_folder(folder: Path, name: str) -> IO[str]:
    """Return an open file that says, until it is closed or this process ends, who leads the folder's agents.

    Raises:
        ConflictError: Another runner does.
    """
    file = hold(folder / "wandb.lock")
    if file is None:
        raise ConflictError(
            f"sweep {name}: another runner on this host starts W&B agents from {folder}; end it first, "
            "or work along from another --output-dir with --wandb-sweep ENTITY/PROJECT/ID"
        )
    return file


def dry_run_text(
    plan: Plan, config: Mapping[str, Any] | None, slots: tuple[Slot, ...], *, as_json: bool, path: str | None
) -> str:
    """Return what `--dry-run` prints: what W&B would get, and where its agents would run.

    Args:
        plan: The sweep.
        config: What would be sent; None when the sweep is at W&B already.
        slots: Where agents would run.
        as_json: As one JSON object.
        path: Where the sweep is at W&B, when it is there.
    """
    if as_json:
        plain = {
            "backend": "wandb",
            "sweep": plan.spec.name,
            "path": path,
            "config": config,
            "slots": [{"index": slot.index, "gpus": list(slot.gpus), "cpus": slot.cpus} for slot in slots],
        }
        return json.dumps(plain, ensure_ascii=False)
    from sweepkit.reports.files import dump_yaml

    lines = [f"{plan.spec.name}: W&B leads it; {len(slots)} agent{'s' if len(slots) != 1 else ''} would make its runs:"]
    lines += [f"  [{slot.device}] wandb agent {path or 'ENTITY/PROJECT/ID'}" for slot in slots]
    if config is not None:
        lines += ["W&B would get:", *(f"  {line}" for line in dump_yaml(dict(config)).splitlines())]
    lines += [f"warning: {warning}" for warning in plan.spec.warnings]
    return "\n".join(lines)
