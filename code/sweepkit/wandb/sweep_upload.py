"""What a W&B server still lacks of one sweep, and sending it: run by run, as they go on or afterwards.

Everything is read from the record and from what the attempts left on disk, so any process can take over at any
moment: what was sent stands in `wandb/sent.json` beside the sweep's files, and what was sent half is sent again,
which adds nothing twice (`sweepkit.wandb.run_file`).
"""

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sweepkit.agents.identity import host_name
from sweepkit.agents.prepare import run_card
from sweepkit.errors import TrackingError
from sweepkit.files import write_atomically
from sweepkit.model.records import RunRecord, SweepRecord
from sweepkit.model.runs import RunState
from sweepkit.paths import SweepPaths
from sweepkit.store.watch import Watch
from sweepkit.sweep_config.sweep import SweepSpec
from sweepkit.wandb.attempt_reader import AttemptFiles
from sweepkit.wandb.run_file import RunEnd, RunFile
from sweepkit.wandb.sender import Sender, Sending, UploadedCounts

_AT_ONCE = 8  # files of ended runs on their way at a time
_RETRY_S = (2.0, 5.0, 15.0, 30.0, 60.0)
_STOP_POLL_S = 15.0  # as often as W&B's own client looks
_MANY = 1_000_000
_KILLED = 255  # the exit code by which W&B distinguishes a run that was ended from one that failed
_EXIT_CODES = {RunState.FINISHED: 0, RunState.STOPPED: _KILLED, RunState.DIVERGED: _KILLED}


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadTarget:
    """Where a sweep is sent, whatever its programs name: `server` is a URL; "" for `entity` takes the key's own."""

    server: str
    project: str
    entity: str = ""

    @property
    def key(self) -> str:
        """Return a text that differs where the targets do."""
        return "/".join((self.server.rstrip("/"), self.entity, self.project))


@dataclass(slots=True)
class _Upload:
    """A run on its way."""

    run: RunRecord
    file: RunFile | None = None  # None: what the server has is not known yet
    whole: bool = False  # the file has its end
    sending: Sending | None = None
    failures: int = 0
    retry_at: float = 0.0


