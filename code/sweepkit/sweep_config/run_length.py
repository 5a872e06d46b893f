"""Sweeps that search the length of their runs: which parameter sets it, and what W&B's rule is told to do there."""

from sweepkit.model.space import Space
from sweepkit.sweep_config.checker import Checker
from sweepkit.sweep_config.sweep import EarlyTerminate

# Rules that hold a run against others at the same report; the rest look at the run alone, or fold by fold.
COMPARING = frozenset("hyperband asha median percentile successive_halving optuna_hyperband auto".split())
_UNITS = ("epoch", "epochs", "step", "steps", "iter", "iters", "iteration", "iterations")
_LENGTHS = frozenset(
    (
        *_UNITS,
        "n_estimators",
        "num_boost_round",
        "num_rounds",
        *(
            f"{count}_{unit}"
            for count in ("num", "n", "max", "total", "train", "num_train", "max_train")
            for unit in _UNITS
        ),
    )
)


def is_length(name: str) -> bool:
    """Return whether a parameter of that name, dotted or not, sets how long a run is."""
    return name.rpartition(".")[2].lower() in _LENGTHS


def searched_length(space: Space) -> tuple[str, ...] | None:
    """Return the path of the parameter that sets how long a run is, where the sweep searches it; else None."""
    for parameter in space.parameters:
        if is_length(parameter.path[-1]) and parameter.distribution.support_size() != 1:
            return parameter.path
    return None


def warn_of_length(check: Checker, space: Space, rule: EarlyTerminate | None, *, ours: bool) -> None:
    """Warn of a parameter that sets how long a run is, and how the rule compares runs of different length.

    A run that plans its learning rate over its length has come less far at report k when it is longer. Our rules
    compare equal fractions there (`stopping.fractions`), W&B's key means the same report.
    """
    inner = rule.rule if rule is not None and rule.type == "patient" else rule
    path = searched_length(space)
    if path is None or inner is None or inner.type not in COMPARING:
        return
    name = inner.called or inner.type
    if ours:
        said = f"{name} compares runs at equal fractions of it, once one has finished"
    else:
        said = (
            f"{name} compares runs at the same report: longer runs have come less far there and may be ended for "
            "that; fix it, or write the rule under `sweepkit:`, where equal fractions are compared"
        )
    check.warn(("parameters", *path), f"sets how long a run is, and {said}")
