"""Which processes are an attempt's, all of them, as anybody on the host can tell: by a mark that is inherited.

/proc/PID/environ shows what a process was *executed* with: of a fork its parent's block, of a daemon that cleared its
environment nothing. Session, group and parent are left by any daemon. A resource limit is not: it goes through fork,
exec and setsid, and everybody may read /proc/PID/limits. So the mark is the soft limit of RLIMIT_LOCKS, which Linux has
not enforced since 2.4.25 and which no program reads or sets. Where it cannot be set (a hard limit, another kernel), the
environment says as far as it goes: `EnvironmentBlock` makes a fork show its own.

The fork server imports this: the standard library of Python 3.9 must do. Linux only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from typing import NoReturn

OWNER_ENV = "SWEEPKIT_OWNER"  # of a fork server: its agent's identity
_ROOM_ENV = "SWEEPKIT_ENVIRON_ROOM"
_ROOM_BYTES = 8192  # what an attempt's environment has beyond its agent's: 3 KiB and what the sweep adds
_RLIMIT_LOCKS = 10  # `resource` does not name it
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PATIENCE_S = 12.0  # a fork server gives up after ten seconds
_libc = ctypes.CDLL(None, use_errno=True)


# -- the mark ---------------------------------------------------------------------------------------------------------


def _mark_of(name: str) -> int:
    """Return the mark of whoever bears that name, say an attempt's id: FNV-1a of it, in [2**61, 2**62)."""
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value >> 3 | 1 << 61


def mark(name: str, pid: int = 0) -> bool:
    """Mark a process, this one by default, and all that will descend from it; return whether that could be done."""
    try:
        return bear(limits_of(name, pid), pid)
    except OSError:
        return False


def limits_of(name: str, pid: int = 0) -> tuple[int, int]:
    """Return the limits by which a process, or a fork of it, is marked. Raises OSError: there is no such process."""
    return _mark_of(name), resource.prlimit(pid, _RLIMIT_LOCKS)[1]


def bear(limits: tuple[int, int], pid: int = 0) -> bool:
    """Mark a process by what `limits_of` returned; return whether that could be done."""
    try:
        resource.prlimit(pid, _RLIMIT_LOCKS, limits)
    except (ValueError, OSError):
        return False
    return True


def _borne_by(pid: int) -> int | None:
    """Return the mark of a process; None when it bears none or there is no such process."""
    text = _read(pid, "limits")
    at = text.find(b"Max file locks")
    word = text[at + len(b"Max file locks") :].split(None, 1)[:1] if at >= 0 else []
    return int(word[0]) if word and word[0].isdigit() else None


def belongs(pid: int, name: str, variable: str) -> bool:
    """Return whether a process is one of `name`'s: it bears the mark, or has `variable=name` in its environment."""
    if _borne_by(pid) == _mark_of(name):
        return True
    return f"{variable}={name}".encode() in _read(pid, "environ").split(b"\0")


def _others() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and int(entry) != os.getpid()]


def bearers(name: str, variable: str) -> list[int]:
    """Return the living processes of this host, but not this one, that are `name`'s by mark or variable."""
    return [pid for pid in _others() if belongs(pid, name, variable) and _lives(pid)]


def family(name: str, variable: str) -> list[int]:
    """Return the bearers and those that descend from them: a sweep within a run marks its own runs."""
    pids = _others()
    found = {pid for pid in pids if belongs(pid, name, variable)}
    fresh = found
    while fresh:
        fresh = {pid for pid in pids if pid not in found and _parent(pid) in fresh}
        found |= fresh
    return [pid for pid in found if _lives(pid)]


def kill_family(name: str, variable: str, *, patience_s: float = 5.0) -> tuple[int, list[int]]:
    """Kill every process that is `name`'s and wait until it is gone; what it forked meanwhile is found by another look.

    Returns:
        How many were killed, and those that were not gone in the time: stuck in a driver, or of another user.
    """
    deadline = time.monotonic() + patience_s
    killed: set[int] = set()
    while pids := family(name, variable):
        if killed and time.monotonic() >= deadline:
            break
        for pid in pids:
            send(pid, signal.SIGKILL)
        for pid in pids:
            await_end(pid, deadline - time.monotonic())
        killed.update(pids)
    return len(killed), pids


