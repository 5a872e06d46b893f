"""Train models with seeds as one sweep: a grid of configuration and seed, run by the agents like any other sweep."""

import filecmp
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweepkit.analysis.trained import Trained, lower_is_better, short_name
from sweepkit.compare.options import ComparisonOptions, StatisticsOptions
from sweepkit.compare.read import RESULT, read_training
from sweepkit.errors import Problem, SpecError, SweepKitError
from sweepkit.files import replacing
from sweepkit.model.runs import RunState
from sweepkit.paths import BASE_CONFIG, CONFIG_DIR, SweepPaths, find_config, slug
from sweepkit.reports.files import dump_yaml
from sweepkit.runner.leader import Leader
from sweepkit.runner.options import RunOptions
from sweepkit.runner.plan import TRAINER, Plan, storage_of
from sweepkit.runner.session import Session
from sweepkit.sweep_config.read import read_sweep_text
from sweepkit.training.config.files import find_training_config

if TYPE_CHECKING:
    from sweepkit.training.config.training import AnyConfig

_MODELS_DIR = CONFIG_DIR / "models"
_METRICS = {"summarization": "eval/rouge_combined_f1"}
_METRIC = "eval/macro_f1"
_PRELOADS = {"summarization": "sweepkit.training.preload"}
_PRELOAD = "sweepkit.training.images.preload"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One model of the comparison.

    Args:
        label: What it is called.
        file: Its configuration.
        value: How the sweep names it: below config/ without its suffix, else the absolute path.
        config: As it will be trained, but for the seed.
    """

    label: str
    file: Path
    value: str
    config: "AnyConfig"


# -- what is trained --------------------------------------------------------------------------------------------------


def choose(options: ComparisonOptions) -> list[Choice]:
    """Return the models that the options name, their configurations read and checked with what is laid over them.

    Raises:
        SweepKitError: A name is none, two have one label, a configuration is wrong, or they are for different tasks.
    """
    choices = [_choice(name, options) for name in options.models]
    labels = [choice.label for choice in choices]
    for label in labels:
        if labels.count(label) > 1:
            raise SweepKitError(f"--models: each must have a file name of its own, got {label!r} twice")
    tasks = {choice.config.task: choice.label for choice in choices}
    if len(tasks) > 1:
        shown = ", ".join(f"{label}: {task}" for task, label in tasks.items())
        raise SweepKitError(f"--models: all must be for the same task, got {shown}")
    return choices


def _model_file(name: str) -> Path | None:
    """Return the configuration that a model's name means: a file, or one of config/models/, "optimal_" left out."""
    named = find_config(name, folder=_MODELS_DIR) or find_config(f"optimal_{name}", folder=_MODELS_DIR)
    return named or find_training_config(name)


def _choice(name: str, options: ComparisonOptions) -> Choice:
    from sweepkit.sweep_config.fields import suggestion
    from sweepkit.training.config.files import preset_file
    from sweepkit.training.config.training import apply, apply_preset, read_training_config

    file = _model_file(name)
    if file is None:
        known = sorted(path.stem for path in _MODELS_DIR.glob("*.yaml"))
        rule = f"must be one of {', '.join(known)} (optimal_ may be left out), or a configuration's file"
        raise SpecError([Problem(where="--models", rule=rule, got=repr(name), hint=suggestion(name, known))])
    config = read_training_config(file)
    if options.preset is not None:
        config = apply_preset(config, preset_file(options.preset))
    overrides = {}
    for assignment in options.assignments:
        field, equals, value = assignment.partition("=")
        if not equals:
            raise SweepKitError(f"--set: must be NAME=VALUE, got {assignment!r}")
        overrides[field] = value
    config = apply(config, overrides, from_text=True)
    inside = file.resolve().is_relative_to(CONFIG_DIR)
    value = str(file.resolve().relative_to(CONFIG_DIR).with_suffix("")) if inside else os.path.abspath(file)
    label = Path(name).name.removesuffix(".yaml").removesuffix(".yml")
    return Choice(label=label, file=file, value=value, config=config)


def check_checkpoints(choices: Sequence[Choice]) -> None:
    """Refuse models whose checkpoint is neither on this machine nor to be had from the hub; all of them at once."""
    from sweepkit.training.checkpoints import unavailable

    reasons: dict[str, str | None] = {}
    missing = []
    for choice in choices:
        name = getattr(choice.config.model, "name", None) if choice.config.task == "summarization" else None
        if name is not None and name not in reasons:
            reasons[name] = unavailable(name)
        if name is not None and reasons[name] is not None:
            missing.append(f"--models {choice.label}: its checkpoint must be at hand, got: {reasons[name]}")
    if missing:
        tiny = ", ".join(sorted(path.stem for path in _MODELS_DIR.glob("tiny_*.yaml") if "lora" not in path.stem))
        raise SweepKitError(
            "\n".join(missing)
            + "\ndownload it once where there is a network, set model.name to a folder in a configuration of your own, "
            + f"or compare the embedded models, which need no download: {tiny}"
        )


