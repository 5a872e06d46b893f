"""The training configuration as a value: how a YAML file becomes one, and where a sweep parameter goes in it."""

import dataclasses
import math
import operator
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sweepkit.errors import Problem, SpecError
from sweepkit.spec.checker import suggestion
from sweepkit.spec.training_sections import OPTIMIZERS, TrainingConfig
from sweepkit.spec.yaml import Document, KeyPath, decode, parse

__all__ = [
    "TrainingConfig",
    "apply",
    "as_dict",
    "field_paths",
    "flatten",
    "from_mapping",
    "read_training_config",
    "route",
    "to_yaml",
    "unknown_parameters",
]


@dataclass(frozen=True, slots=True)
class _Known:
    """One field of the configuration: its dotted path, its type without None, whether None is allowed, its range."""

    path: str
    kind: type
    optional: bool
    bounds: Mapping[str, Any]


def _fields() -> Iterator[_Known]:
    """Yield every field of every section, in order."""
    for section, section_type in typing.get_type_hints(TrainingConfig).items():
        hints = typing.get_type_hints(section_type)
        for item in dataclasses.fields(section_type):
            hint = hints[item.name]
            optional = isinstance(hint, types.UnionType)
            kind = next(part for part in typing.get_args(hint) if part is not type(None)) if optional else hint
            yield _Known(f"{section}.{item.name}", kind, optional, item.metadata)


_SECTIONS = tuple(item.name for item in dataclasses.fields(TrainingConfig))
_KNOWN: Mapping[str, _Known] = {known.path: known for known in _fields()}
# A sweep parameter of these sections may be named without its section. The others' field names say too little alone.
_BARE_SECTIONS = ("data", "tokenizer", "training", "generation", "metrics")
_BARE: Mapping[str, str] = {
    **{path.split(".")[1]: path for path in _KNOWN if path.split(".")[0] in _BARE_SECTIONS},
    **{path.split(".")[1]: path for path in _KNOWN if path.startswith("model.") and path != "model.name"},
}


def field_paths() -> tuple[str, ...]:
    """Return the dotted path of every field."""
    return tuple(_KNOWN)


def route(name: str) -> str | None:
    """Return the dotted path that a sweep parameter sets, or None when there is none.

    >>> route("num_beams"), route("training.learning_rate"), route("lerning_rate")
    ('generation.num_beams', 'training.learning_rate', None)
    """
    return name if name in _KNOWN else _BARE.get(name)


def unknown_parameters(names: Sequence[str]) -> list[Problem]:
    """Return one problem for each sweep parameter that no field of the configuration takes."""
    hints = [*_BARE, *_KNOWN]
    return [
        Problem(
            key=name,
            rule="must be a field of the training configuration",
            got=repr(name),
            hint=suggestion(name, hints) or "see config/base_config.yaml for the names",
        )
        for name in names
        if route(name) is None
    ]


def _number(text: str) -> Any:
    """Return the number written in `text`, or the text itself."""
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


_WORDS: Mapping[str, Any] = {"true": True, "false": False, "none": None, "null": None, "~": None}


def _coerce(known: _Known, value: Any, from_text: bool) -> Any:
    """Return the value in the type of its field.

    Args:
        known: The field.
        value: What was given.
        from_text: It comes from a command line, where everything is text.

    Raises:
        TypeError: It has another type; the message is the rule that it breaks.
    """
    if from_text and isinstance(value, str) and (known.kind is not str or known.optional):
        value = _WORDS.get(value.lower(), value)
        if isinstance(value, str) and known.kind in (int, float):
            value = _number(value)
    if value is None and known.optional:
        return None
    if known.kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if known.kind is int and isinstance(value, float) and value.is_integer():
        return int(value)  # a q_uniform of a sweep gives 8.0
    if isinstance(value, known.kind) and not (known.kind is int and isinstance(value, bool)):
        return value
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}[known.kind]
    raise TypeError(f"must be {words}{' or null' if known.optional else ''}")


