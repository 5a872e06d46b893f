"""The `search_space` of an Optuna YAML: types of today and of old, groups, ranges; and whether the trainer takes them.

Source of the names: Optuna 5.0 `distributions.py` and `trial/_trial.py` (the suggest_* methods, deprecated ones too).
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from sweepkit.model.distributions import content_key
from sweepkit.model.numbers import is_number
from sweepkit.studies.yaml.optuna_values import ParameterKind, SearchParameter
from sweepkit.sweep_config.checker import Checker, shown
from sweepkit.sweep_config.fields import Field, nearest, reads_as_number, suggestion, whole
from sweepkit.text.yaml import KeyPath
from sweepkit.training.config.training_schema import Schema

TYPES: tuple[str, ...] = ("loguniform", "uniform", "int", "float", "categorical", "discrete_uniform")
# Names of old and of others, and how they are read: a type of today, and whether it is logarithmic.
OLD_TYPES: Mapping[str, tuple[str, bool]] = {
    "suggest_float": ("float", False),
    "suggest_uniform": ("uniform", False),
    "suggest_loguniform": ("loguniform", True),
    "suggest_discrete_uniform": ("discrete_uniform", False),
    "suggest_int": ("int", False),
    "suggest_categorical": ("categorical", False),
    "FloatDistribution": ("float", False),
    "UniformDistribution": ("uniform", False),
    "LogUniformDistribution": ("loguniform", True),
    "DiscreteUniformDistribution": ("discrete_uniform", False),
    "IntDistribution": ("int", False),
    "IntUniformDistribution": ("int", False),
    "IntLogUniformDistribution": ("int", True),
    "CategoricalDistribution": ("categorical", False),
    "log_uniform": ("loguniform", True),
    "logfloat": ("loguniform", True),
    "int_uniform": ("int", False),
    "int_loguniform": ("int", True),
    "intlog": ("int", True),
    "quniform": ("discrete_uniform", False),
    "choice": ("categorical", False),
}
_OLD_KEYS: Mapping[str, str] = {"min": "low", "max": "high", "q": "step", "values": "choices"}
_RANGE_KEYS = ("type", "low", "high", "step", "log")
_CHOICE_KEYS = ("type", "choices")
_KINDS: Mapping[str, ParameterKind] = {"int": "int", "categorical": "categorical"}  # the others are floats
_GROUP_SUFFIX = "_params"  # advanced_params and the like: a heading, no part of a name
# Switches of the guides for which a run has no field, and what governs it.
_GOVERNED: Mapping[str, str] = {
    "model_parallel": "a run has one GPU; sweepkit: {gpus_per_run: 2} gives it more, for a program that uses them",
    "data_parallel": "a run has one GPU; sweepkit: {gpus_per_run: 2} gives it more, for a program that uses them",
}


def read_search_space(
    check: Checker, tree: Mapping[str, Any], path: KeyPath, schema: Schema | None, constants: dict[str, Any]
) -> list[SearchParameter]:
    """Read the parameters of a level and below, in the file's order.

    A mapping without a `type` is a group: one named `…_params` is only a heading (with `enabled: false` it is left
    out), any other name is a section of the training configuration and goes before the names in it.

    Args:
        check: Of the document.
        tree: The section.
        path: Where it stands.
        schema: Of the training configuration; None when that cannot be read.
        constants: Takes the switches (`mixed_precision: true`) at the top of the section: every run has them.
    """
    if not tree:
        check.refuse(path, "at least one parameter is needed", got={}, hint="write NAME: {type: …, low: …, high: …}")
    switches = {name: node for name, node in tree.items() if isinstance(node, bool)}
    for name, value in switches.items():
        if name in _GOVERNED:
            check.warn((*path, name), f"left out: {_GOVERNED[name]}")
        else:
            check.warn((*path, name), f"read as a constant of every run, {shown(value)}, as under fixed:")
            constants[name] = value
    found = _level(check, {name: node for name, node in tree.items() if name not in switches}, path, "", schema)
    if schema is not None:
        _refuse_twice(check, found, schema)
    return [parameter for _, parameter in found]


def _level(
    check: Checker, tree: Mapping[str, Any], path: KeyPath, prefix: str, schema: Schema | None
) -> list[tuple[KeyPath, SearchParameter]]:
    found: list[tuple[KeyPath, SearchParameter]] = []
    for name, node in tree.items():
        here = (*path, name)
        if not isinstance(node, dict):
            hint = f"write {{type: categorical, choices: {shown(node)}}}" if isinstance(node, list) else ""
            hint = hint or f"a constant stands under fixed: as {name}: {shown(node)}"
            check.refuse(here, f"a parameter must be a mapping with a type: {', '.join(TYPES)}", got=node, hint=hint)
        elif "type" not in node and _is_group(node):
            found += _group(check, node, here, prefix, schema)
        else:
            parameter = _parameter(check, node, here, prefix + name)
            if parameter is not None and (schema is None or _fits_trainer(check, parameter, here, schema)):
                found.append((here, parameter))
    return found


def _is_group(node: Mapping[str, Any]) -> bool:
    inner = [value for key, value in node.items() if key != "enabled"]
    return bool(inner) and all(isinstance(value, dict) for value in inner)


def _group(
    check: Checker, node: dict[str, Any], path: KeyPath, prefix: str, schema: Schema | None
) -> list[tuple[KeyPath, SearchParameter]]:
    """Return the parameters of a group; none of one that is switched off."""
    name = str(path[-1])
    if name.endswith(_GROUP_SUFFIX):
        if check.boolean(node, path, "enabled") is False:
            check.warn(path, "the group is left out: enabled is false")
            return []
        inner = {key: value for key, value in node.items() if key != "enabled"}
        return _level(check, inner, path, prefix, schema)
    if schema is not None and (prefix or name not in schema.sections):
        hint = suggestion(name, schema.sections) or f"or call a heading {name}{_GROUP_SUFFIX}"
        rule = f"a group is a heading (…{_GROUP_SUFFIX}) or a section of the training configuration"
        check.refuse(path, rule, got=name, hint=hint)
        return []
    return _level(check, node, path, f"{name}.", schema)


def _parameter(check: Checker, node: Mapping[str, Any], path: KeyPath, name: str) -> SearchParameter | None:
    """Read one parameter; None after refusing it."""
    before = check.count
    kind, log = _type(check, node, path)
    if kind is None:
        return None
    given = _renamed(check, node, path)
    keys = _CHOICE_KEYS if kind == "categorical" else _RANGE_KEYS
    for key in given:
        if key not in keys:
            places = {now: old for old, now in _OLD_KEYS.items() if old in node and now not in node}
            place = (*path, places.get(key, key))
            check.refuse(place, f"{key} is not a key of type {kind}", got=given[key], hint=nearest(key, keys))
    if kind == "categorical":
        choices = _choices(check, given, path)
        return SearchParameter(name=name, kind="categorical", choices=choices) if check.count == before else None
    parameter = _range(check, given, path, (name, kind, log))
    return parameter if check.count == before else None


def _type(check: Checker, node: Mapping[str, Any], path: KeyPath) -> tuple[str | None, bool]:
    """Return the type in today's words and whether it is logarithmic by its name; (None, False) after refusing."""
    given = node.get("type")
    if "type" not in node and any(key in node for key in ("choices", "values")):
        return "categorical", False  # nothing else has choices
    if "type" not in node:
        check.refuse(path, f"a parameter needs a type: {', '.join(TYPES)}", got=dict(node), hint=_missing_hint(node))
    elif isinstance(given, str) and given in TYPES:
        return given, given == "loguniform"
    elif isinstance(given, str) and given in OLD_TYPES:
        now, log = OLD_TYPES[given]
        check.warn((*path, "type"), f"{given} is read as type: {now}{', log: true' if log and now == 'int' else ''}")
        return now, log
    else:
        hint = suggestion(given, (*TYPES, *OLD_TYPES)) if isinstance(given, str) else ""
        check.refuse((*path, "type"), f"must be one of {', '.join(TYPES)}", got=given, hint=hint)
    return None, False


