"""Read an Optuna YAML of the users' guides (`config/optuna/*.yaml`), reporting every problem at once.

    optuna:            enabled, n_trials, timeout, study_name, direction(s), metric(s), sampler, seed, storage, n_jobs
    search_space:      {type: loguniform | uniform | int | float | categorical | discrete_uniform, low, high, …} by name
    pruning:           enabled, type, patience, n_startup_trials, n_warmup_steps, …
    quick_validation:  epochs, folds, batch_size_override, …
    sampler, conditions, fixed, base_config, phases, wandb, sweepkit

Names, types and ranges of parameters are checked against the training configuration that the study starts from. What
becomes a key of the sweep (sampler, pruning, conditions, sweepkit) is checked by the sweep's own reader, and what that
refuses is reported by the key and line of this file.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sweepkit.errors import Problem, SpecError
from sweepkit.model.metric import Goal
from sweepkit.paths import BASE_CONFIG, CONFIG_DIR, find_config
from sweepkit.studies.yaml import optuna_sections as sections
from sweepkit.studies.yaml.optuna_meaning import IMAGES, SUMMARIES, default_space, gather_parameters, means_images
from sweepkit.studies.yaml.optuna_phases import read_phases
from sweepkit.studies.yaml.optuna_space import read_search_space, refuse_value
from sweepkit.studies.yaml.optuna_sweep import sweep_dict
from sweepkit.studies.yaml.optuna_values import Objective, OptunaConfig, SearchParameter
from sweepkit.sweep_config.checker import Checker
from sweepkit.sweep_config.fields import suggestion
from sweepkit.sweep_config.read import from_config
from sweepkit.text.yaml import Document, KeyPath, dotted, parse, read_text
from sweepkit.training.config.files import find_training_config
from sweepkit.training.config.training import AnyConfig, read_training_config
from sweepkit.training.config.training_schema import Schema, schema_of

__all__ = ["OptunaConfig", "find_optuna_config", "read_optuna_config", "read_optuna_text"]

_KEYS = (
    "optuna",
    "search_space",
    "pruning",
    "sampler",
    "quick_validation",
    "conditions",
    "fixed",
    "base_config",
    "phases",
    "wandb",
    "sweepkit",
)
# Keys of `sweepkit:` that a section of its own says, and which.
_SAID_ELSEWHERE: Mapping[str, str] = {
    "sampler": "sampler:",
    "seed": "optuna.seed",
    "early_terminate": "pruning:",
    "base_config": "base_config:",
    "conditions": "conditions:",
    "search_space": "search_space:",
    "wandb": "wandb:",
    "time_budget_s": "optuna.timeout",
}
# Where the sweep's reader finds what stands elsewhere here.
_PLACES: tuple[tuple[str, KeyPath], ...] = (
    ("sweepkit.early_terminate.rule", ("pruning",)),
    ("sweepkit.early_terminate", ("pruning",)),
    ("early_terminate", ("pruning",)),
    ("sweepkit.sampler", ("sampler",)),
    ("sweepkit.conditions", ("conditions",)),
    ("sweepkit.wandb", ("wandb",)),
    ("sweepkit", ("sweepkit",)),
    ("parameters", ("search_space",)),
    ("method", ("sampler",)),
)


def find_optuna_config(name: str) -> Path | None:
    """Return an Optuna YAML's file: a path, or a name in config/optuna/ with or without suffix; None without one.

    >>> find_optuna_config("prototype").name
    'prototype.yaml'
    """
    return find_config(name, folder=CONFIG_DIR / "optuna")


def read_optuna_config(
    path: Path, *, shown_as: str = "", base_config: str | None = None, n_trials: int | None = None
) -> OptunaConfig:
    """Read an Optuna YAML.

    Args:
        path: The file.
        shown_as: The file as the user named it, for messages; the path itself by default.
        base_config: In place of the file's own `base_config`, with the same effect.
        n_trials: In place of `optuna.n_trials`, with the same effect.

    Raises:
        SpecError: The file cannot be read, or all that is wrong with it.
    """
    where = shown_as or str(path)
    directory = str(path.resolve().parent)
    text = read_text(path, where=where)
    return read_optuna_text(
        text,
        source=where,
        directory=directory,
        default_name=path.stem,
        base_config=base_config,
        n_trials=n_trials,
    )


def read_optuna_text(
    text: str,
    *,
    source: str = "",
    directory: str = "",
    default_name: str = "study",
    base_config: str | None = None,
    n_trials: int | None = None,
) -> OptunaConfig:
    """Read the text of an Optuna YAML.

    Args:
        text: YAML 1.2.
        source: Where it came from, for messages.
        directory: Absolute folder that a relative `base_config` is looked up in first; "" for none.
        default_name: The study's name unless the YAML gives one.
        base_config: In place of the file's own, with the same effect.
        n_trials: In place of the file's own, with the same effect; phases that say their own refuse it.

    Raises:
        SpecError: All that is wrong with it.
    """
    document = parse(text, where=source)
    check = Checker(document, where=source)
    gather_parameters(check, _KEYS)
    base = _base_config(check, directory, base_config)
    given = _sections(check, base, n_trials)
    config = OptunaConfig(
        **{"study_name": default_name, **given},
        task=base.config.task if base.config is not None else "summarization",
        base_config=base.name,
        base_seed=base.config.training.seed if base.config is not None else 0,
        source=source,
        directory=directory,
        text=text,
    )
    own = [*check.problems(), *base.problems]
    found, notes = _judge_sweep(_readable(config) if own else config, document)
    if own or found:
        raise SpecError(sorted([*own, *found], key=lambda problem: problem.line or 0))
    return replace(config, notes=(*check.warnings, *notes))


def _readable(config: OptunaConfig) -> OptunaConfig:
    """Return a configuration that has problems with what the sweep's reader can judge all the same."""
    stand_in = (SearchParameter(name="seed", kind="int", low=0, high=1),)
    objectives = config.objectives[:1] or (Objective(metric="loss", goal=Goal.MINIMIZE),)
    return replace(config, parameters=stand_in, objectives=objectives, conditions={}, fixed={}, quick={})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Base:
    """The training configuration that the study starts from.

    Args:
        name: As the sweep names it: a name in config/, or an absolute path; None for config/base_config.yaml.
        config: None when it could not be read.
        problems: What is wrong in its own file.
    """

    name: str | None = None
    config: AnyConfig | None = None
    problems: tuple[Problem, ...] = ()

    @property
    def schema(self) -> Schema | None:
        """Return what its task's configuration may hold; None when it could not be read."""
        return None if self.config is None else schema_of(type(self.config))


