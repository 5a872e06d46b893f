"""What came out of a sweep, in sentences: counts, the best, how sure that is, why runs were stopped or failed. Pure."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from sweepkit.analysis.failures import failure_sentences
from sweepkit.analysis.lead import lead
from sweepkit.analysis.lead_words import called, lead_sentences
from sweepkit.analysis.looks import looks_sentences
from sweepkit.analysis.program_versions import versions_sentence
from sweepkit.analysis.stopping_audit import audit_sentences
from sweepkit.analysis.table import Row, RunTable
from sweepkit.model.runs import RunState


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasons:
    """Runs that ended for the same reason up to its numbers.

    Args:
        reason: That of the first of them.
        rows: The runs, by number.
    """

    reason: str
    rows: tuple[Row, ...]


def summary(table: RunTable, *, confirmed: bool = False) -> list[str]:
    """Return what to know at first: counts, the best run, whether its lead is more than luck.

    Args:
        table: The sweep.
        confirmed: Its best were run again with fresh seeds, and what those say is shown as well.
    """
    lines = [counted(table), *filter(None, [versions_of(table)])]
    metric = table.metric
    if metric is None:
        return [*lines, "The sweep names no metric: its runs are not ranked."]
    found, failed = lead(table), failure_sentences(table)
    if found is None:
        lines.append(f"No run has a value of {metric.name} yet." if table.rows else "")
        return [sentence for sentence in (*lines, *failed) if sentence]
    direction = "highest" if metric.goal.better(1.0, 0.0) else "lowest"
    mean = "mean " if len(found.first.runs) > 1 else ""
    lines.append(f"The {direction} {mean}{metric.name} is {found.first.value:.5g}, of {called(found.first)}.")
    if len(table.metrics) > 1:
        lines.append("The sweep has several objectives; this compares by the first of them alone.")
    lines += [*lead_sentences(found, confirmed=confirmed), *looks_sentences(table)]
    if confirmed:
        lines.append("The best were run again with fresh seeds; what those say goes before the sweep's own ranking.")
    elif found.configurations > 1:
        lines.append(
            f"It is the best of {found.configurations}, chosen by the same number that is shown: expect less of it on "
            "new data and with another seed until it is confirmed."
        )
    return [*lines, *failed]


def versions_of(table: RunTable) -> str:
    """Return which runs are of which version of the program; "" while all are of one."""
    ranked = table.configurations()
    best = ranked[0].first.number if ranked else None
    return versions_sentence([(row.number, row.facts) for row in table.rows], best=best)


def counted(table: RunTable) -> str:
    """Return how many runs there are in which state, and how long they took.

    >>> from sweepkit.analysis.table import RunTable
    >>> counted(RunTable(name="s", metrics=(), columns=(), rows=()))
    'No run yet.'
    """
    if not table.rows:
        return "No run yet."
    counts = Counter(row.state for row in table.rows)
    parts = [f"{counts[state]} {state.value}" for state in RunState if counts[state]]
    total = len(table.rows)
    durations = [row.duration_s for row in table.rows if row.duration_s is not None]
    took = f", {span(sum(durations))} of running time" if durations else ""
    return f"{total} run{'' if total == 1 else 's'}: {', '.join(parts)}{took}."


def span(seconds: float) -> str:
    """Return a duration for people.

    >>> span(4.2), span(75), span(7320)
    ('4.2 s', '1.2 min', '2.0 h')
    """
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def reasons(table: RunTable, states: Sequence[RunState]) -> list[Reasons]:
    """Return the runs in these states by reason, the commonest first; numbers in a reason make no other one."""
    groups: dict[str, list[Row]] = {}
    for row in table.rows:
        if row.state in states:
            groups.setdefault(re.sub(r"[-+]?\d[\d.e+-]*", "#", row.reason), []).append(row)
    found = [Reasons(reason=rows[0].reason or "no reason recorded", rows=tuple(rows)) for rows in groups.values()]
    return sorted(found, key=lambda group: (-len(group.rows), group.rows[0].number))


def saved(table: RunTable) -> str:
    """Return what stopping runs early saved, and what an audit of it found; "" when nothing is known of either.

    A stopped run would have gone on at its own pace, where it reported: its seconds a report times the reports that it
    lacks of a finished run's median. One that lacks none counts with the median duration of a finished run. On GPUs it
    is their time: a run of two takes two seconds of it in one.
    """
    return " ".join(filter(None, [_spared(table), *audit_sentences(table)]))


def _spared(table: RunTable) -> str:
    stopped = [row for row in table.rows if row.state is RunState.STOPPED and row.duration_s is not None]
    whole = [row for row in table.rows if row.state is RunState.FINISHED and row.duration_s is not None]
    if not whole or not stopped:
        return ""
    took = [row.duration_s or 0.0 for row in whole]
    typical, reports = median(took), median([row.reports for row in whole])
    spared = sum(_left(row, typical, reports) * _gpus(row) for row in stopped)
    stops = "1 run was" if len(stopped) == 1 else f"{len(stopped)} runs were"
    if not spared:
        return f"{stops} stopped early, with nothing left that a finished run does: no time was saved."
    share = spared / (spared + sum((row.duration_s or 0.0) * _gpus(row) for row in (*whole, *stopped)))
    time = "GPU time" if any(map(_on_gpu, (*whole, *stopped))) else "running time"
    pace = f"at the pace of each that saved about {span(spared)}, {share:.0%} of the {time}"
    return f"{stops} stopped early; {pace}."


def _on_gpu(row: Row) -> bool:
    return str(row.facts.get("device", "")).startswith("gpu ")


def _gpus(row: Row) -> int:
    """Return how many GPUs a run had; 1 for one that had none, or of which nobody knows."""
    return str(row.facts["device"]).count(",") + 1 if _on_gpu(row) else 1


def _left(row: Row, typical: float, reports: float) -> float:
    """Return the seconds that a stopped run would have taken further."""
    took = row.duration_s or 0.0
    if 0 < row.reports < reports:
        return took / row.reports * (reports - row.reports)
    return max(0.0, typical - took)
