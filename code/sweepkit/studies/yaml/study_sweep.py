"""What `optimize.py` and `OptunaOptimizer` are asked for, as a value, and the sweep that it is. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sweepkit.model.metric import Metric

DEFAULT_EXPERIMENT = "tiny_bart_lora"
SAMPLERS = ("tpe", "gp", "cmaes", "nsga", "random", "qmc", "auto")
# The guide's median rule: five trials first, three epochs of each first. Optuna's median is the 50th percentile of the
# others' values at the same report; our `median` is Vizier's, over their averages until then.
_MEDIAN: Mapping[str, Any] = {
    "type": "percentile",
    "percentile": 50,
    "n_startup_runs": 5,
    "n_warmup_reports": 3,
    "called": "median",
}
# Optuna's pruners by Optuna's names, and two of our rules; what is not said keeps its default, counted in reports.
PRUNERS: Mapping[str, Mapping[str, Any] | None] = {
    "median": _MEDIAN,
    "hyperband": {"type": "optuna_hyperband"},
    "successive_halving": {"type": "successive_halving"},
    "percentile": {"type": "percentile", "percentile": 25, "n_startup_runs": 5, "n_warmup_reports": 3},
    "patient": {"type": "patient", "patience": 2, "rule": _MEDIAN},
    "asha": {"type": "asha", "min_iter": 1},
    "patience": {"type": "patience", "patience": 3, "n_warmup_reports": 1},
    "none": None,
}
_WANDB_GROUP = "optuna_search"
_WANDB_NAME = "trial_{number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One optimization.

    Args:
        name: Of the study, which is the sweep's.
        metric: What is optimized.
        parameters: The search space as W&B writes it.
        fixed: Values that every trial has, by parameter.
        n_trials: At most so many trials, over all calls, >= 1; None for no limit but the time's.
        timeout_s: A call starts no further trial after so many seconds, > 0; None for no limit.
        sampler: One of SAMPLERS.
        pruner: One of PRUNERS.
        seed: Of the search, >= 0.
        base_config: The training configuration, a path or a name in config/.
        cpus_per_run: Cores of a trial, >= 1; None shares them evenly.
        wandb: Whether each trial is a W&B run as well, in the group and by the names of the guide.
    """

    name: str
    metric: Metric
    parameters: Mapping[str, Any]
    base_config: str
    fixed: Mapping[str, Any] = field(default_factory=dict)
    n_trials: int | None = 50
    timeout_s: float | None = None
    sampler: str = "tpe"
    pruner: str = "median"
    seed: int = 42
    cpus_per_run: int | None = None
    wandb: bool = False


def study_sweep(study: Study) -> dict[str, Any]:
    """Return the sweep of a study, as W&B's keys and ours under `sweepkit`; whoever reads it checks it."""
    own: dict[str, Any] = {
        "seed": study.seed,
        "sampler": study.sampler,
        "base_config": study.base_config,
        "preload": ["sweepkit.training.preload"],
    }
    rule = PRUNERS[study.pruner]
    if rule is not None:
        own["early_terminate"] = {key: dict(item) if key == "rule" else item for key, item in rule.items()}
    if study.timeout_s is not None:
        own["time_budget_s"] = study.timeout_s
    if study.cpus_per_run is not None:
        own["cpus_per_run"] = study.cpus_per_run
    if study.wandb:
        own["wandb"] = {"group": _WANDB_GROUP, "name": _WANDB_NAME}
    constants = {name: {"value": value} for name, value in study.fixed.items()}
    return {
        "name": study.name,
        "program": "trainer.py",
        "method": "bayes",
        **({} if study.n_trials is None else {"run_cap": study.n_trials}),
        "metric": {"name": study.metric.name, "goal": study.metric.goal.value},
        "parameters": {**{name: dict(form) for name, form in study.parameters.items()}, **constants},
        "sweepkit": own,
    }
