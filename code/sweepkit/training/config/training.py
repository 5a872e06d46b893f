"""The training configuration as a value: how a YAML file becomes one, and where a sweep parameter goes in it.

A file's `task:` decides which sections it has; TASKS lists them.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from sweepkit.errors import Problem, SpecError
from sweepkit.sweep_config.fields import suggestion
from sweepkit.text.nested_tables import flattened
from sweepkit.text.yaml import Document, KeyPath, decode, parse
from sweepkit.text.yaml_text import scalar
from sweepkit.training.config.image_sections import ImageConfig, PerceiverConfig
from sweepkit.training.config.reproduces_section import ReproducesSection
from sweepkit.training.config.training_schema import Schema, schema_of, section_types
from sweepkit.training.config.training_sections import TrainingConfig

__all__ = [
    "TASKS",
    "AnyConfig",
    "ImageConfig",
    "PerceiverConfig",
    "TrainingConfig",
    "apply",
    "apply_preset",
    "as_dict",
    "field_paths",
    "flatten",
    "from_mapping",
    "governed",
    "read_training_config",
    "route",
    "to_yaml",
    "unknown_parameters",
]

AnyConfig = TrainingConfig | ImageConfig | PerceiverConfig
Config = TypeVar("Config", bound=AnyConfig)
TASKS: Mapping[str, type[AnyConfig]] = {kind.task: kind for kind in (TrainingConfig, ImageConfig, PerceiverConfig)}
_TASK_KEY = "task"
_ARCHITECTURE = "architecture"


def field_paths(kind: type[AnyConfig] = TrainingConfig) -> tuple[str, ...]:
    """Return the dotted path of every field of a kind of configuration."""
    return tuple(schema_of(kind).known)


def route(name: str, kind: type[AnyConfig] = TrainingConfig) -> str | None:
    """Return the dotted path that a sweep parameter sets, or None when there is none.

    >>> route("num_beams"), route("training.learning_rate"), route("lora_r"), route("lerning_rate")
    ('generation.num_beams', 'training.learning_rate', 'lora.r', None)
    """
    return schema_of(kind).route(name)


def unknown_parameters(names: Sequence[str], kind: type[AnyConfig] = TrainingConfig) -> list[Problem]:
    """Return one problem for each sweep parameter that no field of the configuration takes."""
    return schema_of(kind).unknown(names)


def governed(names: Iterable[str], kind: type[AnyConfig] = TrainingConfig) -> list[str]:
    """Return a sentence for each parameter that no field takes because something else governs what it asks for.

    >>> governed(["save_steps", "num_beams"])
    ['save_steps: left out: the best evaluation counts; training.save_model: true keeps the model at the end']
    """
    schema = schema_of(kind)
    return [f"{name}: left out: {what}" for name in names if (what := schema.governed(name))]


def _together(values: Mapping[str, Any]) -> list[Problem]:
    """Return the problems of values that are right alone but not together."""
    problems = []
    if values.get("training.fp16") and values.get("training.bf16"):
        problems.append(Problem(key="training.bf16", rule="must be false when training.fp16 is true", got="both true"))
    if values.get("training.max_steps") == 0:
        problems.append(Problem(key="training.max_steps", rule="must be -1 (use epochs) or at least 1", got="0"))
    steps = values.get("training.eval_steps", 1.0)
    if steps > 1 and steps != int(steps):
        problems.append(
            Problem(
                key="training.eval_steps",
                rule="must be whole when above 1 (steps), or a fraction below 1",
                got=repr(steps),
            )
        )
    if "{dialogue}" not in (values.get("tokenizer.prompt") or "{dialogue}"):
        prompt = values["tokenizer.prompt"]
        hint = f"for a text before the dialogue, tokenizer.prefix: {prompt!r}"
        problems.append(Problem(key="tokenizer.prompt", rule="must have {dialogue} in it", got=repr(prompt), hint=hint))
    least, most = values.get("generation.min_length", 0), values.get("tokenizer.decoder_max_len", math.inf)
    if least > most:
        rule = f"must be at most tokenizer.decoder_max_len, here {most}"
        problems.append(Problem(key="generation.min_length", rule=rule, got=str(least)))
    return problems


def _values(config: AnyConfig) -> dict[str, Any]:
    """Return every value by its dotted path."""
    return {
        path: getattr(getattr(config, path.split(".")[0]), path.split(".")[1]) for path in schema_of(type(config)).known
    }


def _build(values: Mapping[str, Any], kind: type[Config]) -> Config:
    """Return the configuration with these values, the others at their defaults."""
    sections: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        section, name = path.split(".")
        sections.setdefault(section, {})[name] = value
    kinds = section_types(kind)
    return kind(**{section: kinds[section](**given) for section, given in sections.items()})


def apply(config: Config, params: Mapping[str, Any], *, from_text: bool = False) -> Config:
    """Return the configuration with sweep parameters set, each in the field that `route` names.

    Args:
        config: Where they are set; it stays as it is.
        params: Values by bare or dotted name. A whole number becomes a float where one is due, 8.0 becomes 8.
        from_text: The values come from a command line: "1e-4", "true" and "none" are read as what they mean, and
            "a,b" or '["a", "b"]' as a list where one is due.

    Raises:
        SpecError: Unknown names, wrong types, values out of range: all of them at once.

    >>> apply(TrainingConfig(), {"num_beams": "4"}, from_text=True).generation.num_beams
    4
    """
    schema = schema_of(type(config))
    problems = schema.unknown(list(params))
    values = _values(config)
    for name, given in params.items():
        path = schema.route(name)
        if path is None:
            continue
        value, problem = schema.check(path, given, from_text=from_text)
        if problem is not None:
            problems.append(problem)
        else:
            values[path] = value
    problems += [] if problems else _together(values)
    if problems:
        raise SpecError(problems)
    return _build(values, type(config))


def flatten(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested parameters by dotted name, as W&B nests them.

    >>> flatten({"training": {"learning_rate": 0.1}, "num_beams": 2})
    {'training.learning_rate': 0.1, 'num_beams': 2}
    """
    return flattened(params, keep_empty=False)  # a section that sets nothing is none


