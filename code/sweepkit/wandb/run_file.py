"""One `.wandb` file per run that says all a W&B server shall know of it, made from what its attempts left on disk.

A run's attempts each log where they may: into `.wandb` files of their own (offline), or to us alone. None of these can
be sent as it is: one that was killed has no end, a retried run has several, a run that never logged to W&B has none,
and none holds the run's state or why it was stopped. So a file of our own is written in which all of it stands once,
in order; W&B's client sends that (`sweepkit.wandb.sender`).

**The same again.** Rows are taken attempt by attempt in the order in which they were logged, so making the file anew
from the same attempts gives the same rows in the same order, and from more of them the same rows first. So a run that
was sent in part goes on exactly where the server has it: the file is made without the rows that are there.

**Several attempts** are one W&B run, as W&B's own requeue makes it: its rows follow each other, `_step` goes on, and
the rows of a second attempt carry `sweepkit/attempt: 2`.

Knows nothing of our database or of a network.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweepkit.files import write_atomically
from sweepkit.model.records import Report
from sweepkit.text.json_text import read_object
from sweepkit.tracking.run_card import RunCard
from sweepkit.wandb import log_writer as w
from sweepkit.wandb.attempt_reader import AttemptFiles, AttemptReader
from sweepkit.wandb.log_writer import pb
from sweepkit.wandb.sender import UploadedCounts

# Of a record's kinds those that are passed on as they are.
_PASSED = frozenset(
    "summary output config files stats artifact tbrecord alert telemetry metric output_raw".split()
) | frozenset("noop_link_artifact use_artifact environment".split())
# Of a run's description the parts that are the program's; the others tie the run to another one.
_KEPT = ("config", "summary", "settings", "telemetry", "git")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd:
    """How a run ended, or that it was interrupted.

    Args:
        exit_code: 0 finished; 255 killed, as W&B calls what was stopped; else failed.
        tags: The state in a word, to filter by.
        notes: Why, in words; "" without a reason.
        facts: Kept in the run's summary under `sweepkit`.
        summary: Values for the summary of a run whose program logged nothing to W&B.
    """

    exit_code: int
    tags: tuple[str, ...] = ()
    notes: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, float] = field(default_factory=dict)


class RunFile:
    """The file of one run, written as its attempts go on. `feed` until it returns True, then `end`.

    Args:
        folder: Of this run alone; made when missing. Holds the file and a `files` folder for W&B's client.
        card: How it appears on the server, whatever its program logged.
        params: Its configuration, nested, where the program logs none.
        started_at: When it began, in seconds since the epoch, or None.
        uploaded: What the server has of it already, which is left out.
        clock: Seconds since the epoch, as files have them.

    Attributes:
        path: The file. It exists once there is something to send.
        rows: History rows taken, those left out included.
    """

    def __init__(
        self,
        folder: Path,
        card: RunCard,
        *,
        params: Mapping[str, Any],
        started_at: float | None = None,
        uploaded: UploadedCounts = UploadedCounts(),  # noqa: B008 - frozen
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = folder / f"run-{card.run_id}.wandb"
        self.rows = 0
        self._card = card
        self._params = params
        self._started_at = started_at
        self._clock = clock
        self._to_skip = {"history": uploaded.rows, "stats": uploaded.events}
        self._console_uploaded = uploaded.console > 0
        self._nothing_sent = uploaded == UploadedCounts()
        self._encoder = w.LogEncoder()
        self._choices = folder / "sources.json"
        self._attempts: dict[int, AttemptReader] = {}
        self._done: set[int] = set()
        self._described: Any = None
        self._notes = ""
        self._tags: list[str] = []
        self._logs_to_wandb = False
        self._last_step = -1
        self._step_metric_sent = False
        (folder / "files").mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)

    def feed(self, attempts: Sequence[AttemptFiles]) -> bool:
        """Take in what the attempts logged since the last call; return whether that was all of it.

        Args:
            attempts: All of the run, in order; an attempt that is over stays over.

        Raises:
            OSError: The file cannot be written, or an attempt's not be read.
        """
        for attempt in attempts:
            if attempt.ordinal in self._done:
                continue
            reader = self._attempts.get(attempt.ordinal)
            if reader is None:
                reader = self._reader(attempt)
                self._attempts[attempt.ordinal] = reader
            self._take(reader, over=attempt.over)
            if not reader.finished:
                return False
            self._done.add(attempt.ordinal)
        return True

    def _reader(self, attempt: AttemptFiles) -> AttemptReader:
        reader = AttemptReader(attempt, self._chosen(), self._clock, last_alone=self._nothing_sent)
        if reader.last_alone:
            self._choose(f"{attempt.ordinal} history", "last")
        return reader

    def end(self, end: RunEnd) -> None:
        """Write the run's end; nothing may follow."""
        self._describe_if_needed()
        values: dict[str, Any] = {"sweepkit": dict(end.facts)}
        if not self._logs_to_wandb:
            values |= end.summary
        self._write(w.summary(values), self._description(end), w.ended(end.exit_code))

    # -- rows ---------------------------------------------------------------------------------------------------------

    def _take(self, reader: AttemptReader, *, over: bool) -> None:
        chosen = reader.source
        records, reports = reader.read(over=over)
        if reader.source == "reports" and chosen != "reports":
            self._choose(str(reader.ordinal), "reports")
        if records:
            reader.link_files(self.path.parent / "files")
        for record in records:
            self._pass_on(record, reader)
        if reports:
            self._describe_if_needed()
            self._write(*self._report_rows(reports, reader))

    def _pass_on(self, record: Any, reader: AttemptReader) -> None:
        """Write what is to be sent of one of the program's own records."""
        kind = record.WhichOneof("record_type")
        if kind == "run":
            self._program_begins(record.run)
        elif kind == "history":
            self._describe_if_needed()
            self._write(self._row(record.history, reader))
        elif kind in _PASSED:
            self._describe_if_needed()
            self._write(pb.Record(**{kind: getattr(record, kind)}))

    def _program_begins(self, run: Any) -> None:
        """Describe the run by the program's `wandb.init`; of a later one only the configuration is news."""
        self._logs_to_wandb = True
        if self._described is None:
            self._notes, self._tags = run.notes, list(run.tags)
            self._describe(run)
        elif run.HasField("config"):
            self._write(pb.Record(config=run.config))

    def _row(self, row: Any, reader: AttemptReader) -> Any:
        step = row.step.num if row.HasField("step") else self._last_step + 1
        if reader.shift is None:
            reader.shift = 0 if step > self._last_step else self._last_step + 1 - step
        self._last_step = max(step + reader.shift, self._last_step + 1)
        self.rows += 1
        extra = {"sweepkit/attempt": reader.ordinal} if reader.ordinal > 1 else {}
        if self._last_step == step and not extra:
            return pb.Record(history=row)
        return w.moved_row(row, step=self._last_step, extra=extra)

    def _report_rows(self, reports: Sequence[Report], reader: AttemptReader) -> Iterator[Any]:
        """Yield what stands for reports: rows, the summary of the last values, and what to draw them over."""
        for report in reports:
            values: dict[str, Any] = dict(report.values)
            if report.step is not None:
                values.setdefault("step", report.step)
                if not self._step_metric_sent:
                    self._step_metric_sent = True
                    yield w.step_metric("step")
            if report.time:
                values["_timestamp"] = report.time
                values["_runtime"] = max(0.0, report.time - (self._started_at or report.time))
            if reader.ordinal > 1:
                values["sweepkit/attempt"] = reader.ordinal
            self._last_step += 1
            self.rows += 1
            yield w.history(values, step=self._last_step)
            yield w.summary({**values, "_step": self._last_step})

    # -- the run's description ----------------------------------------------------------------------------------------

    def _describe_if_needed(self) -> None:
        if self._described is None:
            run = pb.RunRecord(host=w.utf8(os.uname().nodename), config={})
            w.put(run.config.update, self._params)
            self._describe(run)

    def _describe(self, own: Any) -> None:
        """Begin the file with a description made of our card and the run's own account of itself."""
        card = self._card
        run = self._described = pb.RunRecord(
            run_id=card.run_id,
            entity=w.utf8(card.entity),
            project=w.utf8(card.project or own.project),
            run_group=w.utf8(card.group),
            job_type=w.utf8(card.job_type or own.job_type),
            display_name=w.utf8(own.display_name or card.name),
            host=own.host,
            **{name: getattr(own, name) for name in _KEPT if own.HasField(name)},
        )
        if self._started_at is not None:
            run.start_time.FromNanoseconds(int(self._started_at * 1e9))
        with open(self.path, "wb") as file:
            file.write(self._encoder.begin() + self._encoder.frame(w.header().SerializeToString()))
        self._write(self._description(None))

    def _description(self, end: RunEnd | None) -> Any:
        """Return the run's description, as it is at its beginning or at its end."""
        record = pb.Record(run=self._described)
        record.run.notes = w.utf8("\n\n".join(filter(None, (self._notes, end.notes if end else ""))))
        tags = [*self._tags, *self._card.tags, *(end.tags if end else ())]
        record.run.tags.extend(map(w.utf8, dict.fromkeys(tags)))
        return record

    def _write(self, *records: Any) -> None:
        wanted = [record.SerializeToString() for record in records if not self._is_uploaded(record)]
        if wanted:
            with open(self.path, "ab") as file:
                file.write(b"".join(map(self._encoder.frame, wanted)))

    def _is_uploaded(self, record: Any) -> bool:
        """Return whether the server has a record already.

        Console output that was sent in part is left out: `output.log`, which is sent whole, holds it all.
        """
        kind = record.WhichOneof("record_type")
        if self._to_skip.get(kind):
            self._to_skip[kind] -= 1
            return True
        return self._console_uploaded and kind in ("output", "output_raw")

    # -- which of its two logs an attempt is sent from -----------------------------------------------------------------

    def _chosen(self) -> Mapping[str, str]:
        return read_object(self._choices) or {}

    def _choose(self, what: str, choice: str) -> None:
        write_atomically(self._choices, json.dumps({**self._chosen(), what: choice}) + "\n")
