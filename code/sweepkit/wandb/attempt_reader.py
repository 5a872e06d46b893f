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
from sweepkit.tracking.wandb_files import FileFinder, WandbFile
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
        notes: What its processes noted of where W&B's client writes; None without.
        run_id: The id of its W&B run; None where the program may choose one.
    """

    ordinal: int
    wandb_dir: Path
    reports: Path
    recorded: Callable[[], Sequence[Report]]
    over: bool
    notes: Path | None = None
    run_id: str | None = None


class AttemptReader:
    """Reads an attempt's `.wandb` files as they grow, or, when they hold no row, what it reported to us.

    A program that does both says everything twice; W&B's own file says more. Which one was sent first is remembered
    in the run's folder: the same rows must come again.

    Of several processes that wrote the run at a time, the same one counts as in the record (`tracking.wandb_file`).
    So does the last of several that wrote it one after another (folds, `reinit`): at W&B too a later `wandb.init` of
    the same id begins a new history. What was sent while it ran cannot be taken back: the later rows follow it then.

    Args:
        attempt: Where it logged.
        chosen: What was sent first of earlier attempts, and of this one, by ordinal.
        clock: Seconds since the epoch, as files have them.
        last_alone: Nothing of the run was sent yet, so that the last history alone may be.
    """

    def __init__(
        self, attempt: AttemptFiles, chosen: Mapping[str, str], clock: Callable[[], float], *, last_alone: bool = False
    ) -> None:
        self.ordinal = attempt.ordinal
        self.source = chosen.get(str(attempt.ordinal), "")  # "" until rows came from somewhere
        self.shift: int | None = None  # added to its steps, known with its first row
        self.finished = False
        self.last_alone = attempt.over and (last_alone or chosen.get(f"{attempt.ordinal} history") == "last")
        self._attempt = attempt
        self._clock = clock
        notes = None if attempt.notes is None else os.fspath(attempt.notes)
        self._finder = FileFinder(os.fspath(attempt.wandb_dir), notes=notes)
        self._files: list[WandbFile] = []
        self._aside: list[WandbFile] = []
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
        if not self.source and self._waiting and (self.finished or not self._counted):
            self.source = "reports"
        if self.finished and not self.source and not self._counted and not self._attempt.reports.exists():
            self._waiting.extend(self._attempt.recorded())
            self.source = "reports"
        if self.source == "reports":
            reports, self._waiting = self._waiting, []
            return [record for record in records if not record.HasField("history")], reports
        return records, []

    @property
    def _counted(self) -> list[WandbFile]:
        return [file for file in self._files if file not in self._aside]

    def _settled(self) -> bool:
        """Return whether nothing more can come of an attempt that is over."""
        if all(file.exited for file in self._files):
            return True
        newest = max(os.stat(file.path).st_mtime for file in self._files)
        return self._clock() - newest >= _SETTLE_S

    def _records(self) -> Iterator[Any]:
        # A file that is noted and not here is on another host, or was cleaned away.
        self._files += [file for file in self._finder.find() if os.path.exists(file.path)]
        read = [(file, list(self._records_of(file))) for file in self._files]
        if self.last_alone:
            self._aside += [file for file in self._counted if file.begun][:-1]
        return (record for file, records in read for record in records if file not in self._aside)

    def _records_of(self, file: WandbFile) -> Iterator[Any]:
        # A file of no known format, or a record that is none of W&B's, cannot be sent: the others are.
        with contextlib.suppress(ValueError):
            for payload in file.read():
                with contextlib.suppress(DecodeError):
                    record = pb.Record.FromString(payload)
                    self._note(file, record)
                    yield record

    def _note(self, file: WandbFile, record: Any) -> None:
        """Take note of what a record says of its file, and set the file aside if another one counts."""
        file.exited = file.exited or record.HasField("exit")
        if file.begun or not record.HasField("run"):
            return
        file.begun = True
        other = self._attempt.run_id not in (None, record.run.run_id)
        beside = (file.writer is not None and file.writer.rank > 0) or any(
            before.begun and before.overlaps(file) for before in self._counted if before is not file
        )
        if other or beside:
            self._aside.append(file)

    def link_files(self, target: Path) -> None:
        """Let W&B's client find what the program saved: beside the file that it sends."""
        for file in self._counted:
            source = Path(file.path).parent / "files"
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
