"""Reads what a script logs through W&B's offline mode, from its `.wandb` file, while the script runs.

Measured with W&B 0.31: by default its writer keeps rows back for up to 15 s. With the setting
`x_transaction_log_flush_interval` (WANDB_X_TRANSACTION_LOG_FLUSH_INTERVAL, which `wandb_env` sets) at 0.1 s a row can
be read 0.01-0.1 s after `wandb.log`. A row logged with an explicit `step=` is complete, and written, only when the next
step begins or the run ends: that is W&B's own rule, and such a metric arrives one step late.

A script that ends by itself has everything on disk when its process is gone. One that is killed, or leaves by
`os._exit`, loses its last 0.1 s and the row whose step was not over; W&B's own process (wandb-core, in a session of its
own, out of reach of a signal to the script's group) ends by itself 4 to 5 s later.
"""

import os
import re
import time
from collections.abc import Mapping
from typing import Any

from sweepkit.model.records import Report
from sweepkit.tracking.rows import as_number, as_step, as_time, numbers
from sweepkit.tracking.wandb_log import (
    ConfigChange,
    Exit,
    LogDecoder,
    LoggedRow,
    Preempting,
    Record,
    RunInfo,
    Summary,
    decode,
)

# W&B's own keys in a row or a summary, which are no metrics.
_OWN_KEYS = frozenset({"_step", "_timestamp", "_runtime", "_wandb"})
_MAX_PROBLEMS = 20
_LOG_BYTES = 1 << 16  # so much of a script's output is searched for where W&B writes
_COLOUR = re.compile(rb"\x1b\[[0-9;]*m")
_SAVED_IN = re.compile(rb"^wandb: Run data is saved locally in (.+)$", re.MULTILINE)
_YOUNG_NS = 2_000_000_000


class WandbFile:
    """One `.wandb` file, read as it grows.

    Attributes:
        path: The file.
        begun: Whether a run was begun in it; its reader says so.
        exited: Whether that run was finished; its reader says so.
        readable: False once it was given up: it is of no known format, or cannot be read.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.begun = False
        self.exited = False
        self.readable = True
        self._decoder = LogDecoder()
        self._offset = 0

    def read(self) -> list[bytes]:
        """Return the records completed since the last call; costs one `stat` when there are none.

        Raises:
            OSError: It cannot be read; one that the script has cleaned away is [].
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
            return []
        self._offset += len(data)
        try:
            return self._decoder.feed(data)
        except ValueError:
            self.readable = False
            raise


