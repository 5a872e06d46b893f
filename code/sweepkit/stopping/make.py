"""The stopping rule of a sweep: divergence first, then what its YAML asks for."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import isfinite
from statistics import median

from sweepkit.errors import SweepKitError
from sweepkit.model.metric import Goal
from sweepkit.model.runs import Decision, RunState, RunView
from sweepkit.stopping.asha import Asha
from sweepkit.stopping.auto import Auto
from sweepkit.stopping.bands import bands_up_to
from sweepkit.stopping.base import StoppingRule
from sweepkit.stopping.by_value import ByValue
from sweepkit.stopping.divergence import DivergenceGuard
from sweepkit.stopping.fractions import EqualFractions, SaysUnequal
from sweepkit.stopping.hyperband import Hyperband
from sweepkit.stopping.median import Median
from sweepkit.stopping.optuna_hyperband import OptunaHyperband
from sweepkit.stopping.patience import Patience
from sweepkit.stopping.patient import Patient
from sweepkit.stopping.percentile import Percentile
from sweepkit.stopping.successive_halving import SuccessiveHalving
from sweepkit.stopping.threshold import Threshold
from sweepkit.stopping.wilcoxon import Wilcoxon
from sweepkit.sweep_config.run_length import COMPARING, searched_length
from sweepkit.sweep_config.stopping_section import STOPPING_TYPES, bounds_kept, conflict
from sweepkit.sweep_config.sweep import EarlyTerminate, SweepSpec

_SEEN = 20_000  # values that tell from how far a limit is looked for

_RULES: dict[str, Callable[[EarlyTerminate, Goal], StoppingRule]] = {
    "hyperband": Hyperband,
    "asha": Asha,
    "median": Median,
    "patience": Patience,
    "percentile": Percentile,
    "successive_halving": SuccessiveHalving,
    "threshold": Threshold,
    "wilcoxon": Wilcoxon,
    "auto": Auto,
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
        rule = rule_of(wanted, metric.goal, spec.name if study is None else study)
    except SweepKitError as error:
        raise SweepKitError(f"{where}{error}") from None
    return FirstStop((DivergenceGuard(metric.goal), ByValue(_for_lengths(rule, spec, wanted), metric.value)))


def _for_lengths(rule: StoppingRule, spec: SweepSpec, wanted: EarlyTerminate) -> StoppingRule:
    """Return a rule that compares equal fractions where runs differ in length; W&B's own only says that they do."""
    path = searched_length(spec.space)
    if path is None or (wanted.rule or wanted).type not in COMPARING:
        return rule
    own = spec.extensions.early_terminate is not None
    return EqualFractions(rule, path) if own else SaysUnequal(rule, ".".join(path))


def limits(
    wanted: EarlyTerminate, goal: Goal, runs: Sequence[RunView], *, study: str = "", most: int = 100
) -> list[tuple[int, float]]:
    """Return what a further run had to reach at each report lest a rule ends it: (report from 1, value), ascending.

    The rule itself is asked, about a run that does not exist, so that what is drawn is what decides. Hyperband and asha
    are asked at their bands, other rules at most `most` reports.

    Args:
        wanted: The rule.
        goal: Direction of the metric.
        runs: All runs of the sweep.
        study: The sweep's name in the record, as for `make_rule`.
        most: Reports to ask about, evenly spread.

    Raises:
        SweepKitError: As `make_rule` does.

    Example:
        >>> wanted = EarlyTerminate(type="hyperband", min_iter=2, eta=2)
        >>> run = dict(params={}, state=RunState.FINISHED)
        >>> runs = [RunView(number=n, run_id=str(n), history=(3.0, float(n)), **run) for n in range(4)]
        >>> limits(wanted, Goal.MINIMIZE, runs)
        [(2, 2.0)]
    """
    longest = max((len(run.history) for run in runs), default=0)
    if wanted.type in ("threshold", "none", "patience") or not longest:
        return []
    rule = rule_of(wanted, goal, study)
    if wanted.type in ("hyperband", "asha"):
        asked = sorted(set(bands_up_to(wanted, longest)))
    else:
        asked = sorted({1 + round(at * (longest - 1) / max(1, most - 1)) for at in range(most)})
    apart = 1 + sum(len(run.history) for run in runs) // _SEEN
    values = [value for run in runs for value in run.history[-1::-apart] if isfinite(value)]
    far = 1e9 * median(map(abs, values)) if values else 0.0  # what blew up is no place to look from
    worst = goal.sign * max((goal.sign * value for value in values if abs(value) <= far), default=0.0)
    found = []
    for report in asked:
        limit: float | None = worst
        for _ in range(2):  # from far off a margin is inexact; as the worst, since a rule may count the run itself
            limit = None if limit is None else _limit_seen_from(limit, report, rule, goal, runs)
        if limit is not None:
            found.append((report, limit))
    return found


def _limit_seen_from(
    value: float, report: int, rule: StoppingRule, goal: Goal, runs: Sequence[RunView]
) -> float | None:
    """Return where a rule ends a run whose every value is just worse than `value`; None when it says no margin."""
    worse = value + goal.sign * 1e-9 * (abs(value) + 1e-9)
    probe = RunView(number=-1, run_id="", params={}, state=RunState.RUNNING, history=(worse,) * report)
    margin = rule.decide(probe, runs).margin
    return worse + goal.sign * margin if margin is not None and isfinite(margin) else None


def rule_of(wanted: EarlyTerminate, goal: Goal, study: str) -> StoppingRule:
    """Return a rule by itself, without the divergence guard; see `make_rule`. Raises SweepKitError."""
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
        return Patient(wanted, goal, None if wanted.rule is None else rule_of(wanted.rule, goal, study))
    return _RULES[wanted.type](wanted, goal)
