"""From a claimed run to all that its process needs: files, environment, command.

Runs that share a machine are kept apart: each sees only the devices of its slot, and has its own temporary folder,
compilers' caches and ports (`isolation`), its own folder for what it writes (SWEEPKIT_RUN_DIR) and for W&B.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sweepkit.agents.isolation import isolating_environment
from sweepkit.agents.launcher import AttemptSpec
from sweepkit.agents.slots import Slot
from sweepkit.agents.warm_command import command_start
from sweepkit.environ import (
    ATTEMPT_ENV,
    BASE_CONFIG_ENV,
    CACHE_DIR_ENV,
    CHECKPOINT_DIR_ENV,
    PREEMPT_FILE_ENV,
    REPORT_FILE_ENV,
    RESUMED_ENV,
    RUN_DIR_ENV,
    SEED_ENV,
)
from sweepkit.model.seeds import seed_of_run
from sweepkit.paths import SweepPaths, python
from sweepkit.store.base import Attempt, RunRecord
from sweepkit.sweep_config.command import arguments_json, build_command, needs_json_file, optional_names
from sweepkit.sweep_config.sweep import SweepSpec, WandbNaming
from sweepkit.tracking.run_card import RunCard
from sweepkit.tracking.wandb_env import (
    FOREIGN_VARIABLES,
    hook_environment,
    wandb_environment,
    write_parameters,
)
from sweepkit.tracking.wandb_file import WandbTail


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """What all attempts of a sweep share.

    Args:
        spec: The sweep.
        paths: Its files.
        program: The resolved program, "" when the command names none.
        cwd: The working directory of every attempt.
        base_config: The training configuration that a sweep's values are laid over, or None.
        inherited: The environment of the agent.
        more: Variables that its attempts have besides.
    """

    spec: SweepSpec
    paths: SweepPaths
    program: str
    cwd: str
    base_config: str | None
    inherited: Mapping[str, str]
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def sweep(self) -> str:
        """Return the sweep's name as its folder has it."""
        return self.paths.root.name.removeprefix("sweep_")


def prepare(place: Workplace, attempt: Attempt, slot: Slot, *, resumed: bool = False) -> AttemptSpec:
    """Write an attempt's parameter files and return what starts it.

    Args:
        place: What the sweep's attempts share.
        attempt: The attempt.
        slot: Where it runs.
        resumed: It goes on where an earlier attempt stood: `wandb.run.resumed` is true.
    """
    paths, run = place.paths, attempt.run
    run_dir = paths.run_dir(run.run_id)
    paths.wandb_dir(run.run_id, attempt.attempt_id).mkdir(parents=True, exist_ok=True)
    parameters = paths.parameters(attempt.attempt_id)
    write_parameters(parameters, run.params, comment=f"run {run.number}")
    json_file = run_dir / "parameters.json"
    if needs_json_file(place.spec.command):
        json_file.write_text(arguments_json(run.params), encoding="utf-8")
    env = _environment(place, attempt, slot, run_dir, parameters)
    if resumed:
        env[RESUMED_ENV] = "true"
    argv = build_command(
        place.spec.command,
        program=place.program,
        params=run.params,
        interpreter=python(),
        env=env,
        json_file=str(json_file),
        optional=optional_names(place.spec.space, by_function=place.spec.extensions.search_space is not None),
    )
    start = command_start(argv, env=env, cwd=place.cwd)
    return AttemptSpec(
        attempt_id=attempt.attempt_id,
        argv=argv,
        env={**env, **start.env},
        cwd=place.cwd,
        log=paths.log(attempt.attempt_id),
        exit_file=paths.exit_file(attempt.attempt_id),
        warm=start.warm,
        fresh=start.fresh,
        interpreter=start.interpreter,
    )


