"""Live progress of a sweep: a rich display on a terminal, plain lines elsewhere, JSON lines for machines."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Protocol

from sweepkit.analysis.ranking import AnyRun, BestSoFar
from sweepkit.model.configurations import Configuration
from sweepkit.model.events import Event, Notice, RunChanged, RunEnded, RunReported, RunStarted
from sweepkit.model.objectives import values_of
from sweepkit.model.pace import spacing_s, window
from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunState
from sweepkit.reports.table import short, values_row, values_text
from sweepkit.reports.terminal import make_console, make_live
from sweepkit.sweep_config.sweep import SweepSpec
from sweepkit.text.json_text import json_text
from sweepkit.text.nested_tables import flattened
from sweepkit.text.shown import say

_LEAST_WORDS, _NARROW_BAR, _WIDE_BAR = 72, 8, 24  # columns of the display's first line


class View(Protocol):
    """Whatever shows a sweep: a callback for events, and a context while it lasts."""

    def __call__(self, event: Event) -> None:
        """Take in an event, from any thread."""
        ...

    def open(self) -> None:
        """Begin to show."""
        ...

    def close(self) -> None:
        """Restore the terminal."""
        ...


class Tally:
    """The counts, the best run and the remaining time of a sweep, kept from its events; not thread-safe.

    Taking an event and asking costs the same however many runs there are: both happen at every event.

    Args:
        spec: The sweep.
        runs: Its runs so far.
        total: How many there will be; None where there is no end of them.
        workers: How many are under way at once, >= 1.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        spec: SweepSpec,
        runs: list[RunRecord],
        *,
        total: int | None,
        workers: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._ends: deque[float] = deque(maxlen=window(workers) + 1)
        self.spec = spec
        self.total = total
        self.workers = workers
        self._states: dict[str, RunState] = {run.run_id: run.state for run in runs}
        self._counts = Counter(self._states.values())
        self.running: dict[str, RunStarted] = {}
        self.newest: dict[str, RunReported] = {}
        self._best = BestSoFar(spec.objectives, spec.extensions.seed_parameter)
        self._duration_s, self._durations = 0.0, 0
        for run in runs:
            self._consider(run)
            if run.state.done and (duration := run.outcome.get("duration_s")):
                self._note_duration(float(duration))

    def take(self, event: Event) -> None:
        """Update from one event."""
        if isinstance(event, RunStarted):
            self.running[event.run.run_id] = event
            self._note_state(event.run.run_id, RunState.RUNNING)
        elif isinstance(event, RunReported):
            self.newest[event.run_id] = event
        elif isinstance(event, RunEnded):
            self.running.pop(event.run.run_id, None)
            self.newest.pop(event.run.run_id, None)
            self._note_state(event.run.run_id, event.run.state)
            self._consider(event.run)
            if event.run.state.done:
                self._note_duration(event.duration_s)
                self._ends.append(self._clock())
        elif isinstance(event, RunChanged):
            if event.view.state.done and not self._is_done(event.view.run_id):
                self._ends.append(self._clock())
            self._note_state(event.view.run_id, event.view.state)
            self._consider(event.view)

    def _is_done(self, run_id: str) -> bool:
        state = self._states.get(run_id)
        return state is not None and state.done

    def _note_state(self, run_id: str, state: RunState) -> None:
        before = self._states.get(run_id)
        if before is not None:
            self._counts[before] -= 1
        self._states[run_id] = state
        self._counts[state] += 1

    def _note_duration(self, seconds: float) -> None:
        self._duration_s += seconds
        self._durations += 1

    def _consider(self, run: AnyRun) -> None:
        if run.state.ended_well:
            self._best.take(run)

    @property
    def best(self) -> Configuration[AnyRun] | None:
        """Return the best configuration by the one metric; None before there is one."""
        return self._best.best

    @property
    def front(self) -> list[Configuration[AnyRun]]:
        """Return the configurations that no other one beats on several objectives; [] with one."""
        return self._best.front

    def count(self, *states: RunState) -> int:
        """Return how many runs are in those states."""
        return sum(self._counts[state] for state in states)

    @property
    def done(self) -> int:
        """Return how many runs are done."""
        return sum(number for state, number in self._counts.items() if state.done)

    def eta_s(self) -> float | None:
        """Return the seconds that the rest will take; None before anything is known.

        Runs as long as those so far on average, or at the pace of the newest ones when that is slower: what lies
        between two runs counts, too.
        """
        if self.total is None or not self._durations:
            return None
        rest = max(0, self.total - self.done)
        spacing = self._duration_s / self._durations / self.workers
        return rest * max(spacing, spacing_s(tuple(self._ends), self._clock(), self.workers) or 0.0)

    def words(self) -> str:
        """Return the counts in words."""
        parts = [f"{self.done}/{'?' if self.total is None else self.total} done"]
        for state in (RunState.RUNNING, RunState.STOPPED, RunState.DIVERGED, RunState.FAILED):
            if number := self.count(state):
                parts.append(f"{number} {state.value}")
        if best := self.best:
            of = whose(best.key, len(best.runs), f"run {best.first.run_id}")
            parts.append(f"best {best.value:.5g} ({of})")
        if front := self.front:
            parts.append(f"front of {len(front)}")
        eta = self.eta_s()
        if eta is not None and self.done < (self.total or 0):
            parts.append(f"{clock(eta)} left")
        return ", ".join(parts)


