"""The keys of seeds and of the hold-out set in a sweep's `sweepkit:` section, and the rules between them."""

from collections.abc import Mapping
from typing import Any

from sweepkit.model.numbers import is_finite
from sweepkit.model.seeds import MOST_SEED, parameter_path
from sweepkit.model.space import Space
from sweepkit.sweep_config.checker import Checker
from sweepkit.sweep_config.fields import ELSEWHERE, TRUTH, Field, whole
from sweepkit.sweep_config.sweep import Extensions, Seeds
from sweepkit.text.yaml import KeyPath

SEEDS: Mapping[str, Field] = {"seeds": ELSEWHERE, "stop_worse": TRUTH, "min_seeds": whole(1)}
_MOST_SEEDS = 1000  # of one configuration; more is a slip of the pen
_HINT = "write a number from 2, a list as [1, 2, 3], or {seeds: 3, stop_worse: true, min_seeds: 2}"


def read_seeds_per_run(check: Checker, node: Any, path: KeyPath) -> Seeds | None:
    """Read the section: a number, a list of seeds, or a mapping; None after refusing it."""
    if not isinstance(node, dict):
        seeds = _read_seeds(check, node, path)
        return None if seeds is None else Seeds(seeds=seeds)
    found = check.section(node, path, SEEDS, "sweepkit.seeds_per_run")
    if "seeds" not in node:
        check.refuse(path, "seeds_per_run needs seeds", got=node, hint="write {seeds: 3}")
        return None
    seeds = _read_seeds(check, node["seeds"], (*path, "seeds"))
    if seeds is None:
        return None
    least = found.get("min_seeds")
    if least is not None and least > len(seeds):
        check.refuse((*path, "min_seeds"), f"must be at most the number of seeds, {len(seeds)}", got=least)
    return Seeds(**{**found, "seeds": seeds})


def _read_seeds(check: Checker, node: Any, path: KeyPath) -> tuple[int, ...] | None:
    """Return the seeds that a number or a list stands for; None after refusing it."""
    if not isinstance(node, list):
        if not _is_whole(node) or not 2 <= node <= _MOST_SEEDS:
            rule = f"must be a whole number from 2 to {_MOST_SEEDS}, a list of seeds or a mapping"
            check.refuse(path, rule, got=node, hint=_HINT)
            return None
        return tuple(range(1, int(node) + 1))
    before = check.count
    for index, seed in enumerate(node):
        if not _is_whole(seed) or not 0 <= seed <= MOST_SEED:
            check.refuse((*path, index), f"a seed must be a whole number from 0 to {MOST_SEED}", got=seed)
        elif seed in node[:index]:
            check.refuse((*path, index), "every seed must be given once", got=seed)
    if check.count == before and not 2 <= len(node) <= _MOST_SEEDS:
        check.refuse(path, f"must list 2 to {_MOST_SEEDS} seeds", got=node, hint=_HINT)
    return None if check.count > before else tuple(int(seed) for seed in node)


def _is_whole(value: Any) -> bool:
    return is_finite(value) and int(value) == value


def check_seeds(check: Checker, data: Mapping[str, Any], space: Space, extensions: Extensions) -> None:
    """Refuse seeds and hold-out parameters that contradict the space, and a race that has nothing to compare by."""
    name = extensions.seed_parameter
    if extensions.seeds_per_run is not None:
        taken = None if name is None else parameter_path(name, space)
        if taken is not None and any(parameter.path == taken for parameter in space.parameters):
            rule = f"{name} gets the seeds of sweepkit.seeds_per_run and cannot be a parameter of the sweep, too"
            check.refuse(("parameters", *taken), rule, hint="remove it here, or name another sweepkit.seed_parameter")
        _check_race(check, data)
    for key in extensions.holdout:
        place: KeyPath = ("sweepkit", "holdout", key)
        if key == name:
            check.refuse(place, f"{key} has the seed and cannot name the hold-out set")
        for parameter in space.parameters:
            if parameter.path == parameter_path(key, space) and parameter.distribution.support_size() != 1:
                rule = f"{key} is searched: another value of it is another configuration, not another set"
                check.refuse(place, rule, hint="name a parameter that says which data are scored")


def _check_race(check: Checker, data: Mapping[str, Any]) -> None:
    """Refuse `stop_worse: true` where there is no one number to call a configuration worse by."""
    own = data["sweepkit"]["seeds_per_run"]
    if not isinstance(own, dict) or own.get("stop_worse") is not True or "metric" in data:
        return
    got = "several metrics" if "metrics" in data else "no metric"
    rule = f"stop_worse needs one metric to compare by, got {got}"
    check.refuse(("sweepkit", "seeds_per_run", "stop_worse"), rule, hint="write stop_worse: false")
