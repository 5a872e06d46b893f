"""The stopping rule of a sweep: divergence first, then what its YAML asks for."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from sweepkit.errors import SweepKitError
from sweepkit.model.metric import Goal
from sweepkit.model.runs import Decision, RunView
from sweepkit.stopping.asha import Asha
from sweepkit.stopping.base import StoppingRule
from sweepkit.stopping.divergence import DivergenceGuard
from sweepkit.stopping.hyperband import Hyperband
from sweepkit.stopping.median import Median
from sweepkit.stopping.optuna_hyperband import OptunaHyperband
from sweepkit.stopping.patience import Patience
from sweepkit.stopping.patient import Patient
from sweepkit.stopping.percentile import Percentile
from sweepkit.stopping.successive_halving import SuccessiveHalving
from sweepkit.stopping.threshold import Threshold
from sweepkit.stopping.wilcoxon import Wilcoxon
from sweepkit.sweep_config.stopping_section import STOPPING_TYPES, bounds_kept, conflict
from sweepkit.sweep_config.sweep import EarlyTerminate, SweepSpec

_RULES: dict[str, Callable[[EarlyTerminate, Goal], StoppingRule]] = {
    "hyperband": Hyperband,
    "asha": Asha,
    "median": Median,
    "patience": Patience,
    "percentile": Percentile,
    "successive_halving": SuccessiveHalving,
    "threshold": Threshold,
    "wilcoxon": Wilcoxon,
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


class _EachObjective:
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


class _Never:
    """Stop nothing, and say why.

    Args:
        reason: In words.
    """

    def __init__(self, reason: str) -> None:
        self._decision = Decision(stop=False, reason=reason)

    def decide(self, run: RunView, runs: Sequence[RunView]) -> Decision:
        """Let every run go on."""
        return self._decision


def make_rule(spec: SweepSpec, *, study: str | None = None) -> StoppingRule:
    """Return the stopping rule of a sweep: the divergence guard whenever there is a metric, then its own rule.

    Args:
        spec: The sweep.
        study: Its name in the record, which `optuna_hyperband` deals runs to brackets by; None: as in the YAML.

    Raises:
        SweepKitError: `early_terminate` is of an unknown type, has unusable settings, or there is no metric.
    """
    where = f"{spec.source}: " if spec.source else ""
    wanted = spec.early_terminate or spec.extensions.early_terminate
    metric = spec.metric
    if metric is None and spec.metrics and wanted is None:
        return _EachObjective([DivergenceGuard(item.goal) for item in spec.metrics])
    if metric is None:
        if wanted is not None:
            raise SweepKitError(f"{where}early_terminate: needs a metric, got none; name it under `metric:`")
        return _Never("no rule: the sweep names no metric")
    if wanted is None:
        return DivergenceGuard(metric.goal)
    try:
        rule = _rule(wanted, metric.goal, spec.name if study is None else study)
    except SweepKitError as error:
        raise SweepKitError(f"{where}{error}") from None
    return FirstStop((DivergenceGuard(metric.goal), rule))


def _rule(wanted: EarlyTerminate, goal: Goal, study: str) -> StoppingRule:
    if wanted.type not in STOPPING_TYPES:
        raise SweepKitError(f"early_terminate.type: must be one of {', '.join(STOPPING_TYPES)}, got {wanted.type!r}")
    if fault := bounds_kept(wanted):
        raise SweepKitError(f"early_terminate.{fault}")
    if fault := conflict(wanted):
        raise SweepKitError(f"early_terminate: {fault}")
    if wanted.type == "none":
        return _Never("none: the sweep stops no run early")
    if wanted.type == "optuna_hyperband":
        return OptunaHyperband(wanted, goal, study)
    if wanted.type == "patient":
        return Patient(wanted, goal, None if wanted.rule is None else _rule(wanted.rule, goal, study))
    return _RULES[wanted.type](wanted, goal)