def whose(configuration: Hashable | None, seeds: int, run: str) -> str:
    """Return whose value the best one is: a run's, or the mean over the runs of a configuration.

    Args:
        configuration: What it is known by (`model.configurations.configuration_key`).
        seeds: How many of its runs count.
        run: The first of them in words.

    >>> whose(("lr=1",), 1, "run a"), whose(("lr=1",), 2, "run a"), whose(3, 2, "run a")
    ('run a', 'mean over 2 seeds, run a the first', 'mean of configuration 3')
    """
    if isinstance(configuration, int):
        return f"mean of configuration {configuration}"
    return run if seeds == 1 else f"mean over {seeds} seeds, {run} the first"


def clock(seconds: float) -> str:
    """Return a duration for people.

    >>> clock(9.4), clock(75), clock(3700)
    ('9 s', '1:15', '1:01:40')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{secs:02}" if hours else f"{minutes}:{secs:02}"


def configuration(params: Mapping[str, Any]) -> str:
    """Return a configuration on one line."""
    return "  ".join(f"{name}={short(value)}" for name, value in flattened(params).items())


def _ending(event: RunEnded, spec: SweepSpec) -> str:
    """Return the line that says how a run ended."""
    run = event.run
    text = values_text(values_of(run, spec.objectives), spec)
    shown = f"  {text}" if text else ""
    state = "again" if run.state is RunState.PENDING else run.state.value
    reason = "" if run.state is RunState.FINISHED else f"  {run.reason}"
    head = f"run {run.number:>3} {run.run_id}  {state:<8}{shown}"
    return f"{head}  {configuration(run.params)}  {event.duration_s:.1f} s{reason}"


_WRITING = threading.Lock()  # of all sweeps of a call: no two lines share one


def _write_line(text: str) -> None:
    """Write one line to stdout, whole, whoever else writes."""
    with _WRITING:
        say(text, flush=True)


class PlainView:
    """Plain lines, for logs and pipes: one per ended run with the counts, one per notice.

    Args:
        tally: The sweep's counts.
        sweep: Its name, put before each line where several are shown; "" otherwise.
    """

    def __init__(self, tally: Tally, *, sweep: str = "") -> None:
        self.tally = tally
        self._before = f"{sweep}: " if sweep else ""
        self.lock = threading.Lock()

    def open(self) -> None:
        """Say where the sweep stands."""
        _write_line(f"{self._before}{self.tally.words()}")

    def close(self) -> None:
        """Nothing to restore."""

    def __call__(self, event: Event) -> None:
        """Print what ended."""
        with self.lock:
            self.tally.take(event)
            if isinstance(event, Notice):
                _write_line(f"{self._before}{'warning: ' if event.warning else ''}{event.text}")
            elif isinstance(event, RunEnded):
                _write_line(f"{self._before}{_ending(event, self.tally.spec)}  [{self.tally.words()}]")


class JsonView:
    """One JSON object a line on stdout: every event.

    Args:
        tally: The sweep's counts.
        sweep: Its name, a key of each object where several are shown; "" otherwise.
    """

    def __init__(self, tally: Tally, *, sweep: str = "") -> None:
        self.tally = tally
        self._more = {"sweep": sweep} if sweep else {}
        self.lock = threading.Lock()

    def open(self) -> None:
        """Nothing to begin."""

    def close(self) -> None:
        """Nothing to restore."""

    def __call__(self, event: Event) -> None:
        """Print the event."""
        with self.lock:
            self.tally.take(event)
            if isinstance(event, RunChanged):
                return  # whoever made that run reports it
            _write_line(json_text({**self._plain(event), **self._more}))

    def _plain(self, event: RunStarted | RunReported | RunEnded | Notice) -> dict[str, Any]:
        if isinstance(event, Notice):
            return {"event": "notice", "warning": event.warning, "text": event.text}
        if isinstance(event, RunReported):
            return {"event": "report", "run_id": event.run_id, "number": event.number, "values": dict(event.values)}
        run = event.run
        plain: dict[str, Any] = {
            "event": "run_started" if isinstance(event, RunStarted) else "run_ended",
            "run_id": run.run_id,
            "number": run.number,
            "name": run.name,
            "params": dict(run.params),
        }
        if isinstance(event, RunStarted):
            return {**plain, "slot": event.slot, "device": event.device, "warm": event.warm, "attempt": event.ordinal}
        return {
            **plain,
            "state": run.state.value,
            **values_row(run, self.tally.spec),
            "reason": run.reason,
            "duration_s": round(event.duration_s, 4),
        }


class Screen:
    """The foot of the terminal, which the views of several sweeps share. Shown while one of them is open."""

    def __init__(self) -> None:
        self.console = make_console()
        self.views: list[RichView] = []
        self.live = make_live(self.console, get_renderable=self.render, refresh_per_second=8)

    def show(self, view: "RichView") -> None:
        """Add a sweep."""
        self.views.append(view)
        if len(self.views) == 1:
            self.live.start()

    def hide(self, view: "RichView") -> None:
        """Leave a sweep's last state on the screen once all of them are over."""
        view.closed = True
        if all(other.closed for other in self.views):
            self.live.stop()

    def render(self) -> Any:
        """Return all sweeps, one below the other."""
        from rich.console import Group

        return Group(*(view.render() for view in self.views))


