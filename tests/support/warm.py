"""Runners that start without a second of imports: forked off a process of the session that has made them already.

    process = WarmPopen([sys.executable, str(RUNNER), "--sweep-config", "s.yaml"], cwd=folder, env=env)

A `WarmPopen` is a `subprocess.Popen` in all that tests ask of one. Its process runs the named script or module of ours
as `python script` would, with its own environment, folder, files and signals; only what `PRELOADED` names is imported
beforehand. What such a start cannot do, or an interpreter reads when it starts, is done by an interpreter of its own.
Run as a script, this file is that process: one request a message, answered by the pid, later by the wait status.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import types
from pathlib import Path
from typing import Any, NamedTuple

CODE = Path(__file__).resolve().parents[2] / "code"
PRELOADED = (
    "sweepkit.agents.warm.ending",
    "sweepkit.cli.app",
    "sweepkit.cli.sweep_runner",
    "sweepkit.cli.parallel_sweep_runner",
    "sweepkit.cli.monitor_sweep",
    "sweepkit.monitor.monitor",
    "sweepkit.runner.call",
    "sweepkit.runner.space_function",
    "sweepkit.runner.sweep_report",
    "sweepkit.stats.top_two",
    "sweepkit.analysis.importance",
    "sweepkit.reports.confirmation",
    "sweepkit.reports.methods",
    "sweepkit.reports.run_table",
    "sweepkit.reports.study_report",
    "sweepkit.wandb.upload_client",
    "numpy.ma",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "plotly.offline",
    "pynvml",
    "rich.console",
    "rich.table",
    "scipy.optimize",
    "scipy.stats",
)
# What those import besides that speak with W&B or Optuna, half a second of CPU each: they are forked off a second
# process, so that no other has the larger memory to copy.
OF_OTHERS = (
    "alembic.command",
    "optuna.storages._rdb.storage",
    "optuna.trial",
    "wandb.apis.public.service_api",
    "wandb.proto.wandb_internal_pb2",
    "wandb.sdk.lib.wbauth",
)
_SPEAK_WITH_OTHERS = {"--backend", "--optuna-dashboard", "--optuna-storage", "--push", "--wandb", "--wandb-sweep"}
_MOST_BYTES = 1 << 20
_READ_AT_THE_START = ("PYTHON", "LC_", "LANG", "LD_", "TZ", "OPENBLAS_", "MKL_")


class _Start(NamedTuple):
    """What `subprocess.Popen` hands to `_execute_child`, by name."""

    args: Any
    executable: Any
    preexec_fn: Any
    close_fds: bool
    pass_fds: Any
    cwd: Any
    env: Any
    startupinfo: Any
    creationflags: int
    shell: bool
    p2cread: int
    p2cwrite: int
    c2pread: int
    c2pwrite: int
    errread: int
    errwrite: int
    restore_signals: bool
    gid: Any
    gids: Any
    uid: Any
    umask: int
    start_new_session: bool
    process_group: int

    def plain(self) -> bool:
        """Whether it asks for a script of this interpreter and for nothing that a fork does not give."""
        others = (self.executable, self.preexec_fn, self.gid, self.gids, self.uid)
        if any(one is not None for one in others) or self.pass_fds or self.shell:
            return False
        if isinstance(self.args, str) or self.umask != -1 or self.process_group not in (-1, None):
            return False
        first, script, module = [*map(str, self.args), "", "", ""][:3]
        ours = script.endswith(".py") or (script == "-m" and module.partition(".")[0] == "sweepkit")
        return first == sys.executable and ours and _read_at_the_start(self.env) == _SERVED


class WarmPopen(subprocess.Popen):
    """A script in a process of its own, forked where that is the same to it."""

    _told: socket.socket | None = None  # None: started by an interpreter of its own

    def _execute_child(self, *called: Any) -> None:
        start = _Start(*called)
        if not start.plain():
            return super()._execute_child(*called)
        handed = (start.p2cread, start.c2pwrite, start.errwrite)
        asked = {
            "argv": [str(arg) for arg in start.args[1:]],
            "cwd": os.path.abspath(start.cwd or "."),
            "env": {name: str(value) for name, value in (os.environ if start.env is None else start.env).items()},
            "session": start.start_new_session,
        }
        others = OF_OTHERS if _speaks_with_others(asked["argv"]) else ()
        self._told = _ask(
            others, json.dumps(asked).encode(), [own if it == -1 else it for own, it in enumerate(handed)]
        )
        self.pid = int(self._told.recv(64))
        self._child_created = True
        self._close_pipe_fds(*called[10:16])

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        if self._told is None:
            return super()._try_wait(wait_flags)
        if not select.select([self._told], [], [], 0 if wait_flags else None)[0]:
            return 0, 0
        status = self._told.recv(64)
        self._told.close()
        return self.pid, int(status or b"9")  # no answer: the process that forked it was killed, and the session ends

    def _internal_poll(self, *given: Any, **named: Any) -> int | None:
        if self._told is None:
            return super()._internal_poll(*given, **named)
        if self.returncode is None and self._waitpid_lock.acquire(False):
            try:
                pid, status = self._try_wait(os.WNOHANG)
                if pid:
                    self._handle_exitstatus(status)
            finally:
                self._waitpid_lock.release()
        return self.returncode


def run(command: list[str], *, timeout: float, **popen: Any) -> subprocess.CompletedProcess[str]:
    """Do as `subprocess.run` with its output captured as text."""
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "encoding": "utf-8"}
    with WarmPopen(command, **piped, **popen) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def _read_at_the_start(env: dict[str, str] | None) -> dict[str, str]:
    """Return what an interpreter, or a library that is preloaded, reads of an environment before any script runs."""
    read = {name: value for name, value in (env or os.environ).items() if name.startswith(_READ_AT_THE_START)}
    entries = [entry for entry in read.pop("PYTHONPATH", "").split(os.pathsep) if entry]
    return read | {"PYTHONPATH": os.pathsep.join(entry for entry in entries if not _shadows_nothing(entry))}


def _shadows_nothing(entry: str) -> bool:
    """Return whether a folder is that of what is imported already, or has what a start of Python does."""
    return Path(entry) == CODE or _is_a_start(entry)


def _is_a_start(entry: str) -> bool:
    return set(os.listdir(entry) if os.path.isdir(entry) else ()) - {"__pycache__"} == {"sitecustomize.py"}


def _speaks_with_others(argv: list[str]) -> bool:
    """Return whether a command reads or writes at W&B or in a study of Optuna."""
    return not _SPEAK_WITH_OTHERS.isdisjoint(argv) or any(arg.startswith(("wandb:", "sweepkit.wandb.")) for arg in argv)


_SERVED = _read_at_the_start({**os.environ, "PYTHONWARNINGS": "default"})
_servers: dict[tuple[str, ...], tuple[subprocess.Popen, socket.socket]] = {}


def _ask(others: tuple[str, ...], request: bytes, files: list[int]) -> socket.socket:
    """Hand a request to the session's process that has these besides, started by the first; return where it answers."""
    if others not in _servers:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, __file__, str(theirs.fileno()), *others]
        env = {**os.environ, "PYTHONWARNINGS": "default"}
        _servers[others] = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=env, start_new_session=True), ours
        theirs.close()
        atexit.register(_close, *_servers[others])
    said, answers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with answers:
        socket.send_fds(_servers[others][1], [request], [answers.fileno(), *files])
    return said


