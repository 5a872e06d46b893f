"""Runs of several versions of one program: which run is of which. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

VERSION = "program_version"  # in a run's outcome
_Facts = Sequence[tuple[int, Mapping[str, Any]]]


def several_versions(facts: _Facts) -> bool:
    """Return whether runs are known to be of different versions of their program.

    Args:
        facts: Number and outcome of each run.
    """
    return len({outcome[VERSION] for _, outcome in facts if VERSION in outcome}) > 1


def versions_sentence(facts: _Facts, *, best: int | None = None) -> str:
    """Return which runs are of which version of the program, "" while all are of one.

    Args:
        facts: Number and outcome of each run.
        best: The number of the best run; None without one.

    >>> old, new = {VERSION: "aaa"}, {VERSION: "bbb"}
    >>> versions_sentence([(0, old), (1, old), (2, new)])
    'The program was changed while the sweep ran: runs 0-1 are of its version aaa, run 2 of bbb.'
    """
    if not several_versions(facts):
        return ""
    numbers: dict[str, list[int]] = {}
    for number, outcome in sorted(facts, key=lambda item: item[0]):
        if VERSION in outcome:
            numbers.setdefault(outcome[VERSION], []).append(number)
    said = [f"{_listed(found)} {{}} {digest}" for digest, found in numbers.items()]
    first = said[0].format("is of its version" if len(next(iter(numbers.values()))) == 1 else "are of its version")
    rest = [part.format("of") for part in said[1:]]
    newest = max((number, outcome[VERSION]) for number, outcome in facts if VERSION in outcome)[1]
    old = any(number == best and outcome.get(VERSION, newest) != newest for number, outcome in facts)
    more = " The best run is of an earlier version than the newest run." if old else ""
    return f"The program was changed while the sweep ran: {', '.join([first, *rest])}.{more}"


def _listed(numbers: Sequence[int]) -> str:
    """Return run numbers in words, neighbours as a range.

    >>> _listed([0, 1, 2, 5])
    'runs 0-2, 5'
    """
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    said = ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in spans)
    return f"run{'' if len(numbers) == 1 else 's'} {said}"
