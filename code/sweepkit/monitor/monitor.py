"""Take a snapshot again and again, show it, say with an exit code how it ended."""

import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from sweepkit.analysis.progress import verdict
from sweepkit.errors import SweepKitError
from sweepkit.monitor.options import MonitorOptions
from sweepkit.monitor.render import Picture
from sweepkit.monitor.screens import make_screen
from sweepkit.monitor.usage import GpuUsage, ProcessUsage
from sweepkit.monitor.watched_sweeps import RecordedSweeps, WandbSweep
from sweepkit.text.shown import say

_NOT_YET = 1
_LONGEST_WAIT_S = 300.0  # between two tries at a W&B server that does not answer


class WebView(Protocol):
    """What shows the sweeps in a browser beside the monitor: where it is, and what should be known of it ("")."""

    @property
    def url(self) -> str:
        """Return the URL to open."""
        ...

    @property
    def problem(self) -> str:
        """Return what is wrong with it now, "" for nothing."""
        ...


# Serves the live page: of a database, the folder of its sweeps, the sweep to open (None: the list), on a port.
PageMaker = Callable[[str, Path, str | None, int | None], AbstractContextManager[WebView]]


def watch(options: MonitorOptions, page: PageMaker | None = None) -> int:
    """Watch sweeps until they end or what is waited for is there; return the exit code.

    Args:
        options: What to watch, and how.
        page: Serves the live page, for `options.web`.

    Returns:
        0 done, also Ctrl-C when nothing is waited for; 1 `once` and `until`: not yet; 3 a run failed, or the sweep
        ended badly; 4 it is stalled; 130 Ctrl-C.

    Raises:
        SweepKitError: There is nothing to watch, or it cannot be read at first.
    """
    with ExitStack() as stack:
        monitor = _Monitor(options, stack, page)
        try:
            return monitor.run()
        except KeyboardInterrupt:
            return 130 if options.until else 0


def polite_s(interval_s: float, misses: int) -> float:
    """Return the seconds to the next snapshot of a W&B server that did not answer the last `misses` times.

    >>> [polite_s(10.0, misses) for misses in (0, 1, 3, 9)], polite_s(600.0, 2)
    ([10.0, 20.0, 80.0, 300.0], 600.0)
    """
    return max(interval_s, min(_LONGEST_WAIT_S, interval_s * 2.0**misses))


class _Monitor:
    """Snapshots until the sweeps end, or what is waited for is there."""

    def __init__(self, options: MonitorOptions, stack: ExitStack, page: PageMaker | None) -> None:
        self._options = options
        self._page = page
        self._stack = stack
        self._sweeps = WandbSweep(options) if options.wandb else RecordedSweeps(options, stack)
        self._processes, self._gpus = ProcessUsage(), GpuUsage()
        self._views: list[tuple[str, WebView]] = []
        self._wake = threading.Event()
        self._misses = 0  # snapshots in a row that met no record

    def run(self) -> int:
        """Return the exit code."""
        options = self._options
        picture = self._picture()  # a record that cannot be read at first is an error, later it is waited for
        with make_screen(as_json=options.json) as screen:
            if (options.web or options.optuna_dashboard) and isinstance(self._sweeps, RecordedSweeps):
                what = "page" if options.web else "dashboard"
                screen.show(replace(picture, notes=(*self._notes(), f"the {what} starts …")))
                self._views.append((what, self._stack.enter_context(self._opened(self._sweeps, picture))))
                picture = replace(picture, notes=self._notes())
            while True:
                screen.show(picture)
                # What has ended is left when all of it has been read, and not before.
                left = None if self._sweeps.unread else verdict(picture.sweeps, options.until)
                if left is not None and (options.until or options.once or self._may_leave()):
                    break
                if options.once:
                    return _NOT_YET if options.until else 0
                self._wake.wait(self._wait_s())
                picture = self._next(picture)
        if not options.until:
            return 0
        if left.code:
            say(left.reason, file=sys.stderr)
        return left.code

    def _opened(self, sweeps: RecordedSweeps, picture: Picture) -> AbstractContextManager[WebView]:
        """Return what is shown in the browser."""
        if self._page is None or not self._options.web:
            return sweeps.dashboard(self._options.port)
        name = picture.sweeps[0].name if len(picture.sweeps) == 1 and not self._options.all else None
        return self._page(sweeps.storage, sweeps.output_dir, name, self._options.port)

    def _may_leave(self) -> bool:
        """Return whether the end of all sweeps ends the view: not while a browser shows it, or more may come."""
        return not self._views and not self._options.all

    def _picture(self) -> Picture:
        sweeps = self._sweeps.snapshots()
        live = [attempt for follower in self._sweeps.followers.values() for attempt in follower.live]
        uses = self._processes.of(live)
        curves = self._sweeps.curves(sweeps[0]) if len(sweeps) == 1 else {}
        return Picture(sweeps=sweeps, uses=uses, gpus=tuple(self._gpus.read()), notes=self._notes(), curves=curves)

    def _next(self, before: Picture) -> Picture:
        """Return the picture of now; the one before, with a note, while the record is away."""
        try:
            picture = self._picture()
        except SweepKitError as error:
            self._misses += 1
            return replace(before, notes=(*self._notes(), f"the database cannot be read now, trying again: {error}"))
        self._misses = 0
        return picture

    def _wait_s(self) -> float:
        """Return the seconds to the next snapshot."""
        interval_s = self._options.refresh_interval
        if not self._options.wandb:
            return interval_s
        return 0.0 if self._sweeps.unread and not self._misses else polite_s(interval_s, self._misses)

    def _notes(self) -> tuple[str, ...]:
        notes = list(self._sweeps.notes)
        for what, view in self._views:
            notes.append(f"{what}: {view.url}")
            notes += [view.problem] if view.problem else []
        return tuple(notes)
