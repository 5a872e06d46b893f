"""How a program reports its metrics without W&B: a JSON-lines file named by SWEEPKIT_REPORT_FILE.

One JSON object a line: `{"eval/loss": 0.3, "epoch": 1, "_step": 10, "_time": 1700000000.0}`. Python's `NaN`, `Infinity`
and `-Infinity` are allowed. Keys that begin with `_sweepkit` are messages of sweepkit's own tools, never metrics:
`{"_sweepkit_read": ["learning_rate", …]}` lists the sweep parameters that the program used;
`{"_sweepkit_summary": {"eval/loss": 0.2}}` sets summary values;
`{"_sweepkit_facts": {"rouge_tokenizer": "unicode 1"}}` goes into the run's result file as it is, under `facts`;
`{"_sweepkit_finished": true}`, the last of all, says that the work is done, even if the process is ended before it
leaves.

The file is only ever appended to, one line by one write, so any number of processes may share it and a reader needs no
lock: what follows the last newline is not there yet.
"""

import json
import os
import time
from collections.abc import Mapping
from typing import Any, Self

from sweepkit.environ import REPORT_FILE_ENV
from sweepkit.errors import TrackingError
from sweepkit.model.records import Report
from sweepkit.tracking.rows import as_step, as_time, numbers

_MESSAGE_PREFIX = "_sweepkit"
MAX_LINE_BYTES = 1 << 20  # a longer line is not a row of metrics; it would only fill the agent's memory
_CHUNK_BYTES = 1 << 20
_MAX_PROBLEMS = 20
_RESERVED = ("_step", "_time")


