"""Whether the SQLite file under the connections is still the one that was opened, and still whole.

A removed file stays open: everything written goes into a file without a name, and is gone when the process ends. So the
name is looked at again with every transaction: one `stat` for the file, one for its write-ahead log.

| what is seen | what it means |
|---|---|
| no file of that name, or another one | removed or replaced: what we have open is the only copy |
| the log has gone, or is another one | the same: what is written goes into a log without a name |
| file or log has become shorter | cut, unless the file passes SQLite's own check: who empties the log properly may |
"""

import os
import sqlite3
from dataclasses import dataclass

_CHECK_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class FileFault:
    """What is wrong with the file, in words. `readable`: our connections still hold all that was written."""

    what: str
    readable: bool


@dataclass(slots=True)
class _Seen:
    """A file as it was last seen: which one (device, inode) and how long (bytes)."""

    identity: tuple[int, int]
    size: int


class FileGuard:
    """Looks at a SQLite file and its log; threads may share it.

    Args:
        path: The file, which is there.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen: dict[str, _Seen | None] = {}

    def look(self, *, connected: bool) -> FileFault | None:
        """Return what is wrong, None when nothing is. Costs two `stat`.

        Args:
            connected: A connection is surely open, so that the log is kept: only then is it taken note of.
        """
        fault = self._compare(self._path, "file", known=True)
        return fault or self._compare(self._path + "-wal", "write-ahead log", known=connected)

    def forget_log(self) -> None:
        """Take no note of the log that was there: the last connection may have been closed, which removes it."""
        self._seen.pop(self._path + "-wal", None)

    def _compare(self, path: str, name: str, *, known: bool) -> FileFault | None:
        """Return what is wrong with a file; take note of it as it is now if it is `known` to stay."""
        before, now = self._seen.get(path), _look_at(path)
        if now is None and (before is not None or path == self._path):
            return FileFault(f"the {name} was removed", readable=True)
        if now is None:
            return None
        if before is not None and now.identity != before.identity:
            return FileFault(f"the {name} was replaced by another one", readable=True)
        if before is not None and now.size < before.size and (damage := damage_of(self._path)):
            return FileFault(f"the {name} was cut to {now.size} bytes ({damage})", readable=False)
        if known or before is not None:
            self._seen[path] = now
        return None


def _look_at(path: str) -> _Seen | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return _Seen((status.st_dev, status.st_ino), status.st_size)


def damage_of(path: str) -> str:
    """Return what SQLite finds wrong with a file, "" when it is whole. Reads all of it."""
    try:
        connection = sqlite3.connect(path, timeout=_CHECK_TIMEOUT_S, isolation_level=None)
        try:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        return str(error)
    return "" if found == "ok" else str(found).splitlines()[-1]
