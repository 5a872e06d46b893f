"""A tormentor: it kills, freezes and starves a sweep that runs, by seeded dice, and starts its runners again.

Acts are drawn from a shuffled deck, which is shuffled again when it is used up: every kind of act happens before one
happens twice. Only processes of the sweep's own runners are touched.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from postgres import PostgresServer
from stepped_clock import SteppedClock
from sweeping import Sweeper

from sweepkit.paths import CODE_DIR
from sweepkit.store.file_guard import damage_of

ADDED = ("--num-workers", "2")
LONGER_THAN_A_LEASE_S = 70.0
DISK_FULL_S = 120.0
STEPS_S = (-3600.0, -90.0, 0.0, 90.0, 3600.0)  # how far ahead the wall clock is set: a lease is 60 s
STARTS_WITHIN_S = 30.0
NOTICED_S = 120.0  # within which every runner has left a record that is gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Something that was done to the sweep, and when it was over (seconds of the monotonic clock)."""

    what: str
    over_at: float


class Runners:
    """The runner of a sweep, which is started again whenever it ends before the sweep does, and a second agent.

    Args:
        sweeper: The folder with the sweep `s.yaml` in it.
        options: Of the runner, as words.
        storage: `--storage URL`, which the second agent needs as well.
    """

    def __init__(self, sweeper: Sweeper, *, options: tuple[str, ...], storage: tuple[str, ...]) -> None:
        self.sweeper = sweeper
        self.main: subprocess.Popen[str] | None = None
        self.added: subprocess.Popen[str] | None = None
        self.starts = 0
        self.complete = False
        self.outputs: list[Path] = []
        self._options = ("--single-parallel", "s.yaml", *storage, *options, "--json")
        self._storage = storage
        self._adding = ("--join", "s", *storage, *ADDED, "--json")
        self._output_of: dict[int, Path] = {}

    def keep(self) -> None:
        """Start the runner if there is none, and take note when the sweep is over."""
        if self.added is not None and self._ended(self.added):
            self.added = None
        if self.main is not None and self._ended(self.main):
            self.main = None
        if self.main is None and not self.complete:
            self.main = self._start(self._options)

    def keep_none(self) -> None:
        """Take note of the end of all of them; none is started."""
        for process in (self.main, self.added):
            if process is not None:
                process.wait(60)
                self._ended(process)
        self.main = self.added = None

    def add(self) -> bool:
        """Start a second agent unless there is one; return whether it was started."""
        if self.added is not None:
            return False
        self.added = self._start(self._adding)
        return True

    @property
    def place(self) -> tuple[str, ...]:
        """Return what names the sweep's record and folder to a command."""
        return self._storage

    def alive(self) -> list["subprocess.Popen[str]"]:
        return [process for process in (self.main, self.added) if process is not None and process.poll() is None]

    def end(self) -> None:
        """Ask all of them to end, and wait."""
        for process in self.alive():
            process.send_signal(signal.SIGTERM)
        self.keep_none()

    def _start(self, options: tuple[str, ...]) -> "subprocess.Popen[str]":
        self.starts += 1
        path = self.sweeper.folder / f"runner{self.starts}.txt"
        self.outputs.append(path)
        with path.open("w") as output:
            process = self.sweeper.parallel(*options, stdout=output, stderr=output)
        self._output_of[process.pid] = path
        return process

    def _ended(self, process: "subprocess.Popen[str]") -> bool:
        if process.poll() is None:
            return False
        with contextlib.suppress(ValueError):
            self.sweeper.processes.remove(process)
        text = self._output_of[process.pid].read_text(encoding="utf-8")
        # 0: over, or preempted; 1: given up; 2: refused (no database, a full disk); 130: Ctrl-C; < 0: killed, or
        # signalled before it had begun to listen or when it had ceased to.
        killed = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT)
        assert process.returncode in (0, 1, 2, 130, *killed), (process.returncode, text[-2000:])
        assert "Traceback" not in text or text.rstrip().endswith("KeyboardInterrupt"), text[-4000:]
        for line in text.splitlines():
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                self.complete = self.complete or (event["event"] == "sweep_ended" and event["complete"])
        return True


