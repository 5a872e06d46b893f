"""`sweepkit init --from NAME`: a new sweep around the best configurations of an old one. Pure but for the reading."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sweepkit.analysis.ranking import best_configurations
from sweepkit.errors import SweepKitError
from sweepkit.housekeeping.find import Recorded, SweepPlace, find_sweep
from sweepkit.model.distributions import Distribution, Kind
from sweepkit.model.numbers import is_number
from sweepkit.model.space import Parameter, Space
from sweepkit.paths import PROGRAM_DIR
from sweepkit.studies.narrowing import changes, conditions_tree, narrowed, space_tree, with_distributions
from sweepkit.sweep_config.sweep import Method
from sweepkit.text.yaml import parse
from sweepkit.text.yaml_text import yaml_text

_ELITE = 3  # configurations that the new ranges hold
_RUNS = 20
_LEARNS = (Method.BAYES,)
_DECADE = 10


def follow_up(place: SweepPlace, named: str, *, name: str | None, beside: Path) -> tuple[str, str]:
    """Return the name and the YAML of a sweep around the best of a recorded one.

    Its ranges are cut to the three best configurations and a margin; a grid, whose points are known, becomes a search
    between their neighbours. The space of a function stays as it is, which the file's first lines say.

    Args:
        place: Where sweeps are.
        named: The recorded sweep.
        name: Of the new one; None for one after the old one's.
        beside: The folder that the YAML goes to, from which it names its program.

    Raises:
        SweepKitError: There is no such sweep, no run of it has a value, or its objective names its ranges.
    """
    found = find_sweep(place, named)
    _refuse_objective(found)
    seed = found.spec.extensions.seed_parameter
    best = best_configurations(found.runs, found.spec.objectives, seed_parameter=seed, limit=_ELITE)
    if not best:
        raise SweepKitError(f"--from {found.sweep.name}: must have a run with a value to begin from, got none")
    chosen = name or f"{found.sweep.name}-next"
    return chosen, _text(found, [dict(item.first.params) for item in best], chosen, beside)


def _refuse_objective(found: Recorded) -> None:
    """Refuse a sweep whose runs suggest their parameters themselves: no YAML could name other ranges."""
    if not found.spec.suggests_itself:
        return
    raise SweepKitError(
        f"--from {found.sweep.name}: must be a sweep whose YAML names its ranges, got a study, whose objective names "
        "them itself; cut them there and run it under another name, by `sweepkit optimize FILE.py:FUNCTION "
        "--study-name NAME`"
    )


def _text(found: Recorded, best: Sequence[dict[str, Any]], name: str, beside: Path) -> str:
    spec = found.spec
    data: dict[str, Any] = {key: value for key, value in parse(found.sweep.text).data.items() if key != "name"}
    ours = {key: value for key, value in (data.pop("sweepkit", None) or {}).items() if key != "seed"}
    program = Path(found.sweep.meta.get("program") or "")
    if "program" in data and program.is_file() and program.parent != PROGRAM_DIR:
        data["program"] = os.path.relpath(program, beside)
    head = [f"Around the best of sweep {found.sweep.name}."]
    if spec.extensions.search_space is not None:
        head.append(f"Its ranges are those of {spec.extensions.search_space}, which stays as it is: narrow them there.")
    else:
        flat = [spec.space.flatten(params) for params in best]
        grid = spec.method is Method.GRID
        space = _between(spec.space, flat[0]) if grid else narrowed(spec.space, flat)
        head += changes(spec.space, space)
        data["parameters"] = space_tree(space)
        ours["conditions"] = conditions_tree(space)
        if grid:
            data["method"] = "bayes" if spec.metric is not None else "random"
            data["run_cap"] = _RUNS
    if data["method"] in _LEARNS or "sampler" in ours:  # the others do not learn from earlier runs
        ours["prior_runs"] = [*ours.get("prior_runs", []), found.sweep.name]
    own = {key: value for key, value in ours.items() if key != "conditions" or value}
    return yaml_text({"name": name, **data, **({"sweepkit": own} if own else {})}, head="\n".join(head))


def _between(space: Space, best: dict[tuple[str, ...], Any]) -> Space:
    """Return the space of a grid with each list of numbers as the range between the neighbours of its best value."""
    parameters = [replace(item, distribution=_range(item, best.get(item.path))) for item in space.parameters]
    return with_distributions(space, parameters)


def _range(parameter: Parameter, best: Any) -> Distribution:
    values = sorted(set(parameter.distribution.grid_values() or ()), key=repr)
    if len(values) < 2 or not is_number(best) or not all(is_number(value) for value in values):
        return parameter.distribution
    values = sorted(values)
    place = values.index(best)
    low, high = values[max(place - 1, 0)], values[min(place + 1, len(values) - 1)]
    if all(isinstance(value, int) for value in values):
        return Distribution(kind=Kind.INT_UNIFORM, min=low, max=high)
    wide = low > 0 and high / low >= _DECADE
    return Distribution(kind=Kind.LOG_UNIFORM_VALUES if wide else Kind.UNIFORM, min=low, max=high)
