"""Optuna's own estimates of importance, for comparison with ours: a study in memory made of plain numbers. Pure.

fANOVA keeps only parameters that every run has (Optuna's documentation says so); PED-ANOVA answers another question,
what sets the best tenth of the runs apart. Both print no spread.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sweepkit.model.metric import Goal

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.importance._base import BaseImportanceEvaluator

_TREES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportanceAxis:
    """One parameter as Optuna sees it.

    Args:
        name: The parameter.
        numeric: Its values are points of an axis (already on its scale); otherwise they number categories from 0.
        values: One per run; None where the run does not have it.
    """

    name: str
    numeric: bool
    values: tuple[float | None, ...]


def optuna_importances(
    evaluator: str, axes: Sequence[ImportanceAxis], values: Sequence[float], *, goal: Goal, seed: int
) -> dict[str, float]:
    """Return the importances that Optuna computes, summing to 1; parameters that it leaves out are absent.

    Args:
        evaluator: "fanova" or "ped_anova".
        axes: The parameters.
        values: The metric of each run, finite.
        goal: Its direction.
        seed: Of fANOVA's forest, >= 0.
    """
    import optuna
    from optuna.importance import get_param_importances

    distributions = {axis.name: _distribution(axis) for axis in axes}
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)  # it tells of every study that it makes
    try:
        study = optuna.create_study(direction=goal.value, sampler=optuna.samplers.RandomSampler(seed=seed))
    finally:
        optuna.logging.set_verbosity(level)
    for index, value in enumerate(values):
        here = {axis.name: axis.values[index] for axis in axes if axis.values[index] is not None}
        params = {name: point if _numeric(axes, name) else int(point or 0) for name, point in here.items()}
        study.add_trial(
            optuna.trial.create_trial(
                params=params, distributions={name: distributions[name] for name in params}, value=value
            )
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experimental, and parameters that it leaves out: the caller says so itself
        found = get_param_importances(study, evaluator=_evaluator(evaluator, seed))
    return {str(name): float(share) for name, share in found.items()}


def _numeric(axes: Sequence[ImportanceAxis], name: str) -> bool:
    return next(axis.numeric for axis in axes if axis.name == name)


def _distribution(axis: ImportanceAxis) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    points = [value for value in axis.values if value is not None]
    if axis.numeric:
        return FloatDistribution(min(points), max(points))
    return CategoricalDistribution(range(int(max(points)) + 1))


def _evaluator(name: str, seed: int) -> "BaseImportanceEvaluator":
    from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator

    if name == "fanova":
        return FanovaImportanceEvaluator(n_trees=_TREES, seed=seed)
    return PedAnovaImportanceEvaluator()