def _missing_hint(node: Mapping[str, Any]) -> str:
    bounds = [node.get("low", node.get("min")), node.get("high", node.get("max"))]
    if all(isinstance(bound, int) and not isinstance(bound, bool) for bound in bounds):
        return "add type: int"
    return "add type: uniform, or loguniform for a rate" if all(is_number(bound) for bound in bounds) else ""


def _renamed(check: Checker, node: Mapping[str, Any], path: KeyPath) -> dict[str, Any]:
    """Return a parameter's keys in today's words; problems of a key of old point to where it stands."""
    given: dict[str, Any] = {}
    for key, value in node.items():
        now = _OLD_KEYS.get(key, key)
        if now != key:
            if now in node:
                check.refuse((*path, key), f"{key} and {now} say the same, both cannot be given", got=value)
                continue
            check.warn((*path, key), f"{key} is read as {now}")
            line = check.document.line((*path, key))
            if line is not None:
                check.document.lines.setdefault((*path, now), line)
        given[now] = value
    return given


def _choices(check: Checker, node: Mapping[str, Any], path: KeyPath) -> tuple[Any, ...]:
    here = (*path, "choices")
    if "choices" not in node:
        check.refuse(path, "type categorical needs choices", got=dict(node), hint="write choices: [a, b]")
        return ()
    given = node["choices"]
    if not isinstance(given, list):
        check.refuse(here, "must be a list", got=given, hint=f"write [{shown(given)}]")
        return ()
    if not given:
        check.refuse(here, "at least one choice is needed", got=given)
    seen = set()
    for index, choice in enumerate(given):
        if isinstance(choice, dict):
            check.refuse((*here, index), "a choice must be a number, a text, true, false or null", got=choice)
        elif content_key(choice) in seen:
            check.refuse((*here, index), "a choice stands once in its list", got=choice, hint="remove one of the two")
        elif reads_as_number(choice):
            check.warn((*here, index), f'"{choice}" is a string, not a number; remove the quotes if a number is meant')
        seen.add(content_key(choice))
    return tuple(given)


