"""Files put in place in one step, and files that one process of a host holds at a time.

A lock is the kernel's own (flock, through filelock): whoever dies, by kill -9 too, has let go of it, and a program that
is started meanwhile does not inherit it.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO


def write_atomically(path: Path, text: str) -> None:
    """Replace a file in one step, so that a reader or a kill never meets half of it. UTF-8.

    Raises:
        OSError: It cannot be written; what was there before is still there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)  # half a file on a full disk would only keep it full
        raise


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait until no other process of this host has locked a file, and hold its lock. The file is made when needed.

    Raises:
        OSError: It cannot be opened for writing, or its disk knows no locks.
    """
    with path.open("a") as file:
        _lock(file, blocking=True)
        yield


def hold(path: Path) -> IO[str] | None:
    """Return a file, open for reading and appending and locked until it is closed; None while another holds it.

    Raises:
        OSError: It cannot be opened for writing, or its disk knows no locks.
    """
    file = path.open("a+", encoding="utf-8")
    try:
        if _lock(file, blocking=False):
            return file
    except BaseException:
        file.close()
        raise
    file.close()
    return None


def _lock(file: IO[str], *, blocking: bool) -> bool:
    # Not filelock.FileLock: where flock is missing that falls back to a marker file, which outlives its dead holder.
    from filelock import lock_descriptor

    return lock_descriptor(file.fileno(), blocking=blocking)
