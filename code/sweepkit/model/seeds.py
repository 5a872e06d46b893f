"""Where a run's seed stands among its parameters (`sweepkit.seed_parameter`). Pure.

A name with dots means a nested parameter where the sweep's space nests such, and otherwise one name with dots in it,
as W&B has both.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from sweepkit.model.numbers import fits_float, is_number
from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunView
from sweepkit.model.space import Path, Space

# The keys of a proposal of `search.seeded`; "seed" is taken: other engines note the seed of the search under it.
RUN_SEED = "run_seed"  # the seed that the run's program gets
CONFIGURATION = "configuration"  # which configuration the run is one seed of, 0-based
T = TypeVar("T")

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
    whole = is_number(value) and fits_float(value) and value >= 0 and int(value) == value
    return int(value) if whole else None


def configuration_of(run: RunRecord | RunView) -> int | None:
    """Return which configuration a run is one seed of; None in a sweep without `seeds_per_run`."""
    info = run.info if isinstance(run, RunView) else run.proposal
    found = info.get(CONFIGURATION)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def by_configuration(
    items: Iterable[T], configuration: Callable[[T], int | None], finished: Callable[[T], bool]
) -> list[tuple[list[T], bool]]:
    """Return items grouped by their configuration, each with whether it may be the best one; in order of appearance.

    Of configurations with several seeds those may that have the most finished ones: a mean of fewer has more luck in
    it, and what got no further seed is worse. An item that is no seed of a configuration is a group of its own.

    Args:
        items: Runs in any form.
        configuration: Which configuration an item is one seed of, or None.
        finished: Whether an item ended by itself.
    """
    groups: dict[tuple[bool, int], list[T]] = {}
    for place, item in enumerate(items):
        number = configuration(item)
        groups.setdefault((False, place) if number is None else (True, number), []).append(item)
    counts = {key: sum(map(finished, group)) for key, group in groups.items()}
    most = max((count for (seeded, _), count in counts.items() if seeded), default=0)
    return [(group, not key[0] or counts[key] == most) for key, group in groups.items()]


def seed_of_run(run: RunRecord | RunView, name: str | None) -> int | None:
    """Return the seed that a run's program gets: its parameter's value, else the one that the engine gave the run."""
    by_parameter = seed_of(run.params, name)
    info = run.info if isinstance(run, RunView) else run.proposal
    return seed_of(info, RUN_SEED) if by_parameter is None else by_parameter