def halt_family(name: str, variable: str) -> dict[int, str]:
    """Freeze every process that is `name`'s; return those frozen here, with their start times, for `go_on`."""
    halted: dict[int, str] = {}
    while fresh := [pid for pid in family(name, variable) if pid not in halted and not is_stopped(pid)]:
        for pid in fresh:
            halted[pid] = start_time(pid)
            send(pid, signal.SIGSTOP)
    return halted


def go_on(halted: Mapping[int, str]) -> None:
    """Thaw what `halt_family` froze."""
    for pid, start in halted.items():
        if start_time(pid) == start:
            send(pid, signal.SIGCONT)


# -- processes --------------------------------------------------------------------------------------------------------


def _stat(pid: int) -> list[bytes]:
    """Return the fields of /proc/PID/stat from the state on, [] when there is no such process."""
    return _read(pid, "stat").rpartition(b")")[2].split()


def _parent(pid: int) -> int:
    return int((_stat(pid) or (b"", b"0"))[1])


def start_time(pid: int) -> str:
    """Return the start of a process in clock ticks since boot; "" when there is none or it is a zombie."""
    # Not psutil's create_time, a time of day: identities are recorded and must stay equal when the clock is set.
    fields = _stat(pid)
    return "" if not fields or fields[0] == b"Z" else fields[19].decode()


def _lives(pid: int) -> bool:
    """Return whether anything of a process can still run: its main thread may end before the others."""
    fields = _stat(pid)
    return bool(fields) and (fields[0] not in (b"Z", b"X") or int(fields[17]) > 1)


def is_stopped(pid: int) -> bool:
    """Return whether a process was frozen by a signal."""
    return _stat(pid)[:1] == [b"T"]


def hears(pid: int, number: int) -> bool:
    """Return whether a process can do anything on a signal: it lives, and the signal would not just end it."""
    masks = {b"SigBlk:", b"SigIgn:", b"SigCgt:"}
    lines = [line.split() for line in _read(pid, "status").splitlines()]
    kept = [int(words[1], 16) for words in lines if len(words) == 2 and words[0] in masks]
    return any(mask >> (number - 1) & 1 for mask in kept) and _lives(pid)


def await_end(pid: int, timeout_s: float) -> None:
    """Wait until a process has ended, its last thread too; at most so long, in seconds."""
    try:
        pidfd = _pidfd(pid)
    except ProcessLookupError:
        return
    except OSError:
        deadline = time.monotonic() + timeout_s
        while _lives(pid) and time.monotonic() < deadline:
            time.sleep(0.005)
        return
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.poll(max(0.0, timeout_s * 1000))
    finally:
        os.close(pidfd)


def _pidfd(pid: int) -> int:
    """Return a descriptor that is readable once the process has ended. Raises OSError where there is none."""
    if not hasattr(os, "pidfd_open"):  # a Python that was built for an older Linux
        raise OSError("no pidfd_open")
    return os.pidfd_open(pid)


def children() -> list[int]:
    """Return the children of this process's main thread, adopted ones and zombies too."""
    with open(f"/proc/self/task/{os.getpid()}/children", "rb") as file:
        return [int(word) for word in file.read().split()]


def send(pid: int, number: int) -> None:
    """Signal a process; one that is gone, or not ours, is fine."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _read(pid: int, what: str) -> bytes:
    try:
        with open(f"/proc/{pid}/{what}", "rb") as file:
            return file.read()
    except OSError:  # it is gone, or somebody else's
        return b""


# -- what the fork server needs ---------------------------------------------------------------------------------------


class Offspring:
    """Whose the processes are that a subreaper was handed: what its children, the attempts, left behind.

    Args:
        variable: The variable that holds an attempt's id.
    """

    def __init__(self, variable: str) -> None:
        self._variable = variable
        self._living: dict[int, tuple[str, int]] = {}
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def born(self, pid: int, name: str) -> str:
        """Take note of a new attempt; return its start time."""
        start = start_time(pid)
        self._living[pid] = (name, int(start or 0))
        return start

    def ended(self, pid: int) -> None:
        """Take note that an attempt's own process has ended."""
        self._living.pop(pid, None)

    def left_by(self, name: str) -> list[int]:
        """Return the living processes that an ended attempt left to this one."""
        return [pid for pid in children() if pid not in self._living and self._is_of(pid, name) and _lives(pid)]

    def _is_of(self, pid: int, name: str) -> bool:
        if belongs(pid, name, self._variable):
            return True
        # Neither mark nor variable tells: it is a living attempt's only if that began before it did.
        start = int(start_time(pid) or 0)
        others = self._living.values()
        return not any(began <= start or belongs(pid, other, self._variable) for other, began in others)


