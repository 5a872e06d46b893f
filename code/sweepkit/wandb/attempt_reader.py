"""What one attempt of a run logged, read as it grows: its own `.wandb` files, or what it reported to us alone."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from sweepkit.model.records import Report
from sweepkit.tracking.reports import ReportTail
from sweepkit.tracking.wandb_files import WandbFile
from sweepkit.wandb.log_writer import pb

_SETTLE_S = 2.0  # W&B's own process may still write for a moment after the program is gone
_WRITTEN_BY_CLIENT = frozenset({"config.yaml", "wandb-summary.json"})  # W&B's client makes them anew when it sends


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFiles:
    """Where an attempt logged.

    Args:
        ordinal: 1 for the run's first.
        wandb_dir: Its WANDB_DIR.
        reports: The file that it reported to.
        recorded: Returns its reports as recorded, for when the files are on another host.
        over: Its process is gone.
    """

    ordinal: int
    wandb_dir: Path
    reports: Path
    recorded: Callable[[], Sequence[Report]]
    over: bool


class AttemptReader:
    """Reads an attempt's `.wandb` files as they grow, or, when they hold no row, what it reported to us.

    A program that does both says everything twice; W&B's own file says more. Which one was sent first is remembered
    in the run's folder: the same rows must come again.
    """

    def __init__(self, attempt: AttemptFiles, chosen: Mapping[str, str], clock: Callable[[], float]) -> None:
        self.ordinal = attempt.ordinal
        self.source = chosen.get(str(attempt.ordinal), "")  # "" until rows came from somewhere
        self.shift: int | None = None  # added to its steps, known with its first row
        self.finished = False
        self._attempt = attempt
        self._clock = clock
        self._files: dict[Path, WandbFile] = {}
        self._tail = ReportTail(attempt.reports)
        self._waiting: list[Report] = []
        self._linked: set[tuple[str, int]] = set()

    def read(self, *, over: bool) -> tuple[list[Any], list[Report]]:
        """Return new records of W&B's (`pb.Record`), and new reports if they stand for rows."""
        records = list(self._records())
        self._waiting.extend(self._tail.read(final=over))
        if not self.source and any(record.HasField("history") for record in records):
            self.source = "wandb"
        self.finished = over and self._settled()
        if not self.source and self._waiting and (self.finished or not self._files):
            self.source = "reports"
        if self.finished and not self.source and not self._files and not self._attempt.reports.exists():
            self._waiting.extend(self._attempt.recorded())
            self.source = "reports"
        if self.source == "reports":
            reports, self._waiting = self._waiting, []
            return [record for record in records if not record.HasField("history")], reports
        return records, []

    def _settled(self) -> bool:
        """Return whether nothing more can come of an attempt that is over."""
        if all(file.exited for file in self._files.values()):
            return True
        newest = max(path.stat().st_mtime for path in self._files)
        return self._clock() - newest >= _SETTLE_S

    def _records(self) -> Iterator[Any]:
        for path in sorted(self._attempt.wandb_dir.glob("wandb/*run-*/run-*.wandb")):
            if not path.parent.name.startswith(("run-", "offline-run-")):
                continue
            file = self._files.setdefault(path, WandbFile(str(path)))
            # A file of no known format, or a record that is none of W&B's, cannot be sent: the others are.
            with contextlib.suppress(ValueError):
                for payload in file.read():
                    with contextlib.suppress(DecodeError):
                        record = pb.Record.FromString(payload)
                        file.exited = file.exited or record.HasField("exit")
                        yield record

    def link_files(self, target: Path) -> None:
        """Let W&B's client find what the program saved: beside the file that it sends."""
        for path in self._files:
            source = path.parent / "files"
            for found in sorted(source.rglob("*")):
                name = str(found.relative_to(source))
                if found.is_file() and name not in _WRITTEN_BY_CLIENT:
                    self._link(found, target / name)

    def _link(self, source: Path, target: Path) -> None:
        inode = source.stat().st_ino
        if (str(target), inode) in self._linked:
            return
        self._linked.add((str(target), inode))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        try:
            os.link(source, target)
        except OSError:  # another file system
            target.symlink_to(source.resolve())