def make_comparison_plan(choices: Sequence[Choice], options: ComparisonOptions, run: RunOptions) -> Plan:
    """Return the sweep that trains every model with every seed.

    Args:
        choices: The models.
        options: Seeds, what is laid over the configurations, and the score.
        run: How it is run.
    """
    task = choices[0].config.task
    metric = metric_of(options.statistics, task)
    name = options.name or "compare-" + "-".join(choice.label for choice in choices)
    goal = options.statistics.goal or ("minimize" if lower_is_better(metric) else "maximize")
    sweep: dict[str, Any] = {
        "name": name,
        "program": TRAINER.name,
        "method": "grid",
        "metric": {"name": f"eval/{short_name(metric)}", "goal": goal},
        "command": ["${env}", "${interpreter}", "${program}", *_overrides(options), "${args}"],
        "parameters": {
            "seed": {"values": list(options.seeds)},
            "config": {"values": [choice.value for choice in choices]},
        },
        "sweepkit": {"preload": [_PRELOADS.get(task, _PRELOAD)]},
    }
    cwd = Path.cwd()
    return Plan(
        spec=read_sweep_text(dump_yaml(sweep), source=name, directory=str(TRAINER.parent), default_name=name),
        program=str(TRAINER),
        trains=False,  # the configuration is a parameter: there is no base to it
        base_config=BASE_CONFIG,
        output_dir=Path(os.path.abspath(run.output_dir)),
        storage=storage_of(run),
        cwd=cwd,
    )


def metric_of(options: StatisticsOptions, task: str) -> str:
    """Return the score to compare by: the option's, else the task's own."""
    return str(options.metric or _METRICS.get(task, _METRIC))


def _overrides(options: ComparisonOptions) -> list[str]:
    """Return what every training is given beside its configuration and seed."""
    words = [] if options.preset is None else [f"--preset={_path(options.preset)}"]
    words += [f"--set={assignment}" for assignment in options.assignments]
    for option, value in (("--train-data", options.train_data), ("--val-data", options.val_data)):
        words += [] if value is None else [f"{option}={os.path.abspath(value)}"]
    return words


def _path(name: str) -> str:
    return os.path.abspath(name) if Path(name).is_file() else name


# -- the trainings ----------------------------------------------------------------------------------------------------


# Which run is best by chance is not what is asked; and a look for unread parameters does not know --config.
LEADER = Leader(ranks=False)


def trainings_of(session: Session, choices: Sequence[Choice], seeds: Sequence[int]) -> list[Trained]:
    """Return what was trained of a comparison, and put every finished result in its place.

    Args:
        session: Of the comparison's sweep, concluded.
        choices: Its models.
        seeds: Those that count.
    """
    labels = {choice.value: choice.label for choice in choices}
    found = []
    for run in session.store.runs(session.sweep.sweep_id):
        label, seed = labels.get(str(run.params.get("config"))), run.params.get("seed")
        if label is None or seed not in seeds or not run.state.done:
            continue
        results = session.paths.run_dir(run.run_id) / "results"
        if run.state is RunState.FINISHED and (results / RESULT).is_file():
            place = _publish(results, session.plan.output_dir / f"{slug(label)}_seed{seed}" / "results")
            found.append(read_training(place / RESULT, model=label, seed=str(seed)))
        else:
            reason = run.reason or "it left no result"
            state = "failed" if run.state is RunState.FINISHED else run.state.value
            found.append(Trained(model=label, seed=str(seed), where=run.run_id, state=state, reason=reason))
    return sorted(found, key=lambda item: [*labels.values()].index(item.model))


def _publish(source: Path, target: Path) -> Path:
    """Copy the files of a result, the result itself last, each in one step; return the folder.

    A kill in between leaves no result that is not whole; the next call copies again what differs.
    """
    target.mkdir(parents=True, exist_ok=True)
    for file in sorted(source.iterdir(), key=lambda item: (item.name == RESULT, item.name)):
        copy = target / file.name
        if not file.is_file() or (copy.is_file() and filecmp.cmp(file, copy, shallow=False)):
            continue
        with replacing(copy) as aside:
            shutil.copyfile(file, aside)
    return target


def runs_of_sweeps(trainings: Sequence[Trained], output_dir: Path) -> dict[str, int]:
    """Return how many runs the sweeps had that the configurations are the best of, where their tables are at hand."""
    counts = {}
    for item in trainings:
        section = item.config.get("reproduces")
        name = section.get("sweep") if isinstance(section, dict) else None
        if isinstance(name, str):
            try:
                table = SweepPaths(output_dir, name).table.read_text(encoding="utf-8")
            except OSError:
                continue
            counts[name] = max(0, len(table.splitlines()) - 1)
    return counts
