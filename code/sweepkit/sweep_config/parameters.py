"""The `parameters` tree of a sweep: W&B's 18 distributions and their nesting, read into a `Space`.

Source: the schema of `sweeps` 0.3.0 (its 19 alternatives are decided here by the keys that are given, so that a
message can say what is missing), and its engine's rules that min is below max and probabilities sum to 1.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from sweepkit.model.distributions import Distribution, Kind
from sweepkit.model.numbers import is_number
from sweepkit.model.space import Parameter, Space
from sweepkit.sweep_config.checker import Checker, shown
from sweepkit.sweep_config.fields import nearest, reads_as_number
from sweepkit.text.yaml import KeyPath

PARAMETER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")

_BOUNDS = ("min", "max")
_NORMAL = ("mu", "sigma")
DISTRIBUTION_KEYS: Mapping[Kind, tuple[str, ...]] = {
    Kind.CONSTANT: ("value",),
    Kind.CATEGORICAL: ("values",),
    Kind.CATEGORICAL_W_PROBABILITIES: ("values", "probabilities"),
    Kind.INT_UNIFORM: _BOUNDS,
    Kind.UNIFORM: _BOUNDS,
    Kind.Q_UNIFORM: (*_BOUNDS, "q"),
    Kind.LOG_UNIFORM: _BOUNDS,
    Kind.LOG_UNIFORM_VALUES: _BOUNDS,
    Kind.Q_LOG_UNIFORM: (*_BOUNDS, "q"),
    Kind.Q_LOG_UNIFORM_VALUES: (*_BOUNDS, "q"),
    Kind.INV_LOG_UNIFORM: _BOUNDS,
    Kind.INV_LOG_UNIFORM_VALUES: _BOUNDS,
    Kind.NORMAL: _NORMAL,
    Kind.Q_NORMAL: (*_NORMAL, "q"),
    Kind.LOG_NORMAL: _NORMAL,
    Kind.Q_LOG_NORMAL: (*_NORMAL, "q"),
    Kind.BETA: ("a", "b"),
    Kind.Q_BETA: ("a", "b", "q"),
}
_DEPRECATED: Mapping[Kind, Kind] = {
    Kind.LOG_UNIFORM: Kind.LOG_UNIFORM_VALUES,
    Kind.Q_LOG_UNIFORM: Kind.Q_LOG_UNIFORM_VALUES,
    Kind.INV_LOG_UNIFORM: Kind.INV_LOG_UNIFORM_VALUES,
}
_POSITIVE_MIN = (Kind.LOG_UNIFORM_VALUES, Kind.Q_LOG_UNIFORM_VALUES, Kind.INV_LOG_UNIFORM_VALUES)
_REQUIRED = ("value", "values", "probabilities", *_BOUNDS)
_FORMS = "value, values, min and max, distribution, or parameters"
_ALL_KEYS = ("value", "values", "probabilities", "min", "max", "q", "mu", "sigma", "a", "b", "distribution")
# The kinds that a grid can enumerate.
_GRID_KINDS = (Kind.CONSTANT, Kind.CATEGORICAL, Kind.INT_UNIFORM, Kind.Q_UNIFORM)
_LARGEST_EXPONENT = 709.0  # e**710 is beyond a float


def read_space(check: Checker, tree: Mapping[str, Any], path: KeyPath, *, grid: bool) -> Space:
    """Read a `parameters` mapping.

    Args:
        check: Takes the problems and warnings.
        tree: The mapping.
        path: Where it stands in the document.
        grid: The method is grid: distributions that cannot be enumerated are refused.

    Returns:
        The parameters that could be read, sorted by path: W&B sorts each level by name and goes down in place.
    """
    found = _level(check, tree, path, ())
    if grid:
        for where, parameter in found:
            if parameter.distribution.kind not in _GRID_KINDS:
                check.refuse(
                    where,
                    "a grid takes value, values, int_uniform and q_uniform only",
                    got=parameter.distribution.kind.value,
                    hint="list its values, or use method: random or bayes",
                )
    return Space(parameters=tuple(sorted((item for _, item in found), key=lambda parameter: parameter.path)))


def _level(
    check: Checker, tree: Mapping[str, Any], path: KeyPath, prefix: tuple[str, ...]
) -> list[tuple[KeyPath, Parameter]]:
    """Return the parameters of one level and below, each with its place in the document."""
    if not tree:
        check.refuse(path, "at least one parameter is needed", got={})
    found: list[tuple[KeyPath, Parameter]] = []
    for name, node in tree.items():
        here = (*path, name)
        if not PARAMETER_NAME.fullmatch(name):
            rule = "a parameter's name begins with a letter or _, and goes on with letters, digits, _ . -"
            check.refuse(here, rule, got=name)
        if not isinstance(node, dict):
            _refuse_bare(check, node, here)
        elif "parameters" in node:
            for key in node:
                if key != "parameters":
                    check.refuse((*here, key), "nothing stands beside a nested `parameters`", got=node[key])
            inner = check.mapping(node, here, "parameters")
            if inner is not None:
                found += _level(check, inner, (*here, "parameters"), (*prefix, name))
        else:
            distribution = _distribution(check, node, here)
            if distribution is not None:
                found.append((here, Parameter(path=(*prefix, name), distribution=distribution)))
    return found


def _refuse_bare(check: Checker, node: Any, path: KeyPath) -> None:
    """Refuse a parameter that is not a mapping, saying how to write what was meant."""
    hint = f"write values: {shown(node)}" if isinstance(node, list) else f"write value: {shown(node)}"
    check.refuse(path, f"a parameter must be a mapping with {_FORMS}", got=node, hint=hint)


def _distribution(check: Checker, node: Mapping[str, Any], path: KeyPath) -> Distribution | None:
    """Read one leaf; None after refusing it."""
    kind = _kind(check, node, path)
    if kind is None:
        return None
    before = check.count
    for key in node:
        if key != "distribution" and key not in DISTRIBUTION_KEYS[kind]:
            check.refuse((*path, key), f"{key} is not a key of {kind}", got=node[key], hint=_extra_hint(key, kind))
    for key in DISTRIBUTION_KEYS[kind]:
        if key in _REQUIRED and key not in node:
            check.refuse(path, f"{kind} needs {key}", got=dict(node))
    if kind in (Kind.CONSTANT, Kind.CATEGORICAL, Kind.CATEGORICAL_W_PROBABILITIES):
        distribution = _listed(check, node, path, kind)
    else:
        distribution = _continuous(check, node, path, kind)
    if check.count > before:
        return None
    if kind in _DEPRECATED:
        check.warn(
            path,
            f"{kind} is deprecated: its min and max are exponents of e, so it draws from "
            f"exp({distribution.min}) to exp({distribution.max}); write {_DEPRECATED[kind]} with the limits themselves",
        )
    return distribution


def _extra_hint(key: str, kind: Kind) -> str:
    """Return what to do about a key that a kind does not have."""
    if key in _ALL_KEYS:
        return f"{kind} takes {', '.join(DISTRIBUTION_KEYS[kind])}"
    return nearest(key, (*DISTRIBUTION_KEYS[kind], "distribution"))


def _kind(check: Checker, node: Mapping[str, Any], path: KeyPath) -> Kind | None:
    """Return the kind that is named, or the one the keys imply; None after refusing."""
    if "distribution" in node:
        name = check.choice(node, path, "distribution", tuple(kind.value for kind in Kind))
        return None if name is None else Kind(name)
    if "probabilities" in node:
        return Kind.CATEGORICAL_W_PROBABILITIES
    if "values" in node:
        return Kind.CATEGORICAL
    if "value" in node:
        return Kind.CONSTANT
    if "min" in node or "max" in node:
        return _inferred_uniform(check, node, path)
    known = (*_ALL_KEYS, "parameters")
    unknown = [key for key in node if key not in known]
    for key in unknown:
        check.refuse((*path, key), f"{key} is not a key of a parameter", got=node[key], hint=nearest(key, known))
    if not unknown:
        hint = "name the distribution" if node else ""
        check.refuse(path, f"a parameter needs {_FORMS}", got=dict(node), hint=hint)
    return None


def _inferred_uniform(check: Checker, node: Mapping[str, Any], path: KeyPath) -> Kind:
    """Return int_uniform for two ints, else uniform, with a warning when the two are of different types."""
    bounds = [node[key] for key in _BOUNDS if key in node and is_number(node[key])]
    whole = [isinstance(bound, int) for bound in bounds]
    if len(whole) == 2 and any(whole) and not all(whole):
        check.warn(
            path,
            f"min is {node['min']} and max is {node['max']}, one whole and one decimal: drawn as uniform decimals; "
            "name the distribution to say which is meant",
        )
    return Kind.INT_UNIFORM if whole and all(whole) else Kind.UNIFORM


def _listed(check: Checker, node: Mapping[str, Any], path: KeyPath, kind: Kind) -> Distribution:
    """Read the kinds that list their values."""
    if kind is Kind.CONSTANT:
        _warn_of_strings(check, node.get("value"), (*path, "value"))
        return Distribution(kind=kind, values=(node.get("value"),))
    values = node.get("values", [None])
    if not isinstance(values, list):
        hint = f"write [{shown(values)}]" if is_number(values) or isinstance(values, str) else ""
        check.refuse((*path, "values"), "must be a list", got=values, hint=hint)
        values = [None]
    elif not values:
        check.refuse((*path, "values"), "at least one value is needed", got=values)
    _warn_of_strings(check, values, (*path, "values"))
    probabilities = _probabilities(check, node, path, len(values))
    return Distribution(kind=kind, values=tuple(values), probabilities=probabilities)


def _probabilities(check: Checker, node: Mapping[str, Any], path: KeyPath, count: int) -> tuple[float, ...] | None:
    """Read `probabilities`: `count` numbers of at least 0 that sum to 1."""
    if "probabilities" not in node:
        return None
    here = (*path, "probabilities")
    given = node["probabilities"]
    if not isinstance(given, list):
        check.refuse(here, "must be a list of numbers", got=given)
        return None
    for index, item in enumerate(given):
        if not is_number(item) or not item >= 0:
            check.refuse((*here, index), "a probability must be a number of at least 0", got=item)
    numbers = tuple(float(item) for item in given if is_number(item))
    if len(given) != count:
        check.refuse(here, f"must be as long as values ({count})", got=given)
    elif len(numbers) == count and not math.isclose(sum(numbers), 1.0, rel_tol=0.0, abs_tol=1e-5 + 1e-8):
        # The tolerance is that of numpy.isclose(total, 1.0), which W&B asks.
        check.refuse(here, "probabilities must sum to 1", got=given, hint=f"they sum to {sum(numbers):g}")
    return numbers


def _warn_of_strings(check: Checker, value: Any, path: KeyPath) -> None:
    """Warn of strings that look like numbers, and of plain words that W&B's own reader takes for something else."""
    for place, leaf in _leaves(value, path):
        if place in check.document.yaml11 or place in check.document.yaml12:
            check.warn_of_readers(place, leaf)
        elif reads_as_number(leaf):
            check.warn(place, f'"{leaf}" is a string, not a number; remove the quotes if a number is meant')