def _close(process: subprocess.Popen, asks: socket.socket) -> None:
    asks.close()
    process.wait()


def _preload(others: list[str]) -> set[int]:
    """Import what runners import, and leave the path of modules as a fresh process has it; return what all share."""
    sys.path.insert(1, str(CODE))
    for name in (*PRELOADED, *others):
        importlib.import_module(name)
    sys.path.remove(str(CODE))
    gc.collect()
    gc.freeze()  # pages stay shared
    return {id(module) for module in sys.modules.values()}


def _serve(asks: int) -> list[str]:
    """Fork at each request; in the child return its arguments. Files are bare numbers: nothing else closes them."""
    running: dict[int, tuple[int, int]] = {}  # pidfd: (pid, where its end is awaited)
    while True:
        for ready in select.select([asks, *running], [], [])[0]:
            if ready in running:
                pid, answers = running.pop(ready)
                _answer(answers, os.waitpid(pid, 0)[1])
                os.close(answers)
                os.close(ready)
                continue
            channel = socket.socket(fileno=asks)
            text, files, _, _ = socket.recv_fds(channel, _MOST_BYTES, 4)
            channel.detach()
            if not text:
                os._exit(0)
            pid = os.fork()
            if pid == 0:
                return _become(json.loads(text), files[1:])
            for file in files[1:]:
                os.close(file)
            _answer(files[0], pid)
            running[os.pidfd_open(pid)] = (pid, files[0])


def _answer(answers: int, number: int) -> None:
    channel = socket.socket(fileno=answers)
    try:
        with contextlib.suppress(OSError):  # nobody waits for it any longer
            channel.send(str(number).encode())
    finally:
        channel.detach()


def _become(asked: dict[str, Any], files: list[int]) -> list[str]:
    """Make this process what was asked for, as a start by its command would."""
    if asked["session"]:
        os.setsid()
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.closerange(3, 1024)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    utf8 = {"encoding": "utf-8"}
    for entry in reversed(asked["env"].get("PYTHONPATH", "").split(os.pathsep)):
        if entry and entry not in sys.path:
            sys.path.insert(1, entry)
        if entry and _is_a_start(entry):
            importlib.import_module("sitecustomize")
    sys.stdin = sys.__stdin__ = open(0, **utf8, closefd=False)
    sys.stdout = sys.__stdout__ = open(1, "w", **utf8, closefd=False)
    sys.stderr = sys.__stderr__ = open(2, "w", 1, **utf8, closefd=False, errors="backslashreplace")
    if sys.stdout.isatty():
        sys.stdout.reconfigure(line_buffering=True)
    return asked["argv"]


def _run(argv: list[str], shared: set[int]) -> None:
    """Run a script as the main module, as `python script` does, and end as that does.

    An end that takes apart the modules of all would cost 0.09 s of CPU: as much as a small sweep's first half.
    """
    from sweepkit.agents.warm.ending import exit_status, leave, remember_builtins

    module = argv[1] if argv[0] == "-m" else None
    sys.argv = argv[1:] if module else argv
    sys.path[0] = os.getcwd() if module else os.path.dirname(os.path.abspath(argv[0]))
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    main.__file__ = argv[0]
    remember_builtins()
    status = 0
    try:
        if module:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        else:
            exec(compile(Path(argv[0]).read_bytes(), argv[0], "exec"), main.__dict__)
    except SystemExit as end:
        status = exit_status(end.code)
    leave(status, shared)  # what else is raised ends this interpreter in its own way


if __name__ == "__main__":
    loaded = _preload(sys.argv[2:])
    _run(_serve(int(sys.argv[1])), loaded)
