"""The process that starts every attempt of a host: forked warm where that is safe, executed cold otherwise.

It is the parent of all attempts of one agent and holds their life in its hand:

* it imports what the program needs once; an attempt is a fork that runs the program as `__main__` (warm start);
* each attempt leads a process group of its own, dies with this process (PR_SET_PDEATHSIG), and leaves no child behind:
  this process is a subreaper and kills whatever an ended attempt left;
* when its agent is gone, whatever killed it, the control socket closes and every attempt is killed.

The standard library's forkserver was tried first. It cannot tell whether what it preloaded is safe to fork, redirects
no output, starts no sessions, and leaves grandchildren alone, so this is a server of our own with the same idea.

It knows nothing of sweeps, stores or metrics, and imports only the standard library, so that a cold agent costs little.

Protocol: one JSON object a line.

In: `{"op": "start", "id", "argv", "env", "cwd", "log", "exit_file", "warm": null | {"script", "module", "args"}}`,
`{"op": "warm", "script", "module", "extra"}`.

Out: `{"event": "ready", "imported", "seconds", "cold": reason | null}`, `{"event": "started", "id", "pid", "warm"}`,
`{"event": "stale", "id"}`, `{"event": "exited", "id", "status", "peak_memory_mb", "cpu_s", "duration_s"}`.
"""

import atexit
import contextlib
import ctypes
import fcntl
import gc
import importlib
import json
import os
import random
import resource
import select
import signal
import socket
import sys
import threading
import time
import types
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from sweepkit.agents.exit_file import facts_of, write_end
from sweepkit.agents.preload import is_local, modules_of_program
from sweepkit.environ import ATTEMPT_ENV

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_OUR_SIGNALS = frozenset({signal.SIGTERM, signal.SIGIO, signal.SIGCHLD})
_libc = ctypes.CDLL(None, use_errno=True)


def serve(control_fd: int) -> NoReturn:
    """Serve attempts until the control socket closes, then kill what is left and exit.

    Args:
        control_fd: An inherited, connected stream socket to the agent.
    """
    _ForkServer(socket.socket(fileno=control_fd)).loop()


@dataclass(frozen=True, slots=True)
class _Living:
    """An attempt that runs: its id, the file that its end is written to, when it began (monotonic seconds)."""

    attempt: str
    exit_file: str
    began: float


