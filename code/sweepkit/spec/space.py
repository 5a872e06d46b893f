"""The search space of a sweep: a flat tuple of parameters, each with the path W&B nests it under."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sweepkit.spec.distributions import Distribution

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
class Space:
    """All parameters of a sweep, sorted by path as W&B sorts them."""

    parameters: tuple[Parameter, ...]

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