_CHECKS: tuple[tuple[str, str, Callable[[Any, Any], bool]], ...] = (
    ("least", "at least", operator.ge),
    ("above", "above", operator.gt),
    ("most", "at most", operator.le),
    ("below", "below", operator.lt),
)


def _range_rule(known: _Known, value: Any) -> str:
    """Return the rule that a value of the right type breaks, or ""."""
    bounds = known.bounds
    if not bounds or value is None:
        return ""
    if bounds["choices"] and value not in bounds["choices"]:
        return f"must be one of {', '.join(bounds['choices'])}"
    if isinstance(value, float) and not math.isfinite(value):
        return "must be a finite number"
    broken = [
        f"{words} {bounds[name]}"
        for name, words, holds in _CHECKS
        if bounds[name] is not None and not holds(value, bounds[name])
    ]
    return f"must be {' and '.join(broken)}" if broken else ""


def _hint(known: _Known, value: Any, from_text: bool) -> str:
    """Return what to do about a refused value, where there is something better to say than the rule."""
    if known.path == "training.optim" and isinstance(value, str):
        return (
            "transformers 5 dropped adamw_hf, use adamw_torch" if value == "adamw_hf" else suggestion(value, OPTIMIZERS)
        )
    if isinstance(value, str) and isinstance(_number(value), int | float) and known.kind in (int, float):
        return "" if from_text else "remove the quotes"
    return suggestion(value, known.bounds.get("choices", ())) if isinstance(value, str) else ""


def _check(path: str, value: Any, from_text: bool) -> tuple[Any, Problem | None]:
    """Return the value in its field's type, or the problem with it."""
    known = _KNOWN[path]
    try:
        converted = _coerce(known, value, from_text)
        rule = _range_rule(known, converted)
    except TypeError as error:
        converted, rule = value, str(error)
    if rule:
        return None, Problem(key=path, rule=rule, got=repr(value), hint=_hint(known, value, from_text))
    return converted, None


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
    return problems


def _values(config: TrainingConfig) -> dict[str, Any]:
    """Return every value by its dotted path."""
    return {path: getattr(getattr(config, path.split(".")[0]), path.split(".")[1]) for path in _KNOWN}


def _build(values: Mapping[str, Any]) -> TrainingConfig:
    """Return the configuration with these values, the others at their defaults."""
    sections: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        section, name = path.split(".")
        sections.setdefault(section, {})[name] = value
    kinds = typing.get_type_hints(TrainingConfig)
    return TrainingConfig(**{section: kinds[section](**given) for section, given in sections.items()})


def apply(config: TrainingConfig, params: Mapping[str, Any], *, from_text: bool = False) -> TrainingConfig:
    """Return the configuration with sweep parameters set, each in the field that `route` names.

    Args:
        config: Where they are set; it stays as it is.
        params: Values by bare or dotted name. A whole number becomes a float where one is due, 8.0 becomes 8.
        from_text: The values come from a command line: "1e-4", "true" and "none" are read as what they mean.

    Raises:
        SpecError: Unknown names, wrong types, values out of range: all of them at once.

    >>> apply(TrainingConfig(), {"num_beams": "4"}, from_text=True).generation.num_beams
    4
    """
    problems = unknown_parameters(list(params))
    values = _values(config)
    for name, given in params.items():
        path = route(name)
        if path is None:
            continue
        value, problem = _check(path, given, from_text)
        if problem is not None:
            problems.append(problem)
        else:
            values[path] = value
    problems += [] if problems else _together(values)
    if problems:
        raise SpecError(problems)
    return _build(values)


