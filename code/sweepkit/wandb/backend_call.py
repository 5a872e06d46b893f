"""What a call of `--backend wandb` needs beside the sweep: agents' environment, one runner per folder, the dry run."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from sweepkit.agents.slots import Slot
from sweepkit.environ import ASKED_ENV, BASE_CONFIG_ENV, CACHE_DIR_ENV, RUNS_DIR_ENV
from sweepkit.errors import ConflictError
from sweepkit.files import hold
from sweepkit.paths import SweepPaths, python
from sweepkit.runner.plan import Plan
from sweepkit.tracking.wandb_env import FOREIGN_VARIABLES


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
        return json.dumps(plain, ensure_ascii=False) + "\n"
    from sweepkit.reports.files import dump_yaml

    lines = [f"{plan.spec.name}: W&B leads it; {len(slots)} agent{'s' if len(slots) != 1 else ''} would make its runs:"]
    lines += [f"  [{slot.device}] wandb agent {path or 'ENTITY/PROJECT/ID'}" for slot in slots]
    if config is not None:
        lines += ["W&B would get:", *(f"  {line}" for line in dump_yaml(dict(config)).splitlines())]
    lines += [f"warning: {warning}" for warning in plan.spec.warnings]
    return "\n".join(lines) + "\n"
