"""`monitor_sweep.py`: find what to watch, look again and again, show it, say with the exit code how it ended."""

import difflib
import os
import signal
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

from sweepkit.cli.guard import guarded
from sweepkit.cli.monitor_options import parse
from sweepkit.errors import SweepKitError
from sweepkit.paths import OUTPUT_DIR, STORE_NAME, SweepPaths

if TYPE_CHECKING:
    from sweepkit.analysis.progress import Snapshot
    from sweepkit.model.records import SweepRecord
    from sweepkit.monitor.dashboard import Dashboard
    from sweepkit.monitor.render import Picture
    from sweepkit.store.watch import Watch

_NOT_YET = 1
_LONGEST_LIST = 20
_READING_S = 10.0  # histories of a W&B sweep are read so long before the picture is shown
_LONGEST_WAIT_S = 300.0  # between two tries at a W&B server that does not answer


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = parse(argv, output_dir=OUTPUT_DIR)
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        with ExitStack() as stack:
            monitor = _Monitor(options, stack)
            try:
                return monitor.run()
            except KeyboardInterrupt:
                return 130 if options.until else 0
    finally:
        signal.signal(signal.SIGTERM, previous)


def _terminate(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)  # so that what we started ends with us


# -- what to watch -----------------------------------------------------------------------------------------------------


def locate(options: Namespace) -> tuple[str, Path, str | None]:
    """Return the record to open, the folder of its sweeps, and the sweep's name or folder name (None: not named)."""
    output_dir: Path = options.output_dir
    wanted: str | None = options.sweep
    folder = Path(os.path.abspath(Path(wanted).expanduser())) if wanted is not None else None
    if wanted is not None and folder is not None and folder.is_dir():
        if (folder / STORE_NAME).exists():
            output_dir, wanted = folder, None
        elif folder.name.startswith("sweep_"):
            output_dir, wanted = folder.parent, folder.name
        elif "/" in wanted:
            raise SweepKitError(
                f"{wanted}: must be a sweep's folder (sweep_NAME) or one that holds {STORE_NAME}, got another one; "
                "name the sweep instead"
            )
    return options.storage or str(output_dir / STORE_NAME), output_dir, wanted


