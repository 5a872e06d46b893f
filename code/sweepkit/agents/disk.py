"""Whether the disk of a sweep's files has room, now and lately.

A program that fails for want of room often cannot say so: its traceback would have to be written to the same disk. And
its agent may learn of its end late, when there is room again, because the record was on the same disk and could not be
written either. So the agent keeps in mind when it last saw the disk full.
"""

import math
import os
import time
from pathlib import Path

__all__ = ["DiskWatch"]

_ROOM_BYTES = 65_536


class DiskWatch:
    """Watch the disk of a folder; any thread may ask.

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
