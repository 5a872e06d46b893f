"""The agent's side of the fork server: submit attempts, hear of their ends, signal them.

It knows processes and nothing of sweeps: an attempt is an argument list, an environment and a log file.
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol

from sweepkit.agents.exit_file import read_end, reserve, write_end
from sweepkit.agents.forkserver import kill_group
from sweepkit.agents.identity import runs_now, unreaped_status
from sweepkit.environ import ATTEMPT_ENV
from sweepkit.errors import LaunchError
from sweepkit.paths import CODE_DIR, python

_OWNER_ENV = "SWEEPKIT_OWNER"
# So many fork servers in a row may die without a word (one that is killed while it imports does): then nothing is
# imported there any more, and after so many in all nothing is started any more.
_SILENT_ENDS = (3, 6)
_LOOK_S = 1.0  # between two looks for processes that ended and that the fork server does not reap
_BOOT = (
    "import sys; sys.path[:] = [entry for entry in sys.path if entry] + [{code!r}]; "
    "from sweepkit.agents.forkserver import serve; serve({fd})"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmProgram:
    """A Python program that can be run in a fork.

    Args:
        script: Absolute path of the script, or None for a module.
        module: Name for `python -m`, or None.
        args: What follows it on the command line.
    """

    script: str | None
    module: str | None
    args: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptSpec:
    """All that is needed to start an attempt.

    Args:
        attempt_id: Its id; a second submit of the same id is an error of the caller.
        argv: The command; argv[0] is looked up on PATH.
        env: The whole environment.
        cwd: Working directory, absolute.
        log: File that takes stdout and stderr, appended.
        exit_file: File that holds how the attempt ended, for an agent that comes after a crash.
        warm: How to run it in a fork, or None for a fresh process.
    """

    attempt_id: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    log: Path
    exit_file: Path
    warm: WarmProgram | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The attempt's process exists. `warm`: whether it was forked from preloaded modules."""

    pid: int
    warm: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Exited:
    """The attempt's process and whatever it left are gone.

    Args:
        status: Exit code >= 0, or minus the signal's number; None when the fork server died with it.
        peak_memory_mb: Largest resident size of the process, in MiB; 0 if unknown.
        cpu_s: User and system time of the process, in seconds; 0 if unknown.
        duration_s: From its start to its end, in seconds; 0 if unknown.
    """

    status: int | None
    peak_memory_mb: float = 0.0
    cpu_s: float = 0.0
    duration_s: float = 0.0

    def facts(self) -> dict[str, Any]:
        """Return what an exit file holds of it."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class NotStarted:
    """The attempt will never start: no fork server lives long enough. `reason`: how that shows."""

    reason: str


Event = Started | Exited | NotStarted


def _exited(facts: Mapping[str, Any]) -> Exited:
    """Return the event from what the fork server sends or wrote down."""
    return Exited(
        status=None if facts["status"] is None else int(facts["status"]),
        peak_memory_mb=float(facts["peak_memory_mb"]),
        cpu_s=float(facts["cpu_s"]),
        duration_s=float(facts["duration_s"]),
    )


def written_end(exit_file: Path) -> Exited | None:
    """Return how an attempt ended, as it or its fork server wrote down; None when nobody did."""
    facts = read_end(exit_file)
    return None if facts is None else _exited(facts)


def warm_program(argv: tuple[str, ...]) -> WarmProgram | None:
    """Return how to run a command in a fork of a warm interpreter, None when it is not such a command.

    Recognized: [/usr/bin/env] PYTHON [-u] (SCRIPT.py | -m MODULE) ARGS…, where PYTHON is this interpreter. Any other
    interpreter or option means a fresh process: a fork could not honour it.
    """
    words = list(argv)
    if words and os.path.basename(words[0]) == "env":
        words = words[1:]
    if not words or not _is_this_python(words[0]):
        return None
    words = words[1:]
    if words and words[0] == "-u":
        words = words[1:]
    if len(words) >= 2 and words[0] == "-m":
        return WarmProgram(script=None, module=words[1], args=tuple(words[2:]))
    if words and words[0].endswith(".py") and os.path.isfile(words[0]):
        return WarmProgram(script=words[0], module=None, args=tuple(words[1:]))
    return None


def _is_this_python(word: str) -> bool:
    # Compared by path, not by its target: a virtual environment's interpreter is a link to the system's.
    return os.path.abspath(word) == os.path.abspath(python())


class AttemptLauncher(Protocol):
    """What an agent needs to start attempts. `LocalLauncher` is ours; a stand-in keeps the same promises.

    Nothing here waits for an attempt: what becomes of it arrives on its queue.
    """

    def submit(self, spec: AttemptSpec) -> "SimpleQueue[Event]":
        """Start an attempt; its queue gets Started, then Exited when nothing of it is left, or NotStarted alone.

        Raises:
            LaunchError: It can start nothing any more.
        """
        ...

    def signal(self, attempt: str, number: int) -> bool:
        """Signal an attempt's processes; return whether it still ran."""
        ...

    def close(self) -> None:
        """End every attempt that still runs."""
        ...


