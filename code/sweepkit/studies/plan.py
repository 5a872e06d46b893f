"""What `optimize.py` is asked for, as a sweep that is checked and not yet written anywhere."""

import difflib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweepkit.errors import Problem, SpecError, SweepKitError
from sweepkit.paths import CONFIG_DIR, find_config, slug
from sweepkit.reports.files import dump_yaml, relative
from sweepkit.runner.options import RunOptions, SlotOptions
from sweepkit.runner.plan import Plan, plan_of
from sweepkit.studies.options import StudyOptions
from sweepkit.studies.yaml.guide_space import FIXED, guide_parameters, is_embedded, metric_of
from sweepkit.studies.yaml.study_sweep import DEFAULT_EXPERIMENT, PRUNERS, Study, study_sweep
from sweepkit.sweep_config.read import read_sweep_text
from sweepkit.training.config.files import find_training_config
from sweepkit.training.config.training import (
    AnyConfig,
    TrainingConfig,
    apply,
    as_dict,
    flatten,
    read_training_config,
    route,
    to_yaml,
)
from sweepkit.training.metric_names import metric_notes

if TYPE_CHECKING:
    from sweepkit.studies.yaml.optuna_values import OptunaConfig

_MIRROR_NAME = "optuna.db"
_HEAD = "# Made by optimize.py, which runs it; sweep_runner.py --sweep-config takes it as well.\n"


def guide_study(options: StudyOptions) -> tuple[Study, list[str]]:
    """Return the study that the command line describes without a --config, and what to say about it.

    Raises:
        SpecError: The training configuration is not there or wrong, or not for summarization.
    """
    experiment = options.experiment or DEFAULT_EXPERIMENT
    file, notes = _training_file(experiment, options.base_config)
    config = read_training_config(file)
    parameters = guide_parameters(checkpoint_of(config, file))
    study = Study(
        name=options.study_name or f"optuna_{slug(Path(experiment).stem)}",
        metric=metric_of(options.direction or "maximize", options.metric),
        parameters=parameters,
        base_config=_named(file),
        **_given(options),
        **settings(config, parameters, wandb=options.wandb),
    )
    notes += metric_notes((study.metric,), config.task)
    if is_embedded(config.model.name):
        notes.append("learning_rate: a hundred times the guide's range, as the embedded model is that small")
    return study, notes


def _given(options: StudyOptions) -> dict[str, Any]:
    """Return the fields of a study that the command line gives; the others keep their defaults."""
    asked = {
        "n_trials": options.n_trials,
        "timeout_s": options.timeout,
        "sampler": options.sampler,
        "pruner": options.pruner,
        "seed": options.seed,
    }
    return {name: value for name, value in asked.items() if value is not None}


def settings(config: AnyConfig, parameters: Mapping[str, Any], *, wandb: bool) -> dict[str, Any]:
    """Return what a study must set because its training configuration has it otherwise.

    A report after every epoch, adapters when theirs are among the parameters, and W&B only when asked for. What is
    searched is not set.
    """
    values = flatten(as_dict(config))
    searched = {route(name, type(config)) for name in parameters}
    wanted = {**FIXED, "wandb.enabled": wandb}
    if not any(path and path.startswith("lora.") for path in searched):
        del wanted["use_lora"]
    fixed = {
        name: value
        for name, value in wanted.items()
        if (path := route(name, type(config))) not in searched and path in values and values[path] != value
    }
    return {"fixed": fixed, "wandb": wandb, "cpus_per_run": 1 if is_embedded(config.model.name) else None}


def checkpoint_of(config: AnyConfig, source: Path | str) -> str:
    """Return the checkpoint of a summarization; the guide's fifteen parameters fit no other task.

    Raises:
        SpecError: The configuration is for another task, or generates no summaries to score.
    """
    if not isinstance(config, TrainingConfig):
        rule = "the fifteen parameters of the guide are those of task summarization"
        hint = "name your own search space: --config"
        raise SpecError([Problem(where=str(source), key="task", rule=rule, got=repr(config.task), hint=hint)])
    if not config.training.predict_with_generate:
        rule = "must be true, ROUGE is measured on generated summaries"
        raise SpecError([Problem(where=str(source), key="training.predict_with_generate", rule=rule, got="false")])
    return config.model.name


def _training_file(experiment: str, base_config: str | None) -> tuple[Path, list[str]]:
    """Return the training configuration of an experiment, and what to say of it.

    A name that is no configuration is a name for the study, unless it looks like one that was mistyped.
    """
    if base_config is not None:
        found = find_training_config(base_config)
        if found is None:
            rule = "must be a training configuration: a file, or a name in config/ or config/models/"
            raise SpecError([Problem(where="--base-config", rule=rule, got=repr(base_config), hint=_near(base_config))])
        return found, []
    found = find_training_config(experiment)
    if found is not None:
        return found, []
    if near := _near(experiment, cutoff=0.8):
        rule = "is no training configuration"
        hint = f"{near} or, for a study of that name, give --base-config as well"
        raise SpecError([Problem(where="--experiment", rule=rule, got=repr(experiment), hint=hint)])
    default = find_training_config(DEFAULT_EXPERIMENT)
    if default is None:
        raise SweepKitError(f"config/models/{DEFAULT_EXPERIMENT}.yaml: must be there, got none; restore it")
    note = f"no configuration is named {experiment}: the study is, its trials train {_named(default)}"
    return default, [note]