def choose(sweeps: "Sequence[SweepRecord]", wanted: str | None, options: Namespace, label: str) -> "SweepRecord":
    """Return the sweep of that name (or folder name); without one the only sweep.

    Raises:
        SweepKitError: There is none, or more than one could be meant.
    """
    names = [sweep.name for sweep in sweeps]
    if wanted is None:
        if len(sweeps) == 1:
            return sweeps[0]
        got = f"{len(names)}: {', '.join(names[:_LONGEST_LIST])}" if names else "none"
        what = "name one of them, or give --all" if names else "start one with sweep_runner.py"
        raise SweepKitError(f"{label}: without a name there must be one sweep, got {got}; {what}")
    stem = wanted.removesuffix(".yaml").removesuffix(".yml")
    for name in (wanted, stem):
        for sweep in sweeps:
            if name in (sweep.name, SweepPaths(options.output_dir, sweep.name).root.name):
                return sweep
    near = difflib.get_close_matches(stem.removeprefix("sweep_"), names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"it has: {', '.join(names[:_LONGEST_LIST])}"
    raise SweepKitError(f"{label}: the sweep must be in the record, got {wanted!r}; {hint if names else 'it is empty'}")


class _Fleet:
    """The sweeps of a record that are watched: one, or all of them and those that come later."""

    unread = 0  # a look at a record reads all of it

    def __init__(self, options: Namespace, stack: ExitStack) -> None:
        from sweepkit.monitor.follow import Follower
        from sweepkit.store.watch import open_watch

        storage, self.output_dir, wanted = locate(options)
        self.store: Watch = open_watch(storage)
        stack.callback(self.store.close)
        self._make: Callable[[str], Follower] = lambda sweep_id: Follower(self.store, sweep_id)
        self._all: bool = options.all
        self.followers: dict[str, Follower] = {}
        self.mirror = self.output_dir / "optuna.db"
        self.notes: list[str] = []
        if not self._all:
            sweep = choose(self.store.sweeps(), wanted, options, self.store.label)
            self.followers[sweep.sweep_id] = self._make(sweep.sweep_id)
            self.mirror = SweepPaths(self.output_dir, sweep.name).root / "optuna.db"
            family = [other for other in self.store.sweeps(family=sweep.family) if other.generation > sweep.generation]
            if family:
                self.notes.append(f"{family[-1].name} is newer than {sweep.name}: --fresh began it anew")

    def look(self) -> "list[Snapshot]":
        """Return how every sweep stands now."""
        if self._all:
            for sweep in self.store.sweeps():
                if sweep.sweep_id not in self.followers:
                    self.followers[sweep.sweep_id] = self._make(sweep.sweep_id)
        return [follower.look() for follower in self.followers.values()]

    def dashboard(self, port: int | None) -> "Dashboard":
        """Return the dashboard of these sweeps."""
        from sweepkit.monitor.dashboard import Dashboard

        def shown() -> list[tuple[str, Any]]:
            followers = list(self.followers.items())
            return [(sweep_id, item.spec.space if item.spec else None) for sweep_id, item in followers]

        return Dashboard(self.store, self.mirror, shown, port=port)


def polite_s(interval_s: float, misses: int) -> float:
    """Return the seconds to the next look at a W&B server that did not answer the last `misses` ones.

    >>> [polite_s(10.0, misses) for misses in (0, 1, 3, 9)], polite_s(600.0, 2)
    ([10.0, 20.0, 80.0, 300.0], 600.0)
    """
    return max(interval_s, min(_LONGEST_WAIT_S, interval_s * 2.0**misses))


class _WandbFleet:
    """A sweep on W&B's server."""

    def __init__(self, options: Namespace) -> None:
        from sweepkit.wandb.reader import open_wandb_watch

        self._watch = open_wandb_watch(options.wandb, budget_s=None if options.once else _READING_S)
        self._begin()

    def _begin(self) -> None:
        from sweepkit.monitor.follow import Follower

        self.followers = {self._watch.path: Follower(self._watch, self._watch.path)}

    @property
    def unread(self) -> int:
        """Return how many runs have rows that no look has reached yet."""
        return self._watch.unread

    @property
    def notes(self) -> list[str]:
        """Return what a person should know of the numbers."""
        if not self.unread:
            return []
        runs = "1 run is" if self.unread == 1 else f"{self.unread} runs are"
        return [f"the histories of {runs} still to be read: until then the last value of each counts as its best"]

    def look(self) -> "list[Snapshot]":
        """Return how it stands now."""
        found = [follower.look() for follower in self.followers.values()]
        if self._watch.vanished:  # runs were deleted at W&B: what was kept of them must go
            self._begin()
            found = [follower.look() for follower in self.followers.values()]
        return found


# -- how it is shown ---------------------------------------------------------------------------------------------------


class _Screen(Protocol):
    """Where pictures go. A context manager."""

    def __enter__(self) -> "_Screen": ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, picture: "Picture") -> None:
        """Show a picture in place of the one before."""
        ...


class _Json:
    """One object a line."""

    def __enter__(self) -> "_Json":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to restore."""

    def show(self, picture: "Picture") -> None:
        """Print it."""
        from sweepkit.monitor.render import plain
        from sweepkit.text.json_text import json_text

        print(json_text(plain(picture)), flush=True)


class _Plain:
    """For pipes and logs: the whole picture at first and at last, in between a line whenever something changed."""

    def __init__(self) -> None:
        self._told: dict[str, str] = {}
        self._last: Picture | None = None
        self._whole: Picture | None = None

    def __enter__(self) -> "_Plain":
        return self

    def __exit__(self, *_: object) -> None:
        if self._last is not None and self._last is not self._whole:
            self._print(self._last)

    def show(self, picture: "Picture") -> None:
        """Print what is new in it."""
        from sweepkit.monitor.render import at_clock, headline

        if self._last is None:
            self._print(picture)
        lines = {item.name: headline(item) for item in picture.sweeps}
        if self._last is not None:
            for name, line in lines.items():
                if self._told.get(name) != line:
                    print(f"{at_clock(time.time())}  {line}", flush=True)
            for note in picture.notes:
                if note not in self._last.notes:
                    print(f"{at_clock(time.time())}  {note}", flush=True)
        self._told, self._last = lines, picture

    def _print(self, picture: "Picture") -> None:
        from sweepkit.monitor.render import as_text

        self._whole = picture
        print(as_text(picture), flush=True)


class _Terminal:
    """A terminal: the picture is redrawn in place, the last one stays."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, vertical_overflow="ellipsis")

    def __enter__(self) -> "_Terminal":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, picture: "Picture") -> None:
        """Draw it, as wide and high as the terminal is now."""
        from sweepkit.monitor.render import as_rich

        size = self._console.size
        self._live.update(as_rich(picture, width=size.width, height=size.height), refresh=True)