class _ForkServer:
    """The state of the process: the control socket, the live attempts, and what has been imported."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.attempts: dict[int, _Living] = {}
        self.buffer = b""
        self.cold_reason: str | None = None
        self.sources: dict[str, tuple[int, int]] = {}
        # A datagram socket keeps the messages of two attempts apart, however long they are.
        self.modules_read, self.modules_write = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.wake_read, self.wake_write = socket.socketpair()
        for end in (self.wake_read, self.wake_write):
            end.setblocking(False)
        self.modules_read.setblocking(False)
        self.path = [entry for entry in sys.path if entry]
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
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
        poll = select.poll()  # select() refuses descriptors from 1024 on: an agent may hold many open files
        for end in (self.control, self.wake_read, self.modules_read):
            poll.register(end, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self.wake_read.fileno() in ready:
                self._drain(self.wake_read)
            self.reap()
            if self.modules_read.fileno() in ready:
                self._learn()
            if self.control.fileno() in ready:
                self._receive()

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
            request = json.loads(line)
            if request["op"] == "warm":
                self.warm(request)
            else:
                self.start(request)

    def send(self, message: dict[str, Any]) -> None:
        """Send to the agent; a closed socket means that it is dead, and so shall we be."""
        try:
            self.control.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            self.die()

    # -- warm start ---------------------------------------------------------------------------------------------------

    def warm(self, request: dict[str, Any]) -> None:
        """Import what the program imports, and find out whether the result may be forked."""
        began = time.perf_counter()
        found = modules_of_program(request["script"], request.get("module"), self.path)
        imported = self._import([*found, *request.get("extra", [])])
        self.send(
            {
                "event": "ready",
                "imported": imported,
                "seconds": round(time.perf_counter() - began, 3),
                "cold": self.cold_reason,
            }
        )

    def _import(self, names: Iterable[str]) -> int:
        """Import modules, `module:attribute` too (lazy packages load on access); return how many are new."""
        before = len(sys.modules)
        for name in names:
            module, _, attribute = name.partition(":")
            # A failing import is the program's business: it will fail there in the same way, with its own traceback.
            with contextlib.suppress(BaseException):
                loaded = importlib.import_module(module)
                if attribute:
                    getattr(loaded, attribute)
        if len(sys.modules) != before:
            self._settle()
        return len(sys.modules) - before

    def _settle(self) -> None:
        """After imports: keep pages shared, remember our own sources, check that forking is still safe."""
        gc.collect()
        gc.freeze()
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if file and is_local(file):
                self.sources[file] = _stamp(file)
        self.cold_reason = self.cold_reason or self._why_not_fork()

    def _why_not_fork(self) -> str | None:
        """Return why a fork of this process would be unsafe, or None."""
        others = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
        if others:
            return f"importing the program's modules started threads ({', '.join(others)})"
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
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
        return any(_stamp(file) != stamp for file, stamp in self.sources.items())

    def _learn(self) -> None:
        """Import what an ended attempt had loaded beyond us: dynamic imports that no reading of the source finds."""
        with contextlib.suppress(BlockingIOError):
            names = self.modules_read.recv(1 << 20).decode().split()
            if self.cold_reason is None:
                self._import(names)

    # -- attempts -----------------------------------------------------------------------------------------------------

    def start(self, request: dict[str, Any]) -> None:
        """Fork an attempt, warm if it asks for that and it is safe."""
        warm = request.get("warm") if self.cold_reason is None else None
        if warm and self._stale():
            self.send({"event": "stale", "id": request["id"]})
            return
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        # Our handlers must not run in the fork: a SIGTERM that is early belongs to the attempt.
        signal.pthread_sigmask(signal.SIG_BLOCK, _OUR_SIGNALS)
        pid = os.fork()
        if pid == 0:
            self._become(request, warm, parent)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _OUR_SIGNALS)
        self.attempts[pid] = _Living(request["id"], request["exit_file"], time.monotonic())
        self.send({"event": "started", "id": request["id"], "pid": pid, "warm": bool(warm)})

    def _become(self, request: dict[str, Any], warm: dict[str, Any] | None, parent: int) -> NoReturn:
        """Turn this fork into the attempt. Never returns."""
        leader, began = os.getpid(), time.monotonic()
        try:
            os.setpgid(0, 0)  # not setsid: a program may call os.setpgrp(), which a session's leader may not
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)
            self._forget_the_server()
            _redirect(request["log"])
            os.chdir(request["cwd"])
            if warm is None:
                self.modules_write.close()
                _execute(request["argv"], request["env"])
        except BaseException as error:
            os.write(2, f"sweepkit: the attempt could not be started: {error}\n".encode())
            os._exit(127)
        _set_environment(request["env"])
        known = frozenset(sys.modules)
        status = _run_program(warm, self.path)
        if os.getpid() == leader:  # a fork of the program that ends here is not the attempt's end
            usage = resource.getrusage(resource.RUSAGE_SELF)
            write_end(request["exit_file"], facts_of(status, usage, time.monotonic() - began))
        _send_modules(self.modules_write, known)
        os._exit(status)

    def _forget_the_server(self) -> None:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGIO):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _OUR_SIGNALS)
        self.control.close()
        self.wake_read.close()
        self.wake_write.close()
        self.modules_read.close()

    def reap(self) -> None:
        """Report every ended attempt, after killing whatever it left behind."""
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            pid = ended.si_pid
            living = self.attempts.pop(pid, None)
            if living is not None:
                # Before the zombie is reaped, so that its number cannot yet belong to somebody else.
                kill_group(pid)
            _, status, usage = os.wait4(pid, 0)
            if living is None:
                continue  # an orphan of an attempt, handed to us as the subreaper
            self._kill_strays(living.attempt)
            self.send({"event": "exited", "id": living.attempt, **_write_exit(living, status, usage)})

    def _kill_strays(self, attempt: str) -> None:
        """Kill children of an ended attempt that left its group; they are ours now and carry its id."""
        marker = f"{ATTEMPT_ENV}={attempt}".encode()
        for pid in _children():
            if pid not in self.attempts and marker in _environ(pid):
                kill_group(pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def die(self) -> NoReturn:
        """Kill every attempt and every descendant, then exit: the agent is gone.

        An attempt that had ended by itself is written down, so that the next agent need not repeat it.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _OUR_SIGNALS)
        deadline = time.monotonic() + 10
        while (pids := _children()) and time.monotonic() < deadline:
            for pid in pids:
                kill_group(pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                pid, status, usage = os.wait4(-1, 0)
                living = self.attempts.pop(pid, None)
                if living is not None and os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
                    _write_exit(living, status, usage)
        os._exit(0)


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


def _stamp(file: str) -> tuple[int, int]:
    try:
        status = os.stat(file)
    except FileNotFoundError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_size)


