"""How one phase of a search follows from the runs before it: ranges narrowed, parameters fixed. Pure.

Source of the narrowing: the idea of iterated racing (M. López-Ibáñez et al. 2016, "The irace package", section 3),
that a next round samples near the elite configurations; here the range is cut to them and a margin, on the scale on
which the parameter is drawn.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sweepkit.model.distributions import Distribution, Kind, content_key
from sweepkit.model.space import Clause, Condition, Parameter, Path, Space
from sweepkit.sweep_config.conditions import can_hold

_LOG = (Kind.LOG_UNIFORM_VALUES, Kind.Q_LOG_UNIFORM_VALUES, Kind.INV_LOG_UNIFORM_VALUES)
_RANGES = (Kind.UNIFORM, Kind.Q_UNIFORM, Kind.INT_UNIFORM, *_LOG)
_LISTED = (Kind.CATEGORICAL, Kind.CATEGORICAL_W_PROBABILITIES)

Flat = Mapping[Path, Any]


def narrowed(space: Space, best: Sequence[Flat], *, margin: float = 0.1) -> Space:
    """Return the part of a space around the best configurations of it.

    A range is cut to the least and the greatest value among them, widened at both ends by `margin` of the whole range
    on its own scale (logarithmic ones in orders of magnitude), and never beyond the range. Choices are cut to those
    that occur. What they agree on entirely becomes a constant. Distributions without ends stay as they are, and so does
    a parameter that none of them has, unless what is left of its parents never makes it active: it goes, too.

    Args:
        space: The space that they were drawn from.
        best: Their values by path, at least one configuration; values that the space cannot draw do not count.
        margin: In [0, 1].

    Raises:
        ValueError: There is no configuration, or the margin is outside [0, 1].
    """
    if not best:
        raise ValueError("at least one configuration is needed to narrow a space around, got none")
    if not 0 <= margin <= 1:
        raise ValueError(f"margin lies in [0, 1], got {margin}")
    parameters = []
    for parameter in space.parameters:
        drawn = [flat[parameter.path] for flat in best if parameter.path in flat]
        values = [value for value in drawn if parameter.distribution.contains(value)]
        changed = _narrowed(parameter.distribution, values, margin) if values else parameter.distribution
        parameters.append(replace(parameter, distribution=changed))
    return with_distributions(space, parameters)


def with_distributions(space: Space, parameters: Sequence[Parameter]) -> Space:
    """Return a space with other distributions of its parameters, and its conditions as far as they still ask something.

    A clause that always holds now is left out, a parameter that is never active any more goes.

    Args:
        space: The space.
        parameters: Each of its parameters, with what it is drawn from now.
    """
    drawn = {parameter.path: parameter.distribution for parameter in parameters}
    gone: set[Path] = set()
    conditions: list[Condition] = []
    for condition in space.conditions:
        clauses = [_left_of(clause, drawn[clause.path]) for clause in condition.clauses if clause.path not in gone]
        if len(clauses) < len(condition.clauses) or None in clauses:
            gone.add(condition.path)
            continue
        waiting = {item.path for item in conditions}
        asked = [clause for clause in clauses if clause and (clause.path in waiting or not _always(clause, drawn))]
        if asked:
            conditions.append(Condition(path=condition.path, clauses=tuple(asked)))
    kept = tuple(parameter for parameter in parameters if parameter.path not in gone)
    return replace(space, parameters=kept, conditions=tuple(conditions))


def _left_of(clause: Clause, distribution: Distribution) -> Clause | None:
    """Return a clause with the choices that its parent can still draw; None when it never holds any more."""
    if not clause.choices:
        return clause if can_hold(distribution, clause) else None
    choices = tuple(choice for choice in clause.choices if distribution.contains(choice))
    return replace(clause, choices=choices) if choices else None


def _always(clause: Clause, drawn: Mapping[Path, Distribution]) -> bool:
    """Return whether a clause holds for all that its parent, one that is always active, can draw."""
    distribution = drawn[clause.path]
    if distribution.values:
        return all(clause.holds(value) for value in distribution.values)
    bounds = None if clause.choices else distribution.bounds()
    return bounds is not None and all(map(clause.holds, bounds))


def stage_space(space: Space, names: Sequence[str], best: Flat) -> Space:
    """Return the space of a stage: the named parameters as they are, the others at their best.

    Args:
        space: The whole search space.
        names: Dotted names of the parameters that the stage searches.
        best: The best configuration so far; a parameter that it does not have, and that is not searched, is left out
            and so keeps the program's own default.

    Raises:
        ValueError: A name is not in the space.
    """
    known = {parameter.name for parameter in space.parameters}
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"a stage searches parameters of the space, got {', '.join(unknown)}")
    parameters = [
        parameter if parameter.name in names else _fixed(parameter.path, best[parameter.path])
        for parameter in space.parameters
        if parameter.name in names or parameter.path in best
    ]
    return replace(space, parameters=tuple(parameters))


def _fixed(path: Path, value: Any) -> Parameter:
    """Return a parameter with one value."""
    return Parameter(path=path, distribution=Distribution(kind=Kind.CONSTANT, values=(value,)))


def with_constants(space: Space, constants: Mapping[str, Any]) -> Space:
    """Return the space with constants put in under their names, in place of parameters of these names."""
    kept = [item for item in space.parameters if item.path not in {(name,) for name in constants}]
    added = [_fixed((name,), value) for name, value in constants.items()]
    return replace(space, parameters=tuple(sorted([*kept, *added], key=lambda item: item.path)))


def space_tree(space: Space) -> dict[str, Any]:
    """Return a space as the `parameters` of a sweep, which `read_space` reads back to it."""
    tree: dict[str, Any] = {}
    for parameter in space.parameters:
        node = tree
        for key in parameter.path[:-1]:
            node = node.setdefault(key, {"parameters": {}})["parameters"]
        node[parameter.path[-1]] = _distribution_tree(parameter.distribution)
    return tree


def conditions_tree(space: Space) -> dict[str, Any]:
    """Return the conditions of a space as `sweepkit.conditions` writes them; {} without any."""
    names = {parameter.path: parameter.name for parameter in space.parameters}
    return {
        names[condition.path]: {"when": {names[clause.path]: _clause_tree(clause) for clause in condition.clauses}}
        for condition in space.conditions
    }


def _clause_tree(clause: Clause) -> Any:
    if clause.choices:
        single = len(clause.choices) == 1 and not isinstance(clause.choices[0], list | dict)
        return clause.choices[0] if single else list(clause.choices)
    return {key: bound for key, bound in (("min", clause.low), ("max", clause.high)) if bound is not None}


def _distribution_tree(distribution: Distribution) -> dict[str, Any]:
    """Return a distribution as a sweep writes it.

    >>> _distribution_tree(Distribution(kind=Kind.INT_UNIFORM, min=1, max=4))
    {'distribution': 'int_uniform', 'min': 1, 'max': 4}
    """
    if distribution.kind is Kind.CONSTANT:
        return {"value": distribution.values[0]}
    if distribution.kind in _LISTED:
        weights = {} if distribution.probabilities is None else {"probabilities": list(distribution.probabilities)}
        return {"values": list(distribution.values), **weights}
    named = {key: getattr(distribution, key) for key in ("min", "max", "q", "mu", "sigma", "a", "b")}
    return {"distribution": distribution.kind.value, **{k: v for k, v in named.items() if v is not None}}


def changes(before: Space, after: Space) -> list[str]:
    """Return one line for each parameter that another phase draws otherwise, as people read it.

    >>> wide = Space(parameters=(Parameter(path=("lr",), distribution=Distribution(kind=Kind.UNIFORM, min=0, max=1)),))
    >>> changes(wide, narrowed(wide, [{("lr",): 0.5}]))
    ['lr: 0 … 1 → 0.4 … 0.6']
    """
    earlier = {parameter.path: parameter.distribution for parameter in before.parameters}
    later = {parameter.path: parameter.distribution for parameter in after.parameters}
    lines = []
    for parameter in (*after.parameters, *(item for item in before.parameters if item.path not in later)):
        was, now = _range_text(earlier.get(parameter.path)), _range_text(later.get(parameter.path))
        if was != now:
            lines.append(f"{parameter.name}: {was} → {now}")
    return lines


def _range_text(distribution: Distribution | None) -> str:
    """Return what a distribution draws from, in a few words."""
    if distribution is None:
        return "default"
    if distribution.kind is Kind.CONSTANT:
        return _short(distribution.values[0])
    if distribution.kind in _LISTED:
        return ", ".join(_short(value) for value in distribution.values)
    bounds = distribution.bounds()
    if bounds is None:
        return distribution.kind.value
    if distribution.kind is Kind.Q_UNIFORM and (size := distribution.support_size()) is not None:
        bounds = distribution.support_value(0), distribution.support_value(size - 1)
    step = "" if distribution.q is None else f" in steps of {_short(distribution.q)}"
    log = " (log)" if distribution.kind in _LOG else ""
    return f"{_short(bounds[0])} … {_short(bounds[1])}{step}{log}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _narrowed(distribution: Distribution, values: Sequence[Any], margin: float) -> Distribution:
    """Return a distribution cut to the values and a margin."""
    if distribution.kind in _LISTED:
        return _fewer_choices(distribution, values)
    if distribution.kind not in _RANGES or distribution.min is None or distribution.max is None:
        return distribution
    low, high = _cut(distribution, [float(value) for value in values], margin)
    if distribution.kind is Kind.INT_UNIFORM:
        low, high = math.ceil(low - 1e-9), math.floor(high + 1e-9)
    elif distribution.quantised:
        low, high = _on_lattice(distribution, low, high)
    low, high = min(low, *values), max(high, *values)  # a rounding error must not lose one of them
    low, high = max(low, distribution.min), min(high, distribution.max)
    if low >= high:
        return Distribution(kind=Kind.CONSTANT, values=(values[0],))
    if _is_even(distribution):
        return even_steps(low, high, distribution.q or 1.0)
    return replace(distribution, min=low, max=high)


def even_steps(low: float | int, high: float | int, step: float | int) -> Distribution:
    """Return the distribution that draws low, low + step, …, high alike, as Optuna does; low is a multiple of step.

    W&B's q_uniform rounds: what begins at a multiple draws its ends half as often as the others. Half a step more at
    both ends makes all alike.

    >>> even_steps(64, 128, 64).min, even_steps(64, 128, 64).support_value(0)
    (32, 64)
    """
    half = step // 2 if isinstance(step, int) and step % 2 == 0 else step / 2
    return Distribution(kind=Kind.Q_UNIFORM, min=low - half, max=high + half, q=step)


def _is_even(distribution: Distribution) -> bool:
    """Return whether a distribution is one of `even_steps`: its bounds lie half a step beside its values."""
    if distribution.kind is not Kind.Q_UNIFORM or distribution.min is None or not distribution.q:
        return False
    return abs((distribution.min / distribution.q) % 1 - 0.5) < 1e-9


def _cut(distribution: Distribution, values: Sequence[float], margin: float) -> tuple[float, float]:
    """Return least and greatest value with the margin, inside the range, before any rounding."""
    assert distribution.min is not None and distribution.max is not None
    to, back = (math.log, math.exp) if distribution.kind in _LOG else (float, float)
    first, last = to(distribution.min), to(distribution.max)
    reach = margin * (last - first)
    low, high = max(to(min(values)) - reach, first), min(to(max(values)) + reach, last)
    return back(low), back(high)


def _on_lattice(distribution: Distribution, low: float, high: float) -> tuple[float | int, float | int]:
    """Return the multiples of q nearest inside [low, high]; no multiple may be won or lost by where a bound stands."""
    q = distribution.q or 1.0
    least, greatest = math.ceil(low / q - 1e-9), math.floor(high / q + 1e-9)
    return least * q, greatest * q


def _fewer_choices(distribution: Distribution, values: Sequence[Any]) -> Distribution:
    """Return the choices that occur among the values, in their order; the chances of the rest are shared out."""
    wanted = {content_key(value) for value in values}
    kept = [index for index, choice in enumerate(distribution.values) if content_key(choice) in wanted]
    if len(kept) == 1:
        return Distribution(kind=Kind.CONSTANT, values=(distribution.values[kept[0]],))
    probabilities = None
    if distribution.probabilities is not None:
        total = math.fsum(distribution.probabilities[index] for index in kept)
        probabilities = tuple(distribution.probabilities[index] / total for index in kept)
    return replace(
        distribution, values=tuple(distribution.values[index] for index in kept), probabilities=probabilities
    )