class WandbTail:
    """Reads every W&B run that a script starts under a WANDB_DIR. Not for use by several threads at once.

    Attributes:
        summary: The summary by dotted name, numbers only. W&B copies the last value of every logged metric there too.
        exit_code: What the run was finished with, or None while it was not; the script may have ended without.
        preempting: The run was marked as preempting, and none was begun since: it wants to be resumed if it fails.
        run: What `wandb.init` recorded, or None before it; its config includes later changes.
        problems: What was wrong with the files, in words; at most 20.

    Args:
        directory: The script's WANDB_DIR; neither it nor its `wandb` folder need exist yet.
        log: The script's output, or None. W&B's client says there where it writes, and that counts when nothing is in
            `directory`: a script may have given `wandb.init` a `dir` of its own.
        cwd: The script's working directory: the client names folders below it without it.
        skip_existing: Leave out what is there already: the runs of earlier attempts that used the same folder.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        log: str | os.PathLike[str] | None = None,
        cwd: str = "",
        skip_existing: bool = False,
    ) -> None:
        self.directory = os.fspath(directory)
        self._log = None if log is None else os.fspath(log)
        self._log_read = b""
        self._cwd = cwd
        self.summary: dict[str, float] = {}
        self.exit_code: int | None = None
        self.preempting = False
        self.run: RunInfo | None = None
        self.problems: list[str] = []
        self._files: list[WandbFile] = []
        self._known: set[str] = set()
        self._empty: set[str] = set()
        self._folder_changed: int | None = None
        self._seq = 0
        if skip_existing:
            self._known = set(self._list())

    @property
    def settled(self) -> bool:
        """Return whether every run that was begun is finished too, so that nothing can follow."""
        return all(file.exited or not file.readable for file in self._files)

    def read(self) -> list[Report]:
        """Return the rows logged since the last call, as reports with consecutive `seq`.

        Costs one `stat`, and one per run found so far, when nothing changed.
        """
        self._find()
        reports: list[Report] = []
        for file in self._files:
            try:
                payloads = file.read()
            except (OSError, ValueError) as error:
                self._note(file, str(error))
                file.readable = False
                continue
            for payload in payloads:
                try:
                    record = decode(payload)
                except ValueError as error:
                    self._note(file, f"a record was skipped: {error}")
                    continue
                self._apply(file, record, reports)
        return reports

    def _find(self) -> None:
        """Find new runs. W&B makes `wandb/offline-run-<time>-<id>/` and, a moment later, the file inside."""
        root = os.path.join(self.directory, "wandb")
        try:
            changed = os.stat(root).st_mtime_ns
        except OSError:
            self._find_in_log()
            return
        # A folder's time has the grain of the kernel's tick, so an entry made just after a poll may leave it as it
        # was: a time that is still young is never believed.
        settled = time.time_ns() - changed > _YOUNG_NS
        if settled and changed == self._folder_changed and not self._empty:
            return
        self._folder_changed = changed
        for name in self._list():
            if name not in self._known:
                self._open(os.path.join(root, name), name)

    def _find_in_log(self) -> None:
        """Find the run in the folder that W&B's client names in the script's output."""
        if self._log is None or self._files or len(self._log_read) >= _LOG_BYTES:
            return
        try:
            if os.stat(self._log).st_size <= len(self._log_read):
                return
            with open(self._log, "rb") as file:
                self._log_read = file.read(_LOG_BYTES)
        except OSError:
            return
        for name in _SAVED_IN.findall(_COLOUR.sub(b"", self._log_read)):
            folder = os.path.join(self._cwd, os.fsdecode(name))
            if folder not in self._known:
                self._open(folder, folder)

    def _list(self) -> list[str]:
        """Return the names of the runs' folders (by W&B's naming, oldest first)."""
        try:
            names = os.listdir(os.path.join(self.directory, "wandb"))
        except OSError:
            return []
        return sorted(name for name in names if name.startswith(("offline-run-", "run-")))

    def _open(self, folder: str, name: str) -> None:
        try:
            inside = [entry for entry in os.listdir(folder) if entry.startswith("run-") and entry.endswith(".wandb")]
        except OSError:
            return
        if not inside:
            self._empty.add(name)
            return
        self._empty.discard(name)
        self._known.add(name)
        self._files += [WandbFile(os.path.join(folder, entry)) for entry in sorted(inside)]

    def _apply(self, file: WandbFile, record: Record | None, reports: list[Report]) -> None:
        match record:
            case LoggedRow():
                self._add(record, reports)
            case Summary():
                self.summary |= _metrics(record.update)
                for name in record.remove:
                    self.summary.pop(name, None)
            case RunInfo():
                self.preempting = self.preempting and file.begun  # a change of its name is no new run
                self.run, self.exit_code, file.begun, file.exited = record, None, True, False
            case Preempting():
                self.preempting = True
            case ConfigChange() if self.run is not None:
                self.run.config.update(record.update)
            case Exit():
                self.exit_code, file.exited = record.exit_code, True

    def _add(self, row: LoggedRow, reports: list[Report]) -> None:
        values = _metrics(row.items)
        if values:
            step = row.step if row.step is not None else as_step(row.items.get("_step"))
            at = as_time(as_number(row.items.get("_timestamp")))
            reports.append(Report(seq=self._seq, values=values, step=step, time=at or 0.0))
            self._seq += 1

    def _note(self, file: WandbFile, problem: str) -> None:
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(f"{file.path}: {problem}")


def _metrics(items: Mapping[str, Any]) -> dict[str, float]:
    return numbers({name: value for name, value in items.items() if name not in _OWN_KEYS})
