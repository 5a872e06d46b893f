"""The process that starts every attempt of a host: forked warm where that is safe, executed cold otherwise.

It is the parent of all attempts of one agent and holds their life in its hand:

* it imports what the program needs once; an attempt is a fork that runs the program as `__main__` (warm start);
* each attempt leads a process group of its own, dies with this process (PR_SET_PDEATHSIG), and leaves no child behind:
  this process is a subreaper and kills whatever an ended attempt left (`descent` says whose it is);
* when its agent is gone, whatever killed it, the control socket closes and every attempt is killed;
* when this process itself is killed, its parent, the undertaker, kills what it left;
* when its agent is silent for longer than an attempt's lease, the attempt stands still until the lease is renewed:
  somebody else may have the run by then.

The standard library's forkserver was tried first. It cannot say whether what it preloaded is safe to fork, redirects
no output, starts no sessions, and leaves grandchildren alone, so this is a server of our own with the same idea.

It knows nothing of sweeps, stores or metrics, and imports only the standard library, so that a cold agent costs little.

Protocol: one JSON object a line.

In: `{"op": "start", "id", "argv", "env", "cwd", "log", "exit_file", "lease_end", "warm": null | {"script", "module",
"args", "argv"}}`, `{"op": "lease", "ends": {id: seconds}}` (monotonic clock), `{"op": "warm", "script", "module",
"extra", "avoid": [module, ...], "lessons": [lesson, ...] | null}`: what the first run taught, null where it is to
teach, `{"op": "taught", "lessons", "extra"}`: what it has taught since then.

Out: `{"event": "ready", "imported", "seconds", "cold": reason | null}`, `{"event": "started", "id", "pid", "born",
"warm"}`, `{"event": "stale" | "late" | "halted", "id"}`, `{"event": "exited", "id", "status", "peak_memory_mb",
"cpu_s", "duration_s"}`, and once, before it starts nothing more, `{"event": "learned", "env": {variable: value | null},
"avoid": [module, ...], "reason"}` for the server that comes after it. Of a program whose first run is to teach
`{"event": "teaching", "script", "module"}`, and then `{"event": "taught", "lessons": [lesson, ...], "extra": [module,
...], "over"}` for the server that imports beside it: all that it has taught so far, or, once it is over, in all.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the standard library has no stub of it
import ast
import contextlib
import ctypes
import fcntl
import gc
import importlib
import os
import resource
import select
import signal
import socket
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from json import dumps, loads  # by name: what a program's packages do to `json` is not done to us
from pathlib import Path
from time import monotonic  # by name, as `dumps`
from typing import Any, NoReturn

from sweepkit.agents import descent
from sweepkit.agents.exit_file import facts_of, write_end
from sweepkit.agents.warm.ending import remember_builtins
from sweepkit.agents.warm.known import imported_later, let_forks_have_their_own
from sweepkit.agents.warm.lessons import Circumstances, Learner, Lesson, is_placed
from sweepkit.agents.warm.preload import (
    constants_of,
    folders_of_packages,
    is_local,
    is_to_teach,
    modules_of_program,
)
from sweepkit.agents.warm.program import (
    Begun,
    Compiled,
    Environment,
    begin,
    close_all_files,
    execute,
    main_of,
    unseeded_generators,
)
from sweepkit.agents.warm.shelf import Mismatch, Shelf, in_place
from sweepkit.agents.warm.traces import output_apart
from sweepkit.agents.warm.watch import ImportWatch, stamp
from sweepkit.environ import ATTEMPT_ENV
from sweepkit.tracking import wandb_hook

_PR_SET_PDEATHSIG = 1
_OUR_SIGNALS = frozenset({_signal.SIGTERM, _signal.SIGIO, _signal.SIGCHLD})
_TEACHES_S = 0.5  # a run that teaches says what it has loaded no more often than so
_TEACHERS = 2  # first runs may end before they import anything; after so many a program is taken as it is
# What the interpreter, the loader and the C library read once, when a process begins.
READ_AT_START = ("PYTHON", "LD_", "LC_", "LANG", "TZ", "MALLOC_", "GLIBC_")
_NAMES_AT_ONCE = 40  # of modules in a message: a pipe takes 4096 bytes in one piece
_libc = ctypes.CDLL(None, use_errno=True)


def serve(
    control_fd: int, base: Iterable[str], own: Iterable[str], asked: Iterable[str], imports: list[tuple[Any, ...]]
) -> Begun:
    """Serve attempts until the control socket closes, then kill what is left and exit.

    It returns in a fork alone, with the program that the fork is to be.

    Args:
        control_fd: An inherited, connected stream socket to the agent.
        base: Names of the modules that a bare interpreter has.
        own: Names under which this server's own modules are loaded; they are no program's.
        asked: Variables of the environment that stand here because the program sets them before it imports.
        imports: What was asked of `__import__` while these modules were imported, see `ImportWatch.begin_with`.
    """
    if owner := os.environ.pop(descent.OWNER_ENV, ""):
        descent.mark(owner)
    descent.split_from_undertaker(control_fd)
    watch = ImportWatch()
    for name in own:
        sys.modules.pop(name, None)
    watch.begin_with(base, imports)
    try:
        _ForkServer(socket.socket(fileno=control_fd), watch, base, asked).loop()
    except Begun as begun:
        return begun.with_traceback(None)


# What an ended attempt left is killed at once; its end is said when that is gone, or after so long: stuck in a driver.
_STRAYS_S = 30.0


@dataclass
class _Living:
    """An attempt that runs, or has ended and left processes. Times are monotonic seconds.

    Args:
        attempt: Its id.
        exit_file: The file that its end is written to.
        began: When it began.
        lease_end: Until when it may run, unless it is renewed; None for ever.
        halted: Its processes that stand still because that time is over, see `descent.halt_family`.
        facts: How it ended.
        heard_by: When its end must be told, whatever is left.
    """

    attempt: str
    exit_file: str
    began: float
    lease_end: float | None
    halted: dict[int, str] | None = None
    facts: dict[str, Any] | None = None
    heard_by: float = 0.0


@dataclass
class _Made:
    """What a fork takes over that is made before it: there each page of memory that it writes to is copied.

    Args:
        environment: Its environment.
        shown: What it shows of that, see `descent.EnvironmentBlock`.
        limits: By which it is marked, see `descent.limits_of`.
    """

    environment: Environment
    shown: bytes
    limits: tuple[int, int]


class _ForkServer:
    """The state of the process: the control socket, the live attempts, and what has been imported."""

    def __init__(self, control: socket.socket, watch: ImportWatch, base: Iterable[str], asked: Iterable[str]) -> None:
        self.control = control
        self.attempts: dict[int, _Living] = {}
        self.ended: list[_Living] = []
        self.block = descent.EnvironmentBlock()
        self.offspring = descent.Offspring(ATTEMPT_ENV)
        self.buffer = b""
        self.cold_reason: str | None = None
        self.sources: dict[str, tuple[int, int]] = {}
        # Attempts open the pipe when they have something to tell: a program finds no descriptor that it has not opened.
        self.heard_read, self.heard_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.heard_from = f"/proc/{os.getpid()}/fd/{self.heard_write}"
        self.stated = b""
        self.wake_read, self.wake_write = socket.socketpair()
        for end in (self.wake_read, self.wake_write):
            end.setblocking(False)
        self.watch = watch
        self.shelf = Shelf(watch, base, [entry for entry in sys.path if entry], self._afresh)
        self.generators: list[Any] = []
        self.compiled = Compiled()
        self.programs_own: set[str] = set()  # what programs import by themselves
        self.loaded: list[tuple[int, list[str]]] = []  # what attempts loaded beyond us, by their pids
        self.asked = frozenset(asked)
        self.began = self._read_at_start(self.shelf.environ)
        self.untaught: set[tuple[str | None, str | None]] = set()  # programs whose first run is to teach
        self.teaching: set[int] = set()  # pids of such runs
        self.taught = 0  # how many of them have ended
        self.lessons: list[list[Any]] = []
        self.unsent = False  # such a run said something that was not handed on
        self.folders: set[str] = set()  # of programs: what they hold goes before what is installed
        self.constants: set[str] = set()  # texts of the programs' sources
        self.compared: list[Lesson] = []
        self.tried: set[str] = set()  # modules that a first run had loaded
        self.passed_on = False
        self.request: dict[str, Any] = {}
        self.log_start = 0
        self.folder = os.getcwd()
        self.umask = os.umask(0)
        os.umask(self.umask)
        remember_builtins()
        self._take_signals()

    def _take_signals(self) -> None:
        """Wake up on SIGCHLD; let Ctrl-C pass by (the agent decides); notice a dead agent even within an import."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self.die())
        signal.signal(signal.SIGIO, lambda *_: self._check_agent())
        signal.set_wakeup_fd(self.wake_write.fileno(), warn_on_full_buffer=False)
        fcntl.fcntl(self.control, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(self.control, fcntl.F_SETFL, fcntl.fcntl(self.control, fcntl.F_GETFL) | os.O_ASYNC)

    def _check_agent(self) -> None:
        with contextlib.suppress(BlockingIOError, InterruptedError):
            if self.control.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b"":
                self.die()

    def loop(self) -> NoReturn:
        """Answer requests and report exits, for ever."""
        gc.collect()
        gc.freeze()  # each fork collects garbage at its end: let it look through its own alone
        poll = select.poll()  # select() refuses descriptors from 1024 on: an agent may hold many open files
        for end in (self.control, self.wake_read, self.heard_read):
            poll.register(end, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll(self._idle_ms())}
            if self.wake_read.fileno() in ready:
                self._drain(self.wake_read)
            self.reap()
            if self.heard_read in ready:
                self._hear()
            self._import_what_was_loaded()
            if self.passed_on and not self.attempts and not self.ended:
                self.die()
            if self.control.fileno() in ready:
                self._receive()
            else:  # what was sent while we imported may be a lease
                self._enforce_leases()

    def _idle_ms(self) -> float | None:
        """Return how long nothing is to be done unless somebody asks; None for ever."""
        times = [living.heard_by for living in self.ended]
        times += [living.lease_end for living in self.attempts.values() if living.lease_end and living.halted is None]
        return max(0.0, (min(times) - time.monotonic()) * 1000 + 1) if times else None

    def _enforce_leases(self) -> None:
        """Let attempts stand still whose lease is over: their agent is frozen, or cannot reach the record."""
        for living in self.attempts.values():
            if living.halted is None and _is_over(living.lease_end):
                living.halted = descent.halt_family(living.attempt, ATTEMPT_ENV)
                self.send({"event": "halted", "id": living.attempt})

    def renew(self, ends: dict[str, float]) -> None:
        """Prolong leases; what stands still goes on."""
        for living in self.attempts.values():
            living.lease_end = ends.get(living.attempt, living.lease_end)
            if living.halted is not None and not _is_over(living.lease_end):
                descent.go_on(living.halted)
                living.halted = None

    def _drain(self, end: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while end.recv(4096):
                pass

    def _receive(self) -> None:
        try:
            data = self.control.recv(1 << 20)
        except ConnectionError:
            data = b""
        if not data:
            self.die()
        self.buffer += data
        while b"\n" in self.buffer:
            line, self.buffer = self.buffer.split(b"\n", 1)
            request = loads(line)
            if request["op"] == "warm":
                self.warm(request)
            elif request["op"] == "lease":
                self.renew(request["ends"])
            elif request["op"] == "taught":
                self.take(request)
            else:
                self.start(request)

    def send(self, message: dict[str, Any]) -> None:
        """Send to the agent; a closed socket means that it is dead, and so shall we be."""
        try:
            self.control.sendall(dumps(message).encode() + b"\n")
        except OSError:
            self.die()

    # -- warm start ---------------------------------------------------------------------------------------------------

    def warm(self, request: dict[str, Any]) -> None:
        """Import what the program imports, and find out whether the result may be forked."""
        began = time.perf_counter()
        self.watch.avoid = self.watch.avoid.union(request.get("avoid", ()))
        with contextlib.suppress(OSError):
            os.chdir(self.folder)  # another one by now, if it was removed and made anew
        imported = 0
        lessons = request.get("lessons")
        trees: list[ast.Module] = []
        try:
            found = modules_of_program(request["script"], request.get("module"), self.shelf.path, trees)
            if lessons is None and is_to_teach(trees, found):
                self.untaught.add((request["script"], request.get("module")))
                self.send({"event": "teaching", "script": request["script"], "module": request.get("module")})
                return
            self.constants |= constants_of(trees)
            script = request["script"]
            self.folders.add(self.folder if script is None else os.path.dirname(os.path.realpath(script)))
            self.watch.main = main_of(request["script"], request.get("module"), self.shelf.path)
            self.programs_own |= {name.partition(":")[0] for name in found}
            imported = self._import([*found, *imported_later(found), *request.get("extra", [])])
        except Exception:  # nothing that a program's source holds may end this process: its runs hang on it
            self.cold_reason = self.cold_reason or "its imports could not be worked out"
            sys.excepthook(*sys.exc_info())
        self.send(
            {
                "event": "ready",
                "imported": imported,
                "seconds": round(time.perf_counter() - began, 3),
                "cold": self.cold_reason,
            }
        )
        self._leave_spoiled_to_runs()
        if lessons and not self.passed_on:
            self._compare([Lesson(*lesson) for lesson in lessons])

    def take(self, request: dict[str, Any]) -> None:
        """Take what the first run of the program teaches while it runs beside us."""
        names = [name for name in request["extra"] if name not in self.tried and name not in self.shelf.known]
        self.tried.update(names)
        if names and self.cold_reason is None and not self.passed_on:
            self._import([name for name in names if name not in self.watch.avoid])
            self._leave_spoiled_to_runs()
        if not self.passed_on:
            self._compare([Lesson(*lesson) for lesson in request["lessons"]])

    def _compare(self, lessons: list[Lesson]) -> None:
        """Have the next server do otherwise what would not hold in the circumstances in which the program imports.

        What a variable is that does not stand in the program's source may be another in the next run.

        Args:
            lessons: Those circumstances.
        """
        wrong = []
        for lesson in [lesson for lesson in lessons if lesson not in self.compared]:
            self.compared.append(lesson)
            placed = [name for name in lesson.placed if not is_placed(name, self.shelf.modules.get(name))]
            now = lesson._replace(placed=placed).circumstances(self.shelf.environ, self.watch.main)
            for name in filter(self.shelf.modules.__contains__, lesson.modules):
                for mismatch in self.shelf.failures(name, now):
                    varies = lesson.acted and mismatch.value is not None and mismatch.value not in self.constants
                    wrong.append((mismatch, mismatch.kind == "env" and not varies))
        env = {one.variable: one.value for one, fixed in reversed(wrong) if fixed and one.variable not in self.asked}
        culprits: dict[str, str] = {}
        for one, fixed in wrong:
            if one.kind == "env" and not (fixed and one.variable in env and env[one.variable] == one.value):
                culprits |= self.shelf.readers(one.variable)
            if one.kind != "env" or one.variable not in env:
                culprits[one.module] = one.kind
        if wrong:
            avoid = sorted(self.shelf.dependents(culprits)) if culprits else []
            self._pass_on({"avoid": avoid, "env": env, "reason": wrong[0][0].reason})

    def _leave_spoiled_to_runs(self) -> None:
        """Have the next server not import what no fork may use, before a fork asks for it."""
        failed = self.watch.refused - self.shelf.modules.keys()  # they cannot be imported without what is avoided
        if spoiled := {**self.shelf.spoiled(), **dict.fromkeys(failed, "avoided")}:
            first = next(iter(spoiled))
            self._pass_on({"avoid": sorted(spoiled), "env": {}, "reason": self.shelf.says(first, spoiled[first])})
            return
        folders = {self.folder, *self.folders}
        wrong = [one for folder in sorted(self.folders) for one in self.shelf.overshadowed(folder)]
        if wrong := [*wrong, *(one for folder in sorted(folders) for one in self.shelf.reads_below(folder))]:
            avoid = sorted(self.shelf.dependents({one.module: one.kind for one in wrong}))
            self._pass_on({"avoid": avoid, "env": {}, "reason": wrong[0].reason})

    def _import(self, names: Iterable[str]) -> int:
        """Import modules, `module:attribute` too (lazy packages load on access); return how many are new."""
        self.shelf.take_back()
        before = len(sys.modules)
        with output_apart():
            self.watch.start()
            try:
                for name in names:
                    module, _, attribute = name.partition(":")
                    # A failing import is the program's business: it fails there alike, with its own traceback.
                    with contextlib.suppress(BaseException):
                        loaded = importlib.import_module(module)
                        if attribute:
                            getattr(loaded, attribute)
            finally:
                self.watch.stop()
        imported = len(sys.modules) - before
        if imported:
            self.compared.clear()
            self._settle()
        self.shelf.put()
        if imported:
            self.generators = [*self.watch.unseeded, *unseeded_generators(self.shelf)]
        self.shelf.prepare(self.programs_own)
        if self.shelf.broken and not self.watch.refused:
            self.cold_reason = self.cold_reason or "an import failed halfway, and compiled modules remain of it"
        remember_builtins()
        if imported:
            gc.collect()
        gc.freeze()
        return imported

    def _settle(self) -> None:
        """After imports: remember our own sources and what is installed, check that forking is still safe."""
        for folder in folders_of_packages(self.shelf.path):
            self.sources.setdefault(folder, stamp(folder))
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if file and is_local(file):
                self.sources.setdefault(file, stamp(file))
        self.cold_reason = self.cold_reason or self._why_not_fork()
        with contextlib.suppress(Exception):  # another version of the library: it stays as it is
            let_forks_have_their_own(sys.modules)
        # What ends with this process is not a fork's to end.
        for finalizer in list(getattr(weakref.finalize, "_registry", {}).values()):
            finalizer.atexit = False

    def _why_not_fork(self) -> str | None:
        """Return why a fork of this process would be unsafe, or None."""
        others = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
        if others and not any("threads" in seen.unlike for seen in self.watch.of.values()):  # else the next server may
            return f"importing the program's modules started threads ({', '.join(others)})"
        torch = sys.modules.get("torch")
        if _began_cuda() or (torch is not None and torch.cuda.is_initialized()):
            return "importing the program's modules initialized CUDA"
        if _native_threads():
            # OpenBLAS ends its pool in a fork handler and starts it again on use; any other native thread stays.
            if (pid := os.fork()) == 0:
                os._exit(0)
            os.waitpid(pid, 0)
            if stay := _native_threads():
                return f"importing the program's modules started native threads ({', '.join(sorted(set(stay)))})"
        return None

    def _stale(self) -> bool:
        return any(stamp(file) != then for file, then in self.sources.items())

    def _hear(self) -> None:
        """Hear from an attempt: installed modules that it loaded beyond us, or what does not hold for it."""
        with contextlib.suppress(BlockingIOError):
            self.stated += os.read(self.heard_read, 1 << 16)
        *lines, self.stated = self.stated.split(b"\n")
        for message in map(loads, lines):
            if "loaded" in message:
                self.loaded.append((message["pid"], message["loaded"]))
                self.unsent = True
            elif "worked_out" in message:
                self.programs_own.update(message["worked_out"])
                self.shelf.work_out(message["worked_out"])
                gc.freeze()
            elif "lesson" in message:
                self._take_lesson(message["lesson"])
                self.unsent = True
            elif "mismatch" in message and not self.passed_on:
                self._take_mismatch(Mismatch(*message["mismatch"]))

    def _take_lesson(self, lesson: list[Any]) -> None:
        """Keep a lesson, in the place of the last one when it is that with more modules."""
        last = self.lessons[-1] if self.lessons else None
        if last is not None and last[1:] == lesson[1:] and last[0] == lesson[0][: len(last[0])]:
            self.lessons.pop()
        self.lessons.append(lesson)

    def _import_what_was_loaded(self) -> None:
        """Import for the next attempts what ended ones had loaded, once their ends are said: it may take seconds.

        What a first run teaches is for the next server.
        """
        if self.teaching and not self.passed_on:
            self._hand_on()
            if self.passed_on:
                return
        names = [name for pid, names in self.loaded if pid not in self.attempts for name in names]
        self.loaded = [(pid, later) for pid, later in self.loaded if pid in self.attempts]
        if names and self.cold_reason is None and not self.passed_on and not self.untaught:
            self._import([name for name in names if name not in self.watch.avoid])
            self._leave_spoiled_to_runs()

    def _hand_on(self) -> None:
        """Tell what first runs have taught, and when one has ended that the next server takes over."""
        ended = self.teaching.difference(self.attempts)
        if ended:
            self._hear()
        self.taught += len(ended)
        self.teaching -= ended
        over = bool(ended) and (bool(self.lessons) or self.taught >= _TEACHERS)
        if over or self.unsent:
            self.passed_on, self.unsent = over, False
            extra = [name for _, names in self.loaded for name in names]
            self.send({"event": "taught", "lessons": self.lessons, "extra": extra, "over": over})

    def _take_mismatch(self, wrong: Mismatch) -> None:
        """Have the next server import with the variable as the program sets it, or leave to the runs what needs it."""
        if wrong.kind == "env" and wrong.variable not in self.asked:
            self._pass_on({"avoid": [], "env": {wrong.variable: wrong.value}, "reason": wrong.reason})
            return
        self._leave_to_runs([wrong])

    def _fails_from_the_start(self, request: dict[str, Any]) -> list[Mismatch]:
        """Return what does not hold for a run before its first line, such as a variable that each run has for itself.

        A fork would notice at an import, and begin again, when it may have done something that it then does twice.
        """
        names = sorted(name for name in self.programs_own if name in self.shelf.modules)
        if not names:
            return []
        as_set = {name: value for name, value in self.shelf.environ.items() if name in self.asked}
        others = {name: value for name, value in request["env"].items() if name not in self.asked}
        now = Circumstances(
            {**others, **as_set}, os.path.realpath(request["cwd"]), self.shelf.path, {}, self.watch.main
        )
        return [wrong for name in names for wrong in self.shelf.failures(name, now)]

    def _leave_to_runs(self, wrong: list[Mismatch]) -> None:
        """Have the next server not import what relies on what does not hold in each run."""
        culprits: dict[str, str] = {}
        for one in wrong:
            culprits |= self.shelf.readers(one.variable) if one.kind == "env" else {}
            culprits[one.module] = one.kind
        avoid = sorted(self.shelf.dependents(culprits))
        self._pass_on({"avoid": avoid, "env": {}, "reason": wrong[0].reason})

    def _pass_on(self, learned: dict[str, Any]) -> None:
        """Hand what was learned to the next server: from here on this one only sees its attempts to their end."""
        self.passed_on = True
        self.send({"event": "learned", **learned})

    # -- attempts -----------------------------------------------------------------------------------------------------

    def start(self, request: dict[str, Any]) -> None:
        """Fork an attempt, warm if it asks for that and it is safe."""
        if _is_over(request.get("lease_end")):
            request["lease_end"] = self._newest_lease(request["id"])
            if _is_over(request["lease_end"]):  # we or our agent were frozen: the run may be another agent's by now
                self.send({"event": "late", "id": request["id"]})
                return
        if self.passed_on:
            return  # the next server is asked for it
        warm = request.get("warm") if self.cold_reason is None and self._began_alike(request["env"]) else None
        if warm and self._stale():
            self.passed_on = True
            self.send({"event": "stale", "id": request["id"]})
            return
        teaches = warm is not None and (warm["script"], warm["module"]) in self.untaught
        if warm and not teaches and (wrong := self._fails_from_the_start(request)):
            self._leave_to_runs(wrong)
            return
        if warm and warm["script"] and self.compiled.keep(os.path.join(request["cwd"], warm["script"])):
            gc.freeze()
        self.shelf.put()
        self.shelf.worked_out.clear()  # by this process, for itself
        made = self._made(request)
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        # Our handlers must not run in the fork: a SIGTERM that is early belongs to the attempt.
        _signal.pthread_sigmask(_signal.SIG_BLOCK, _OUR_SIGNALS)
        pid = os.fork()
        if pid == 0:
            self._become(request, warm, parent, teaches, made)
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, _OUR_SIGNALS)
        self.attempts[pid] = _Living(
            attempt=request["id"],
            exit_file=request["exit_file"],
            began=time.monotonic(),
            lease_end=request.get("lease_end"),
        )
        if teaches:
            self.teaching.add(pid)
        born = self.offspring.born(pid, request["id"])
        started = {"id": request["id"], "pid": pid, "born": born, "warm": bool(warm) and not teaches}
        self.send({"event": "started", **started})

    def _newest_lease(self, attempt: str) -> float:
        """Return what the agent last said of a lease that is over: we may have imported for longer than it lasts."""
        with contextlib.suppress(OSError):
            self.buffer += self.control.recv(1 << 20, socket.MSG_DONTWAIT)
        waiting = [loads(line) for line in self.buffer.split(b"\n")[:-1]]
        ends = [request["ends"].get(attempt, 0.0) for request in waiting if request["op"] == "lease"]
        return max(ends, default=0.0)

    def _began_alike(self, env: dict[str, str]) -> bool:
        """Return whether an interpreter and its libraries would begin in this environment as this process began."""
        return self._read_at_start(env) == self.began

    def _read_at_start(self, env: dict[str, str]) -> dict[str, str]:
        return {name: value for name, value in env.items() if name.startswith(READ_AT_START) and name not in self.asked}

    def _made(self, request: dict[str, Any]) -> _Made:
        env = Environment(request["env"])
        shown = self.block.filled(env.block, f"{ATTEMPT_ENV}=")
        return _Made(environment=env, shown=shown, limits=descent.limits_of(request["id"]))

    def _become(
        self, request: dict[str, Any], warm: dict[str, Any] | None, parent: int, teaches: bool, made: _Made
    ) -> NoReturn:
        """Turn this fork into the attempt. Never returns.

        Raises:
            Begun: It is to run the program in this process.
        """
        leader, began = os.getpid(), time.monotonic()
        try:
            os.setpgid(0, 0)  # not setsid: a program may call os.setpgrp(), which a session's leader may not
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            descent.bear(made.limits)
            if os.getppid() != parent or _is_over(request.get("lease_end")):
                os.kill(os.getpid(), signal.SIGKILL)  # frozen before it could be found by its mark
            self._forget_the_server()
            _redirect(request["log"])
            os.chdir(request["cwd"])
            if warm is None:
                execute(request["argv"], request["env"])
            self.request, self.log_start = request, os.fstat(1).st_size
            made.environment.take()
            self.block.show(made.shown)
            wandb_hook.install()
        except BaseException as error:
            os.write(2, f"sweepkit: the attempt could not be started: {error}\n".encode())
            os._exit(127)

        def ended(status: int) -> None:
            if os.getpid() == leader:  # a fork of the program that ends here is not the attempt's end
                usage = resource.getrusage(resource.RUSAGE_SELF)
                write_end(request["exit_file"], facts_of(status, usage, time.monotonic() - began))

        stated = self._teach() if teaches else self._say_what_was_loaded
        begin(warm, request, self.shelf, self.generators, self.compiled, stated, ended)

    def _teach(self) -> Callable[[], None]:
        """In a fork: say what it imports in which circumstances; return what tells the rest at its end."""
        learner = Learner(lambda lesson: self._report({"lesson": lesson}), self.asked)

        leader, notified_at = os.getpid(), monotonic()

        def asked(name: str) -> None:
            nonlocal notified_at
            self.shelf.wanted.append(name)
            learner.asked(name)
            if os.getpid() == leader and monotonic() - notified_at > _TEACHES_S:
                stated()
                notified_at = monotonic()

        def stated() -> None:
            learner.say()
            self._say_what_was_loaded()

        self.shelf.asked = asked
        return stated

    def _say_what_was_loaded(self) -> None:
        """Let the server know which installed modules this attempt loaded beyond it, as it asked for them; once."""
        if not self.shelf.wanted and not self.shelf.worked_out:
            return
        names = [name for name in dict.fromkeys(self.shelf.wanted) if self._is_for_all(name, sys.modules.get(name))]
        said = set(names)
        self.shelf.wanted[:] = [name for name in self.shelf.wanted if name not in said]
        pid = os.getpid()
        for start in range(0, len(names), _NAMES_AT_ONCE):
            self._report({"loaded": names[start : start + _NAMES_AT_ONCE], "pid": pid})
        worked_out, self.shelf.worked_out = self.shelf.worked_out, []
        for start in range(0, len(worked_out), _NAMES_AT_ONCE):
            self._report({"worked_out": worked_out[start : start + _NAMES_AT_ONCE]})

    def _is_for_all(self, name: str, module: Any) -> bool:
        """Return whether a module that a fork loaded is an installed one, which others could share."""
        file = getattr(module, "__file__", None)
        return (
            bool(file)
            and not is_local(file, besides_sweepkit=True)
            and getattr(getattr(module, "__spec__", None), "name", None) == name
        )

    def _report(self, message: dict[str, Any]) -> None:
        """Tell the server, unless a pipe does not take it in one piece: the next run will tell it then."""
        data = dumps(message).encode() + b"\n"
        with contextlib.suppress(OSError):
            pipe = os.open(self.heard_from, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            if len(data) <= select.PIPE_BUF:
                os.write(pipe, data)
            os.close(pipe)

    def _afresh(self, wrong: Mismatch) -> NoReturn:
        """Begin again as a fresh process in this one's place: what the program relies on does not hold in a fork."""
        request = self.request
        self._report({"mismatch": wrong})
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.umask(self.umask)
        _redirect(request["log"])
        with contextlib.suppress(OSError):
            os.ftruncate(1, self.log_start)  # it says everything once more
        os.write(1, f"sweepkit: begun again in a fresh process: {wrong.reason}\n".encode())
        os.chdir(request["cwd"])
        close_all_files()
        execute(request["argv"], request["env"])

    def _forget_the_server(self) -> None:
        signal.set_wakeup_fd(-1)
        # By C's module: Python's makes members of enumerations, for which a fork copies a hundred pages of memory.
        for number in (_signal.SIGTERM, _signal.SIGCHLD, _signal.SIGIO):
            _signal.signal(number, _signal.SIG_DFL)
        _signal.signal(_signal.SIGINT, _signal.default_int_handler)
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, _OUR_SIGNALS)
        self.control.close()
        self.wake_read.close()
        self.wake_write.close()
        os.close(self.heard_read)
        os.close(self.heard_write)

    def reap(self) -> None:
        """Report every ended attempt, once whatever it left behind is killed and gone."""
        while (ended := _next_ended()) is not None:
            pid = ended.si_pid
            living = self.attempts.pop(pid, None)
            if living is not None:
                # Before the zombie is reaped, so that its number cannot yet belong to somebody else.
                kill_group(pid)
            status, usage = reaped(pid)
            if living is None:
                continue  # an orphan of an attempt, handed to us as the subreaper
            self.offspring.ended(pid)
            living.facts = _write_exit(living, status, usage)
            living.heard_by = time.monotonic() + _STRAYS_S
            self.ended.append(living)
        for living in list(self.ended):
            strays = self.offspring.left_by(living.attempt)
            for pid in strays:
                descent.send(pid, signal.SIGKILL)
            if not strays or time.monotonic() >= living.heard_by:
                self.ended.remove(living)
                self.send({"event": "exited", "id": living.attempt, **(living.facts or {})})

    def die(self) -> NoReturn:
        """Kill every attempt and every descendant, then exit: the agent is gone.

        An attempt that had ended by itself is written down, so that the next agent need not repeat it.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _OUR_SIGNALS)
        deadline = time.monotonic() + 10
        while (pids := descent.children()) and time.monotonic() < deadline:
            for pid in pids:
                kill_group(pid)
            signal.sigtimedwait({signal.SIGCHLD}, 0.05)
            while (ended := _next_ended()) is not None:
                status, usage = reaped(ended.si_pid)
                living = self.attempts.pop(ended.si_pid, None)
                if living is not None and os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
                    _write_exit(living, status, usage)
        os._exit(0)


def _is_over(lease_end: float | None) -> bool:
    return lease_end is not None and time.monotonic() > lease_end


def _next_ended() -> Any:
    """Return what `waitid` says of a child that has ended and is not reaped yet; None when there is none."""
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None


def reaped(pid: int) -> tuple[int, resource.struct_rusage]:
    """Reap a child that has ended; return its wait status and what it used.

    C looks for `resource` in `sys.modules`, from where the shelf has it: it would be imported for every attempt.
    """
    with in_place(resource):
        _, status, usage = os.wait4(pid, 0)
    return status, usage


def _write_exit(living: _Living, status: int, usage: resource.struct_rusage) -> dict[str, Any]:
    """Write how an attempt ended, in one step, before anybody hears of it; return it."""
    facts = facts_of(os.waitstatus_to_exitcode(status), usage, time.monotonic() - living.began)
    write_end(living.exit_file, facts)  # where that fails, the agent, if it lives, hears of it all the same
    return facts


def kill_group(pid: int, number: int = signal.SIGKILL) -> None:
    """Signal the process group led by `pid`; one that is gone is fine.

    A fork that has not yet made its group is signalled alone.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        try:
            os.killpg(pid, number)
        except ProcessLookupError:
            os.kill(pid, number)


# Allocators whose own thread survives a fork in the parent alone and by design: they registered fork handlers.
_FORK_SAFE_THREADS = frozenset({"jemalloc_bg_thd"})  # Apache Arrow's, and so that of pandas


def _began_cuda() -> bool:
    """Return whether CUDA's driver was initialized in this process: no fork of it could use a GPU.

    A library needs no context for that: to count the GPUs is enough (`torch.cuda.is_available()` at its import), and
    then the driver has its device for unified memory open. NVML, which survives a fork, leaves that alone.
    """
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the folder's own, closed by now
            if os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")) == "nvidia-uvm":
                return True
    return False


def _native_threads() -> list[str]:
    """Return the names of this process's threads beside the main one, without those that a fork cannot harm."""
    names = []
    for task in os.listdir("/proc/self/task"):
        if task != str(os.getpid()):
            with contextlib.suppress(OSError):  # it ended meanwhile
                names.append(Path(f"/proc/self/task/{task}/comm").read_text().strip())
    return [name for name in names if name not in _FORK_SAFE_THREADS]


def _redirect(log: str) -> None:
    """Send stdout and stderr to the log, read from nothing."""
    null = os.open(os.devnull, os.O_RDWR)  # as subprocess.DEVNULL is
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(null, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.close(null)
    os.close(out)