def _range(
    check: Checker, node: Mapping[str, Any], path: KeyPath, what: tuple[str, str, bool]
) -> SearchParameter | None:
    """Read low, high, log and step; None after refusing one of them."""
    name, kind, log = what
    before = check.count
    for key in ("low", "high"):
        if key not in node:
            check.refuse(path, f"type {kind} needs {key}", got=dict(node))
    bound = Field(kind="integer" if kind == "int" else "number")
    low, high = check.value(node, path, "low", bound), check.value(node, path, "high", bound)
    step: float | int | None = None
    if node.get("step") is not None:
        step = check.value(node, path, "step", whole(1) if kind == "int" else Field(kind="number", above=0))
    elif kind == "discrete_uniform":
        check.refuse(path, "type discrete_uniform needs step", got=dict(node), hint="or use uniform")
    asked = check.boolean(node, path, "log")
    if asked is False and kind == "loguniform":
        check.refuse((*path, "log"), "type loguniform is logarithmic", got=False, hint="use uniform")
    log = log or bool(asked)
    if check.count > before or low is None or high is None:
        return None
    if kind == "int" and step == 1:
        step = None  # Optuna's own default, and no restriction
    parameter = SearchParameter(name=name, kind=_KINDS.get(kind, "float"), low=low, high=high, log=log, step=step)
    _check_range(check, parameter, path)
    return parameter


def _check_range(check: Checker, parameter: SearchParameter, path: KeyPath) -> None:
    """Refuse a range that is none, a logarithm of 0, and a step that does not fit."""
    low, high, step = parameter.low, parameter.high, parameter.step
    assert low is not None and high is not None
    bounds = {"low": low, "high": high}
    if low >= high:
        hint = "a constant stands under fixed:" if low == high else "swap them"
        check.refuse((*path, "low"), "low must be below high", got=bounds, hint=hint)
    elif parameter.log and low <= 0:
        hint = "low: 1" if parameter.kind == "int" else "low: 1e-6, say; or leave log out"
        check.refuse((*path, "low"), "a logarithmic range begins above 0", got=low, hint=hint)
    elif parameter.log and step is not None:
        check.refuse((*path, "step"), "step and log cannot both be given", got=step, hint="leave one of them out")
    elif step is not None:
        # Decimals: in floats 0.3 is no multiple of 0.1.
        first, last, exact = (Decimal(str(number)) for number in (low, high, step))
        if (last - first) % exact:
            fitting = first + max((last - first) // exact, Decimal(1)) * exact
            rule = "high must be low plus a whole number of steps"
            check.refuse((*path, "step"), rule, got={**bounds, "step": step}, hint=f"high: {fitting} fits")


def _fits_trainer(check: Checker, parameter: SearchParameter, path: KeyPath, schema: Schema) -> bool:
    """Return whether the trainer takes the parameter and every value at its ends; refuse it otherwise."""
    route = schema.route(parameter.name)
    if route is None:
        (problem,) = schema.unknown([parameter.name])
        check.refuse(path, problem.rule, got=parameter.name, hint=problem.hint)
        return False
    before = check.count
    known = schema.known[route]
    if parameter.kind == "categorical":
        for index, choice in enumerate(parameter.choices):
            refuse_value(check, choice, (*path, "choices", index), schema, route)
        return check.count == before
    if known.kind not in ("integer", "float"):
        check.refuse((*path, "type"), f"{route} is no number", got=parameter.kind, hint="use type: categorical")
        return False
    if known.kind == "integer" and parameter.kind == "float" and parameter.step != int(parameter.step or 0):
        check.refuse((*path, "type"), f"{route} is a whole number", got=parameter.kind, hint="use type: int")
        return False
    for key in ("low", "high"):
        refuse_value(check, getattr(parameter, key), (*path, key), schema, route)
    return check.count == before


def refuse_value(check: Checker, value: Any, path: KeyPath, schema: Schema, route: str) -> None:
    """Refuse a value that the training configuration's field does not take."""
    _, problem = schema.check(route, value, from_text=False)
    if problem is not None:
        check.refuse(path, f"{route} {problem.rule}", got=value, hint=problem.hint)


def _refuse_twice(check: Checker, found: Sequence[tuple[KeyPath, SearchParameter]], schema: Schema) -> None:
    """Refuse two parameters that set the same field."""
    first: dict[str, str] = {}
    for path, parameter in found:
        route = schema.route(parameter.name) or parameter.name
        if route in first:
            rule = f"{first[route]} sets {route} already"
            check.refuse(path, rule, got=parameter.name, hint="remove one of the two")
        first.setdefault(route, parameter.name)
