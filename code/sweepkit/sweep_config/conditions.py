"""`sweepkit.conditions`: when a parameter is part of a run, read into the space.

    sweepkit:
      conditions:
        lora.r: {when: {lora.enabled: true}}
        momentum: {when: {optimizer: [sgd, rmsprop], lr: {max: 0.1}}}

All clauses of a `when` must hold. A parameter whose parent is inactive is inactive.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sweepkit.model.distributions import Distribution, Kind
from sweepkit.model.numbers import is_number
from sweepkit.model.space import Clause, Condition, Parameter, Path, Space
from sweepkit.sweep_config.checker import Checker, shown
from sweepkit.sweep_config.fields import nearest
from sweepkit.text.yaml import KeyPath

_WANDB_NOTE = (
    "wandb.ai does not know conditions: W&B itself would vary the inactive parameters, too, and give all to every run"
)
_RANGE_KEYS = ("min", "max")


@dataclass(frozen=True, slots=True)
class _Found:
    """A condition and where it stands in the document."""

    place: KeyPath
    condition: Condition


def read_conditions(check: Checker, node: Any, path: KeyPath, space: Space, *, grid: bool, tree: Any) -> Space:
    """Return the space with the conditions of `node`, parents first.

    Args:
        check: Takes the problems.
        node: The mapping parameter → `{when: {other: value, [values] or {min:, max:}}}`; None for none.
        path: Where it stands in the document.
        space: The parameters.
        grid: The method is grid, whose points of a q_uniform are counted from its min.
        tree: The parameters as written; one that is not in the space was refused, and what is wrong with it is said.
    """
    if node is None:
        return space
    if not isinstance(node, dict):
        check.refuse(path, "must be a mapping of parameters to {when: …}", got=node)
        return space
    before = check.count
    drawn = [_as_in_grid(item) for item in space.parameters] if grid else space.parameters
    names = _Names(drawn, set(_written(tree)))
    found = [item for name, entry in node.items() if (item := _read_one(check, (*path, name), entry, names))]
    if check.count > before:
        return space
    ordered = _parents_first(check, found)
    if ordered is None:
        return space
    if ordered:
        check.warn(path, _WANDB_NOTE)
    return replace(space, conditions=tuple(ordered))


def _as_in_grid(parameter: Parameter) -> Parameter:
    """Return a parameter with the values that a grid gives it."""
    if parameter.distribution.kind is not Kind.Q_UNIFORM:
        return parameter
    try:
        values = tuple(parameter.distribution.grid_values() or ())
    except OverflowError:  # too many for a grid, which says so itself
        return parameter
    return replace(parameter, distribution=Distribution(kind=Kind.CATEGORICAL, values=values))


def _written(tree: Any, above: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the dotted name of every parameter and group of them that a tree has, right or wrong."""
    for key, node in tree.items() if isinstance(tree, dict) else ():
        path = (*above, str(key))
        yield ".".join(path)
        if isinstance(node, dict):
            yield from _written(node.get("parameters"), path)


class _Names:
    """Finds parameters by their dotted names; `written` are those that the YAML has."""

    def __init__(self, parameters: Sequence[Parameter], written: Collection[str]) -> None:
        self._written = written
        self._by_name: dict[str, list[Parameter]] = {}
        for parameter in parameters:
            self._by_name.setdefault(parameter.name, []).append(parameter)

    def find(self, check: Checker, place: KeyPath, name: str) -> Parameter | None:
        """Return the parameter of a name; None after refusing it."""
        found = self._by_name.get(name, [])
        if len(found) == 1:
            return found[0]
        below = [known for known in self._by_name if known.startswith(f"{name}.")]
        if found:
            hint = "give one of them another name"
            check.refuse(place, f"{len(found)} parameters have the dotted name {name}", hint=hint)
        elif below:
            check.refuse(place, f"{name} is no parameter but a group of them", hint=f"name {' or '.join(below)}")
        elif name not in self._written:
            known = [*self._by_name, *self._written]
            check.refuse(place, f"{name} is not a parameter of this sweep", hint=nearest(name, known))
        return None


def _read_one(check: Checker, place: KeyPath, node: Any, names: _Names) -> _Found | None:
    """Return the condition of one parameter; None after refusing it."""
    child = names.find(check, place, str(place[-1]))
    if not isinstance(node, dict):
        check.refuse(place, "a condition must be a mapping with `when`", got=node, hint="write {when: {other: value}}")
        return None
    check.known_keys(node, place, ("when",), "a condition")
    when = node.get("when")
    if not isinstance(when, dict) or not when:
        rule = "when must be a mapping of other parameters to their values"
        check.refuse((*place, "when") if "when" in node else place, rule, got=when)
        return None
    clauses = []
    for name, wanted in when.items():
        here = (*place, "when", name)
        parent = names.find(check, here, name)
        clause = None if parent is None else _clause(check, here, wanted, parent)
        if clause is not None:
            clauses.append(clause)
    if child is None or len(clauses) < len(when):
        return None
    return _Found(place, Condition(path=child.path, clauses=tuple(clauses)))


def _clause(check: Checker, place: KeyPath, wanted: Any, parent: Parameter) -> Clause | None:
    """Return what a parent's value must be; None after refusing what the parent can never draw."""
    if isinstance(wanted, dict) and not _is_choice(parent.distribution, wanted):
        return _range(check, place, wanted, parent)
    several = isinstance(wanted, list) and not _is_choice(parent.distribution, wanted)
    if several and not wanted:
        check.refuse(place, "at least one value is needed", got=wanted)
        return None
    choices = []
    for index, value in enumerate(wanted if several else [wanted]):
        drawn = _drawn(check, (*place, index) if several else place, value, parent)
        if drawn:
            choices.append(drawn[0])
    if len(choices) < (len(wanted) if several else 1):
        return None
    return Clause(path=parent.path, choices=tuple(choices))


