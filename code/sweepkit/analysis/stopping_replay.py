"""What stopping rules would have done with the runs of a sweep: replayed on the curves that it has. Pure.

Reports come in the order in which they came, as far as the record has it: of each run evenly between its start and its
end. A run that a rule ends in the replay makes no further report there; that its slot would have been free for other
runs, and that an engine would have proposed others, is not replayed. Of a run that was stopped in the sweep itself only
the beginning is known: where a rule would have let it go on longer, its end is counted as unknown.
"""

import heapq
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from sweepkit.analysis.table import Row, RunTable
from sweepkit.errors import SweepKitError
from sweepkit.model.columns import RunViews
from sweepkit.model.metric import Goal, Metric
from sweepkit.model.objectives import value_in
from sweepkit.model.records import VALUE_FACT
from sweepkit.model.runs import RunState, RunView
from sweepkit.stopping.base import StoppingRule
from sweepkit.stopping.fractions import EqualFractions
from sweepkit.stopping.make import rule_of
from sweepkit.sweep_config.run_length import COMPARING, is_length
from sweepkit.sweep_config.sweep import EarlyTerminate


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What one rule would have done.

    Args:
        rule: The rule.
        own: It is the sweep's own.
        used: Share of the reports of all runs, had each gone to its end, that are made; in (0, 1].
        stopped: Runs that are ended.
        unknown: Runs that go on longer than is known.
        best: The best value that is reached.
        regret: How much worse that is than the best of all, in units of the metric, >= 0.
        stops_winner: The best run of the sweep is ended.
    """

    rule: EarlyTerminate
    own: bool
    used: float
    stopped: int
    unknown: int
    best: float
    regret: float
    stops_winner: bool


def candidates(longest: int) -> list[EarlyTerminate]:
    """Return the rules that are replayed on runs of so many reports."""
    found = [EarlyTerminate(type="auto")]
    found += [EarlyTerminate(type="hyperband", min_iter=least) for least in (1, 3, 5) if least < longest]
    found += [EarlyTerminate(type="hyperband", min_iter=5, eta=2)] if longest > 5 else []
    found += [EarlyTerminate(type="hyperband", max_iter=longest, s=s) for s in (2, 3) if longest >= 3**s]
    found += [EarlyTerminate(type="asha", min_iter=3)] if longest > 3 else []
    return [*found, EarlyTerminate(type="median"), EarlyTerminate(type="percentile", percentile=50)]


def replay(table: RunTable) -> list[Replayed]:
    """Return what the sweep's own rule and the usual ones would have done; [] without two runs of known curves.

    Args:
        table: The sweep; its rows have their histories.
    """
    rows = [row for row in table.rows if row.history and row.state.done and row.state is not RunState.FAILED]
    whole = [row for row in rows if row.state is RunState.FINISHED]
    metric = table.metric
    if metric is None or len(table.metrics) > 1 or len(whole) < 2:
        return []
    longest = max(len(row.history) for row in whole)
    own = table.stopping
    rules = [*([own] if own else []), *(rule for rule in candidates(longest) if rule != own)]
    length = next((column.name for column in table.columns if column.searched and is_length(column.name)), None)
    return [_replayed(rows, metric, rule, own=rule == own, length=length) for rule in rules]


def _replayed(
    rows: Sequence[Row], metric: Metric, wanted: EarlyTerminate, *, own: bool, length: str | None
) -> Replayed:
    rule = _rule(wanted, metric.goal, length)
    views, ended = RunViews(), {row.number: 0 for row in rows}
    stops: set[int] = set()
    for number, view in _reports(rows, metric, stops):
        views.put(view)
        ended[number] = len(view.history)
        if view.state is RunState.RUNNING and rule.decide(view, views).stop:
            stops.add(number)
            views.put(replace(view, state=RunState.STOPPED))
    return _result(rows, metric, wanted, own=own, ended=ended, stops=stops)


def _rule(wanted: EarlyTerminate, goal: Goal, length: str | None) -> StoppingRule:
    """Return a rule, which compares equal fractions where the length of runs is searched."""
    rule = rule_of(wanted, goal, "")
    return rule if length is None or wanted.type not in COMPARING else EqualFractions(rule, (length,))


def _reports(rows: Sequence[Row], metric: Metric, stops: set[int]) -> Iterator[tuple[int, RunView]]:
    """Yield (number, view) of each report as it comes; of a run that is in `stops` no more."""
    queue = [(_at(row, 1), row.number, 1) for row in rows]
    by_number = {row.number: row for row in rows}
    heapq.heapify(queue)
    while queue:
        _, number, report = heapq.heappop(queue)
        row = by_number[number]
        last = report == len(row.history)
        # A run that the sweep stopped is under way at its last known report, too.
        state = row.state if last and row.state is not RunState.STOPPED else RunState.RUNNING
        history = tuple(row.history[:report])
        yield (
            number,
            RunView(
                number=number,
                run_id=row.run_id,
                params=row.params,
                state=state,
                history=history,
                value_rule=_value_rule(row, metric),
            ),
        )
        if not last and number not in stops:
            heapq.heappush(queue, (_at(row, report + 1), number, report + 1))


def _at(row: Row, report: int) -> float:
    """Return when a run made a report; runs of which no time is known follow one another by number."""
    if row.duration_s is None or not math.isfinite(row.order):
        return row.number + report / (len(row.history) + 1)
    return row.order - row.duration_s * (1 - report / len(row.history))


def _result(
    rows: Sequence[Row], metric: Metric, wanted: EarlyTerminate, *, own: bool, ended: dict[int, int], stops: set[int]
) -> Replayed:
    whole = [row for row in rows if row.state is RunState.FINISHED]
    usual = median(len(row.history) for row in whole)
    unknown = [row for row in rows if row.state is RunState.STOPPED and row.number not in stops]
    full = sum(max(len(row.history), usual if row.state is RunState.STOPPED else 0) for row in rows)
    made = sum(ended.values()) + sum(max(0.0, usual - len(row.history)) for row in unknown)
    bests = {row.number: _worth(row, ended[row.number], metric) for row in rows}
    reached = metric.goal.best([value for value in bests.values() if value is not None])
    everything = {row.number: value for row in rows if (value := _worth(row, None, metric)) is not None}
    best = metric.goal.best(list(everything.values()))
    winner = next(number for number, value in everything.items() if value == best)
    return Replayed(
        rule=wanted,
        own=own,
        used=made / full,
        stopped=len(stops),
        unknown=len(unknown),
        best=reached,
        regret=abs(reached - best),
        stops_winner=winner in stops,
    )


def _value_rule(row: Row, metric: Metric) -> str:
    """Return what a run's value is of its reports: as its program said, else as the sweep says."""
    facts = row.facts.get("facts")
    said = facts.get(VALUE_FACT, "") if isinstance(facts, Mapping) else ""
    return str(said or metric.value)


def _worth(row: Row, upto: int | None, metric: Metric) -> float | None:
    """Return a run's value by one of its reports, or by its last; None without a finite one."""
    finite = [value for value in row.history[:upto] if math.isfinite(value)]
    return value_in(finite, metric.goal, _value_rule(row, metric)) if finite else None


def replayed_or_refused(table: RunTable) -> list[Replayed]:
    """Return the replay of a sweep.

    Raises:
        SweepKitError: It cannot be replayed, and why.
    """
    if found := replay(table):
        return found
    name = table.name or "the sweep"
    if len(table.metrics) != 1:
        got = ", ".join(metric.name for metric in table.metrics) or "none"
        raise SweepKitError(
            f"{name}: a replay needs one metric, which the rules judge by, got {got}; a sweep of several has no rule "
            "that ends runs early"
        )
    finished = sum(row.state is RunState.FINISHED and bool(row.history) for row in table.rows)
    raise SweepKitError(
        f"{name}: a replay needs two finished runs with reports of {table.metrics[0].name}, got {finished}; give the "
        "sweep finished runs, or name one that has them"
    )