@dataclass(kw_only=True)
class SweepUpload:
    """Sends one sweep. Call `step` again and again; `unsent` says what is left.

    Args:
        record: The record, for reading.
        sweep: Which sweep.
        spec: Its YAML, read.
        paths: Its files.
        sender: W&B's service.
        target: Where it goes.
        live: Runs are sent while they log; else those that have ended.
        warn: Called once for each kind of fault.
        stop: Called with a live run that somebody stopped at the server.
        clock: Seconds that never run backwards.

    Attributes:
        progress: Grows whenever the server took something whole.
    """

    record: Watch
    sweep: SweepRecord
    spec: SweepSpec
    paths: SweepPaths
    sender: Sender
    target: UploadTarget
    live: bool
    warn: Callable[[str], None]
    stop: Callable[[str], None] = lambda run_id: None
    clock: Callable[[], float] = time.monotonic
    progress: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Begin with nothing known but what was sent."""
        self._since = 0
        self._away_until = 0.0
        self._runs: dict[str, RunRecord] = {}
        self._here: dict[str, bool] = {}
        self._uploads: dict[str, _Upload] = {}
        self._alive: frozenset[str] = frozenset()
        self._stopped: set[str] = set()  # attempts that were asked to end
        self._stops_at = 0.0
        self._warned: set[str] = set()
        self.read_sent()

    # -- one step -----------------------------------------------------------------------------------------------------

    def step(self, *, finishing: bool) -> None:
        """Take in what is new, send what can be sent.

        Args:
            finishing: No run is going on any more: what was interrupted is sent as far as it came.

        Raises:
            SweepKitError: The record cannot be read.
            OSError: A file cannot be written.
        """
        found = self.record.poll(self.sweep.sweep_id, self._since)
        if found is None:
            return
        self._since = found.change
        self._runs |= {run.run_id: run for run in found.changed}
        live = self._alive = frozenset(attempt.attempt_id for attempt in found.live if not attempt.expired)
        for run in self._runs.values():
            if self._wanted(run, live, finishing=finishing):
                self._advance(run, live, finishing=finishing)
        if self.live and not finishing and self.clock() >= self._stops_at:
            self._stops_at = self.clock() + _STOP_POLL_S
            self._pass_stops_on()

    def _pass_stops_on(self) -> None:
        """Ask which of the live runs somebody stopped at the server; one that does not answer is asked next time."""
        for upload in self._uploads.values():
            attempt_id = f"{upload.run.run_id}-{upload.run.attempts}"
            if attempt_id not in self._alive - self._stopped or upload.sending is None:
                continue
            target, run_id = self.target, upload.run.run_id
            try:
                stopped = self.sender.stopped(entity=target.entity, project=target.project, run_id=run_id)
            except TrackingError:
                return
            if stopped:
                self.stop(run_id)
                self._stopped.add(attempt_id)

    def _wanted(self, run: RunRecord, live: frozenset[str], *, finishing: bool) -> bool:
        """Return whether something of a run is to be sent now."""
        if self._is_sent(run):
            return False
        if run.run_id not in self._uploads and not self._is_here(run):
            return False
        if run.state.done or run.run_id in self._uploads:
            return True
        return (self.live and _alive(run, live)) or (finishing and run.attempts > 0 and not _alive(run, live))

    def _is_here(self, run: RunRecord) -> bool:
        """Return whether it is ours to send: while a sweep runs each host sends the runs that it made last."""
        if not self.live:
            return True
        if run.run_id not in self._here or not run.state.done:
            attempts = self.record.attempts(run.run_id)
            self._here[run.run_id] = bool(attempts) and attempts[-1].host == host_name()
        return self._here[run.run_id]

    def _advance(self, run: RunRecord, live: frozenset[str], *, finishing: bool) -> None:
        upload = self._uploads.get(run.run_id)
        if upload is None:
            if run.state.done and self._on_their_way() >= _AT_ONCE:
                return
            upload = self._uploads[run.run_id] = _Upload(run)
        upload.run = run
        file = upload.file or self._open_file(upload)
        if file is None:
            return
        if not upload.whole:
            settled = file.feed(self._attempts(run, live))
            if settled and (run.state.done or (finishing and not _alive(run, live))):
                file.end(_run_end(run))
                upload.whole = True
        self._send(upload, file)

    def _open_file(self, upload: _Upload) -> RunFile | None:
        """Ask the server what it has of a run, and begin a file of the rest; None while it does not answer."""
        if self.clock() < max(upload.retry_at, self._away_until):
            return None
        project = self.target.project
        try:
            uploaded = self.sender.uploaded(entity=self.target.entity, project=project, run_id=upload.run.run_id)
        except TrackingError as error:
            self._away_until = self.clock() + _RETRY_S[0]
            self._postpone(upload, str(error))
            return None
        upload.file = self._file(upload.run, uploaded)
        return upload.file

    def _on_their_way(self) -> int:
        return sum(upload.run.state.done for upload in self._uploads.values())

    def _send(self, upload: _Upload, file: RunFile) -> None:
        """Begin to send what there is, or see what came of it."""
        sending = upload.sending
        if sending is None:
            if upload.whole or (self.live and file.path.exists()):
                self._begin(upload, file)
        elif sending.over and sending.sent and upload.whole:
            if missing := self._missing(upload, file):
                self._postpone(upload, missing)
            else:
                self._note_sent(upload)
        elif sending.over:
            self._postpone(upload, "; ".join(dict.fromkeys(sending.faults)) or "W&B's service gave it up")

    def _missing(self, upload: _Upload, file: RunFile) -> str:
        """Return what the server lacks of a file that W&B's client calls sent, in words; "" when all is there."""
        entity, project = self.target.entity, self.target.project
        try:
            there = self.sender.uploaded(entity=entity, project=project, run_id=upload.run.run_id)
        except TrackingError as error:
            return str(error)
        return "" if there.rows >= file.rows else f"the server has {there.rows} of {file.rows} rows"

    def _begin(self, upload: _Upload, file: RunFile) -> None:
        try:
            program = str(self.sweep.meta.get("program") or self.spec.program or "")
            upload.sending = self.sender.send(file.path, live=not upload.whole, program=program)
        except TrackingError as error:
            self._postpone(upload, str(error))

    def _postpone(self, upload: _Upload, why: str) -> None:
        upload.retry_at = self.clock() + _RETRY_S[min(upload.failures, len(_RETRY_S) - 1)]
        upload.failures += 1
        upload.file, upload.sending, upload.whole = None, None, False  # anew, from what the server has by then
        if why not in self._warned:
            self._warned.add(why)
            self.warn(f"run {upload.run.run_id} is not at W&B yet, it will be tried again: {why}")

    # -- what was sent ------------------------------------------------------------------------------------------------

    def unsent(self) -> list[str]:
        """Return the ids of the runs of ours that were tried and are not, or not whole, at the server."""
        mine = (run for run in self._runs.values() if run.attempts and self._here.get(run.run_id, True))
        return [run.run_id for run in mine if not self._is_sent(run)]

    def unsent_now(self) -> list[str]:
        """Return those of `unsent` that no agent is at work on."""
        return [run_id for run_id in self.unsent() if not _alive(self._runs[run_id], self._alive)]

    @property
    def alive(self) -> int:
        """Return how many runs agents are at work on."""
        return len(self._alive)

    def taken(self) -> dict[str, UploadedCounts | None]:
        """Return what the server has of each run that is on its way; once it does not say, None for the others."""
        found: dict[str, UploadedCounts | None] = dict.fromkeys(self._uploads)
        with contextlib.suppress(TrackingError):  # each takes its time not to answer
            for run_id in found:
                found[run_id] = self.sender.uploaded(
                    entity=self.target.entity, project=self.target.project, run_id=run_id
                )
        return found

    def fewest_failures(self) -> int:
        """Return how often each of the runs that wait was refused at least."""
        return min((upload.failures for upload in self._uploads.values()), default=_MANY)

    @property
    def sent(self) -> int:
        """Return how many runs are at the server as they are in the record."""
        return sum(self._is_sent(run) for run in self._runs.values())

    def _is_sent(self, run: RunRecord) -> bool:
        return self._sent.get(run.run_id) == _stamp(run)

    def _note_sent(self, upload: _Upload) -> None:
        self._sent[upload.run.run_id] = _stamp(upload.run)
        del self._uploads[upload.run.run_id]
        self.progress += 1
        kept = {"target": self.target.key, "runs": self._sent}
        write_atomically(self.paths.wandb_sent, json.dumps(kept, indent=1) + "\n")

    def read_sent(self) -> None:
        """Learn what was sent to this target: nothing when it went elsewhere, or cannot be read."""
        try:
            kept = json.loads(self.paths.wandb_sent.read_text(encoding="utf-8"))
            self._sent: dict[str, Any] = dict(kept["runs"]) if kept["target"] == self.target.key else {}
        except (OSError, ValueError, KeyError, TypeError):
            self._sent = {}

    # -- from the record ----------------------------------------------------------------------------------------------

    def _file(self, run: RunRecord, uploaded: UploadedCounts) -> RunFile:
        target = self.target
        return RunFile(
            self.paths.wandb_push(run.run_id),
            run_card(self.spec, self.sweep.name, run, project=target.project, entity=target.entity),
            params=run.params,
            started_at=run.started_at,
            uploaded=uploaded,
        )

    def _attempts(self, run: RunRecord, live: frozenset[str]) -> list[AttemptFiles]:
        ids = [(ordinal, f"{run.run_id}-{ordinal}") for ordinal in range(1, run.attempts + 1)]
        return [
            AttemptFiles(
                ordinal=ordinal,
                wandb_dir=self.paths.wandb_dir(run.run_id, attempt_id),
                reports=self.paths.reports(attempt_id),
                recorded=partial(self.record.reports, run.run_id, attempt_id=attempt_id),
                over=run.state.done or attempt_id not in live,
                notes=self.paths.wandb_notes(attempt_id),
                run_id=run_card(self.spec, self.sweep.name, run, project=self.spec.project or "").only_id,
            )
            for ordinal, attempt_id in ids
        ]


