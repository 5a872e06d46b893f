"""How an attempt ended, in a file whose room on the disk is taken before the attempt begins.

Whoever sees the end first writes it: the attempt's own process as its last act, the fork server, or the agent when the
fork server is frozen. Each writes the whole block at once, in place, so that a disk that is full meanwhile cannot lose
the end of ten hours' work, and a kill between two of them leaves what the one before wrote.

The agent keeps there, too, what it made of an end that the record could not take (`"outcome"`).

Imports the standard library alone: the fork server uses it, in any project's interpreter.
"""

from __future__ import annotations

import contextlib
import os
import resource
from json import dumps, loads  # by name: what a program does to `json` is not done to us
from typing import Any

_BLOCK_BYTES = 4096


def reserve(exit_file: str | os.PathLike[str]) -> None:
    """Take the room for an attempt's end: a block without any.

    Raises:
        OSError: There is no room, or no such folder: then the attempt shall not begin.
    """
    with open(exit_file, "wb") as file:
        file.write(b" " * _BLOCK_BYTES)


def write_end(exit_file: str | os.PathLike[str], facts: dict[str, Any]) -> bool:
    """Write how an attempt ended; return whether it could be written.

    Args:
        exit_file: The file, reserved or not.
        facts: `status`, `peak_memory_mb`, `cpu_s`, `duration_s`, and `outcome` where the record could not take it; at
            most 4,096 bytes of JSON.
    """
    block = dumps(facts, ensure_ascii=False).encode("utf-8", "replace").ljust(_BLOCK_BYTES)
    with contextlib.suppress(OSError):
        descriptor = os.open(exit_file, os.O_WRONLY | os.O_CREAT, 0o644)  # not truncated: its room is kept
        try:
            return os.pwrite(descriptor, block, 0) == len(block)
        finally:
            os.close(descriptor)
    return False


def read_end(exit_file: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return what was written of an attempt's end; None when nothing was."""
    try:
        with open(exit_file, "rb") as file:
            facts = loads(file.read())
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) and "status" in facts else None


def facts_of(status: int, usage: resource.struct_rusage, duration_s: float) -> dict[str, Any]:
    """Return the facts of an end: exit code or minus the signal's number, memory (MiB), CPU and elapsed seconds."""
    return {
        "status": status,
        "peak_memory_mb": round(usage.ru_maxrss / 1024, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 4),
        "duration_s": round(duration_s, 4),
    }