def from_mapping(data: Any, *, where: str = "") -> AnyConfig:
    """Return the configuration that a nested mapping describes; what it leaves out keeps its default.

    Args:
        data: `task` and sections of fields, as a YAML file holds them; None is all defaults.
        where: Where it comes from, for messages.

    Raises:
        SpecError: Every problem at once.
    """
    data = {} if data is None else data
    if not isinstance(data, Mapping):
        raise SpecError([Problem(where=where, rule="must hold sections such as training:", got=type(data).__name__)])
    return _from_document(Document(data=dict(data)), where)


def _task_of(data: Mapping[str, Any], where: str, line: int | None) -> type[AnyConfig]:
    """Return the kind of configuration that a document's `task:` names."""
    task = data.get(_TASK_KEY, TrainingConfig.task)
    if not isinstance(task, str) or task not in TASKS:
        hint = suggestion(task, TASKS) if isinstance(task, str) else ""
        rule = f"must be one of {', '.join(TASKS)}"
        raise SpecError([Problem(where=where, line=line, key=_TASK_KEY, rule=rule, got=repr(task), hint=hint)])
    return TASKS[task]


def _from_document(document: Document, where: str, notes: list[str] | None = None) -> AnyConfig:
    """Return the configuration of a document; SpecError has the document's own problems too."""
    kind = _task_of(document.data, where, document.line((_TASK_KEY,)))
    values = _read_values(document, where, kind, notes)
    problems = _together(values)
    if problems:
        raise SpecError(_placed(problems, document, where))
    return _build(values, kind)


def _read_values(
    document: Document, where: str, kind: type[AnyConfig], notes: list[str] | None = None
) -> dict[str, Any]:
    """Return the values of a document by dotted path; raises SpecError with everything wrong in it.

    `notes` takes a sentence for what is left out because something else governs it.
    """
    values: dict[str, Any] = {}
    found: list[Problem] = []
    skipped: list[Problem] = []
    schema = schema_of(kind)
    flat = not any(section in document.data for section in schema.sections)  # the guides' presets are
    for section, given in document.data.items():
        if section == _TASK_KEY:
            continue
        if flat and not isinstance(given, Mapping) and _meant(section, schema) is not None:
            found += _take_field(section, given, values, schema, skipped)
        else:
            found += _take_section(str(section), given, values, schema, skipped)
    if notes is not None:
        notes += [str(note) for note in _placed(skipped, document, where)]
    problems = [*document.problems, *_placed(found, document, where)]
    if problems:
        raise SpecError(sorted(problems, key=lambda problem: problem.line or 0))
    return values


def _placed(problems: Sequence[Problem], document: Document, where: str) -> list[Problem]:
    """Return the problems with their lines, without those that the document has reported already."""
    placed = []
    for problem in problems:
        path = _path(problem.key, document.data)
        if path not in document.bad:
            placed.append(replace(problem, where=where, line=document.line(path)))
    return placed


def _path(key: str, data: Mapping[str, Any]) -> KeyPath:
    """Return where a problem's key stands: a section, or a field in one."""
    return (key,) if key in data else tuple(key.split(".", 1))


