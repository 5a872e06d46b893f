"""What is told of a sweep that searches the length of its runs while a stopping rule compares them report by report."""

from sweepkit.model.space import Space
from sweepkit.sweep_config.checker import Checker
from sweepkit.sweep_config.sweep import EarlyTerminate

# Rules that hold a run against others at the same report; the rest look at the run alone, or fold by fold.
_COMPARING = frozenset("hyperband asha median percentile successive_halving optuna_hyperband".split())
_UNITS = ("epoch", "epochs", "step", "steps", "iter", "iters", "iteration", "iterations")
_LENGTHS = frozenset(
    (
        *_UNITS,
        *(
            f"{count}_{unit}"
            for count in ("num", "n", "max", "total", "train", "num_train", "max_train")
            for unit in _UNITS
        ),
    )
)


def warn_of_length(check: Checker, space: Space, rule: EarlyTerminate | None) -> None:
    """Tell of a parameter that sets how long a run is, where the rule judges runs of all lengths at the same report.

    A run that plans its learning rate over its length has come less far at report k when it is longer.
    """
    inner = rule.rule if rule is not None and rule.type == "patient" else rule
    if inner is None or inner.type not in _COMPARING:
        return
    for parameter in space.parameters:
        if parameter.path[-1].rpartition(".")[2].lower() in _LENGTHS and len(parameter.distribution.values) != 1:
            check.warn(
                ("parameters", *parameter.path),
                f"sets how long a run is, and {inner.called or inner.type} compares runs at the same report: longer "
                "runs have come less far there and may be ended for that; fix it, or sweep without early stopping",
            )
