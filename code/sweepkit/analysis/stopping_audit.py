"""What the audit of a stopping rule found: how often it errs, what it saved, what other settings would have done. Pure.

Some of the runs that a rule would have stopped were finished all the same (`sweepkit.audit_stopped`, drawn by
`model.audit`). A stop was false when the run then became better than every run that the rule let go on.

Source of the interval: Clopper and Pearson 1934, Biometrika 26:404–413.
"""

from dataclasses import dataclass

from sweepkit.analysis.stopping_replay import Replayed, replay
from sweepkit.analysis.table import Row, RunTable
from sweepkit.model.audit import AUDIT
from sweepkit.model.runs import RunState
from sweepkit.stats.shares import clopper_pearson
from sweepkit.sweep_config.stopping_section import STOPPING_KEYS
from sweepkit.sweep_config.sweep import EarlyTerminate

_ALPHA = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What the audited runs say.

    Args:
        audited: Runs that were finished though the rule would have stopped them.
        stops: Runs that the rule stopped, the audited ones included.
        false: Audited runs that became better than every run that went on.
        low, high: 95 % interval of the share of false stops.
        regret: How much better the best of the false stops was, in units of the metric; 0 without any.
        others: What other settings would have done, on the runs of which all is known; () where nobody can know.
    """

    audited: int
    stops: int
    false: int
    low: float
    high: float
    regret: float
    others: tuple[Replayed, ...] = ()

    @property
    def rate(self) -> float:
        """Return the share of false stops among the audited ones."""
        return self.false / self.audited


def _is_audited(row: Row) -> bool:
    """Return whether a run was finished though the rule would have stopped it."""
    return row.state is RunState.FINISHED and AUDIT in row.facts and row.value is not None


def audit_of(table: RunTable) -> Audit | None:
    """Return what the audit found; None where no run was audited, or none went on to compare with."""
    metric = table.metric
    audited = [row for row in table.rows if _is_audited(row)]
    others = [row.value for row in table.finished() if not _is_audited(row) and row.value is not None]
    if metric is None or not audited or not others:
        return None
    best = metric.goal.best(others)
    better = [row.value for row in audited if row.value is not None and metric.goal.better(row.value, best)]
    low, high = clopper_pearson(len(better), len(audited), _ALPHA)
    return Audit(
        audited=len(audited),
        stops=len(audited) + sum(row.state is RunState.STOPPED for row in table.rows),
        false=len(better),
        low=low,
        high=high,
        regret=abs(metric.goal.best(better) - best) if better else 0.0,
        others=tuple(replay(table)),
    )


def audit_sentences(table: RunTable) -> list[str]:
    """Return what the audit found, in sentences; [] without one."""
    found = audit_of(table)
    if found is None:
        return []
    were = "was" if found.audited == 1 else "were"
    lines = [
        f"Audit of the stopping rule: {found.audited} of the {found.stops} runs that it wanted to end {were} finished "
        f"all the same, and {found.false} became better than all that went on: a false-stop rate of {found.rate:.0%} "
        f"({found.low:.0%} to {found.high:.0%})"
        + (f", by up to {found.regret:.4g}." if found.false else ", so no regret is known.")
    ]
    spared = [item for item in found.others if not item.own and item.regret == 0]
    if spared:
        item = min(spared, key=lambda item: item.used)
        at_least = "at least " if item.unknown else ""
        lines.append(
            f"Replayed on this sweep's curves, the cheapest other setting that keeps its best value is "
            f"{rule_words(item.rule)}: {at_least}{item.used:.0%} of the reports."
        )
    return lines


def rule_words(rule: EarlyTerminate) -> str:
    """Return a rule with the settings that are not its defaults.

    >>> rule_words(EarlyTerminate(type="hyperband", min_iter=3))
    'hyperband (min_iter 3)'
    """
    plain = EarlyTerminate(type=rule.type)
    said = [
        f"{name} {value:g}" if isinstance(value, int | float) else name
        for name in STOPPING_KEYS[rule.type]
        if (value := getattr(rule, name)) != getattr(plain, name) and name != "called"
    ]
    return f"{rule.called or rule.type} ({', '.join(said)})" if said else rule.called or rule.type