def _environment(place: Workplace, attempt: Attempt, slot: Slot, run_dir: Path, parameters: Path) -> dict[str, str]:
    """Return the whole environment of an attempt: the agent's, W&B's contract, ours, the slot's."""
    env = {
        name: value
        for name, value in place.inherited.items()
        if not name.startswith("SWEEPKIT_") and name not in FOREIGN_VARIABLES
    }
    naming = place.spec.extensions.wandb
    env.update(
        wandb_environment(
            run_card(place.spec, place.sweep, attempt.run, project=_project(place), entity=place.spec.entity or ""),
            param_path=parameters,
            directory=place.paths.wandb_dir(attempt.run.run_id, attempt.attempt_id),
            mode=None if naming is None else naming.mode,
        )
    )
    env.update(slot.environment(place.inherited))
    env.update(
        isolating_environment(
            attempt.attempt_id, slot.index, cache=place.paths.cache, inherited=place.inherited, gpus=slot.gpus
        )
    )
    env |= hook_environment(place.paths.wandb_notes(attempt.attempt_id), env)
    env[ATTEMPT_ENV] = attempt.attempt_id
    env[REPORT_FILE_ENV] = str(place.paths.reports(attempt.attempt_id))
    env[RUN_DIR_ENV] = str(run_dir)
    env[PREEMPT_FILE_ENV] = str(place.paths.preempt_file(attempt.attempt_id))
    env[CHECKPOINT_DIR_ENV] = str(place.paths.checkpoint(attempt.run.run_id))
    env[CACHE_DIR_ENV] = str(place.paths.cache)
    env["PYTHONUNBUFFERED"] = "1"
    env["PYTHONUTF8"] = "1"
    if (seed := _own_seed(place, attempt)) is not None:
        env[SEED_ENV] = str(seed)
    if place.base_config is not None:
        env[BASE_CONFIG_ENV] = place.base_config
    return {**env, **place.more}


def _own_seed(place: Workplace, attempt: Attempt) -> int | None:
    return seed_of_run(attempt.run, place.spec.extensions.seed_parameter)


def seed_of_attempt(place: Workplace, attempt: Attempt) -> int | None:
    """Return the seed that an attempt is given by the variable SEED, None when that holds no whole number."""
    own = _own_seed(place, attempt)
    text = place.inherited.get(SEED_ENV, "").strip() if own is None else str(own)
    return int(text) if text.isascii() and text.isdigit() else None


def wandb_tail(place: Workplace, run: RunRecord, attempt_id: str) -> WandbTail:
    """Return the reader of what an attempt's program logs to W&B."""
    paths, card = place.paths, run_card(place.spec, place.sweep, run, project=_project(place))
    return WandbTail(
        paths.wandb_dir(run.run_id, attempt_id),
        notes=paths.wandb_notes(attempt_id),
        log=paths.log(attempt_id),
        cwd=place.cwd,
        run_id=card.only_id,
    )


def _project(place: Workplace) -> str:
    return place.spec.project or place.inherited.get("WANDB_PROJECT") or ""


def name_of_run(place: Workplace, run: RunRecord) -> str:
    """Return the name of a run whose program does not give it another one."""
    return run_card(place.spec, place.sweep, run).name


def run_card(spec: SweepSpec, sweep: str, run: RunRecord, *, project: str = "", entity: str = "") -> RunCard:
    """Return how a run appears in W&B: in its sweep's group, unless `sweepkit.wandb` says otherwise.

    Its name is the one rule for it: what its program called it, else the sweep's template, else `RunRecord.name`.
    """
    naming = spec.extensions.wandb or WandbNaming()
    template = naming.name or ""
    return RunCard(
        run_id=run.run_id,
        group=sweep if naming.group is None else naming.group.format(sweep=sweep),
        project=project,
        entity=entity,
        name=run.outcome.get("name") or template.format(sweep=sweep, run_id=run.run_id, number=run.number) or run.name,
        sweep_id="" if naming.sweep_id is False else run.sweep_id,
        job_type=naming.job_type or "",
        tags=tuple(naming.tags),
    )


def resolve_program(spec: SweepSpec, *, cwd: Path, code_dir: Path) -> Path | None:
    """Return the program's file: looked up beside the YAML file, in `cwd`, in `code_dir`; None when there is none.

    An absolute path stands for itself.
    """
    if spec.program is None:
        return None
    places = [Path(spec.directory)] if spec.directory else []
    for place in [*places, cwd, code_dir]:
        candidate = place / spec.program
        if candidate.is_file():
            return Path(os.path.abspath(candidate))
    return None