def _base_config(check: Checker, directory: str, asked: str | None) -> _Base:
    """Find and read the training configuration: the caller's, the file's, else the one that the file can only mean."""
    data = check.document.data
    name = asked or check.string(data, (), "base_config")
    path: Path | None = BASE_CONFIG
    if name is None and "base_config" not in data:
        if word := means_images(data):
            name = IMAGES
            check.warn((), f"{word} is of image classification: base_config is {IMAGES}")
        elif "search_space" not in data:
            name = SUMMARIES
    if name is not None:
        beside = Path(directory or ".", name)
        path = beside.resolve() if beside.is_file() else find_training_config(name)
        name = str(path) if path is not None and beside.is_file() else name
    elif "base_config" in data:
        return _Base()
    if path is None:
        known = [str(file.relative_to(CONFIG_DIR).with_suffix("")) for file in sorted(CONFIG_DIR.rglob("*.yaml"))]
        rule = "must be a training configuration beside this file or in config/"
        check.refuse(("base_config",), rule, got=name, hint=suggestion(str(name), known))
        return _Base()
    try:
        return _Base(name=name, config=read_training_config(path))
    except SpecError as error:
        return _Base(problems=error.problems)


def _sections(check: Checker, base: _Base, n_trials: int | None = None) -> dict[str, Any]:
    """Return the fields of an OptunaConfig that the file gives; what is wrong is noted."""
    data = check.document.data
    check.known_keys(data, (), _KEYS, "an Optuna configuration")
    task = base.config.task if base.config is not None else None
    given = sections.read_study(check, data, task)
    if n_trials is not None:
        given |= {"n_trials": n_trials, "unlimited": False}
        _refuse_own_counts(check, data)
    tree = check.mapping(data, (), "search_space")
    constants: dict[str, Any] = {}
    parameters: list[SearchParameter] = []
    if tree is not None:
        parameters = read_search_space(check, tree, ("search_space",), base.schema, constants)
    elif "search_space" not in data:
        parameters = _default_space(check, base)
    given["parameters"] = tuple(parameters)
    given["pruning"] = sections.read_pruning(check, data, several=len(given["objectives"]) > 1)
    given |= sections.read_wandb(check, data)
    fixed = {**constants, **(check.mapping(data, (), "fixed") or {})}
    given["quick"] = sections.read_quick_validation(check, data, task) if task else {}
    given["fixed"] = {**fixed, **given.pop("tracked")}
    if base.schema is not None:
        _check_constants(check, given, fixed, base.schema)
    given["conditions"] = check.mapping(data, (), "conditions") or {}
    given["extensions"] = check.mapping(data, (), "sweepkit") or {}
    for key in given["extensions"]:
        if key in _SAID_ELSEWHERE:
            check.refuse(("sweepkit", key), f"{_SAID_ELSEWHERE[key]} says it here", got=given["extensions"][key])
    several = len(given["objectives"]) > 1
    names = [parameter.name for parameter in parameters]
    given["phases"] = read_phases(check, data, names, n_trials=given.get("n_trials"), several=several)
    unlimited = given.pop("unlimited")
    found = {key: value for key, value in given.items() if value is not None}
    return {**found, "n_trials": None} if unlimited else found


