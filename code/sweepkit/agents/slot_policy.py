"""Which run may go to which slot now: pauses, runs to try elsewhere, quarantined slots. In memory, of one agent."""

import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sweepkit.agents.slots import Slot
from sweepkit.model.runs import RunState
from sweepkit.scheduling.failures import FailureKind
from sweepkit.scheduling.flapping import EndedAttempt, guard
from sweepkit.scheduling.outcome import AttemptOutcome

_REMEMBERED = 200  # ended attempts that the guard looks at, at most
_BLAMELESS = (FailureKind.PREEMPTED, FailureKind.CROWDED_OUT)  # neither the run's fault nor its slot's
_ROOM_BYTES = 65_536  # less free than that is full: a traceback could not have been written


class SlotPolicy:
    """What follows from failures for the slots of an agent; thread-safe.

    It is not recorded: an agent that starts anew gives every slot and every run another chance.

    Args:
        slots: The agent's slots.
        clock: Seconds, monotonic.

    Attributes:
        quarantined: Indices of the slots that get no further run.
        everything_fails: Why the sweep shall be given up, "" while it shall not.
    """

    def __init__(self, slots: Sequence[Slot], *, clock: Callable[[], float] = time.monotonic) -> None:
        self.quarantined: frozenset[int] = frozenset()
        self.everything_fails = ""
        self._slots = tuple(slots)
        self._clock = clock
        self._lock = threading.Lock()
        self._ended: list[EndedAttempt] = []
        self._pauses: dict[str, float] = {}
        self._avoid: dict[str, set[int]] = {}

    @property
    def none_left(self) -> bool:
        """Return whether no slot gets a further run."""
        return len(self.quarantined) == len(self._slots)

    def has_other(self, slot: Slot) -> bool:
        """Return whether a slot with other GPUs is in use: all cores of one machine share its memory."""
        return any(
            other.gpus != slot.gpus and other.index not in self.quarantined for other in self._slots if other.gpus
        )

    def excluded_runs(self, slot: Slot) -> set[str]:
        """Return the runs that this slot may not have now."""
        with self._lock:
            now = self._clock()
            self._pauses = {run_id: until for run_id, until in self._pauses.items() if until > now}
            usable = {item.index for item in self._slots} - self.quarantined
            avoided = {run_id for run_id, slots in self._avoid.items() if slot.index in slots and usable - slots}
            return {*self._pauses, *avoided}

    def ended(self, run_id: str, slot: Slot, outcome: AttemptOutcome) -> list[str]:
        """Take note of how an attempt ended; return a notice of each slot that it quarantined."""
        with self._lock:
            self._avoid.pop(run_id, None) if outcome.state.done else None
            if outcome.state is RunState.PENDING and outcome.pause_s:
                self._pauses[run_id] = self._clock() + outcome.pause_s
            if outcome.state is RunState.PENDING and outcome.elsewhere:
                peers = {other.index for other in self._slots if other.gpus == slot.gpus and other.gpus}
                self._avoid.setdefault(run_id, set()).update(peers or {slot.index})
            notices = []
            if outcome.quarantine and slot.index not in self.quarantined:
                notices.append(self._quarantine(slot.index, outcome.reason))
            blameless = outcome.failed is not None and outcome.failed.kind in _BLAMELESS
            if outcome.state.done or (outcome.failed is not None and not blameless):
                failed = outcome.failed is not None and outcome.state is not RunState.DIVERGED
                self._ended = [*self._ended[1 - _REMEMBERED :], EndedAttempt(slot.index, failed)]
                notices += self._guarded()
            return notices

    def exclude(self, index: int) -> None:
        """Quarantine a slot that another sweep's runs found to be unusable."""
        with self._lock:
            self.quarantined = self.quarantined | {index}

    def _guarded(self) -> list[str]:
        """Apply the guard; return a notice of each slot that it quarantined."""
        found = guard(self._ended, slots=max(1, len(self._slots) - len(self.quarantined)))
        self.everything_fails = self.everything_fails or found.everything
        return [
            self._quarantine(index, "its last runs all failed")
            for index in sorted(found.quarantined - self.quarantined)
        ]

    def _quarantine(self, index: int, why: str) -> str:
        self.quarantined = self.quarantined | {index}
        device = next(slot.device for slot in self._slots if slot.index == index)
        return f"slot {index} ({device}) gets no further run: {why}"


class DiskWatch:
    """Watch the disk of a sweep's files; any thread may ask.

    A program that fails for want of room often cannot say so: its traceback would have to be written to the same disk.
    And its agent may learn of its end late, when there is room again, because the record was on the same disk and could
    not be written either. So the agent keeps in mind when it last saw the disk full.

    Args:
        folder: Any folder on the disk; one that is not there is not full.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._full_at = -math.inf

    def full(self) -> bool:
        """Return whether fewer than 64 KiB are free now: a traceback could not have been written."""
        try:
            disk = os.statvfs(self._folder)
        except OSError:
            return False
        if disk.f_bavail * disk.f_frsize >= _ROOM_BYTES:
            return False
        self._full_at = time.monotonic()
        return True

    def full_since(self, when: float) -> bool:
        """Return whether the disk is full, or was seen full at or after `when`, in seconds of the monotonic clock."""
        return self.full() or self._full_at >= when
