"""The hash of a file's content, remembered for large files so that a run need not read a gigabyte to know its data.

What is remembered is trusted only while everything that the system says of the file is as it was: device, inode, size,
and the times of its last change, the kernel's own (ctime, which no program can set) among them. A file that changed
less than two seconds before it was hashed is not remembered: a second change could leave the same times, which tick
in steps of up to two seconds on some file systems.
"""

import contextlib
import hashlib
import json
import os
import time
from pathlib import Path

from sweepkit.errors import DataError
from sweepkit.files import write_atomically

_STAMP_FROM_BYTES = 16 << 20  # smaller files are hashed each time: it takes less than 20 ms
_SETTLED_S = 2.0


def file_sha256(file: Path, memory: Path) -> str:
    """Return the SHA-256 of a file's content as 64 hexadecimal digits.

    Args:
        file: Any file.
        memory: An existing folder, or not; hashes of large files are kept there when it can be written.

    Raises:
        DataError: The file cannot be read, or changes while it is.
    """
    try:
        before = _stamp(file)
        if before["size"] < _STAMP_FROM_BYTES:
            return hash_now(file)
        record = memory / f"hash-{hashlib.sha256(os.fsencode(file.resolve())).hexdigest()[:24]}.json"
        known = _recall(record, before)
        return known if known is not None else _hash_and_note(file, record, before)
    except OSError as error:
        raise DataError(f"{file}: must be a file that can be read, got: {error.strerror or error}") from None


def _stamp(file: Path) -> dict[str, int]:
    """Return what the system says of the file's content, without reading it."""
    status = file.stat()
    return {
        "device": status.st_dev,
        "inode": status.st_ino,
        "size": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "ctime_ns": status.st_ctime_ns,
    }


def hash_now(file: Path) -> str:
    """Return the SHA-256 of the file as it is now, read in pieces, whatever is remembered.

    Raises:
        OSError: It cannot be read.
    """
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _recall(record: Path, stamp: dict[str, int]) -> str | None:
    """Return the remembered hash if the file is as it was then."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        noted = json.loads(record.read_text(encoding="utf-8"))
        if noted["stamp"] == stamp and len(noted["sha256"]) == 64:
            return str(noted["sha256"])
    return None


def _hash_and_note(file: Path, record: Path, before: dict[str, int]) -> str:
    """Hash the file and remember it when it has been at rest."""
    began_ns = time.time_ns()
    found = hash_now(file)
    if _stamp(file) != before:
        raise DataError(f"{file}: must stay as it is while it is read, but it changed; start again when it is complete")
    if began_ns - max(before["mtime_ns"], before["ctime_ns"]) > _SETTLED_S * 1e9:
        with contextlib.suppress(OSError):  # it only saves time
            record.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(record, json.dumps({"file": str(file), "stamp": before, "sha256": found}))
    return found
