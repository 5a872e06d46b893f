"""`sweepkit.first_points`: configurations that a sweep runs first, checked against its space."""

from collections.abc import Mapping
from typing import Any

from sweepkit.model.space import Path, Space
from sweepkit.sweep_config.checker import Checker
from sweepkit.sweep_config.fields import nearest
from sweepkit.sweep_config.sweep import Extensions
from sweepkit.text.yaml import KeyPath

_PLACE: KeyPath = ("sweepkit", "first_points")


def read_first_points(check: Checker, node: Any, path: KeyPath) -> tuple[Mapping[str, Any], ...] | None:
    """Read the list; None after refusing it."""
    if not isinstance(node, list) or not all(isinstance(item, dict) and item for item in node):
        hint = "write [{lr: 0.001, batch: 32}]; what a point leaves out is searched"
        check.refuse(path, "must be a list of mappings of parameters to values", got=node, hint=hint)
        return None
    return tuple(dict(item) for item in node)


def check_first_points(check: Checker, space: Space, extensions: Extensions) -> None:
    """Refuse points that are none of the space."""
    if not extensions.first_points:
        return
    if extensions.search_space is not None:
        rule = "cannot be given where a function suggests the parameters run by run (search_space)"
        return check.refuse(_PLACE, rule, hint="begin with a sweep of these points, and name it under prior_runs")
    known = {parameter.name: parameter.distribution for parameter in space.parameters}
    for index, point in enumerate(extensions.first_points):
        flat = flat_point(point, space)
        _check_active(check, flat, space, (*_PLACE, index))
        for path, value in flat.items():
            name = ".".join(path)
            if name not in known:
                hint = nearest(name, list(known))
                check.refuse((*_PLACE, index), f"{name} is not a parameter of the sweep", got=value, hint=hint)
            elif not known[name].contains(value):
                check.refuse((*_PLACE, index), f"{name} must be a value that the sweep can draw", got=value)


def _check_active(check: Checker, flat: Mapping[Path, Any], space: Space, place: KeyPath) -> None:
    """Refuse values of parameters that no run with these values has, or of which nobody knows whether it has them."""
    constant = {p.path: p.distribution.support_value(0) for p in space.parameters if p.distribution.support_size() == 1}
    active = space.active({**constant, **flat})
    for condition in space.conditions:
        if condition.path in flat and condition.path not in active:
            name, parents = ".".join(condition.path), [".".join(clause.path) for clause in condition.clauses]
            hint = f"give the point values of {', '.join(parents)} that the condition of {name} asks for"
            check.refuse(place, f"{name} is no part of such a run", got=flat[condition.path], hint=hint)


def flat_point(point: Mapping[str, Any], space: Space) -> dict[Path, Any]:
    """Return a point by paths; nested parameters may stand nested or with dots.

    >>> flat_point({"opt.lr": 0.1, "model": {"size": 3}}, Space(parameters=()))
    {('opt.lr',): 0.1, ('model',): {'size': 3}}
    """
    by_name = {parameter.name: parameter.path for parameter in space.parameters}
    groups = {path[:length] for path in by_name.values() for length in range(1, len(path))}
    found: dict[Path, Any] = {}

    def add(prefix: Path, values: Mapping[str, Any]) -> None:
        for key, value in values.items():
            path = (*prefix, key)
            if path in groups and isinstance(value, Mapping):
                add(path, value)
            else:
                found[by_name.get(".".join(path), path)] = value

    add((), point)
    return found
