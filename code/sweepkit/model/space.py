"""The search space of a sweep: a flat tuple of parameters, each with the path W&B nests it under, and when it is one.

A parameter with a condition is **active** only where its parents have certain values; an inactive one is no part of a
configuration at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sweepkit.model.distributions import Distribution, content_key

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One leaf of the `parameters` tree.

    Args:
        path: The keys from the top, e.g. ("optimizer", "lr"). A single name may contain dots itself.
        distribution: What its values are drawn from.
    """

    path: Path
    distribution: Distribution

    @property
    def name(self) -> str:
        """Return the dotted name for people; not unique when names contain dots."""
        return ".".join(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """What one parent's value must be: one of `choices`, or within [low, high] where there are none.

    Args:
        path: The parent.
        choices: Values, compared by content (1 is 1.0, true is neither); () for a range.
        low: Least value, inclusive; None for no limit.
        high: Greatest value, inclusive; None for no limit.
    """

    path: Path
    choices: tuple[Any, ...] = ()
    low: float | int | None = None
    high: float | int | None = None

    def holds(self, value: Any) -> bool:
        """Return whether the parent's value is such; a value that is no number is in no range."""
        if self.choices:
            key = content_key(value)
            return any(content_key(choice) == key for choice in self.choices)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """When a parameter is active: every clause holds, and every parent is active itself."""

    path: Path
    clauses: tuple[Clause, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """All parameters of a sweep, sorted by path as W&B sorts them.

    Args:
        parameters: The parameters.
        conditions: At most one for each parameter, a parent's before its children's; () when all are always active.

    Raises:
        ValueError: The conditions are in another order, or name what is no parameter.
    """

    parameters: tuple[Parameter, ...]
    conditions: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        """Refuse conditions that could not be decided from first to last."""
        if not self.conditions:
            return
        open_paths = {parameter.path for parameter in self.parameters}
        waiting = [condition.path for condition in self.conditions]
        if len(set(waiting)) != len(waiting) or not open_paths.issuperset(waiting):
            raise ValueError(f"each condition needs a parameter of its own, got {waiting}")
        for index, condition in enumerate(self.conditions):
            parents = {clause.path for clause in condition.clauses}
            if not parents <= open_paths or parents & set(waiting[index:]):
                raise ValueError(f"the parents of {condition.path} must be parameters decided before it, got {parents}")

    def active(self, flat: Mapping[Path, Any]) -> frozenset[Path]:
        """Return the parameters that are part of a configuration with these values.

        Args:
            flat: Values by path; those of inactive parameters do not matter, and a parent without a value is as if
                inactive.
        """
        inactive: set[Path] = set()
        for condition in self.conditions:
            for clause in condition.clauses:
                if clause.path in inactive or clause.path not in flat or not clause.holds(flat[clause.path]):
                    inactive.add(condition.path)
                    break
        return frozenset(parameter.path for parameter in self.parameters if parameter.path not in inactive)

    def prune(self, flat: Mapping[Path, Any]) -> dict[Path, Any]:
        """Return the values of the active parameters alone."""
        if not self.conditions:
            return dict(flat)
        active = self.active(flat)
        return {path: value for path, value in flat.items() if path in active}

    def nest(self, flat: Mapping[Path, Any]) -> dict[str, Any]:
        """Return `{path: value}` as the nested dictionary that W&B gives to a run.

        Order follows the space, so equal configurations print alike.
        """
        nested: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.path not in flat:
                continue
            node = nested
            for key in parameter.path[:-1]:
                node = node.setdefault(key, {})
            node[parameter.path[-1]] = flat[parameter.path]
        return nested

    def flatten(self, nested: Mapping[str, Any]) -> dict[Path, Any]:
        """Return the values of this space's parameters found in a nested configuration.

        Keys that the space does not have are left out; a missing parameter is left out too.
        """
        flat: dict[Path, Any] = {}
        for parameter in self.parameters:
            node: Any = nested
            for key in parameter.path:
                if not isinstance(node, Mapping) or key not in node:
                    break
                node = node[key]
            else:
                flat[parameter.path] = node
        return flat