def flatten(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested parameters by dotted name, as W&B nests them.

    >>> flatten({"training": {"learning_rate": 0.1}, "num_beams": 2})
    {'training.learning_rate': 0.1, 'num_beams': 2}
    """
    flat: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def from_mapping(data: Any, *, where: str = "") -> TrainingConfig:
    """Return the configuration that a nested mapping describes; what it leaves out keeps its default.

    Args:
        data: Sections of fields, as a YAML file holds them; None is all defaults.
        where: Where it comes from, for messages.

    Raises:
        SpecError: Every problem at once.
    """
    data = {} if data is None else data
    if not isinstance(data, Mapping):
        raise SpecError([Problem(where=where, rule="must hold sections such as training:", got=type(data).__name__)])
    return _from_document(Document(data=dict(data)), where)


def _from_document(document: Document, where: str) -> TrainingConfig:
    """Return the configuration of a document; SpecError has the document's own problems too."""
    values: dict[str, Any] = {}
    found: list[Problem] = []
    for section, given in document.data.items():
        found += _take_section(str(section), given, values)
    found += [] if found else _together(values)
    problems = list(document.problems)
    for problem in found:
        path = _path(problem.key, document.data)
        if path not in document.bad:
            problems.append(replace(problem, where=where, line=document.line(path)))
    if problems:
        raise SpecError(sorted(problems, key=lambda problem: problem.line or 0))
    return _build(values)


def _path(key: str, data: Mapping[str, Any]) -> KeyPath:
    """Return where a problem's key stands: a section, or a field in one."""
    return (key,) if key in data else tuple(key.split(".", 1))


def _take_section(section: str, given: Any, values: dict[str, Any]) -> list[Problem]:
    """Put the values of one section into `values`; return what is wrong with it."""
    if section not in _SECTIONS:
        return [Problem(key=section, rule="is not a section", hint=_section_hint(section))]
    if given is not None and not isinstance(given, Mapping):
        return [Problem(key=section, rule="must hold fields", got=repr(given))]
    problems: list[Problem] = []
    for name, value in (given or {}).items():
        path = f"{section}.{name}"
        if path not in _KNOWN:
            problems.append(Problem(key=path, rule="is not a field", hint=suggestion(path, list(_KNOWN))))
            continue
        values[path], problem = _check(path, value, from_text=False)
        problems += [] if problem is None else [problem]
    return problems


def _section_hint(name: str) -> str:
    """Return where a top-level key belongs: under its section if it is a field, else the nearest section."""
    path = route(name)
    if path is not None:
        return f"it belongs under {path.split('.')[0]}:"
    return suggestion(name, _SECTIONS) or f"the sections are {', '.join(_SECTIONS)}"


def read_training_config(path: Path) -> TrainingConfig:
    """Return the configuration in a YAML 1.2 file (`1e-5` is a number).

    Raises:
        SpecError: The file cannot be read, or any key or value is wrong: all at once, each with its line.
    """
    where = str(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        rule = "must be a file that can be read"
        raise SpecError([Problem(where=where, rule=rule, got=error.strerror or "")]) from None
    return _from_document(parse(decode(data, where=where), where=where, may_be_empty=True), where)


def as_dict(config: TrainingConfig) -> dict[str, dict[str, Any]]:
    """Return the configuration as nested plain values, sections in order."""
    return dataclasses.asdict(config)


def _scalar(value: Any) -> str:
    """Return one value as YAML; floats keep a point, so that YAML 1.1 readers too see numbers."""
    import json

    if isinstance(value, float):
        mantissa, _, exponent = repr(value).partition("e")
        return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{exponent}" if exponent else mantissa
    # JSON leaves some characters as they are that YAML does not allow.
    text = json.dumps(value, ensure_ascii=False)
    return "".join(mark if mark.isprintable() else f"\\U{ord(mark):08x}" for mark in text)


def to_yaml(config: TrainingConfig) -> str:
    """Return the configuration as a YAML file that `read_training_config` reads back to an equal value."""
    lines: list[str] = []
    for section, values in as_dict(config).items():
        lines.append(f"{section}:")
        lines += [f"  {name}: {_scalar(value)}" for name, value in values.items()]
    return "\n".join(lines) + "\n"