def _screen(options: Namespace) -> _Screen:
    if options.json:
        return _Json()
    return _Terminal() if sys.stdout.isatty() else _Plain()


# -- the loop ----------------------------------------------------------------------------------------------------------


class _Monitor:
    """Look, show, judge, wait, until something ends it."""

    def __init__(self, options: Namespace, stack: ExitStack) -> None:
        from sweepkit.monitor.usage import GpuUsage, ProcessUsage

        self._options = options
        self._stack = stack
        self._fleet: _Fleet | _WandbFleet = _WandbFleet(options) if options.wandb else _Fleet(options, stack)
        self._processes, self._gpus = ProcessUsage(), GpuUsage()
        self._dashboard: Dashboard | None = None
        self._wake = threading.Event()
        self._misses = 0  # looks in a row that met no record

    def run(self) -> int:
        """Return the exit code."""
        from sweepkit.analysis.progress import verdict

        options = self._options
        picture = self._picture()  # a record that cannot be read at first is an error, later it is waited for
        with _screen(options) as screen:
            if options.web and isinstance(self._fleet, _Fleet):
                screen.show(replace(picture, notes=(*self._notes(), "the dashboard starts …")))
                self._dashboard = self._stack.enter_context(self._fleet.dashboard(options.port))
                picture = replace(picture, notes=self._notes())
            while True:
                screen.show(picture)
                # What has ended is left when all of it has been read, and not before.
                left = None if self._fleet.unread else verdict(picture.sweeps, options.until or ())
                if left is not None and (options.until or options.once or self._may_leave()):
                    break
                if options.once:
                    return _NOT_YET if options.until else 0
                self._wake.wait(self._wait_s())
                picture = self._next(picture)
        if not options.until:
            return 0
        if left.code:
            print(left.reason, file=sys.stderr)
        return left.code

    def _may_leave(self) -> bool:
        """Return whether the end of all sweeps ends the view: not while a dashboard is open, or more may come."""
        return self._dashboard is None and not self._options.all

    def _picture(self) -> "Picture":
        from sweepkit.monitor.render import Picture

        sweeps = self._fleet.look()
        live = [attempt for follower in self._fleet.followers.values() for attempt in follower.live]
        return Picture(sweeps=sweeps, uses=self._processes.of(live), gpus=tuple(self._gpus.look()), notes=self._notes())

    def _next(self, before: "Picture") -> "Picture":
        """Return the picture of now; the one before, with a note, while the record is away."""
        try:
            picture = self._picture()
        except SweepKitError as error:
            self._misses += 1
            return replace(before, notes=(*self._notes(), f"the record cannot be read now, trying again: {error}"))
        self._misses = 0
        return picture

    def _wait_s(self) -> float:
        """Return the seconds to the next look."""
        interval_s: float = self._options.refresh_interval
        if not self._options.wandb:
            return interval_s
        return 0.0 if self._fleet.unread and not self._misses else polite_s(interval_s, self._misses)

    def _notes(self) -> tuple[str, ...]:
        notes = list(self._fleet.notes)
        if self._dashboard is not None:
            notes.append(f"dashboard: {self._dashboard.url}")
            notes += [self._dashboard.problem] if self._dashboard.problem else []
        return tuple(notes)