class LocalLauncher:
    """Start attempts on this host through one fork server; thread-safe.

    Args:
        log: File that takes what the fork server itself prints.
        preload: Modules to import beside those found in the program.
        cold: Never fork warm.
        env: Variables of the fork server beside the agent's own: what libraries read once, when they are imported
            (thread counts), must be there before a fork.
        owner: Identity of the agent, by which the next one finds the fork server after a crash.
        notify: Called with one line when something worth knowing happens (warm, cold and why, server replaced).
    """

    def __init__(
        self,
        *,
        log: Path,
        preload: tuple[str, ...] = (),
        cold: bool = False,
        env: Mapping[str, str] | None = None,
        owner: str = "",
        notify: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._log = log
        self._preload = preload
        self._cold = cold
        self._env = {**os.environ, **(env or {}), _OWNER_ENV: owner}
        self._notify = notify
        self._lock = threading.RLock()
        self._queues: dict[str, SimpleQueue[Event]] = {}
        self._pids: dict[str, int] = {}
        self._pending: dict[str, AttemptSpec] = {}
        self._exit_files: dict[str, Path] = {}
        self._warmed: set[tuple[str | None, str | None]] = set()
        self._generation = 0
        self._silent_ends = 0  # fork servers in a row that died before they said anything
        self._broken = ""
        self._closed = False
        self._retired: list[tuple[socket.socket, subprocess.Popen[bytes]]] = []
        self._ends = threading.Event()
        self._start_server()
        threading.Thread(target=self._watch_ends, daemon=True, name="ends").start()

    # -- the server's life ----------------------------------------------------------------------------------------

    def _start_server(self) -> None:
        ours, theirs = socket.socketpair()
        self._generation += 1
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                [python(), "-X", "utf8", "-c", _BOOT.format(code=str(CODE_DIR), fd=theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        theirs.close()
        self._control = ours
        self._warmed = set()
        reader = threading.Thread(target=self._read, args=(ours, self._process, self._generation), daemon=True)
        reader.start()

    def _read(self, control: socket.socket, process: "subprocess.Popen[bytes]", generation: int) -> None:
        """Turn the server's messages into events, until its socket closes."""
        with contextlib.suppress(OSError), control.makefile("rb") as lines:
            for line in lines:
                self._handle(json.loads(line))
        process.wait()
        with self._lock:
            if generation == self._generation and not self._closed:
                control.close()
                self._lost_server()

    def _handle(self, message: dict[str, Any]) -> None:
        event = message["event"]
        self._silent_ends = 0
        if event == "ready":
            if message["cold"]:
                self._notify(f"starting every run in a fresh process: {message['cold']}")
            elif message["imported"]:
                self._notify(f"warm after {message['seconds']} s: {message['imported']} modules are imported once")
            return
        attempt = str(message["id"])
        with self._lock:
            queue = self._queues.get(attempt)
            if event == "stale":
                self._notify("the toolkit's own modules changed on disk: importing them again")
                self._replace_server()
                return
            if queue is None:
                return
            if event == "started":
                self._pending.pop(attempt, None)
                self._pids[attempt] = int(message["pid"])
                queue.put(Started(pid=self._pids[attempt], warm=bool(message["warm"])))
            else:
                self._forget(attempt)
                queue.put(_exited(message))

    def _forget(self, attempt: str) -> None:
        self._queues.pop(attempt, None)
        self._pids.pop(attempt, None)
        self._pending.pop(attempt, None)
        self._exit_files.pop(attempt, None)

    def _replace_server(self) -> None:
        """Start a fresh server for what is not yet started; the old one serves its attempts to their end."""
        self._retired.append((self._control, self._process))
        self._start_server()
        for spec in list(self._pending.values()):
            self._send_start(spec)

    def _lost_server(self) -> None:
        """The server died: so did its attempts (PR_SET_PDEATHSIG); clear what they left and start another one."""
        self._silent_ends += 1
        if self._silent_ends > _SILENT_ENDS[1]:
            self._give_up()
            return
        if self._silent_ends > _SILENT_ENDS[0] and not self._cold:
            self._cold = True
            self._notify(
                "starting every run in a fresh process: the fork server died again and again while it imported"
            )
        self._notify("the fork server died and is started again; its runs are tried again")
        for attempt, queue in list(self._queues.items()):
            if attempt in self._pids:
                kill_group(self._pids[attempt])
                kill_leftovers(attempt)
                ended = written_end(self._exit_files[attempt])  # it may have seen the end and not sent it any more
                self._forget(attempt)
                queue.put(ended or Exited(status=None))
        self._start_server()
        for spec in list(self._pending.values()):
            self._send_start(spec)

    def _give_up(self) -> None:
        """Answer everyone who waits that nothing can be started; called with the lock held."""
        said = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        self._broken = (
            f"the fork server must start to run anything, but it ended {self._silent_ends} times at once, the last "
            f"with: {' / '.join(said[-4:]) or 'nothing'}; its log is {self._log}"
        )
        for attempt, queue in list(self._queues.items()):
            self._forget(attempt)
            queue.put(NotStarted(reason=self._broken))

    def _watch_ends(self) -> None:
        """Write down the ends that a frozen fork server does not: once it is killed, nobody could know them."""
        seen: frozenset[str] = frozenset()
        while not self._ends.wait(_LOOK_S):
            with self._lock:
                pids, files = dict(self._pids), dict(self._exit_files)
            ended = {attempt: status for attempt, pid in pids.items() if (status := unreaped_status(pid)) is not None}
            for attempt in seen & ended.keys():  # seen twice: the fork server had its time
                if read_end(files[attempt]) is None:
                    write_end(files[attempt], Exited(status=ended[attempt]).facts())
            seen = frozenset(ended)

    # -- attempts ---------------------------------------------------------------------------------------------------

    def submit(self, spec: AttemptSpec) -> "SimpleQueue[Event]":
        """Start an attempt; its events arrive on the returned queue: Started, then Exited.

        An attempt that cannot be started any more gets NotStarted instead.

        Raises:
            LaunchError: The launcher is closed, or its fork server cannot be started.
        """
        queue: SimpleQueue[Event] = SimpleQueue()
        with self._lock:
            if self._closed:
                raise LaunchError(f"attempt {spec.attempt_id}: the launcher is closed")
            if self._broken:
                raise LaunchError(self._broken)
            _make_files(spec)
            self._queues[spec.attempt_id] = queue
            self._pending[spec.attempt_id] = spec
            self._exit_files[spec.attempt_id] = spec.exit_file
            self._send_start(spec)
        return queue

    def _send_start(self, spec: AttemptSpec) -> None:
        warm = None if self._cold else spec.warm
        request: dict[str, object] = {
            "op": "start",
            "id": spec.attempt_id,
            "argv": list(spec.argv),
            "env": dict(spec.env),
            "cwd": spec.cwd,
            "log": str(spec.log),
            "exit_file": str(spec.exit_file),
            "warm": None,
        }
        lines = []
        if warm is not None:
            request["warm"] = {"script": warm.script, "module": warm.module, "args": list(warm.args)}
            if (program := (warm.script, warm.module)) not in self._warmed:
                self._warmed.add(program)
                lines.append({"op": "warm", "script": warm.script, "module": warm.module, "extra": list(self._preload)})
        data = b"".join(json.dumps(line).encode() + b"\n" for line in [*lines, request])
        with contextlib.suppress(OSError):  # a dead server is noticed, replaced and asked again by its reader
            self._control.sendall(data)

    def signal(self, attempt: str, number: int) -> bool:
        """Signal the attempt's whole process group; return whether its process still ran: if not, it ended by itself.

        Its end may not be known here yet: while the store was away, or the agent was frozen, nobody listened.
        """
        with self._lock:
            pid = self._pids.get(attempt)
            if pid is None:
                return False
            ran = runs_now(pid)
            kill_group(pid, number)
            return ran

    def close(self) -> None:
        """End the server and with it every attempt that still runs."""
        self._ends.set()
        with self._lock:
            self._closed = True
            servers = [(self._control, self._process), *self._retired]
        for control, process in servers:
            with contextlib.suppress(OSError):
                control.shutdown(socket.SHUT_RDWR)
            control.close()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _make_files(spec: AttemptSpec) -> None:
    """Make an attempt's log, which may be followed before the process exists, and take the room for its end.

    Raises:
        LaunchError: Their folder is gone.
        OSError: There is no room.
    """
    try:
        spec.log.touch()
        reserve(spec.exit_file)
    except FileNotFoundError as error:
        raise LaunchError(
            f"{error.filename}: its folder must stay while the sweep runs, got none; run the same command again"
        ) from None


def kill_leftovers(attempt: str) -> int:
    """Kill every process of this host that carries the attempt's id in its environment; return how many.

    The last line of defence after a crash: nothing of an attempt may live when its run is tried again.
    """
    pids = carriers(f"{ATTEMPT_ENV}={attempt}")
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return len(pids)


def await_fork_server(owner: str, *, timeout_s: float = 15.0) -> bool:
    """Wait until the fork server of a dead agent has killed its attempts and written down how they ended.

    Args:
        owner: The dead agent's identity.
        timeout_s: How long to wait; the server itself gives up after ten seconds.

    Returns:
        Whether it is gone.
    """
    deadline = time.monotonic() + timeout_s
    while pids := carriers(f"{_OWNER_ENV}={owner}"):
        if time.monotonic() > deadline:
            return False
        with contextlib.suppress(ProcessLookupError):
            pidfd = os.pidfd_open(pids[0])
            try:
                poll = select.poll()
                poll.register(pidfd, select.POLLIN)
                poll.poll(1000)
            finally:
                os.close(pidfd)
    return True


def carriers(marker: str) -> list[int]:
    """Return the processes of this host, but not this one, that have `NAME=value` in their environment."""
    import psutil  # type: ignore[import-untyped]

    name, _, value = marker.partition("=")
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # it ended meanwhile, or belongs to somebody else
            if process.pid != os.getpid() and process.environ().get(name) == value:
                found.append(process.pid)
    return found
