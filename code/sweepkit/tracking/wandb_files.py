"""Where W&B's client writes what a script logs: the `.wandb` files of an attempt, found while they come to be.

The attempt's own processes note each file (`wandb_hook`). Where they cannot, what is in WANDB_DIR counts, and without
that the folder that the client names in the script's output.
"""

import json
import os
import re
import time
from dataclasses import dataclass

from sweepkit.tracking.wandb_hook import kept_at
from sweepkit.tracking.wandb_log import LogDecoder

_LOG_BYTES = 1 << 16  # so much of a script's output is searched for where W&B writes
_COLOUR = re.compile(rb"\x1b\[[0-9;]*m")
_SAVED_IN = re.compile(rb"^wandb: Run data is saved locally in (.+)$", re.MULTILINE)
_YOUNG_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class FileWriter:
    """Which process writes a file: its id, its rank, and when it began (seconds since the epoch)."""

    pid: int
    rank: int
    began: float


class WandbFile:
    """One `.wandb` file, read as it grows.

    Attributes:
        path: The file.
        kept: Where it is when the script has removed it, see `wandb_hook.kept_at`; "" for nowhere.
        writer: Who writes it, None when nobody noted that.
        begun: Whether a run was begun in it; its reader says so.
        exited: Whether that run was finished; its reader says so.
        readable: False once it was given up: it is of no known format, or cannot be read.
    """

    def __init__(self, path: str, writer: FileWriter | None = None, kept: str = "") -> None:
        self.path = path
        self.kept = kept
        self.writer = writer
        self.begun = False
        self.exited = False
        self.readable = True
        self._decoder = LogDecoder()
        self._offset = 0

    def read(self) -> list[bytes]:
        """Return the records completed since the last call; costs one `stat` when there are none.

        Raises:
            OSError: It cannot be read; one that the script has cleaned away and that is kept nowhere is [].
            ValueError: It is of no known format; from then on it is [].
        """
        if not self.readable:
            return []
        try:
            if os.stat(self.path).st_size == self._offset:
                return []
            with open(self.path, "rb", buffering=0) as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            if not os.path.exists(self.kept):
                return []
            self.path, self.kept = self.kept, ""
            return self.read()
        self._offset += len(data)
        try:
            return self._decoder.feed(data)
        except ValueError:
            self.readable = False
            raise

    def overlaps(self, later: "WandbFile") -> bool:
        """Return whether another process begins a run in `later` while this file's run still goes on."""
        if self.writer is None or later.writer is None or self.writer.pid == later.writer.pid:
            return False
        if not self.exited and os.path.exists(f"/proc/{self.writer.pid}"):
            return True
        try:
            return os.stat(self.path).st_mtime > later.writer.began
        except OSError:
            return False


class _NotedFiles:
    """What the processes of an attempt noted of the files that W&B's client writes.

    Attributes:
        any: Something was noted: then nothing else need be searched.

    Args:
        path: The notes, which need not exist; None without any.
        directory: The script's WANDB_DIR.
    """

    def __init__(self, path: str | None, directory: str) -> None:
        self.any = False
        self._mute = False
        self._path = path
        self._directory = directory
        self._offset = 0

    def read(self) -> list[WandbFile]:
        """Return the files noted since the last call; costs one `stat` when there are none."""
        if self._path is None:
            return []
        try:
            if os.stat(self._path).st_size == self._offset:
                return []
            with open(self._path, "rb") as file:
                file.seek(self._offset)
                lines, _, _ = file.read().rpartition(b"\n")
        except OSError:
            return []
        self._offset += len(lines) + bool(lines)
        return [file for line in lines.splitlines() for file in self._take(line)]

    def _take(self, line: bytes) -> list[WandbFile]:
        try:
            note = json.loads(line)
            writer = FileWriter(int(note["pid"]), int(note["rank"]), float(note["time"]))
            path = note.get("file")
        except (ValueError, KeyError, TypeError):  # no note of ours
            return []
        self._mute = self._mute or path == ""  # a client that does not say where it writes is searched for
        self.any = not self._mute
        return [WandbFile(path, writer, kept_at(self._directory, path))] if path else []


class FileFinder:
    """Finds every `.wandb` file of an attempt.

    Args:
        directory: The script's WANDB_DIR; neither it nor its `wandb` folder need exist yet.
        notes: What its processes note, or None.
        log: The script's output, or None: the client says there where it writes.
        cwd: The script's working directory: the client names folders below it without it.
    """

    def __init__(self, directory: str, *, notes: str | None = None, log: str | None = None, cwd: str = "") -> None:
        self._directory = directory
        self._notes = _NotedFiles(notes, directory)
        self._log = log
        self._log_read = b""
        self._cwd = cwd
        self._known: set[str] = set()
        self._empty: set[str] = set()
        self._folder_changed: int | None = None

    def skip_existing(self) -> None:
        """Leave out what is there already."""
        self._known.update(map(os.path.realpath, self._folders()))

    def find(self) -> list[WandbFile]:
        """Return the files that are new since the last call. Costs a `stat` or two when there are none."""
        noted = [file for file in self._notes.read() if self._is_new(file.path)]
        return noted if noted or self._notes.any else self._search()

    def _search(self) -> list[WandbFile]:
        """Return new files. W&B makes `wandb/offline-run-<time>-<id>/` and, a moment later, the file inside."""
        try:
            changed = os.stat(os.path.join(self._directory, "wandb")).st_mtime_ns
        except OSError:
            return self._search_in_log()
        # A folder's time has the grain of the kernel's tick, so an entry made just after a poll may leave it as it
        # was: a time that is still young is never believed.
        settled = time.time_ns() - changed > _YOUNG_NS
        if settled and changed == self._folder_changed and not self._empty:
            return []
        self._folder_changed = changed
        return [file for folder in self._folders() for file in self._inside(folder)]

    def _search_in_log(self) -> list[WandbFile]:
        """Return the files in the folders that W&B's client names in the script's output."""
        if self._log is None or self._known or len(self._log_read) >= _LOG_BYTES:
            return []
        try:
            if os.stat(self._log).st_size <= len(self._log_read):
                return []
            with open(self._log, "rb") as file:
                self._log_read = file.read(_LOG_BYTES)
        except OSError:
            return []
        folders = _SAVED_IN.findall(_COLOUR.sub(b"", self._log_read))
        return [file for name in folders for file in self._inside(os.path.join(self._cwd, os.fsdecode(name)))]

    def _folders(self) -> list[str]:
        """Return the runs' folders in WANDB_DIR (by W&B's naming, oldest first)."""
        root = os.path.join(self._directory, "wandb")
        try:
            names = os.listdir(root)
        except OSError:
            return []
        return [os.path.join(root, name) for name in sorted(names) if name.startswith(("offline-run-", "run-"))]

    def _inside(self, folder: str) -> list[WandbFile]:
        """Return the files of a run's folder, once."""
        if os.path.realpath(folder) in self._known:
            return []
        try:
            inside = [entry for entry in os.listdir(folder) if entry.startswith("run-") and entry.endswith(".wandb")]
        except OSError:
            return []
        if not inside:
            self._empty.add(folder)
            return []
        self._empty.discard(folder)
        return [WandbFile(path) for entry in sorted(inside) if self._is_new(path := os.path.join(folder, entry))]

    def _is_new(self, path: str) -> bool:
        """Return whether a file's folder was not seen before, and remember it."""
        folder = os.path.realpath(os.path.dirname(path))
        new = folder not in self._known
        self._known.add(folder)
        return new
