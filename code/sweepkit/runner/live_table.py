"""`runs.csv` while a sweep runs: one writer, at most every few seconds, and never in a worker's way."""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence

from sweepkit.errors import StoreError
from sweepkit.model.records import RunRecord
from sweepkit.paths import SweepPaths
from sweepkit.reports.files import write_table
from sweepkit.sweep_config.sweep import SweepSpec

_EVERY_S = 5.0
_OF_THE_TIME = 0.05  # a table of 50,000 runs takes seconds of CPU: then it is written seldom


class LiveTable:
    """Write a sweep's table again some seconds after a run ended, in a thread of its own.

    Of several processes that run the sweep one writes: the others find its table fresh.

    Args:
        paths: The sweep's files.
        spec: The sweep.
        read: Returns its runs; may raise StoreError.
        every_s: Seconds between two tables, at least.
    """

    def __init__(
        self,
        paths: SweepPaths,
        spec: SweepSpec,
        read: Callable[[], Sequence[RunRecord]],
        *,
        every_s: float = _EVERY_S,
    ) -> None:
        self._paths, self._spec, self._read = paths, spec, read
        self._every_s = every_s
        self._changed = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True, name=f"table-{paths.root.name}")

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def touch(self) -> None:
        """Take note that a run has ended; costs nothing."""
        self._changed.set()

    def close(self) -> None:
        """Write no more; whoever closes writes the last table."""
        self._closed.set()
        self._changed.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        pause_s = self._every_s if self._paths.table.exists() else 0.0
        while not self._closed.wait(pause_s):
            self._changed.wait()
            if self._closed.is_set():
                return
            if self._is_fresh(pause_s):  # of another process
                continue
            self._changed.clear()
            began = time.thread_time()
            with contextlib.suppress(OSError, StoreError):  # it is written again, and at the end
                write_table(self._paths, self._spec, self._read())
            pause_s = max(self._every_s, (time.thread_time() - began) / _OF_THE_TIME)

    def _is_fresh(self, within_s: float) -> bool:
        try:
            return 0 <= time.time() - self._paths.table.stat().st_mtime < within_s
        except OSError:
            return False
