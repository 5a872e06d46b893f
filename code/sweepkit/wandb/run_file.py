"""One `.wandb` file per run that says all a W&B server shall know of it, made from what its attempts left on disk.

A run's attempts each log where they may: into `.wandb` files of their own (offline), or to us alone. None of these can
be sent as it is: one that was killed has no end, a retried run has several, a run that W&B never heard of has none,
and none holds the run's state or why it was stopped. So a file of our own is written in which all of it stands once,
in order; W&B's client sends that (`wandb_send`).

**The same again.** Rows are taken attempt by attempt in the order in which they were logged, so making the file anew
from the same attempts gives the same rows in the same order, and from more of them the same rows first. So a run that
was sent in part goes on exactly where the server has it: the file is made without the rows that are there (`Skip`).

**Several attempts** are one W&B run, as W&B's own requeue makes it: its rows follow each other, `_step` goes on, and
the rows of a second attempt carry `sweepkit/attempt: 2`.

Knows nothing of W&B's package, of the record or of a network.
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
from sweepkit.tracking.wandb_log import LoggedRow, decode, fields
from sweepkit.wandb import log_writer as w
from sweepkit.wandb.attempt_reader import AttemptFiles, AttemptReader

# Of a record's kinds those that are passed on as they are: summary, console, configuration, files, system metrics,
# artifacts, TensorBoard, alerts, telemetry, definitions of metrics, raw console, links and uses of artifacts, machine.
_PASSED = frozenset({3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 24, 25, 26})
_OURS = frozenset({1, 2, 3, 6, 7, 8, 9, 10, 12})  # of a run's description: what is ours to say
_KEPT = frozenset({4, 5, 11, 13, 19, 21})  # … and what is the program's: configuration, summary, settings, host, …


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCard:
    """What a W&B server is told of a run, whatever its program logged.

    Args:
        run_id: Its id there.
        project, entity: Where it goes; "" takes the program's project, the key's own entity.
        group: Of the sweep's runs.
        name, job_type: "" for the program's own.
        tags: To be set beside the program's own.
        params: Its configuration, nested.
        started_at: Seconds since the epoch, or None.
    """

    run_id: str
    project: str = ""
    entity: str = ""
    group: str = ""
    name: str = ""
    job_type: str = ""
    tags: tuple[str, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    started_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd:
    """How a run ended, or that it was interrupted.

    Args:
        exit_code: 0 finished; 255 killed, as W&B calls what was stopped; else failed.
        tags: The state in a word, to filter by.
        notes: Why, in words; "" when there is nothing to say.
        facts: Kept in the run's summary under `sweepkit`.
        summary: Values for the summary of a run whose program told W&B nothing.
    """

    exit_code: int
    tags: tuple[str, ...] = ()
    notes: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Skip:
    """How much of a run a server has already: rows of its history and of its system metrics, lines of its console."""

    rows: int = 0
    events: int = 0
    console: int = 0

    def passes(self, kind: int) -> bool:
        """Count a record of a kind; return whether it is to be written.

        Console output that was sent in part is left out: `output.log`, which is sent whole, holds it all.
        """
        if kind == w.HISTORY and self.rows:
            self.rows -= 1
            return False
        if kind == w.STATS and self.events:
            self.events -= 1
            return False
        return not (kind in (w.OUTPUT, w.OUTPUT_RAW) and self.console)


class RunFile:
    """The file of one run, written as its attempts go on. `feed` until it returns True, then `end`.

    Args:
        folder: Of this run alone; made when missing. Holds the file and a `files` folder for W&B's client.
        card: What is told of the run.
        skip: What the server has already; used up.
        clock: Seconds since the epoch, as files have them.

    Attributes:
        path: The file. It exists once there is something to tell.
        rows: History rows taken, those left out included.
    """

    def __init__(
        self, folder: Path, card: RunCard, *, skip: Skip | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.path = folder / f"run-{card.run_id}.wandb"
        self.rows = 0
        self.card = card
        self._clock = clock
        self._skip = skip or Skip()
        self._encoder = w.LogEncoder()
        self._choices = folder / "sources.json"
        self._attempts: dict[int, AttemptReader] = {}
        self._done: set[int] = set()
        self._described: list[tuple[int, bytes | str | int]] | None = None
        self._notes = ""
        self._tags: list[str] = []
        self._told_wandb = False
        self._last_step = -1
        self._steps_told = False
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
                reader = self._attempts[attempt.ordinal] = AttemptReader(attempt, self._chosen(), self._clock)
            self._take(reader, over=attempt.over)
            if not reader.finished:
                return False
            self._done.add(attempt.ordinal)
        return True

    def end(self, end: RunEnd) -> None:
        """Write the run's end; nothing may follow."""
        self._describe_if_needed()
        values: dict[str, Any] = {"sweepkit": dict(end.facts)}
        if not self._told_wandb:
            values |= end.summary
        self._write(w.summary(values), *self._description(end), w.ended(end.exit_code))

    # -- rows ---------------------------------------------------------------------------------------------------------

    def _take(self, reader: AttemptReader, *, over: bool) -> None:
        chosen = reader.source
        payloads, reports = reader.read(over=over)
        if reader.source == "reports" and chosen != "reports":
            self._choose(reader.ordinal, "reports")
        if payloads:
            reader.link_files(self.path.parent / "files")
        for payload in payloads:
            self._pass_on(payload, reader)
        if reports:
            self._describe_if_needed()
            self._write(*self._report_rows(reports, reader))

    def _pass_on(self, payload: bytes, reader: AttemptReader) -> None:
        """Write what is to be sent of one of the program's own records."""
        for kind, data in fields(payload):
            if kind == w.RUN:
                self._program_begins(data)
            elif kind == w.HISTORY:
                self._describe_if_needed()
                self._write(self._row(data, payload, reader))
            elif kind in _PASSED:
                self._describe_if_needed()
                self._write(w.field(kind, data))

    def _program_begins(self, data: bytes) -> None:
        """Describe the run by the program's `wandb.init`; of a later one only the configuration is news."""
        self._told_wandb = True
        if self._described is not None:
            self._write(*(w.field(w.CONFIG, value) for key, value in fields(data) if key == 4))
            return
        found = list(fields(data))
        texts = {key: bytes(value).decode("utf-8", "replace") for key, value in found if key in _OURS - {10}}
        self._notes = texts.get(9, "")
        self._tags = [bytes(value).decode("utf-8", "replace") for key, value in found if key == 10]
        own = [(key, value) for key, value in found if key in _KEPT]
        self._describe(own, name=texts.get(8, ""), job_type=texts.get(7, ""), project=texts.get(3, ""))

    def _row(self, data: bytes, payload: bytes, reader: AttemptReader) -> bytes:
        record = decode(payload)
        step = record.step if isinstance(record, LoggedRow) and record.step is not None else self._last_step + 1
        if reader.shift is None:
            reader.shift = 0 if step > self._last_step else self._last_step + 1 - step
        self._last_step = max(step + reader.shift, self._last_step + 1)
        self.rows += 1
        extra = {"sweepkit/attempt": reader.ordinal} if reader.ordinal > 1 else {}
        if self._last_step == step and not extra:
            return w.field(w.HISTORY, data)
        return w.moved_row(data, step=self._last_step, extra=extra)

    def _report_rows(self, reports: Sequence[Report], reader: AttemptReader) -> Iterator[bytes]:
        """Yield what stands for reports: rows, the summary of the last values, and what to draw them over."""
        for report in reports:
            values: dict[str, Any] = dict(report.values)
            if report.step is not None:
                values.setdefault("step", report.step)
                if not self._steps_told:
                    self._steps_told = True
                    yield w.step_metric("step")
            if report.time:
                values["_timestamp"] = report.time
                values["_runtime"] = max(0.0, report.time - (self.card.started_at or report.time))
            if reader.ordinal > 1:
                values["sweepkit/attempt"] = reader.ordinal
            self._last_step += 1
            self.rows += 1
            yield w.history(values, step=self._last_step)
            yield w.summary({**values, "_step": self._last_step})

    # -- the run's description ----------------------------------------------------------------------------------------

    def _describe_if_needed(self) -> None:
        if self._described is None:
            own = [(4, w.items(self.card.params)), (13, os.uname().nodename)]
            self._describe(own, name="", job_type="", project="")

    def _describe(self, own: Sequence[tuple[int, Any]], *, name: str, job_type: str, project: str) -> None:
        card = self.card
        started = [] if card.started_at is None else [(17, w.timestamp(card.started_at))]
        self._described = [
            (1, card.run_id),
            (2, card.entity),
            (3, card.project or project),
            *own,
            (6, card.group),
            (7, card.job_type or job_type),
            (8, card.name or name),
            *started,
        ]
        with open(self.path, "wb") as file:
            file.write(self._encoder.begin() + self._encoder.frame(w.header()))
        self._write(*self._description(None))

    def _description(self, end: RunEnd | None) -> list[bytes]:
        """Return the run's description, as it is at its beginning or at its end."""
        tags = dict.fromkeys([*self._tags, *self.card.tags, *(end.tags if end else ())])
        notes = "\n\n".join(filter(None, (self._notes, end.notes if end else "")))
        parts = [*(self._described or []), (9, notes), *((10, tag) for tag in tags)]
        return [w.field(w.RUN, w.message(parts))]

    def _write(self, *payloads: bytes) -> None:
        wanted = [payload for payload in payloads if self._skip.passes(w.kind(payload))]
        if wanted:
            with open(self.path, "ab") as file:
                file.write(b"".join(map(self._encoder.frame, wanted)))

    # -- which of its two accounts an attempt is told by ---------------------------------------------------------------

    def _chosen(self) -> Mapping[str, str]:
        try:
            found = json.loads(self._choices.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _choose(self, ordinal: int, source: str) -> None:
        write_atomically(self._choices, json.dumps({**self._chosen(), str(ordinal): source}) + "\n")
