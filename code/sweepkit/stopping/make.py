"""The stopping rule of a sweep: divergence first, then what its YAML asks for."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from sweepkit.errors import SweepKitError
from sweepkit.spec.runs import Decision, RunView
from sweepkit.spec.sweep import EarlyTerminate, Goal, SweepSpec
from sweepkit.stopping.asha import Asha
from sweepkit.stopping.base import StoppingRule
from sweepkit.stopping.divergence import DivergenceGuard
from sweepkit.stopping.hyperband import Hyperband
from sweepkit.stopping.median import Median
from sweepkit.stopping.patience import Patience

_RULES: dict[str, Callable[[EarlyTerminate, Goal], StoppingRule]] = {
    "hyperband": Hyperband,
    "asha": Asha,
    "median": Median,
    "patience": Patience,
}


class FirstStop:
    """Ask several rules in turn: the first that stops decides, else the last one's verdict stands.

    Args:
        rules: At least one.
    """

    def __init__(self, rules: Sequence[StoppingRule]) -> None:
        if not rules:
            raise ValueError("at least one rule is needed, got none")
        self._rules = tuple(rules)

    def decide(self, run: RunView, runs: Sequence[RunView]) -> Decision:
        """Judge `run` after its newest report."""
        for rule in self._rules:
            decision = rule.decide(run, runs)
            if decision.stop:
                break
        return decision


class EachObjective:
    """Judge a run of a sweep with several objectives by each of them: the first rule that stops decides.

    Args:
        rules: One for each objective, which sees its history as the run's.
    """

    def __init__(self, rules: Sequence[StoppingRule]) -> None:
        self._rules = tuple(rules)

    def decide(self, run: RunView, runs: Sequence[RunView]) -> Decision:
        """Judge `run` after its newest report; histories of other runs are not looked at."""
        decision = Decision(stop=False, reason="no objective has been reported yet")
        for rule, history in zip(self._rules, run.objectives, strict=False):
            decision = rule.decide(replace(run, history=history), runs)
            if decision.stop:
                break
        return decision


class Never:
    """Stop nothing: the sweep has no metric to judge by."""

    def decide(self, run: RunView, runs: Sequence[RunView]) -> Decision:
        """Let every run go on."""
        return Decision(stop=False, reason="no rule: the sweep names no metric")


def make_rule(spec: SweepSpec) -> StoppingRule:
    """Return the stopping rule of a sweep: the divergence guard whenever there is a metric, then its own rule.

    Raises:
        SweepKitError: `early_terminate` is of an unknown type, has unusable settings, or there is no metric.
    """
    where = f"{spec.source}: " if spec.source else ""
    wanted = spec.early_terminate or spec.extensions.early_terminate
    metric = spec.metric
    if metric is None and spec.metrics and wanted is None:
        return EachObjective([DivergenceGuard(item.goal) for item in spec.metrics])
    if metric is None:
        if wanted is not None:
            raise SweepKitError(f"{where}early_terminate: needs a metric, got none; name it under `metric:`")
        return Never()
    if wanted is None:
        return DivergenceGuard(metric.goal)
    try:
        return FirstStop((DivergenceGuard(metric.goal), _rule(wanted, metric.goal)))
    except SweepKitError as error:
        raise SweepKitError(f"{where}{error}") from None


def _rule(wanted: EarlyTerminate, goal: Goal) -> StoppingRule:
    if wanted.type not in _RULES:
        raise SweepKitError(f"early_terminate.type: must be one of {', '.join(sorted(_RULES))}, got {wanted.type!r}")
    if wanted.type == "patience" and wanted.patience < 1:
        raise SweepKitError(f"early_terminate.patience: must be at least 1, got {wanted.patience}")
    return _RULES[wanted.type](wanted, goal)
