"""Who an agent is, so that another one can say from the record alone whether it still lives."""

import os
import socket
from pathlib import Path

from sweepkit.agents.descent import start_time
from sweepkit.errors import LaunchError


def host_name() -> str:
    """Return this machine's name."""
    return socket.gethostname()


def agent_identity(pid: int | None = None) -> str:
    """Return an id that no other process ever has: host, boot, pid namespace, pid and its start time.

    Args:
        pid: The process, this one by default.
    """
    pid = os.getpid() if pid is None else pid
    return f"{host_name()}|{_boot()}|{_namespace()}|{pid}|{start_time(pid)}"


def surely_dead(identity: str) -> bool:
    """Return whether that agent is known not to run; False when it may (another host, another container)."""
    host, boot, namespace, pid, start = identity.split("|")
    if host != host_name():
        return False
    if boot != _boot():
        return True
    return namespace == _namespace() and start_time(int(pid)) != start


def surely_alive(identity: str) -> bool:
    """Return whether that agent is known to run on this host now; False when nobody knows."""
    host, boot, namespace, pid, start = identity.split("|")
    here = (host, boot, namespace) == (host_name(), _boot(), _namespace())
    return here and start_time(int(pid)) == start


def check_proc() -> None:
    """Refuse to run where /proc does not show our processes: none of them could be found, watched or ended.

    Raises:
        LaunchError: It is not mounted, or is that of another pid namespace.
    """
    try:
        shown = os.readlink("/proc/self")
    except OSError as error:
        shown = error.strerror or str(error)
    if shown != str(os.getpid()):
        raise LaunchError(
            f"/proc: must be mounted for this pid namespace (process {os.getpid()}), got {shown}; "
            "mount it (mount -t proc proc /proc, unshare --mount-proc, or the container's own setting)"
        )


def unreaped_status(pid: int, start: str) -> int | None:
    """Return how a process ended that its parent has not asked for yet (a zombie), None for any other.

    Args:
        pid: The leader of a process group, of this user.
        start: Its start time, see `descent.start_time`: the number may be another process's by now.

    Returns:
        Its exit code, or minus the signal's number.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    if (fields[0], fields[2], fields[19]) != ("Z", str(pid), start):
        return None
    return os.waitstatus_to_exitcode(int(fields[49]))


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _namespace() -> str:
    return os.readlink("/proc/self/ns/pid")
