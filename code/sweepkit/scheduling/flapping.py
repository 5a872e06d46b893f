"""When a slot is broken, and when everything is: from the order in which runs ended to who gets no more. Pure.

A slot on which every run fails would otherwise eat a sweep within minutes, for it is always the first to be free.
"""

from collections.abc import Sequence
from dataclasses import dataclass

SLOT_FAILURES = 3
SWEEP_FAILURES = 10


@dataclass(frozen=True, slots=True)
class EndedAttempt:
    """An attempt that ended: on which slot, and whether it failed by no decision of ours."""

    slot: int
    failed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What follows from the attempts so far.

    Args:
        quarantined: Slots that shall get no further run.
        everything: Why the sweep shall be given up, "" while it shall not.
    """

    quarantined: frozenset[int] = frozenset()
    everything: str = ""


def guard(ended: Sequence[EndedAttempt], *, slots: int) -> Guard:
    """Return which slots are broken, or that everything is.

    A slot is broken when its last SLOT_FAILURES attempts failed, while since the first of them another slot has had a
    success: the program works, the slot does not. Everything is broken when the last SWEEP_FAILURES attempts, or three
    times as many as there are slots if that is more, failed on whatever slot: even a space of which half cannot run
    does that once in a thousand.

    Args:
        ended: Attempts in the order of their ends; those that the agent itself ended are left out.
        slots: How many slots the agent has, >= 1.

    >>> failed, worked = EndedAttempt(0, failed=True), EndedAttempt(1, failed=False)
    >>> guard([failed, worked, failed, worked, failed], slots=2).quarantined
    frozenset({0})
    """
    limit = max(SWEEP_FAILURES, 3 * slots)
    if len(ended) >= limit and all(item.failed for item in ended[-limit:]):
        return Guard(everything=f"the last {limit} runs all failed")
    quarantined = {slot for slot in {item.slot for item in ended} if _is_broken(slot, ended)}
    return Guard(quarantined=frozenset(quarantined))


def _is_broken(slot: int, ended: Sequence[EndedAttempt]) -> bool:
    """Return whether the last attempts of a slot failed while another slot had a success."""
    own = [position for position, item in enumerate(ended) if item.slot == slot][-SLOT_FAILURES:]
    if len(own) < SLOT_FAILURES or not all(ended[position].failed for position in own):
        return False
    return any(item.slot != slot and not item.failed for item in ended[own[0] :])
