"""Where a run's seed stands among its parameters (`sweepkit.seed_parameter`). Pure.

A name with dots means a nested parameter where the sweep's space nests such, and otherwise one name with dots in it,
as W&B has both.
"""

import functools
import re
from collections.abc import Mapping
from typing import Any

from sweepkit.model.distributions import SCALARS
from sweepkit.model.numbers import is_finite
from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunView
from sweepkit.model.space import Path, Space

# The keys of a proposal of `search.seeded`; "seed" is taken: other engines note the seed of the search under it.
RUN_SEED = "run_seed"  # the seed that the run's program gets
CONFIGURATION = "configuration"  # which configuration the run is one seed of, 0-based; None: of its own, it alone

# What a parameter is called that is a seed: its last part, whatever stands before it.
_SEED = re.compile(r"^(.*_)?(random_?|data_?|np_?|torch_?|global_?)?(seed|random_state)$", re.IGNORECASE)

MOST_SEED = 2**32 - 1  # the largest that numpy and torch both take


def parameter_path(name: str, space: Space) -> Path:
    """Return the keys under which a parameter stands in a configuration of this space.

    Args:
        name: Its dotted name; it need not be a parameter of the space.
        space: The space whose nesting is followed.
    """
    parts = tuple(name.split("."))
    paths = [parameter.path for parameter in space.parameters]
    for path in paths:
        if ".".join(path) == name:
            return path
    nests = any(len(path) > 1 and path[: len(parts) - 1] == parts[:-1] for path in paths)
    return parts if len(parts) > 1 and nests else (name,)


def with_value(params: Mapping[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """Return a configuration with one more value, or with another one in its place; the mappings are copied.

    >>> with_value({"lr": 1, "training": {"epochs": 2}}, ("training", "seed"), 7)
    {'lr': 1, 'training': {'epochs': 2, 'seed': 7}}
    """
    head, rest = path[0], path[1:]
    if not rest:
        return {**params, head: value}
    inner = params.get(head)
    return {**params, head: with_value(inner if isinstance(inner, Mapping) else {}, rest, value)}


def without_value(params: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return a configuration without the value at `path`; a group that it leaves empty goes, too.

    >>> without_value({"lr": 1, "training": {"seed": 7}}, ("training", "seed"))
    {'lr': 1}
    """
    head, rest = path[0], path[1:]
    inner = params.get(head)
    kept = {key: value for key, value in params.items() if key != head}
    if not rest or head not in params:
        return kept
    left = without_value(inner, rest) if isinstance(inner, Mapping) else inner
    return {key: left if key == head else value for key, value in params.items() if key != head or left != {}}


def seed_of(params: Mapping[str, Any], name: str | None) -> int | None:
    """Return the seed that a configuration gives its program; None without one, or when it is no whole number >= 0.

    Args:
        params: A configuration, nested.
        name: `sweepkit.seed_parameter`; a key of this name wins over a nested one.

    >>> seed_of({"training": {"seed": 3}}, "training.seed"), seed_of({"seed": "x"}, "seed"), seed_of({"seed": 3}, None)
    (3, None, None)
    """
    if name is None:
        return None
    value: Any = params
    for key in (name,) if name in params else name.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    whole = is_finite(value) and value >= 0 and int(value) == value
    return int(value) if whole else None


@functools.lru_cache(maxsize=4096)  # asked for every parameter of every run, of which there are few names
def is_seed(name: str, seed_parameter: str | None = None) -> bool:
    """Return whether a parameter is a seed, which is no part of a configuration.

    Args:
        name: Its name, nested ones with dots or slashes.
        seed_parameter: `sweepkit.seed_parameter`, which is one whatever it is called.

    >>> is_seed("training.seed"), is_seed("data_seed"), is_seed("seed_layers"), is_seed("init", "init")
    (True, True, False, True)
    """
    return name == seed_parameter or _SEED.match(name.replace("/", ".").rpartition(".")[2]) is not None


def without_seeds(params: Mapping[str, Any], seed_parameter: str | None = None, prefix: str = "") -> dict[str, Any]:
    """Return a configuration without the parameters that are seeds.

    Args:
        params: The configuration, nested.
        seed_parameter: As in `is_seed`.
        prefix: The dotted name of the group that `params` is, with a dot at its end.

    >>> without_seeds({"lr": 1, "training": {"seed": 7, "epochs": 2}})
    {'lr': 1, 'training': {'epochs': 2}}
    """
    kept: dict[str, Any] = {}
    for key, value in params.items():
        if not isinstance(value, SCALARS) and isinstance(value, Mapping):
            kept[key] = without_seeds(value, seed_parameter, f"{prefix}{key}.")
        elif not is_seed(f"{prefix}{key}", seed_parameter):
            kept[key] = value
    return kept


def seed_of_run(run: RunRecord | RunView, name: str | None) -> int | None:
    """Return the seed that a run's program gets: its parameter's value, else the one that the engine gave the run."""
    by_parameter = seed_of(run.params, name)
    info = run.info if isinstance(run, RunView) else run.proposal
    return seed_of(info, RUN_SEED) if by_parameter is None else by_parameter