def _near(name: str, folders: tuple[Path, ...] = (CONFIG_DIR, CONFIG_DIR / "models"), *, cutoff: float = 0.6) -> str:
    known = sorted(path.stem for folder in folders for path in folder.glob("*.yaml"))
    near = difflib.get_close_matches(Path(name).stem, known, n=1, cutoff=cutoff)
    return f"did you mean {near[0]!r}?" if near else ""


def _named(file: Path) -> str:
    """Return a configuration as a sweep names it: by its name in config/, so that other hosts find theirs."""
    absolute = Path(os.path.abspath(file))
    if absolute.is_relative_to(CONFIG_DIR):
        return str(absolute.relative_to(CONFIG_DIR).with_suffix(""))
    return str(absolute)


def make_plan_of(sweep: Mapping[str, Any], options: RunOptions, *, directory: str = "", searches: bool = True) -> Plan:
    """Return the plan of a sweep's dictionary.

    Args:
        sweep: As `study_sweep` or a --config makes it.
        options: As `run_options` returns them.
        directory: Absolute folder that relative paths of the sweep start from; "" for none.
        searches: As `runner.plan.plan_of`.

    Raises:
        SpecError: All that is wrong with it.
    """
    name = str(sweep.get("name") or "study")
    text = _HEAD + dump_yaml(dict(sweep))
    spec = read_sweep_text(text, source=f"study {name}", directory=directory, default_name=name)
    return plan_of(options, spec, searches=searches)


def run_options(options: StudyOptions, config: "OptunaConfig | None" = None) -> RunOptions:
    """Return how a runner runs what `optimize.py` is asked for.

    Sampler and seed are the sweep's, so that the record has them.

    Args:
        options: The command line.
        config: What its --config says; the command line goes before it.
    """
    folder = Path(os.path.abspath(options.output_dir))
    mirror = options.optuna_storage or (config.storage if config is not None else None)
    return RunOptions(
        output_dir=folder,
        storage=options.storage,
        optuna_storage=mirror or f"sqlite:///{folder / _MIRROR_NAME}",
        cold=options.cold,
        json=options.json,
        verbose=options.verbose,
        fresh=options.fresh,
        retry_failed=options.retry_failed,
        preempted_exit_code=options.preempted_exit_code,
        notify=options.notify,
    )


def slot_options(options: StudyOptions, config: "OptunaConfig | None" = None) -> SlotOptions:
    """Return what trials may occupy: as many slots as trials at once; they share GPUs where those are fewer."""
    from sweepkit.agents.slots import choose_gpus

    asked = options.n_jobs if config is None or options.n_jobs is not None else config.n_jobs
    jobs = None if asked == -1 else asked or 1
    n_gpus = len(choose_gpus(options.gpus, os.environ))
    shared = None if jobs is None or jobs <= n_gpus or not n_gpus else -(-jobs // n_gpus)
    return SlotOptions(num_workers=jobs, gpus=options.gpus, runs_per_gpu=shared)


def sweep_of(options: StudyOptions, config: "OptunaConfig | None") -> tuple[dict[str, Any], str, list[str]]:
    """Return the sweep that the command line asks for, the folder its paths start from, and what to say.

    Args:
        options: The command line.
        config: What its --config says, None without one.
    """
    if config is None:
        study, notes = guide_study(options)
        return study_sweep(study), "", notes
    from sweepkit.studies.yaml.optuna_sweep import sweep_dict

    return sweep_dict(config), config.directory, list(config.notes)


def tuned_config(options: StudyOptions) -> "OptunaConfig":
    """Return what a --config says, with the command line's say before it.

    Raises:
        SpecError: The file is not there, or all that is wrong with it.
    """
    from sweepkit.studies.yaml.optuna_config import find_optuna_config, read_optuna_config

    name = str(options.config)
    file = find_optuna_config(name) or find_config(name)
    if file is None:
        folder = CONFIG_DIR / "optuna"
        known = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
        hint = _near(options.config or "", (folder,)) or (f"known are {known}" if known else "")
        rule = "must be an Optuna YAML: a file, or a name in config/optuna/"
        raise SpecError([Problem(where="--config", rule=rule, got=repr(name), hint=hint)])
    _refuse_beside_config(options)
    base = None if options.base_config is None else _named(_training_file("", options.base_config)[0])
    config = read_optuna_config(file, shown_as=relative(file), base_config=base, n_trials=options.n_trials)
    said: dict[str, Any] = {
        "study_name": options.study_name,
        "timeout_s": options.timeout,
        "seed": options.seed,
        "sampler": None if options.sampler is None else {"name": options.sampler},
        "pruning": None if options.pruner is None else dict(PRUNERS[options.pruner] or {}),
    }
    return replace(config, **{name: value for name, value in said.items() if value is not None})


def final_text(base: Path, config: "OptunaConfig", params: Mapping[str, Any]) -> str:
    """Return the full training configuration of a trial, without what `quick_validation` cut for the search.

    Args:
        base: The training configuration that it started from.
        config: The --config.
        params: The trial's values.
    """
    from sweepkit.studies.yaml.optuna_sweep import full_parameters

    return to_yaml(apply(read_training_config(base), flatten(full_parameters(config, params))))


def _refuse_beside_config(options: StudyOptions) -> None:
    """Refuse what only the YAML can say."""
    for option, value in (
        ("direction", options.direction),
        ("metric", options.metric),
        ("wandb", options.wandb),
        ("experiment", options.experiment),
    ):
        if value:
            raise SweepKitError(
                f"--{option}: must be left out with --config, whose YAML says it; edit {options.config}"
            )