class Tormentor:
    """Torment a sweep's runners.

    Args:
        runners: Its prey.
        dice: All chance comes from here.
        server: The PostgreSQL to drop and start again, or None.
        disk: A small disk that holds the sweep's output, to be filled, or None.
        record: The SQLite file to remove and to damage, or None.
        clock: The wall clock of the sweep's processes, or None.
        patient: Once in a deck something lasts longer than a lease: a freeze, a full disk, a record that is mended.

    Attributes:
        acts: What was done.
        mended: The record was damaged and mended.
    """

    def __init__(
        self,
        runners: Runners,
        dice: random.Random,
        *,
        server: PostgresServer | None,
        disk: Path | None,
        record: Path | None = None,
        clock: SteppedClock | None = None,
        patient: bool = False,
    ) -> None:
        self._patient = patient
        self._record = record
        self._clock = clock
        self.mended = False
        self.runners = runners
        self.acts: list[Act] = []
        self._dice = dice
        self._server = server
        self._disk = disk

    @property
    def kills(self) -> int:
        """How many acts were meant to end a process."""
        return sum("KILL" in act.what or "TERM" in act.what for act in self.acts)

    def torment(self, for_s: float, *, least_kills: int) -> None:
        """Act until the sweep is complete, or the time is over and there were kills enough, at most four times as long.

        Enough are `least_kills`, and one of them has made a run begin again.

        A loaded machine starts runners so slowly that the dice find hardly anything to kill in the time.
        """
        deck = self._decks()
        began = time.monotonic()
        while not self.runners.complete:
            spent_s = time.monotonic() - began
            if spent_s >= 4 * for_s or (spent_s >= for_s and self.kills >= least_kills and self._repeated()):
                break
            self.runners.keep()
            self._pause(0.2, 0.9)
            if self._patient and self._dice.random() < 0.7:
                self._await_work()
            act = next(deck)
            if (what := act()) is not None:
                self.acts.append(Act(what=what, over_at=time.monotonic()))

    def _await_work(self) -> None:
        """Let a run begin or end: on a loaded machine every runner would die while it starts."""
        path, began = self.runners.sweeper.folder / "journal", time.monotonic()
        size = path.stat().st_size if path.exists() else 0
        while time.monotonic() - began < STARTS_WITHIN_S and not self.runners.complete:
            if path.exists() and path.stat().st_size > size:
                return
            self._pause(0.05, 0.1)
            self.runners.keep()

    def _repeated(self) -> bool:
        starts = [line[1] for line in self.runners.sweeper.journal() if line[0] == "start"]
        return len(starts) > len(set(starts))

    def _decks(self) -> Iterator[Callable[[], str | None]]:
        deck = [
            lambda: self._signal_run(signal.SIGKILL),
            lambda: self._signal_run(signal.SIGKILL),
            lambda: self._signal_run(signal.SIGTERM),
            self._freeze_run,
            lambda: self._signal_server(signal.SIGKILL),
            lambda: self._signal_server(signal.SIGTERM),
            self._freeze_server,
            self._kill_undertaker,
            lambda: self._signal_runner(signal.SIGKILL),
            lambda: self._signal_runner(signal.SIGTERM),
            self._freeze_runner,
            self._kill_runner_and_server,
            self._kill_server_of_frozen_runner,
            self._kill_twice,
            self._kill_all,
            self._delete_files,
            self._damage_files,
            self._add,
            self._remove,
        ]
        deck += [self._freeze_for_a_lease] if self._patient else []
        deck += [self._set_clock] if self._clock is not None else []
        deck += [self._remove_record, self._damage_record] if self._patient and self._record is not None else []
        deck += [lambda: self._fill_disk(DISK_FULL_S)] if self._patient and self._disk is not None else []
        deck += [self._restart_postgresql] if self._server is not None else []
        deck += [self._fill_disk] if self._disk is not None else []
        while True:
            self._dice.shuffle(deck)
            yield from deck

    def _pause(self, least_s: float, most_s: float) -> None:
        time.sleep(self._dice.uniform(least_s, most_s))  # a moment that nobody can foresee, not a synchronisation

    # -- whom ---------------------------------------------------------------------------------------------------------

    def _runner(self) -> "subprocess.Popen[str] | None":
        alive = self.runners.alive()
        return self._dice.choice(alive) if alive else None

    def _undertaker_of(self, runner: "subprocess.Popen[str] | None") -> psutil.Process | None:
        if runner is None:
            return None
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(runner.pid).children():
                if "forkserver" in " ".join(child.cmdline()):
                    return child
        return None

    def _server_of(self, runner: "subprocess.Popen[str] | None") -> psutil.Process | None:
        undertaker = self._undertaker_of(runner)
        with contextlib.suppress(psutil.Error):
            return next(iter(undertaker.children()), None) if undertaker is not None else None
        return None

    def _run(self) -> psutil.Process | None:
        server = self._server_of(self._runner())
        runs: list[psutil.Process] = []
        if server is not None:
            with contextlib.suppress(psutil.Error):
                runs = server.children()
        return self._dice.choice(runs) if runs else None

    # -- what ---------------------------------------------------------------------------------------------------------

    def _signal_run(self, number: signal.Signals) -> str | None:
        run = self._run()
        return f"run {number.name}" if run and _send(run.pid, number) else None

    def _signal_server(self, number: signal.Signals) -> str | None:
        server = self._server_of(self._runner())
        return f"fork server {number.name}" if server and _send(server.pid, number) else None

    def _signal_runner(self, number: signal.Signals) -> str | None:
        runner = self._runner()
        return f"runner {number.name}" if runner and _send(runner.pid, number) else None

    def _kill_undertaker(self) -> str | None:
        undertaker = self._undertaker_of(self._runner())
        return "undertaker SIGKILL" if undertaker and _send(undertaker.pid, signal.SIGKILL) else None

    @contextlib.contextmanager
    def _frozen(self, pid: int) -> Iterator[bool]:
        stopped = _send(pid, signal.SIGSTOP)
        try:
            yield stopped
        finally:
            _send(pid, signal.SIGCONT)

    def _freeze(self, pid: int | None, what: str) -> str | None:
        if pid is None:
            return None
        with self._frozen(pid) as stopped:
            self._pause(0.2, 1.5)
        return f"{what} STOP/CONT" if stopped else None

    def _freeze_run(self) -> str | None:
        run = self._run()
        return self._freeze(run.pid if run else None, "run")

    def _freeze_server(self) -> str | None:
        server = self._server_of(self._runner())
        return self._freeze(server.pid if server else None, "fork server")

    def _freeze_runner(self) -> str | None:
        runner = self._runner()
        return self._freeze(runner.pid if runner else None, "runner")

    def _kill_runner_and_server(self) -> str | None:
        """Kill both at once: nobody is left who would clean up but the kernel."""
        runner = self._runner()
        server = self._server_of(runner)
        if runner is None or server is None:
            return None
        undertaker = self._undertaker_of(runner)
        with self._frozen(runner.pid):  # it shall not start another one meanwhile
            for process in (undertaker, server):
                if process is not None:
                    _send(process.pid, signal.SIGKILL)
            _send(runner.pid, signal.SIGKILL)
        return "runner and fork server SIGKILL"

    def _kill_server_of_frozen_runner(self) -> str | None:
        runner = self._runner()
        server = self._server_of(runner)
        if runner is None or server is None:
            return None
        with self._frozen(runner.pid):
            _send(server.pid, signal.SIGKILL)
            self._pause(0.1, 0.8)
        return "fork server SIGKILL, runner STOP/CONT"

    def _kill_twice(self) -> str | None:
        """Kill a runner, and the one that comes after it as soon as it has a fork server."""
        runner = self.runners.main
        if runner is None or not _send(runner.pid, signal.SIGKILL):
            return None
        runner.wait(60)
        self.runners.keep()
        deadline = time.monotonic() + 20
        while self._undertaker_of(self.runners.main) is None and time.monotonic() < deadline:
            time.sleep(0.01)
        again = self.runners.main
        return "runner SIGKILL, and the next" if again is not None and _send(again.pid, signal.SIGKILL) else None

    def _kill_all(self) -> str | None:
        """Kill every runner with its undertaker and fork server at once, as a machine does that loses its power."""
        doomed = []
        for runner in self.runners.alive():
            doomed += [runner.pid, *(p.pid for p in (self._undertaker_of(runner), self._server_of(runner)) if p)]
        for pid in doomed:
            _send(pid, signal.SIGSTOP)  # none shall do anything about the end of another
        for pid in doomed:
            _send(pid, signal.SIGKILL)
        return "all runners and fork servers SIGKILL" if doomed else None

    def _freeze_for_a_lease(self) -> str | None:
        """Freeze a runner for so long that others may take its runs."""
        runner = self._runner()
        if runner is None:
            return None
        with self._frozen(runner.pid) as stopped:
            began = time.monotonic()
            while time.monotonic() - began < LONGER_THAN_A_LEASE_S:
                self._pause(0.5, 1.5)
                if self.runners.added is None:
                    self.runners.add()  # somebody who could take them
        return "runner STOP/CONT, longer than its lease" if stopped else None

    def _folder(self) -> Path | None:
        return next(self.runners.sweeper.folder.glob("**/sweep_s"), None)

    def _written(self) -> list[Path]:
        """Return the files that are written again from the record: results, the table, the sweep's YAML."""
        folder = self._folder()
        if folder is None:
            return []
        results = list(folder.glob("run_*_result.json"))
        others = [
            file for file in (folder / "runs.csv", folder / "sweep.yaml", folder / "report.html") if file.exists()
        ]
        return [*self._dice.sample(results, min(3, len(results))), *others]

    def _delete_files(self) -> str | None:
        files = self._written()
        for file in files:
            file.unlink(missing_ok=True)
        return "files deleted" if files else None

    def _damage_files(self) -> str | None:
        files = [file for file in self._written() if file.suffix in (".csv", ".html")]
        for file in files:
            file.write_bytes(self._dice.randbytes(100))
        return "files damaged" if files else None

    def _set_clock(self) -> str:
        assert self._clock is not None
        self._clock.set(self._dice.choice(STEPS_S))
        return "clock set"

    def _remove_record(self) -> str | None:
        """Remove the file of the record: who has it open saves it, says so, and leaves."""
        if self._record is None or self._run() is None:
            return None
        for suffix in ("", "-wal", "-shm"):
            self._record.with_name(self._record.name + suffix).unlink(missing_ok=True)
        return "record removed, and mended" if self._mend() else None

    def _damage_record(self) -> str | None:
        """Write over a page of the record. One that is written again is whole again by itself."""
        if self._record is None or self._run() is None:
            return None
        with self._record.open("r+b", buffering=0) as file:
            file.seek(4096 * self._dice.randrange(max(1, self._record.stat().st_size // 4096)))
            file.write(self._dice.randbytes(4096))
        self._pause(1.0, 3.0)
        return "record damaged, and mended" if self._mend() else None

    def _mend(self) -> bool:
        """Let all runners leave, mend the record as a user does."""
        for process in self.runners.alive():
            process.send_signal(signal.SIGTERM)
        for process in self.runners.alive():
            process.wait(NOTICED_S)
        self.runners.keep_none()
        command = [sys.executable, str(CODE_DIR / "db.py"), "repair", *self.runners.place]
        sweeper = self.runners.sweeper
        done = subprocess.run(command, cwd=sweeper.folder, env=sweeper.env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
        assert self._record is not None and not damage_of(str(self._record)), done.stdout
        self.mended = True
        return True

    def _add(self) -> str | None:
        return "second agent joins" if self.runners.add() else None

    def _remove(self) -> str | None:
        added, number = self.runners.added, self._dice.choice([signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
        return f"second agent {number.name}" if added is not None and _send(added.pid, number) else None

    def _restart_postgresql(self) -> str:
        assert self._server is not None
        self._server.stop()
        self._pause(0.1, 1.5)
        self._server.start()
        return "PostgreSQL restarted"

    def _fill_disk(self, for_s: float | None = None) -> str:
        assert self._disk is not None
        filler = self._disk / "filler"
        try:
            with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(65536))
            self._pause(for_s or 0.3, for_s or 1.5)
        finally:
            filler.unlink(missing_ok=True)
        return "disk filled" if for_s is None else "disk filled, longer than a lease"


def _send(pid: int, number: signal.Signals) -> bool:
    """Signal a process; return whether it was there."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