def _alive(run: RunRecord, live: frozenset[str]) -> bool:
    return f"{run.run_id}-{run.attempts}" in live


def _stamp(run: RunRecord) -> list[Any]:
    """Return what differs when there is more to send of a run."""
    return [run.attempts, run.state.value, run.change]


def _run_end(run: RunRecord) -> RunEnd:
    """Return what W&B gets of a run's end: state, reason and the facts that its own table has no column for."""
    state = run.state.value if run.state.done else "interrupted"
    status = run.outcome.get("exit_code")
    failed = status if isinstance(status, int) and 0 < status < _KILLED else 1
    code = _EXIT_CODES.get(run.state, failed if run.state is RunState.FAILED else _KILLED)
    facts: Mapping[str, Any] = {
        "state": state,
        "reason": run.reason,
        "number": run.number,
        "attempts": run.attempts,
        "proposal": str(run.proposal.get("reason", "")),
        "duration_s": run.outcome.get("duration_s"),
        "device": run.outcome.get("device"),
        "host": run.outcome.get("host"),
    }
    summary = dict(run.last_metrics)
    return RunEnd(
        exit_code=code,
        tags=() if state == "finished" else (state,),
        notes="" if state == "finished" else f"{state}: {run.reason}".rstrip(": "),
        facts={name: value for name, value in facts.items() if value not in (None, "")},
        summary=summary,
    )