class RichView:
    """A live display of one sweep at the foot of the terminal; ended runs and notices scroll above it.

    Args:
        tally: The sweep's counts.
        title: Its name.
        screen: The terminal.
        named: Lines above the display say whose they are.
    """

    def __init__(self, tally: Tally, title: str, screen: Screen, *, named: bool = False) -> None:
        self.tally = tally
        self.title = title
        self.screen = screen
        self.closed = False
        self.lock = threading.Lock()
        self.began = time.monotonic()
        self._before = f"{title}: " if named else ""

    def open(self) -> None:
        """Show the display."""
        self.screen.show(self)

    def close(self) -> None:
        """Leave the last state on the screen."""
        self.screen.hide(self)

    def __call__(self, event: Event) -> None:
        """Update the display; print what ended above it."""
        styles = {
            "finished": "green",
            "stopped": "yellow",
            "diverged": "magenta",
            "failed": "red",
        }
        with self.lock:
            self.tally.take(event)
        if isinstance(event, Notice):
            text = f"{self._before}{event.text}"
            self.screen.console.print(text, style="yellow" if event.warning else "dim", highlight=False, soft_wrap=True)
        elif isinstance(event, RunEnded):
            text = f"{self._before}{_ending(event, self.tally.spec)}"
            self.screen.console.print(text, style=styles.get(event.run.state.value, "cyan"), highlight=False)

    def render(self) -> Any:
        """Return the display: a line for the sweep, one for each running run."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        from sweepkit.reports.terminal import plain

        with self.lock:
            head = Table.grid(padding=(0, 1))
            room = self.screen.console.width - _LEAST_WORDS
            width = max(_NARROW_BAR, min(_WIDE_BAR, room))
            bar = ProgressBar(total=self.tally.total or 100, completed=self.tally.done, width=width)
            head.add_row(
                plain(self.title, style="bold"),
                bar,
                plain(self.tally.words(), no_wrap=True, overflow="ellipsis"),
                plain(clock(time.monotonic() - self.began), style="dim"),
            )
            lines = [self._running_line(started) for started in self.tally.running.values()]
        return Group(head, *lines)

    def _running_line(self, started: RunStarted) -> Any:
        from sweepkit.reports.terminal import plain

        newest = self.tally.newest.get(started.run.run_id)
        line = f"  [{started.device}] run {started.run.number:>3} {started.run.run_id}  "
        if newest is None:
            line += "starting" if not started.warm else "started warm"
        else:
            line += f"report {newest.reports}"
            if newest.value is not None:
                line += f"  {newest.value:.5g}"
            for metric in self.tally.spec.metrics:
                if metric.name in newest.values:
                    line += f"  {metric.name}={newest.values[metric.name]:.5g}"
            if newest.margin is not None:
                line += f"  (margin {newest.margin:+.3g})"
        return plain(f"{line}  {configuration(started.run.params)}", style="cyan", no_wrap=True, overflow="ellipsis")
