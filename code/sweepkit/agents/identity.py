"""Who an agent is, so that another one can say from the record alone whether it still lives."""

import os
import socket
from pathlib import Path

from sweepkit.agents.descent import start_time


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


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _namespace() -> str:
    return os.readlink("/proc/self/ns/pid")