class EnvironmentBlock:
    """The memory that /proc/PID/environ shows, to be written over in a fork.

    Made once, in the process that will be forked, which must have been started with `room()` in its environment.
    """

    def __init__(self) -> None:
        os.environ.pop(_ROOM_ENV, None)
        self._start, self._bytes = _block()
        for name, value in list(os.environ.items()):
            os.environ[name] = value  # the C library copies it: nothing points into the block any more

    @staticmethod
    def room() -> dict[str, str]:
        """Return a variable that makes the block larger."""
        return {_ROOM_ENV: "x" * _ROOM_BYTES}

    def filled(self, variables: Iterable[bytes], first: str) -> bytes:
        """Return what the block is to hold: variables (`name=value`), or as many as there is room for.

        Args:
            variables: The environment.
            first: With what the one begins that stands before all others.
        """
        start = os.fsencode(first)
        ordered = sorted(variables, key=lambda variable: not variable.startswith(start))
        shown = b"\0".join([*ordered, b""])
        return shown[: shown.rfind(b"\0", 0, self._bytes) + 1].ljust(self._bytes, b"\0")

    def show(self, filled: bytes) -> None:
        """Let this process, a fork, show what `filled` returned."""
        if self._bytes:
            ctypes.memmove(self._start, filled, self._bytes)


def _block() -> tuple[int, int]:
    """Return where the environment was put when this process was executed, and its bytes; 0 when that is not sure."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = _stat(os.getpid())
        start, end = int(fields[47]), int(fields[48])
        shown = _read(os.getpid(), "environ")
        if 0 < start < end and len(shown) == end - start and ctypes.string_at(start, end - start) == shown:
            return start, end - start
    return 0, 0


def split_from_undertaker(control_fd: int) -> None:
    """Go on in a child; the parent stays to kill whatever this process leaves when it is killed itself.

    Each survives the other's end only to clean up: the child gets SIGTERM when the parent dies. The parent ends last,
    so whoever waits for it knows that nothing is left. It also kills a child that does not end although its agent has.
    """
    agent, undertaker = os.getppid(), os.getpid()
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    server = os.fork()
    if server != 0:
        os.close(control_fd)
        _undertake(agent, server)
    os.setsid()
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != undertaker:
        os._exit(1)


def _undertake(agent: int, server: int) -> NoReturn:
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: send(server, signal.SIGTERM))
        if _ends_before(server, agent):
            end_frozen(server)
            await_end(server, _PATIENCE_S)
        _bury()
    except BaseException as error:
        sys.stderr.write(f"sweepkit: the fork server's undertaker failed: {error!r}\n")
    finally:
        os._exit(0)


def end_frozen(server: int) -> None:
    """Have a fork server end in order, frozen or not: it writes down what it saw, and starts nothing more."""
    send(server, signal.SIGTERM)
    send(server, signal.SIGCONT)


def _ends_before(server: int, agent: int) -> bool:
    """Wait until the agent has ended, which returns True, or the server has."""
    with contextlib.ExitStack() as stack:
        poll = select.poll()
        pidfds = []
        for pid in (server, agent):
            try:
                pidfds.append(_pidfd(pid))
            except ProcessLookupError:
                return True
            except OSError:  # the server alone can be waited for
                os.waitid(os.P_PID, server, os.WEXITED | os.WNOWAIT)
                return False
            stack.callback(os.close, pidfds[-1])
            poll.register(pidfds[-1], select.POLLIN)
        return pidfds[0] not in dict(poll.poll())


def _bury(patience_s: float = 10.0) -> None:
    """Kill and reap every child of this process, and what they leave to it as a subreaper."""
    deadline = time.monotonic() + patience_s
    while (pids := children()) and time.monotonic() < deadline:
        for pid in pids:
            send(pid, signal.SIGKILL)
        for pid in pids:
            await_end(pid, deadline - time.monotonic())
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