def _refuse_own_counts(check: Checker, data: Mapping[str, Any]) -> None:
    """Refuse phases that say how many runs they have beside a number for all of them."""
    phases = data.get("phases")
    for index, node in enumerate(phases if isinstance(phases, list) else []):
        if isinstance(node, dict) and node.get("n_trials") is not None:
            rule = "says how many runs the phase has, so --n-trials cannot"
            check.refuse(("phases", index, "n_trials"), rule, got=node["n_trials"], hint="leave one of the two out")


def _default_space(check: Checker, base: _Base) -> list[SearchParameter]:
    """Return the guide's own parameters for a file that has no search_space, and say so."""
    config = base.config
    found = [] if config is None else default_space(config.task, config.model.name)
    if config is not None and not found:
        check.refuse((), "a study needs a search_space", hint="write search_space: {learning_rate: {type: …}}")
    elif found:
        check.warn((), f"no search_space: the guide's is searched, {', '.join(item.name for item in found)}")
    return found


def _place_of_constant(check: Checker, name: str) -> KeyPath:
    """Return where a constant stands: under `fixed`, or as a switch in the search space."""
    return ("fixed", name) if name in (check.document.data.get("fixed") or {}) else ("search_space", name)


def _check_constants(check: Checker, given: Mapping[str, Any], fixed: Mapping[str, Any], schema: Schema) -> None:
    """Refuse constants that the trainer does not take, and fields that are set twice."""
    setters = {schema.route(parameter.name): f"search_space.{parameter.name}" for parameter in given["parameters"]}
    for name, value in fixed.items():
        route, path = schema.route(name), _place_of_constant(check, name)
        if route is None:
            (problem,) = schema.unknown([name])
            check.refuse(path, problem.rule, got=name, hint=problem.hint)
            continue
        refuse_value(check, value, path, schema, route)
        if route in setters:
            check.refuse(path, f"{setters[route]} sets {route} already", got=value, hint="remove one of the two")
        setters[route] = f"fixed.{name}"
    left_out: list[str] = []
    for name, value in given["quick"].items():
        key = sections.QUICK_KEY_OF.get(name, "")
        route = schema.route(name)
        if route is None:
            continue
        refuse_value(check, value, ("quick_validation", key), schema, route)
        for field in {route, sections.OVERRIDES.get(name, route)}:
            if field in setters and key == "batch_size_override":
                check.warn(("quick_validation", key), f"left out: {setters[field]} is searched")
                left_out.append(name)
            elif field in setters:
                rule = f"{setters[field]} sets {field} already"
                check.refuse(("quick_validation", key), rule, got=value, hint="remove one of the two")
    for name in left_out:
        del given["quick"][name]


def _judge_sweep(config: OptunaConfig, document: Document) -> tuple[list[Problem], list[str]]:
    """Have the sweep's own reader judge what becomes its keys.

    Returns:
        Its problems, by the keys and lines of this file, and what it warns of.
    """
    move = _mover(document)
    try:
        spec = from_config(sweep_dict(config), source=config.source)
    except SpecError as error:
        return [move(problem) for problem in error.problems], []
    problems: list[Problem] = []
    for index, phase in enumerate(config.phases):
        if phase.sampler:
            place: KeyPath = ("phases", index, "sampler")
            try:
                from_config(sweep_dict(config, sampler=phase.sampler), source=config.source)
            except SpecError as error:
                line, key = document.line(place), dotted(place)
                problems += [replace(problem, line=line, key=key) for problem in error.problems]
    return problems, [warning for warning in spec.warnings if "sweepkit." in warning]


def _mover(document: Document) -> Callable[[Problem], Problem]:
    """Return a function that moves a problem of the sweep to where its cause stands in the document."""

    def moved(problem: Problem) -> Problem:
        place: KeyPath = ()
        for prefix, here in _PLACES:
            if problem.key == prefix or problem.key.startswith(f"{prefix}."):
                rest = [word for word in problem.key.removeprefix(prefix).split(".") if word]
                old = [sections.OLD_RULE_KEYS.get(word, word) for word in rest] if here == ("pruning",) else rest
                place = (*_existing(document, here), *old)
                break
        key = ".".join(str(word) for word in place)
        return replace(problem, line=document.line(place), key=key)

    return moved


def _existing(document: Document, place: KeyPath) -> KeyPath:
    """Return where a section stands: the sampler may stand at the top or under optuna."""
    return ("optuna", "sampler") if place == ("sampler",) and "sampler" not in document.data else place