def _leaves(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    """Yield every scalar of a value with its path."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _leaves(item, (*path, index))
    else:
        yield path, value


def _continuous(check: Checker, node: Mapping[str, Any], path: KeyPath, kind: Kind) -> Distribution:
    """Read the kinds that are drawn from a range or a shape."""
    keys = DISTRIBUTION_KEYS[kind]
    low, high = _bounds(check, node, path, kind) if "min" in keys else (None, None)
    q = check.number(node, path, "q", above=0) if "q" in keys else None
    shapes: dict[str, Any] = {}
    if "mu" in keys:
        mu = check.number(node, path, "mu")
        sigma = check.number(node, path, "sigma", at_least=0)
        shapes = {"mu": 0.0 if mu is None else mu, "sigma": 1.0 if sigma is None else sigma}
    if "a" in keys:
        a, b = check.number(node, path, "a", above=0), check.number(node, path, "b", above=0)
        shapes = {"a": 1.0 if a is None else a, "b": 1.0 if b is None else b}
    if "q" in keys and q is None:
        q = 1.0
    return Distribution(kind=kind, min=low, max=high, q=q, **shapes)


def _bounds(
    check: Checker, node: Mapping[str, Any], path: KeyPath, kind: Kind
) -> tuple[float | int | None, float | int | None]:
    """Read min and max, the first below the second."""
    if kind is Kind.INT_UNIFORM:
        for key in _BOUNDS:
            if isinstance(node.get(key), float):
                hint = "write it without a decimal point, or use distribution: uniform"
                check.refuse((*path, key), "int_uniform needs whole numbers", got=node[key], hint=hint)
    positive = kind in _POSITIVE_MIN
    low = check.number(node, path, "min", **({"above": 0.0} if positive else {}))
    high = check.number(node, path, "max")
    if low is None or high is None:
        return low, high
    if low >= high:
        rule = "min must be below max"
        check.refuse(path, rule, got={"min": low, "max": high}, hint="write value: for a constant" * (low == high))
    elif kind in _DEPRECATED and max(abs(low), abs(high)) > _LARGEST_EXPONENT:
        hint = f"use {_DEPRECATED[kind]} with the limits themselves"
        check.refuse(path, "the bounds are exponents of e, at most 709", got={"min": low, "max": high}, hint=hint)
    elif not math.isfinite(float(high) - float(low)):
        check.refuse(path, "max - min must be a number that fits a float", got={"min": low, "max": high})
    return low, high