# Allocators whose own thread survives a fork in the parent alone and by design: they registered fork handlers.
_FORK_SAFE_THREADS = frozenset({"jemalloc_bg_thd"})  # Apache Arrow's, and so that of pandas


def _native_threads() -> list[str]:
    """Return the names of this process's threads beside the main one, without those that a fork cannot harm."""
    names = []
    for task in os.listdir("/proc/self/task"):
        if task != str(os.getpid()):
            with contextlib.suppress(OSError):  # it ended meanwhile
                names.append(Path(f"/proc/self/task/{task}/comm").read_text().strip())
    return [name for name in names if name not in _FORK_SAFE_THREADS]


def _children() -> list[int]:
    text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return [int(word) for word in text.split()]


def _environ(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _redirect(log: str) -> None:
    """Send stdout and stderr to the log, read from nothing."""
    null = os.open(os.devnull, os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(null, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.close(null)
    os.close(out)


def _set_environment(env: dict[str, str]) -> None:
    """Make `env` the whole environment, by its few differences: each variable set costs a fork some page copies."""
    for name in [name for name in os.environ if name not in env]:
        del os.environ[name]
    for name, value in env.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _execute(argv: list[str], env: dict[str, str]) -> NoReturn:
    """Replace this fork by a fresh process (cold start)."""
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    try:
        os.execvpe(argv[0], argv, env)
    except OSError as error:
        os.write(2, f"sweepkit: cannot execute {argv[0]!r}: {error.strerror}\n".encode())
        os._exit(127)


def _run_program(warm: dict[str, Any], path: list[str]) -> int:
    """Run the script or module as `__main__`, as a fresh interpreter would; return its exit status.

    Ends as an interpreter does (threads joined, exit handlers, streams flushed), except that modules are not torn
    down: the process ends at once, and destructors of global objects do not run.
    """
    _fresh_randomness()
    try:
        _prepare_main(warm, path)
        status = 0
    except SystemExit as stop:
        status = _exit_status(stop.code)
    except KeyboardInterrupt:
        status = 130
    except BaseException:
        _print_traceback()
        status = 1
    with contextlib.suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]  # joins non-daemon threads, as at interpreter exit
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BaseException):
            stream.flush()
    return status


def _prepare_main(warm: dict[str, Any], path: list[str]) -> None:
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    if warm.get("module"):
        import runpy

        sys.path[:] = [os.getcwd(), *path]
        sys.argv[:] = [warm["module"], *warm["args"]]
        runpy.run_module(warm["module"], run_name="__main__", alter_sys=True)
        return
    script = warm["script"]
    sys.path[:] = [str(Path(script).resolve().parent), *path]
    sys.argv[:] = [script, *warm["args"]]
    main = types.ModuleType("__main__")
    main.__file__ = script
    main.__builtins__ = __builtins__  # type: ignore[attr-defined]
    sys.modules["__main__"] = main
    with open(script, "rb") as file:
        code = compile(file.read(), script, "exec")
    exec(code, main.__dict__)


def _exit_status(code: object) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    sys.stderr.write(f"{code}\n")
    return 1


def _print_traceback() -> None:
    """Print the traceback without our own frames, as a fresh interpreter would."""
    kind, value, trace = sys.exc_info()
    while trace is not None and trace.tb_frame.f_code.co_filename in (__file__, "<frozen runpy>"):
        trace = trace.tb_next
    if value is not None and kind is not None:
        sys.excepthook(kind, value.with_traceback(trace), trace)


def _fresh_randomness() -> None:
    """Undo what a fork shares and a fresh process would not: generator states, thread counts, the TMPDIR in use."""
    if (tempfile := sys.modules.get("tempfile")) is not None:
        tempfile.tempdir = None  # type: ignore[attr-defined]
    random.seed()
    numpy = sys.modules.get("numpy")
    if numpy is not None and "numpy.random" in sys.modules:
        numpy.random.seed()
    torch = sys.modules.get("torch")
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if torch is not None and threads.isdigit():
        torch.set_num_threads(int(threads))


def _send_modules(modules_write: socket.socket, known: frozenset[str]) -> None:
    """Let the server know which installed modules this attempt loaded beyond it, in their order."""
    names = [
        name
        for name, module in list(sys.modules.items())
        if name not in known
        and name.partition(".")[0] != "__main__"
        and (file := getattr(module, "__file__", None))
        and not is_local(file, besides_sweepkit=True)
        and getattr(getattr(module, "__spec__", None), "name", None) == name
    ]
    if names:
        with contextlib.suppress(OSError):
            modules_write.setblocking(False)
            modules_write.send(" ".join(names)[:100_000].encode())