def _is_choice(distribution: Distribution, value: Any) -> bool:
    """Return whether a list or a mapping is itself one of the values of a parameter."""
    return bool(distribution.values) and distribution.support_index(value) is not None


def _drawn(check: Checker, place: KeyPath, value: Any, parent: Parameter) -> tuple[Any] | None:
    """Return the value as the parent draws it (3 * 0.1 is not 0.3), in a tuple; None after refusing it."""
    distribution = parent.distribution
    if distribution.support_size() is None and distribution.contains(value):
        rule = f"{parent.name} is continuous: it hits one value practically never"
        check.refuse(place, rule, got=value, hint="write a range, {min: …, max: …}")
        return None
    index = distribution.support_index(_exactly(distribution, value) if is_number(value) else value)
    if index is None:
        check.refuse(place, f"{parent.name} never has this value", got=value, hint=_values_of(distribution))
        return None
    return (distribution.support_value(index),)


def _range(check: Checker, place: KeyPath, node: Mapping[str, Any], parent: Parameter) -> Clause | None:
    """Return the clause of `{min:, max:}`; None after refusing it."""
    before = check.count
    check.known_keys(node, place, _RANGE_KEYS, "a range")
    if not any(key in node for key in _RANGE_KEYS):
        check.refuse(place, "a range needs min or max", got=dict(node))
    low, high = check.number(node, place, "min"), check.number(node, place, "max")
    if check.count > before:
        return None
    clause = Clause(path=parent.path, low=_exactly(parent.distribution, low), high=_exactly(parent.distribution, high))
    if low is not None and high is not None and low > high:
        check.refuse(place, "min must not be above max", got=dict(node))
        return None
    if not can_hold(parent.distribution, clause):
        rule = f"{parent.name} never has a value in this range"
        check.refuse(place, rule, got=dict(node), hint=_values_of(parent.distribution))
        return None
    return clause


def _exactly(distribution: Distribution, bound: float | int | None) -> float | int | None:
    """Return a bound as a finite distribution draws it, when it is one of its values: 3 * 0.1 is a little above 0.3."""
    if bound is None or distribution.values:
        near = (item for item in distribution.values if is_number(item) and is_number(bound))
        return next((item for item in near if math.isclose(item, bound or 0, rel_tol=1e-11)), bound)
    index = distribution.support_index(bound)
    return bound if index is None else distribution.support_value(index)


def can_hold(distribution: Distribution, clause: Clause) -> bool:
    """Return whether a distribution can draw a value for which a range holds; endpoints of a continuum do not count."""
    size = distribution.support_size()
    if distribution.values:
        return any(clause.holds(distribution.support_value(index)) for index in range(size or 0))
    if size is not None:
        index = first_at_least(distribution, clause.low, size)
        return index < size and clause.holds(distribution.support_value(index))
    bounds = distribution.bounds()
    if bounds is None:
        return not distribution.kind.endswith("log_normal") or clause.high is None or clause.high > 0
    return (clause.low is None or clause.low < bounds[1]) and (clause.high is None or clause.high > bounds[0])


def first_at_least(distribution: Distribution, low: float | int | None, size: int) -> int:
    """Return the first position of an ascending support whose value is at least `low`; `size` when there is none."""
    left, right = 0, size if low is not None else 0
    while left < right:
        middle = (left + right) // 2
        if distribution.support_value(middle) < low:
            left = middle + 1
        else:
            right = middle
    return left


def _values_of(distribution: Distribution) -> str:
    """Return what a distribution can draw, in words."""
    if distribution.values:
        size = distribution.support_size() or 0
        listed = [shown(distribution.support_value(index)) for index in range(min(size, 10))]
        return f"its values are {', '.join(listed)}" + (", …" if size > 10 else "")
    bounds = distribution.bounds()
    return "" if bounds is None else f"it goes from {bounds[0]:g} to {bounds[1]:g}"


def _parents_first(check: Checker, found: Sequence[_Found]) -> list[Condition] | None:
    """Return the conditions with each parent's before its children's; None after refusing a cycle."""
    waiting = {item.condition.path: item for item in found}
    ordered: list[Condition] = []
    while waiting:
        ready = [item for item in waiting.values() if not any(c.path in waiting for c in item.condition.clauses)]
        if not ready:
            _refuse_cycle(check, waiting)
            return None
        for item in ready:
            ordered.append(item.condition)
            del waiting[item.condition.path]
    return ordered


def _refuse_cycle(check: Checker, waiting: Mapping[Path, _Found]) -> None:
    """Refuse one of the cycles among conditions that wait for each other."""
    walk = list(_walk(waiting))
    cycle = walk[walk.index(walk[-1]) :]
    text = " → ".join(".".join(path) for path in cycle)
    check.refuse(waiting[cycle[0]].place, f"a condition must not depend on itself, as in {text}")


def _walk(waiting: Mapping[Path, _Found]) -> Iterator[Path]:
    """Yield paths from child to parent until one comes again; every one of `waiting` has a parent there."""
    path = next(iter(waiting))
    seen: set[Path] = set()
    while True:
        yield path
        if path in seen:
            return
        seen.add(path)
        path = next(clause.path for clause in waiting[path].condition.clauses if clause.path in waiting)
