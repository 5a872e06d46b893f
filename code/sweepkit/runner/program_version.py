"""Which version of a program a run is of: its files by content, looked at again before each attempt."""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sweepkit.model.identity import ProgramVersion
from sweepkit.project import project_root

_DIGITS = 12
_Stamp = tuple[int, int, int]


def version_of(files: Sequence[str], folder: Path) -> ProgramVersion:
    """Return the version of a program whose files are these; the same one wherever the project lies.

    Args:
        files: Absolute paths; what cannot be read counts as empty.
        folder: Where the program lies: files of its project are named from there, others by their whole path.
    """
    base = os.path.realpath(folder)
    project = os.path.join(os.path.realpath(project_root(folder)), "")
    digests = {os.path.relpath(file, base) if file.startswith(project) else file: _digest_of(file) for file in files}
    said = "\n".join(f"{name} {digest}" for name, digest in sorted(digests.items()))
    return ProgramVersion(
        digest=hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:_DIGITS] if digests else "",
        files=digests,
        used_at=time.time(),
    )


def _digest_of(file: str) -> str:
    try:
        with open(file, "rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()[:_DIGITS]
    except OSError:
        return ""


class ProgramWatch:
    """A program that may be edited while its sweep runs; any thread may ask for its version.

    Args:
        files: Finds its files.
        folder: Where it lies.
        changed: Called with the version before and the new one, in the thread that saw it first.
    """

    def __init__(
        self,
        files: Callable[[], Sequence[str]],
        folder: Path,
        changed: Callable[[ProgramVersion, ProgramVersion], None],
    ) -> None:
        self._find = files
        self._folder = folder
        self._changed = changed
        self._lock = threading.Lock()
        self._stamps: dict[str, _Stamp | None] = {}
        self._version = self._read()

    def version(self) -> ProgramVersion:
        """Return the version that stands there now; a program that is as it was costs a look at its files' times."""
        with self._lock:
            if all(_stamp(file) == stamp for file, stamp in self._stamps.items()):
                return self._version
            before, self._version = self._version, self._read()
            now = self._version
        if now.digest != before.digest:
            self._changed(before, now)
        return now

    def _read(self) -> ProgramVersion:
        files = self._find()
        self._stamps = {file: _stamp(file) for file in files}  # first: what is written meanwhile is seen next time
        return version_of(files, self._folder)


def _stamp(file: str) -> _Stamp | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)
