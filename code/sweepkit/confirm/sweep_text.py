"""The YAML of a sweep in which the best configurations of another one are run again, made from the other's. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from sweepkit.model.space import Path, Space
from sweepkit.sweep_config.sweep import SweepSpec
from sweepkit.text.yaml import parse
from sweepkit.text.yaml_text import yaml_text

# What decides which configurations a sweep tries, or ends runs early: the runs here are given, and run to their end.
_OF_THE_SEARCH = (
    "early_terminate",
    "first_points",
    "prior_runs",
    "seed",
    "seeds_per_run",
    "sampler",
    "search_space",
    "time_budget_s",
)


def confirming_text(
    spec: SweepSpec,
    *,
    name: str,
    description: str,
    runs: int,
    values: Mapping[Path, Sequence[Any]],
) -> str:
    """Return the YAML of a sweep that runs configurations of `spec` again.

    The command, the program, the metric (without its target, which would end it) and what concerns how runs are made
    stay; what concerns the search goes.

    Args:
        spec: The sweep that the configurations are of.
        name: Of the new one.
        description: What it says of itself.
        runs: How many at most.
        values: Further parameters, or others in their place, with their values.
    """
    data: dict[str, Any] = dict(parse(spec.text).data)
    ours = {key: value for key, value in (data.pop("sweepkit", None) or {}).items() if key not in _OF_THE_SEARCH}
    data.pop("early_terminate", None)
    data = {
        "name": name,
        "description": description,
        **{k: v for k, v in data.items() if k not in ("name", "description")},
    }
    data["run_cap"] = runs
    if isinstance(data.get("metric"), Mapping):
        data["metric"] = {key: value for key, value in data["metric"].items() if key != "target"}
    parameters = dict(data.get("parameters") or {})
    for path, listed in values.items():
        parameters = _placed(parameters, path, {"value": listed[0]} if len(listed) == 1 else {"values": list(listed)})
    data["parameters"] = parameters
    if ours:
        data["sweepkit"] = ours
    return yaml_text(data, head=f"Made by sweep_runner.py --confirm from sweep {spec.name}, whose best it runs again.")


def _placed(parameters: Mapping[str, Any], path: Path, node: Mapping[str, Any]) -> dict[str, Any]:
    """Return W&B's nested `parameters` with one more, or with another one in its place."""
    head, rest = path[0], path[1:]
    if not rest:
        return {**parameters, head: dict(node)}
    group = dict(parameters.get(head) or {})
    return {**parameters, head: {**group, "parameters": _placed(group.get("parameters") or {}, rest, node)}}


def passes_all(spec: SweepSpec) -> bool:
    """Return whether the command hands every parameter to the program: an unknown one ends most programs."""
    return any("${args" in item for item in spec.command)


def passes(spec: SweepSpec, path: Path) -> bool:
    """Return whether the command hands a parameter to the program: all of them, or this one by its name."""
    names = {f"${{{path[0]}}}", f"${{{'.'.join(path)}}}"}
    return passes_all(spec) or any(macro in item for item in spec.command for macro in names)


def own_seed_path(space: Space, named: Path | None, looks_like_seed: Sequence[Path]) -> Path | None:
    """Return the parameter of the space that holds the seed: the named one, else the first whose name says so."""
    paths = [parameter.path for parameter in space.parameters]
    if named is not None and named in paths:
        return named
    return next((path for path in paths if path in looks_like_seed), None)