class ReportWriter:
    """Appends reports to a report file; may be used from several threads, and across a fork.

    Args:
        path: The file; made when it does not exist. Its folder must.

    Raises:
        TrackingError: The file cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            self._descriptor = os.open(self.path, flags, 0o644)
        except OSError as error:
            raise TrackingError(f"{self.path}: a report file must be writable, got {error.strerror}") from error
        self._torn = False

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self | None:
        """Return a writer for the file that SWEEPKIT_REPORT_FILE names, or None when it names none."""
        path = (os.environ if environ is None else environ).get(REPORT_FILE_ENV)
        return cls(path) if path else None

    def report(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Append one row.

        Args:
            values: Name to number. Anything that `float()` takes is one (NumPy and torch scalars too); NaN and
                infinities are kept. An empty mapping writes nothing.
            step: The program's own step, or None.

        Raises:
            TrackingError: A name is reserved, a value is not a number, or the line cannot be written.
        """
        if not values:
            return
        row: dict[str, Any] = {name: self._number(name, value) for name, value in values.items()}
        if step is not None:
            row["_step"] = int(step)
        row["_time"] = time.time()
        self._append(row)

    def message(self, **message: Any) -> None:
        """Append one message: `message(read=[…])` writes `{"_sweepkit_read": […]}`.

        Args:
            **message: JSON values by name, the `_sweepkit_` prefix given or not.

        Raises:
            TrackingError: A value has no JSON form, or the line cannot be written.
        """
        named = {
            key if key.startswith(_MESSAGE_PREFIX) else f"{_MESSAGE_PREFIX}_{key}": message[key] for key in message
        }
        self._append(named)

    def close(self) -> None:
        """Close the file; reporting afterwards raises TrackingError. Closing twice is harmless."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _number(self, name: str, value: object) -> float:
        if name.startswith(_MESSAGE_PREFIX) or name in _RESERVED:
            raise TrackingError(f"{self.path}: a metric's name must not be reserved, got {name!r}; choose another name")
        if isinstance(value, bool | int | float):
            # The plain value, because a subclass (an IntEnum, a NumPy float64) may print itself otherwise.
            return int(value) if isinstance(value, int) else float(value)
        try:
            return float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError, RuntimeError) as error:
            rule = f"{self.path}: {name}: a reported value must be a number"
            raise TrackingError(f"{rule}, got {value!r} ({type(value).__name__})") from error

    def _append(self, row: Mapping[str, Any]) -> None:
        try:
            text = json.dumps(row, ensure_ascii=False)
        except (TypeError, ValueError) as error:
            raise TrackingError(f"{self.path}: a message must have a JSON form: {error}") from error
        # A lone surrogate has no UTF-8 form, but its backslash escape is just what JSON wants.
        line = text.encode("utf-8", "backslashreplace") + b"\n"
        if self._torn:  # the disk was full in the middle of a line: end that line, so that only it is lost
            line = b"\n" + line
        # One write and no lock: the kernel keeps appends whole, between threads and processes alike, and a lock could
        # be copied by a fork while it is held.
        try:
            written = os.write(self._descriptor, line)
        except OSError as error:
            raise TrackingError(f"{self.path}: a report cannot be written, got {error.strerror}") from error
        self._torn = written < len(line)
        if self._torn:
            raise TrackingError(f"{self.path}: a report was cut at {written} of {len(line)} bytes; is the disk full?")


class ReportTail:
    """Reads a report file while programs append to it. Not for use by several threads at once.

    Attributes:
        messages: The objects of `_sweepkit…` keys, in order of arrival.
        problems: What was wrong with the file, in words; at most 20, then a line that says so.
        bad_lines: Number of complete lines that were skipped.
        dropped: Names whose values were no numbers; at most 20.

    Args:
        path: The report file; it need not exist yet.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self.messages: list[dict[str, Any]] = []
        self.problems: list[str] = []
        self.bad_lines = 0
        self._offset = 0
        self._tail = b""
        self._skipping = False  # inside a line that is too long
        self._line = 0
        self._seq = 0
        self.dropped: set[str] = set()

    def read(self, *, final: bool = False) -> list[Report]:
        """Return the reports of the lines completed since the last call; costs one `stat` when there are none.

        Args:
            final: The writers are gone, so a last line without a newline is taken when it is whole JSON.

        Returns:
            Reports with consecutive `seq`. A line without a number gives none. A line without `_time` has the
            time at which the file was last written.

        Raises:
            TrackingError: The file is there but cannot be read.
        """
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            return []
        if status.st_size == self._offset and not (final and self._tail):
            return []
        reports: list[Report] = []
        if status.st_size < self._offset:
            self._note(f"shrank from {self._offset} to {status.st_size} bytes; read again from its start")
            self._offset, self._tail, self._line, self._skipping = 0, b"", 0, False
        for data in self._new_data():
            self._split(data, status.st_mtime, reports)
        if final and self._tail:
            tail, self._tail = self._tail, b""
            self._take(tail, status.st_mtime, reports)
        return reports

    def _new_data(self) -> list[bytes]:
        chunks = []
        try:
            with open(self.path, "rb", buffering=0) as file:
                file.seek(self._offset)
                while data := file.read(_CHUNK_BYTES):
                    chunks.append(data)
                    self._offset += len(data)
        except OSError as error:
            raise TrackingError(f"{self.path}: a report file must be readable, got {error.strerror}") from error
        return chunks

    def _split(self, data: bytes, written_at: float, reports: list[Report]) -> None:
        *lines, rest = data.split(b"\n")
        for line in lines:
            whole, self._tail = self._tail + line, b""
            if self._skipping:  # this is the end of a line already counted as bad
                self._skipping = False
                self._line += 1
            else:
                self._take(whole, written_at, reports)
        if not self._skipping:
            self._tail += rest
            if len(self._tail) > MAX_LINE_BYTES:
                self._bad(f"a line must have at most {MAX_LINE_BYTES} bytes", self._line + 1)
                self._tail, self._skipping = b"", True

    def _take(self, line: bytes, written_at: float, reports: list[Report]) -> None:
        self._line += 1
        if not line.strip():
            return
        if len(line) > MAX_LINE_BYTES:
            self._bad(f"a line must have at most {MAX_LINE_BYTES} bytes", self._line)
            return
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                self._bad(f"a line must be a JSON object, got {type(row).__name__}", self._line)
                return
            report = self._report(row, written_at)
        except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, a number of 5,000 digits, 100,000 brackets
            self._bad(f"a line must be a JSON object: {error}", self._line)
            return
        if report is not None:
            reports.append(report)

    def _report(self, row: dict[str, Any], written_at: float) -> Report | None:
        step, at = as_step(row.pop("_step", None)), as_time(row.pop("_time", None))
        message = {key: row.pop(key) for key in list(row) if key.startswith(_MESSAGE_PREFIX)}
        values = numbers(row, self._not_a_number)
        if message:
            self.messages.append(message)
        if not values:
            return None
        seq, self._seq = self._seq, self._seq + 1
        return Report(seq=seq, values=values, step=step, time=written_at if at is None else at)

    def _not_a_number(self, name: str, value: object) -> None:
        """Note it once per name, because a metric that is logged as text looks like one that is never logged."""
        if name not in self.dropped and len(self.dropped) < _MAX_PROBLEMS:
            self.dropped.add(name)
            self._note(f"line {self._line}: {name!r} is not a number and was dropped, got {repr(value)[:40]}")

    def _bad(self, rule: str, line: int) -> None:
        self.bad_lines += 1
        self._note(f"line {line}: skipped, {rule}")

    def _note(self, problem: str) -> None:
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(f"{self.path}: {problem}")
        elif len(self.problems) == _MAX_PROBLEMS:
            self.problems.append(f"{self.path}: further problems are not listed")