def _take_section(
    section: str, given: Any, values: dict[str, Any], schema: Schema, skipped: list[Problem]
) -> list[Problem]:
    """Put the values of one section into `values`; return what is wrong with it."""
    if section in schema.sections and given is not None and not isinstance(given, Mapping):
        return [Problem(key=section, rule="must hold fields", got=repr(given))]
    if section not in schema.sections and not _holds_fields(section, given, schema):
        return [Problem(key=section, rule="is not a section", hint=_section_hint(section, schema))]
    given = dict(given or {})
    if _ARCHITECTURE in given and section == "model" and {"name", "checkpoint"} & given.keys():
        rule = "left out: the checkpoint says what it is"
        skipped.append(Problem(key=f"{section}.{_ARCHITECTURE}", rule=rule, got=repr(given.pop(_ARCHITECTURE))))
    return [
        problem
        for name, value in given.items()
        for problem in _take_field(f"{section}.{name}", value, values, schema, skipped)
    ]


def _holds_fields(name: str, given: Any, schema: Schema) -> bool:
    """Return whether a word that names no section is a heading of fields of other sections."""
    return isinstance(given, Mapping) and bool(given) and all(f"{name}.{key}" in schema.bare for key in given)


def _meant(written: str, schema: Schema) -> str | None:
    """Return the field that a name means, "" for one that something else governs, None for neither."""
    bare = written.rpartition(".")[2]
    path = schema.route(written) or schema.bare.get(bare)
    return path if path is not None else "" if schema.governed(bare) else None


def _take_field(
    written: str, value: Any, values: dict[str, Any], schema: Schema, skipped: list[Problem]
) -> list[Problem]:
    """Put one value into `values`, in the field that its name means; return what is wrong with it."""
    path = _meant(written, schema)
    if path is None:
        hint = schema.instead(written) or suggestion(written, list(schema.known))
        return [Problem(key=written, rule="is not a field", hint=hint)]
    if not path:
        skipped.append(Problem(key=written, rule=f"left out: {schema.governed(written.rpartition('.')[2])}"))
        return []
    if path in values:
        return [Problem(key=written, rule=f"{path} must be given once", got=repr(value))]
    values[path], problem = schema.check(path, value, from_text=False)
    return [] if problem is None else [replace(problem, key=written)]


def _section_hint(name: str, schema: Schema) -> str:
    """Return where a top-level key belongs: under its section if it is a field, else the nearest section."""
    path = schema.route(name)
    if path is not None:
        return f"it belongs under {path.split('.')[0]}:"
    return suggestion(name, schema.sections) or f"the sections are {', '.join(schema.sections)}"


def _document(path: Path) -> tuple[Document, str]:
    """Return the document in a YAML 1.2 file and its name; raises SpecError when it cannot be read at all."""
    where = str(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        rule = "must be a file that can be read"
        raise SpecError([Problem(where=where, rule=rule, got=error.strerror or "")]) from None
    return parse(decode(data, where=where), where=where, may_be_empty=True), where


def read_training_config(path: Path, notes: list[str] | None = None) -> AnyConfig:
    """Return the configuration in a YAML 1.2 file (`1e-5` is a number).

    Args:
        path: The file.
        notes: Takes a sentence for each word that is left out because something else governs what it asks for.

    Raises:
        SpecError: The file cannot be read, or any key or value is wrong: all at once, each with its line.
    """
    return _from_document(*_document(path), notes)


def apply_preset(config: Config, path: Path, notes: list[str] | None = None) -> Config:
    """Return the configuration with what a preset's file states laid over it; the rest stays.

    Args:
        config: Where it is laid over.
        path: A YAML file of sections as a configuration's, or of fields alone, with `task:` when it is not for
            summarization.
        notes: As `read_training_config` takes them.

    Raises:
        SpecError: The file cannot be read, is for another task, or is wrong.
    """
    document, where = _document(path)
    kind = _task_of(document.data, where, document.line((_TASK_KEY,)))
    if kind is not type(config):
        rule = f"a preset for {kind.task} does not fit a configuration for {config.task}"
        raise SpecError([Problem(where=where, key=_TASK_KEY, rule=rule)])
    values = {**_values(config), **_read_values(document, where, kind, notes)}
    problems = _together(values)
    if problems:
        raise SpecError(_placed(problems, document, where))
    return _build(values, type(config))


def as_dict(config: AnyConfig) -> dict[str, Any]:
    """Return the configuration as plain values: its task, then the sections in order.

    The section `reproduces` is left out when it says nothing: a sweep writes it, nobody else does.
    """
    silent = [item.name for item in dataclasses.fields(config) if getattr(config, item.name) == ReproducesSection()]
    values = {name: section for name, section in dataclasses.asdict(config).items() if name not in silent}
    return {_TASK_KEY: config.task, **values}


def to_yaml(config: AnyConfig) -> str:
    """Return the configuration as a YAML file that `read_training_config` reads back to an equal value."""
    sections = as_dict(config)
    lines = [f"{_TASK_KEY}: {sections.pop(_TASK_KEY)}"]
    for section, values in sections.items():
        lines.append(f"{section}:")
        lines += [f"  {name}: {scalar(value)}" for name, value in values.items()]
    return "\n".join(lines) + "\n"
