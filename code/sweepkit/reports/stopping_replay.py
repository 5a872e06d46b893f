"""What stopping rules would have done with a sweep's runs, as a table for a terminal and as values for JSON."""

from collections.abc import Sequence
from typing import Any

from sweepkit.analysis.stopping_audit import audit_sentences, rule_words
from sweepkit.analysis.stopping_replay import Replayed, replayed_or_refused
from sweepkit.analysis.table import RunTable

_NOTE = (
    "Replayed on the curves that this sweep has, in the order in which its reports came; other runs would have been "
    "made in the time that a rule frees."
)
_UNKNOWN = (
    "At least: of runs that the sweep stopped itself only the beginning is known, and a rule may have let them go on."
)


def replay_text(table: RunTable) -> str:
    """Return the replay as lines: a row for each rule, the sweep's own first.

    Raises:
        SweepKitError: The sweep cannot be replayed.
    """
    found = replayed_or_refused(table)
    rows = [("rule", "epochs used", "stopped", "best reached", "regret", "stops the winner"), *map(_cells, found)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    notes = [_NOTE, *([_UNKNOWN] if any(item.unknown for item in found) else [])]
    return "\n".join([f"{table.name}: {len(table.rows)} runs", *lines, *notes, *audit_sentences(table)[:1]])


def _cells(item: Replayed) -> tuple[str, ...]:
    own = " (the sweep's own)" if item.own else ""
    least = ">= " if item.unknown else ""
    return (
        f"{rule_words(item.rule)}{own}",
        f"{least}{item.used:.1%}",
        str(item.stopped),
        f"{item.best:.5g}",
        f"{item.regret:.3g}",
        "yes" if item.stops_winner else "no",
    )


def replay_plain(found: Sequence[Replayed]) -> list[dict[str, Any]]:
    """Return the replay as values for JSON."""
    return [
        {
            "rule": rule_words(item.rule),
            "own": item.own,
            "epochs_used": round(item.used, 4),
            "stopped": item.stopped,
            "unknown": item.unknown,
            "best": item.best,
            "regret": item.regret,
            "stops_winner": item.stops_winner,
        }
        for item in found
    ]
