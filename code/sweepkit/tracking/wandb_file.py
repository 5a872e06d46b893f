"""Reads what a script logs through W&B's offline mode, from its `.wandb` file, while the script runs.

Measured with W&B 0.31: by default its writer keeps rows back for up to 15 s. With the setting
`x_transaction_log_flush_interval` (WANDB_X_TRANSACTION_LOG_FLUSH_INTERVAL, which `wandb_env` sets) at 0.1 s a row can
be read 0.01-0.1 s after `wandb.log`. A row logged with an explicit `step=` is complete, and written, only when the next
step begins or the run ends: that is W&B's own rule, and such a metric arrives one step late.

A script that ends by itself has everything on disk when its process is gone. One that is killed, or leaves by
`os._exit`, loses its last 0.1 s and the row whose step was not over; W&B's own process (wandb-core, in a session of its
own, out of reach of a signal to the script's group) ends by itself 4 to 5 s later.

A script may call `wandb.init` several times. One run counts at a time, as at W&B, where all of them would have one id:

* a later one begins a new history (the folds of a cross-validation, `reinit=True`);
* of processes that write at the same time the first counts, of ranks rank 0;
* a run of another id is another run: a script made it so by deleting WANDB_* from its environment.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

from sweepkit.model.records import Report
from sweepkit.tracking.rows import as_number, as_step, as_time, numbers
from sweepkit.tracking.run_card import RecordedRunCard
from sweepkit.tracking.wandb_files import FileFinder, WandbFile
from sweepkit.tracking.wandb_log import (
    ConfigChange,
    Exit,
    LoggedRow,
    MetricDefined,
    Preempting,
    Record,
    Summary,
    decode,
)

# W&B's own keys in a row or a summary, which are no metrics.
_OWN_KEYS = frozenset({"_step", "_timestamp", "_runtime", "_wandb"})
_MAX_PROBLEMS = 20


class WandbTail:
    """Reads the W&B runs that a script starts. Not for use by several threads at once.

    Attributes:
        summary: The summary by dotted name, numbers only. W&B copies the last value of every logged metric there too.
        exit_code: What the run was finished with, or None while it was not; the script may have ended without.
        preempting: The run was marked as preempting, and none was begun since: it wants to be resumed if it fails.
        run: What `wandb.init` recorded, or None before it; its config includes later changes.
        histories: How often a run began that counts: with each the rows of the one before are void.
        shared: Several processes wrote the run at the same time, and only one of them counts.
        problems: What was wrong with the files, in words; at most 20.
        defined: What `define_metric` said of names and of patterns, the newest of each.
        dropped: Names that were logged as text in rows, and so are no metrics; at most 20.

    Args:
        directory: The script's WANDB_DIR; neither it nor its `wandb` folder need exist yet.
        notes: The file in which its processes note where they write (`wandb_hook`), or None.
        log: The script's output, or None. Without notes W&B's client says there where it writes, and that counts when
            nothing is in `directory`: a script may have given `wandb.init` a `dir` of its own.
        cwd: The script's working directory: the client names folders below it without it.
        run_id: The id that its run has; one of another id counts when there is no such run at its end. None: any.
        skip_existing: Leave out what is there already: the runs of earlier attempts that used the same folder.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        notes: str | os.PathLike[str] | None = None,
        log: str | os.PathLike[str] | None = None,
        cwd: str = "",
        run_id: str | None = None,
        skip_existing: bool = False,
    ) -> None:
        self.directory = os.fspath(directory)
        self.summary: dict[str, float] = {}
        self.exit_code: int | None = None
        self.preempting = False
        self.run: RecordedRunCard | None = None
        self.histories = 0
        self.shared = False
        self.problems: list[str] = []
        self.defined: dict[str, MetricDefined] = {}
        self.dropped: set[str] = set()
        self._run_id = run_id
        self._finder = FileFinder(
            self.directory,
            notes=None if notes is None else os.fspath(notes),
            log=None if log is None else os.fspath(log),
            cwd=cwd,
        )
        self._files: list[WandbFile] = []
        self._current: WandbFile | None = None
        self._aside: list[WandbFile] = []
        self._seq = 0
        if skip_existing:
            self._finder.skip_existing()

    @property
    def settled(self) -> bool:
        """Return whether every run that was begun is finished too, so that nothing can follow."""
        return all(file.exited or not file.readable for file in self._files)

    @property
    def path(self) -> str | None:
        """Return the file of the run that counts, None before there is one."""
        return None if self._current is None else self._current.path

    def definition(self, name: str) -> MetricDefined | None:
        """Return what `define_metric` said of a metric: by its name, else by the longest pattern that it fits."""
        fitting = [
            key
            for key, said in self.defined.items()
            if said.kinds and (said.name == name or (said.pattern[-1:] == "*" and name.startswith(said.pattern[:-1])))
        ]
        exact = name if name in fitting else max(fitting, key=len, default=None)
        return None if exact is None else self.defined[exact]

    def read(self, *, final: bool = False) -> list[Report]:
        """Return the rows logged since the last call, as reports with consecutive `seq`.

        Costs one `stat`, and one per run found so far, when nothing changed.

        Args:
            final: The script has ended: when no run counted so far, one of those that were set aside does.
        """
        self._files += self._finder.find()
        reports: list[Report] = []
        for file in self._files:
            self._read_file(file, reports)
        if final and self._current is None and self._aside:
            chosen = max(self._aside, key=_preference)
            self._run_id, again = None, WandbFile(chosen.path, kept=chosen.kept)
            self._files = [again]
            self._read_file(again, reports)
        return reports

    def _read_file(self, file: WandbFile, reports: list[Report]) -> None:
        try:
            payloads = file.read()
        except (OSError, ValueError) as error:
            self._note(file, str(error))
            file.readable = False
            return
        for payload in payloads:
            try:
                record = decode(payload)
            except ValueError as error:
                self._note(file, f"a record was skipped: {error}")
                continue
            if isinstance(record, RecordedRunCard) and not file.begun:
                self._begin(file, record, reports)
            elif isinstance(record, Exit):
                file.exited = True
            if file not in self._aside:
                self._apply(record, reports)

    def _begin(self, file: WandbFile, run: RecordedRunCard, reports: list[Report]) -> None:
        """Let the run that begins in a file count, or set it aside."""
        file.begun = True
        current = self._current
        beside = (file.writer is not None and file.writer.rank > 0) or (current is not None and current.overlaps(file))
        other = self._run_id is not None and run.run_id != self._run_id
        if beside or other:
            self.shared = self.shared or not other
            self._aside.append(file)
            return
        if current is not None:
            reports.clear()
            self.summary.clear()
            self.defined.clear()
            self._aside.append(current)
        self._current, self.preempting = file, False
        self.histories += 1

    def _apply(self, record: Record | None, reports: list[Report]) -> None:
        match record:
            case LoggedRow():
                self._add(record, reports)
            case Summary():
                self.summary |= _metrics(record.update)
                for name in record.remove:
                    self.summary.pop(name, None)
            case MetricDefined():
                self.defined[record.name or record.pattern] = record
            case RecordedRunCard():  # a change of its name is no new run
                self.run, self.exit_code = record, None
            case Preempting():
                self.preempting = True
            case ConfigChange() if self.run is not None:
                self.run.config.update(record.update)
            case Exit():
                self.exit_code = record.exit_code

    def _add(self, row: LoggedRow, reports: list[Report]) -> None:
        values = _metrics(row.items, self._drop)
        if values:
            step = row.step if row.step is not None else as_step(row.items.get("_step"))
            at = as_time(as_number(row.items.get("_timestamp")))
            reports.append(Report(seq=self._seq, values=values, step=step, time=at or 0.0))
            self._seq += 1

    def _note(self, file: WandbFile, problem: str) -> None:
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(f"{file.path}: {problem}")

    def _drop(self, name: str, value: object) -> None:
        if isinstance(value, str) and len(self.dropped) < _MAX_PROBLEMS:  # other things are media, tables, …
            self.dropped.add(name)


def _preference(file: WandbFile) -> tuple[int, float]:
    """Return what is larger for the file that counts more: a lower rank, then a later beginning."""
    return (-file.writer.rank, file.writer.began) if file.writer else (0, 0.0)


def _metrics(items: Mapping[str, Any], dropped: Callable[[str, object], None] | None = None) -> dict[str, float]:
    return numbers({name: value for name, value in items.items() if name not in _OWN_KEYS}, dropped)
