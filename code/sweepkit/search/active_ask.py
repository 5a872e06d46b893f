"""Asking Optuna for a configuration of a space with conditions: parents first, inactive parameters never.

Source: Optuna 5.0 `TPESampler(group=True)`: the parameters are split into groups that were always suggested together,
and each group has a model over the runs that had it, so a parameter learns from the runs in which it was active.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sweepkit.errors import SweepKitError
from sweepkit.model.space import Path, Space
from sweepkit.search.coding import Coding, Scale
from sweepkit.sweep_config.sampler import NEED_ALL, NEED_TO_KNOW, WITHOUT_ALL

if TYPE_CHECKING:
    from optuna import Trial


def sampler_for(sampler: str, *, known: bool, asked: bool) -> str:
    """Return the sampler that searches a space whose parameters are not in every run.

    tpe models each group of parameters by itself; the Gaussian process has inactive ones at a place of rest; random and
    grid need no model; nsga inherits the parameters that all runs have and draws the others at random. Where a function
    suggests the parameters run by run, "auto" is tpe.

    Args:
        sampler: The engine's name.
        known: All parameters are known beforehand (conditions, not a function).
        asked: The user named it; else it is the method's own.

    Raises:
        SweepKitError: It cannot, and was asked for.
    """
    if not known and (sampler == "auto" or (sampler in NEED_TO_KNOW and not asked)):
        return "tpe"
    if sampler in NEED_ALL or (not known and sampler in NEED_TO_KNOW):
        raise SweepKitError(f"{sampler} needs all parameters in every run, and here some runs lack some; {WITHOUT_ALL}")
    return sampler


def ask_active(trial: "Trial", space: Space, named: Mapping[str, Coding], fixed: Mapping[Path, Any]) -> dict[Path, Any]:
    """Return the values of the active parameters that a study's sampler suggests.

    Args:
        trial: Asked of the study of the told runs, without distributions.
        space: With conditions.
        named: The codings of the parameters that vary, by their names in the study, in the order of the space.
        fixed: The values of the others.
    """
    flat = dict(fixed)
    open_names = dict(named)
    while open_names:
        active = space.active(flat)
        ready = [name for name, coding in open_names.items() if coding.path in active]
        if not ready:
            break
        for name in ready:
            coding = open_names.pop(name)
            flat[coding.path] = coding.decode(_suggest(trial, name, coding))
    return space.prune(flat)


def _suggest(trial: "Trial", name: str, coding: Coding) -> float | int:
    if coding.scale is Scale.CHOICE:
        return int(trial.suggest_categorical(name, range(int(coding.high) + 1)))
    if coding.scale is Scale.INTEGER:
        return trial.suggest_int(name, int(coding.low), int(coding.high))
    return trial.suggest_float(name, coding.low, coding.high, log=coding.scale is Scale.LOG)
