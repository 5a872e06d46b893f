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
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol

from sweepkit.agents import descent
from sweepkit.agents.exit_file import read_end, reserve, write_end
from sweepkit.agents.forkserver import READ_AT_START, kill_group
from sweepkit.agents.identity import unreaped_status
from sweepkit.agents.warm.preload import assigned_variables
from sweepkit.agents.warm_command import WarmProgram
from sweepkit.environ import ATTEMPT_ENV
from sweepkit.errors import LaunchError
from sweepkit.paths import CODE_DIR, python
from sweepkit.tracking.wandb_hook import NOTES_ENV

# So many fork servers in a row may die without a word (one that is killed while it imports does): then nothing is
# imported there any more, and after so many in all nothing is started any more.
_SILENT_ENDS = (3, 6)
_LOOK_S = 1.0  # between two looks for processes that ended and that the fork server does not reap
_LESSONS = 5  # so often may a program show that its imports rely on something else than we thought
# Its own modules are loaded from their files under names that are taken away again: a program's `import sweepkit` and
# its `sys.path` know nothing of them.
_BOOT = """
import sys, builtins
base = frozenset(sys.modules)
sys.path[:] = [entry for entry in sys.path if entry]
asked, real = [], builtins.__import__
def importing(name, globals=None, locals=None, fromlist=(), level=0):
    asked.append((name, globals or {{}}, fromlist, level))
    return real(name, globals, locals, fromlist, level)
builtins.__import__ = importing
from types import ModuleType
for name, folder in (("sweepkit", {room!r}), ("sweepkit.agents", {room!r} + "/agents")):
    sys.modules[name] = ModuleType(name)
    sys.modules[name].__path__ = [folder]
from sweepkit.agents.forkserver import serve
builtins.__import__ = real
own = [name for name in sys.modules if name.partition(".")[0] == "sweepkit"]
begun = serve({fd}, base, own, {asked!r}, asked)
try:
    begun.call(*begun.arguments)
except BaseException as error:
    begun.failed(error)
begun.leave()
"""


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
        lease_end: Until when it may run unless `renew` says more, in seconds of the monotonic clock; None for ever.
        fresh: Why it must be a fresh process, in words; said once.
        interpreter: The Python that runs it, absolute; "" when it is none or nobody knows.
    """

    attempt_id: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    log: Path
    exit_file: Path
    warm: WarmProgram | None = None
    lease_end: float | None = None
    fresh: str = ""
    interpreter: str = ""


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

    def renew(self, ends: Mapping[str, float]) -> None:
        """Let attempts run until then, by id: seconds of the monotonic clock. Others keep what they have."""
        ...

    def close(self) -> None:
        """End every attempt that still runs."""
        ...


class _Learned:
    """What forks of one program reported of its imports, for the next fork server.

    Attributes:
        env: Variables as the program sets them before it imports; None where it takes one away.
        avoid: Modules that each run must import for itself.
        taught: What the program's first run taught, see `warm.lessons`; None before its end.
        so_far: What it has taught while it still runs.
        extra: Modules that this run has loaded beyond those found in its source.
        lessons: How often a server was replaced for it.
    """

    def __init__(self) -> None:
        self.env: dict[str, str | None] = {}
        self.avoid: set[str] = set()
        self.taught: list[Any] | None = None
        self.so_far: list[Any] = []
        self.extra: list[str] = []
        self.lessons = 0

    def guess(self, program: WarmProgram | None, cwd: str) -> None:
        """Begin with the variables that the script's text shows to be set."""
        if program is not None and program.script is not None:
            assigned = assigned_variables(os.path.join(cwd, program.script))
            self.env.update((key, value) for key, value in assigned.items() if not key.startswith(READ_AT_START))

    def take(self, message: Mapping[str, Any]) -> None:
        """Take what a fork server says (event "learned" or "taught")."""
        if message["event"] == "taught":
            self.so_far, self.extra = message["lessons"], message["extra"]
            self.taught = self.so_far if message["over"] else self.taught
            return
        self.lessons += 1
        self.env.update(message["env"])
        self.avoid.update(message["avoid"])

    def apply(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return the environment in which a server imports."""
        merged = {**env, **self.env, ATTEMPT_ENV: None, NOTES_ENV: None}  # it is no attempt's process
        return {name: value for name, value in merged.items() if value is not None}


@dataclass(slots=True, eq=False)
class _Server:
    """A fork server that was started.

    Args:
        control: The socket to it.
        process: Its process, the undertaker.
        generation: Its number.
        warmed: Programs, by script and module, whose modules it was asked to import.
    """

    control: socket.socket
    process: "subprocess.Popen[bytes]"
    generation: int
    warmed: set[tuple[str | None, str | None]] = field(default_factory=set)

    def send(self, *messages: Mapping[str, Any]) -> None:
        """Send messages; a dead server is noticed, replaced and asked again by its reader."""
        with contextlib.suppress(OSError):
            self.control.sendall(b"".join(json.dumps(message).encode() + b"\n" for message in messages))


class HostLauncher:
    """Start attempts on this host: through one fork server for each interpreter that they name; thread-safe.

    Args:
        log: As of `LocalLauncher`; the servers of other interpreters write beside it.
        options: The other arguments of `LocalLauncher`, the same for all.
    """

    def __init__(self, *, log: Path, **options: Any) -> None:
        self._log = log
        self._options = options
        self._lock = threading.Lock()
        self._closed = False
        self._launchers: dict[str, LocalLauncher] = {"": LocalLauncher(log=log, **options)}
        self._of: dict[str, LocalLauncher] = {}

    def _launcher_of(self, interpreter: str) -> "LocalLauncher":
        with self._lock:
            if self._closed:
                raise LaunchError("the launcher is closed")
            if interpreter not in self._launchers:
                log = self._log.with_name(f"{self._log.stem}_{len(self._launchers)}{self._log.suffix}")
                self._launchers[interpreter] = LocalLauncher(log=log, interpreter=interpreter, **self._options)
            return self._launchers[interpreter]

    def submit(self, spec: AttemptSpec) -> "SimpleQueue[Event]":
        """Start an attempt; see `LocalLauncher.submit`."""
        launcher = self._launcher_of(spec.warm.python if spec.warm is not None else "")
        self._of[spec.attempt_id] = launcher
        return launcher.submit(spec)

    def signal(self, attempt: str, number: int) -> bool:
        """Signal an attempt; see `LocalLauncher.signal`."""
        launcher = self._of.get(attempt)
        return launcher is not None and launcher.signal(attempt, number)

    def renew(self, ends: Mapping[str, float]) -> None:
        """Let attempts run until then; see `LocalLauncher.renew`."""
        for launcher in list(self._launchers.values()):
            launcher.renew(ends)

    def close(self) -> None:
        """End every attempt that still runs."""
        with self._lock:
            self._closed = True
        for launcher in self._launchers.values():
            launcher.close()


class LocalLauncher:
    """Start attempts on this host through one fork server; thread-safe.

    Args:
        log: File that takes what the fork server itself prints.
        preload: Modules to import beside those found in the program.
        cold: Never fork warm.
        env: Variables of the fork server beside the agent's own: what libraries read once, when they are imported
            (thread counts), must be there before a fork.
        owner: Identity of the agent, by which the next one finds the fork server after a crash.
        interpreter: The Python whose processes the attempts are, absolute; "" for the one that runs us.
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
        interpreter: str = "",
    ) -> None:
        self._interpreter = interpreter or python()
        self._log = log
        self._preload = preload
        self._cold = cold
        self._env = {**(env or {}), descent.OWNER_ENV: owner, **descent.EnvironmentBlock.room()}
        self._first: AttemptSpec | None = None  # the server imports in the environment of a run
        self._learned = _Learned()
        self._notify = notify
        self._lock = threading.RLock()
        self._queues: dict[str, SimpleQueue[Event]] = {}
        self._pids: dict[str, tuple[int, str]] = {}  # with its start time
        self._started_by: dict[str, int] = {}  # the generation of its server
        self._pending: dict[str, AttemptSpec] = {}
        self._exit_files: dict[str, Path] = {}
        self._notified: set[str] = set()  # why commands need a fresh process
        self._generation = 0
        self._silent_ends = 0  # fork servers in a row that died before they said anything
        self._broken = ""
        self._closed = False
        self._servers: list[_Server] = []
        self._server: _Server | None = None  # what is submitted goes to it
        # While the first run teaches: the server that comes after it, which imports meanwhile.
        self._beside: _Server | None = None
        self._ends = threading.Event()
        threading.Thread(target=self._watch_ends, daemon=True, name="ends").start()

    # -- the server's life ----------------------------------------------------------------------------------------

    def _start_server(self) -> _Server:
        assert self._first is not None
        ours, theirs = socket.socketpair()
        self._generation += 1
        self._log.parent.mkdir(parents=True, exist_ok=True)
        boot = _BOOT.format(room=str(CODE_DIR / "sweepkit"), fd=theirs.fileno(), asked=sorted(self._learned.env))
        with open(self._log, "ab") as log:
            process = subprocess.Popen(
                [self._interpreter, "-c", boot],
                pass_fds=[theirs.fileno()],
                env=self._learned.apply({**self._first.env, **self._env}),
                cwd=self._first.cwd if os.path.isdir(self._first.cwd) else None,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        theirs.close()
        server = _Server(ours, process, self._generation)
        self._servers.append(server)
        threading.Thread(target=self._read, args=(server,), daemon=True).start()
        return server

    def _read(self, server: _Server) -> None:
        """Turn the server's messages into events, until its socket closes."""
        with contextlib.suppress(OSError), server.control.makefile("rb") as lines:
            for line in lines:
                self._handle(json.loads(line), server)
        server.process.wait()
        with self._lock:
            if self._closed:
                return
            server.control.close()
            self._servers.remove(server)
            self._lost_attempts(server.generation)
            if server is self._server:
                self._lost_server()
            elif server is self._beside:  # another one is started when the first run has taught
                self._beside = None
                self._silent_ends += 1

    def _handle(self, message: dict[str, Any], server: _Server) -> None:
        event = message["event"]
        self._silent_ends = 0
        if event == "ready":
            if message["cold"]:
                self._notify(f"starting every run in a fresh process: {message['cold']}")
            elif message["imported"]:
                self._notify(f"warm after {message['seconds']} s: {message['imported']} modules are imported once")
            return
        with self._lock:
            if event in ("stale", "learned", "teaching", "taught"):
                if server in (self._server, self._beside) and not self._closed:
                    self._change_servers(message, server)
                return
            self._handle_attempt(message, server.generation)

    def _handle_attempt(self, message: dict[str, Any], generation: int) -> None:
        event, attempt = message["event"], str(message["id"])
        queue = self._queues.get(attempt)
        if queue is None:
            return
        if event == "started":
            self._pending.pop(attempt, None)
            self._pids[attempt] = (int(message["pid"]), str(message["born"]))
            self._started_by[attempt] = generation
            queue.put(Started(pid=int(message["pid"]), warm=bool(message["warm"])))
        elif event == "halted":
            self._notify(f"attempt {attempt} stands still: its lease could not be renewed in time")
        elif event == "late":
            self._forget(attempt)
            queue.put(Exited(status=None))
        else:
            self._forget(attempt)
            queue.put(_exited(message))

    def _forget(self, attempt: str) -> None:
        self._queues.pop(attempt, None)
        self._pids.pop(attempt, None)
        self._started_by.pop(attempt, None)
        self._pending.pop(attempt, None)
        self._exit_files.pop(attempt, None)

    def _what_changed(self, message: dict[str, Any]) -> str:
        """Take what a server says why there must be another one; return it in words, "" when it is to be expected."""
        if message["event"] == "stale":
            return "modules changed on disk: importing them again"
        self._learned.take(message)
        if message["event"] == "taught":
            return ""
        if self._learned.lessons > _LESSONS and not self._cold:
            self._cold = True
            return f"starting every run in a fresh process: {message['reason']}"
        if message["env"]:
            return f"importing once more, with what the program sets before it imports: {message['reason']}"
        return f"importing once more, without what must be imported anew in each run: {message['reason']}"

    def _change_servers(self, message: dict[str, Any], server: _Server) -> None:
        """Do what a server says of servers: that another must come after it, or what its first run has taught."""
        if message["event"] == "teaching":
            if self._beside is None:
                self._begin_beside(WarmProgram(script=message["script"], module=message["module"], args=()))
            return
        if stated := self._what_changed(message):
            self._notify(stated)
        if message["event"] == "taught" and self._beside is not None:
            self._beside.send({"op": "taught", "lessons": message["lessons"], "extra": message["extra"]})
        if message["event"] == "taught" and not message["over"]:
            return
        if server is self._beside:
            program = next(iter(server.warmed))
            self._beside = None
            self._begin_beside(WarmProgram(script=program[0], module=program[1], args=()))
            return
        self._replace_server(self._beside if message["event"] == "taught" else None)

    def _begin_beside(self, program: WarmProgram) -> None:
        """Have another server import what the program needs while its first run still teaches."""
        if not self._cold:
            self._beside = self._start_server()
            self._beside.send(self._warm_request(program, self._beside, self._learned.so_far))

    def _replace_server(self, new: _Server | None = None) -> None:
        """Take a server for what is not yet started, by default a fresh one; the old one serves to its end."""
        if self._beside is not None and self._beside is not new:
            with contextlib.suppress(OSError):
                self._beside.control.shutdown(socket.SHUT_RDWR)
        self._beside = None
        self._server = new or self._start_server()
        for spec in list(self._pending.values()):
            self._send_start(spec)

    def _lost_server(self) -> None:
        """The server died that new attempts are sent to: start another one, unless they die again and again."""
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
        self._replace_server()

    def _lost_attempts(self, generation: int) -> None:
        """A server is gone, and with it (PR_SET_PDEATHSIG) the attempts that it had started: clear what they left."""
        for attempt in [attempt for attempt, server in self._started_by.items() if server == generation]:
            self._kill_group(attempt, signal.SIGKILL)
            kill_leftovers(attempt)
            ended = written_end(self._exit_files[attempt])  # it may have seen the end and not sent it any more
            queue = self._queues[attempt]
            self._forget(attempt)
            queue.put(ended or Exited(status=None))

    def _give_up(self) -> None:
        """Answer everyone who waits that nothing can be started; called with the lock held."""
        said = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        self._broken = (
            f"the fork server must start to run anything, but it ended {self._silent_ends} times at once, the last "
            f"with: {' / '.join(said[-4:]) or 'nothing'}; its log is {self._log}"
        )
        for attempt in list(self._pending):
            queue = self._queues[attempt]
            self._forget(attempt)
            queue.put(NotStarted(reason=self._broken))

    def _watch_ends(self) -> None:
        """Write down the ends that a frozen fork server does not: once it is killed, nobody could know them."""
        seen: frozenset[str] = frozenset()
        while not self._ends.wait(_LOOK_S):
            with self._lock:
                pids, files = dict(self._pids), dict(self._exit_files)
            found = {attempt: unreaped_status(pid, start) for attempt, (pid, start) in pids.items()}
            ended = {attempt: status for attempt, status in found.items() if status is not None}
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
            if self._first is None:
                self._first = spec
                self._learned.guess(spec.warm, spec.cwd)
                self._server = self._start_server()
            self._notify_fresh(spec)
            self._send_start(spec)
        return queue

    def _notify_fresh(self, spec: AttemptSpec) -> None:
        """Say once why a command is not forked, unless nothing is."""
        if spec.fresh and not self._cold and spec.fresh not in self._notified:
            self._notified.add(spec.fresh)
            self._notify(f"starting every run in a fresh process: {spec.fresh}")

    def _send_start(self, spec: AttemptSpec) -> None:
        warm = None if self._cold else spec.warm
        request: dict[str, Any] = {
            "op": "start",
            "id": spec.attempt_id,
            "argv": list(spec.argv),
            "env": dict(spec.env),
            "cwd": spec.cwd,
            "log": str(spec.log),
            "exit_file": str(spec.exit_file),
            "lease_end": spec.lease_end,
            "warm": None,
        }
        assert self._server is not None
        messages = []
        if warm is not None:
            request["warm"] = {"script": warm.script, "module": warm.module, "args": list(warm.args)}
            request["warm"]["argv"] = list(warm.argv or spec.argv)
            if (warm.script, warm.module) not in self._server.warmed:
                messages.append(self._warm_request(warm, self._server, self._learned.taught))
        self._server.send(*messages, request)

    def _warm_request(self, program: WarmProgram, server: _Server, lessons: list[Any] | None) -> dict[str, Any]:
        """Return what asks a server to import what a program needs."""
        server.warmed.add((program.script, program.module))
        return {
            "op": "warm",
            "script": program.script,
            "module": program.module,
            "extra": [*self._preload, *self._learned.extra],
            "avoid": sorted(self._learned.avoid),
            "lessons": lessons,
        }

    def signal(self, attempt: str, number: int) -> bool:
        """Signal the attempt's whole process group; return whether its process still ran: if not, it ended by itself.

        Its end may not be known here yet: while the store was away, or the agent was frozen, nobody listened.
        """
        with self._lock:
            return self._kill_group(attempt, number)

    def _kill_group(self, attempt: str, number: int) -> bool:
        pid, start = self._pids.get(attempt, (0, ""))
        # Its number may be another's by now: while we were frozen, the server reaped it.
        if not start or descent.start_time(pid) != start:
            return False
        kill_group(pid, number)
        return True

    def renew(self, ends: Mapping[str, float]) -> None:
        """Let attempts run until then, by id: seconds of the monotonic clock; see `AttemptSpec.lease_end`."""
        data = json.dumps({"op": "lease", "ends": dict(ends)}).encode() + b"\n"
        with self._lock:
            for attempt in ends.keys() & self._pending.keys():  # another server may be asked to start it
                self._pending[attempt] = replace(self._pending[attempt], lease_end=ends[attempt])
            for control in [server.control for server in self._servers]:
                if _has_room(control):  # a frozen server reads nothing, and we shall not freeze with it
                    with contextlib.suppress(OSError):  # of a dead server: so are its attempts
                        control.sendall(data)

    def close(self) -> None:
        """End the server and with it every attempt that still runs."""
        self._ends.set()
        with self._lock:
            self._closed = True
            servers = list(self._servers)
        for server in servers:
            with contextlib.suppress(OSError):
                server.control.shutdown(socket.SHUT_RDWR)
            server.control.close()
        for server in servers:
            try:
                server.process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                server.process.kill()
                server.process.wait()


def _has_room(control: socket.socket) -> bool:
    """Return whether a short message can be sent without waiting: most of the buffer is free."""
    try:
        poll = select.poll()
        poll.register(control, select.POLLOUT)
    except (OSError, ValueError):  # closed
        return False
    return any(event & select.POLLOUT for _, event in poll.poll(0))


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
    """Kill every process of this host that is the attempt's, and wait until it is gone; return how many.

    The last line of defence after a crash: nothing of an attempt may live when its run is tried again.
    """
    return descent.kill_family(attempt, ATTEMPT_ENV)[0]


def await_fork_server(owner: str, *, timeout_s: float = 12.0) -> None:
    """Wait until the fork server of a dead agent has killed its attempts and written down how they ended.

    Args:
        owner: The dead agent's identity.
        timeout_s: How long to wait; the server itself gives up after ten seconds. Then it is killed. One that is frozen
            is thawed to end: thawed by somebody else it might start first what it was asked to.
    """
    deadline = time.monotonic() + timeout_s
    while pids := descent.bearers(owner, descent.OWNER_ENV):
        if time.monotonic() > deadline:
            descent.kill_family(owner, descent.OWNER_ENV)
            return
        for pid in filter(descent.is_stopped, pids):
            descent.end_frozen(pid)
        descent.await_end(pids[0], 1.0)


def carriers(marker: str) -> list[int]:
    """Return the processes of this host, but not this one, that have `NAME=value` or bear its mark, and their heirs."""
    name, _, value = marker.partition("=")
    return descent.family(value, name)
