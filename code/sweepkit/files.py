"""Files put in place in one step, and files that one process of a host holds at a time.

A lock is the kernel's own (flock, through filelock): whoever dies, by kill -9 too, has let go of it, and a program that
is started meanwhile does not inherit it.
"""

import contextlib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO


def write_atomically(path: Path, content: str | bytes, *, fsync: bool = False) -> None:
    """Replace a file in one step, so that a reader or a kill never meets half of it.

    Args:
        path: The file; its folder must exist.
        content: Text is written as UTF-8.
        fsync: The bytes are on the disk before the name is: a machine that loses its power leaves no empty file.

    Raises:
        OSError: It cannot be written; what was there before is still there.
    """
    with replacing(path, fsync=fsync) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def replacing(path: Path, *, fsync: bool = False) -> Iterator[Path]:
    """Give the block a name beside `path` to write a file under; afterwards that is `path`, in one step.

    When the block fails, what it wrote is removed and `path` is what it was.

    Args:
        path: The file; its folder must exist.
        fsync: As `write_atomically` takes it.

    Raises:
        OSError: The file cannot be put in place.
    """
    # The number of a thread is no other's on the host while it lives: threads of one process write the same file, too.
    temporary = path.with_name(f".{path.name}.{threading.get_native_id()}.tmp")
    try:
        yield temporary
        if fsync:
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(PermissionError):
            temporary.unlink(missing_ok=True)  # half a file on a full disk would only keep it full
        if isinstance(error, OSError) and error.filename == str(temporary):
            error.filename, error.filename2 = str(path), None  # whoever reads it asked for this one
        raise


@contextlib.contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Give the block an empty folder beside `folder` to fill; afterwards that is `folder`, in one step.

    When the block fails, what it wrote is removed. Who may build at the same time holds a lock of their own.

    Args:
        folder: The folder; it must not exist or be empty, and the one around it must exist.

    Raises:
        OSError: The folder cannot be made or put in place.
    """
    building = Path(tempfile.mkdtemp(prefix=folder.name + ".", dir=folder.parent))
    try:
        yield building
        building.chmod(0o755)  # mkdtemp's 0700 would hide a shared cache from the team
        os.replace(building, folder)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise


def last_bytes(path: Path, most: int, *, start: int = 0) -> bytes:
    """Return the last bytes of a file, `most` at most, of what stands from byte `start` on; b"" where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(start, file.seek(0, os.SEEK_END) - most))
            return file.read()
    except OSError:
        return b""


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
