"""Sends `.wandb` files with W&B's own service, as `wandb beta sync [--live]` does: one process sends any number.

Measured with W&B 0.31 against a server that fails: the service tries again by itself, seconds to minutes apart, after
answers 429 and 5xx, broken connections and while no server is there, and numbers a run's rows by their place, so that
what arrived twice is there once. `--live` follows a file that grows, and ends only at a record that ends the run: a
killed program writes none, so who makes the file must (`sweepkit.wandb.run_file`).

**A file that is sent again is appended**: the service asks how many rows the server has of the run and puts the file's
first row behind them. So who sends again must ask first (`Sender.uploaded`), and leave out of the file what is there.
What a server refuses for good (a key, a deleted run) ends the sending of that file.

**W&B's own word is not enough.** When the rows of a file are refused for good, the service still marks the file as
sent, beside a message "Some run data will not be synced"; when a file that a program saved, an artifact or a run's
description is refused, be it inside of an answer 200, only its log says so. All count as not sent here, so that nothing
is lost. And an answer 200 to rows is taken for success whatever stands in it (a proxy's own page): who sends asks
afterwards what is there.

Uses W&B's package below its public surface (0.31 is pinned): the public command costs a second of CPU for every run.
Credentials are read by W&B from its own places (WANDB_API_KEY, netrc) and never leave it.
"""

import contextlib
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sweepkit.errors import TrackingError
from sweepkit.wandb.access import AccessAnswer, ask_access, describe_error, require_wandb

_CHECK_S = 6.0
_BEGIN_S = 30.0
_ERROR = 40  # W&B's severities are those of Python's logging
# How lines of the log on what is not at the server begin: files that a program saved, artifacts and their links, a
# run's configuration, tags and notes. A "job" is W&B's own artifact, no program asked for it.
_LOSSES = (
    "file transfer:",
    "runfiles:",
    "sender: failed to log artifact",
    "sender: linkArtifact",
    "sender: failed to upload",
    "runupserter: failed to",
    "runupserter: upsert bucket response empty",
)


# W&B's own name and shape of the question that a run asks when it is resumed.
_LINES = """
query RunResumeStatus($project: String, $entity: String, $name: String!) {
  model(name: $project, entityName: $entity) {
    id
    bucket(name: $name, missingOk: true) {
      id
      historyLineCount
      eventsLineCount
      logLineCount
    }
  }
}
"""


# The same of a run that somebody stops on W&B's page: W&B's client hears of it with the answers to its rows, and does
# not pass it on to whoever sends files.
_STOPPED = """
query RunStopped($project: String, $entity: String, $name: String!) {
  model(name: $project, entityName: $entity) {
    id
    bucket(name: $name, missingOk: true) {
      id
      stopped
    }
  }
}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedCounts:
    """How much of a run a server has: rows of its history, of its system metrics, lines of its console."""

    rows: int = 0
    events: int = 0
    console: int = 0


class Sending:
    """A file on its way.

    Attributes:
        path: The file.
        over: Nothing more is tried. `sent` says what came of it.
        faults: W&B's messages on what it did not send, in its words.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.over = False
        self.faults: list[str] = []
        self.began = datetime.now(UTC)

    @property
    def marker(self) -> Path:
        """Return the file by which W&B remembers that all was sent."""
        return self.path.with_name(self.path.name + ".synced")

    @property
    def sent(self) -> bool:
        """Return whether the server has all of the file."""
        return self.over and not self.faults and self.marker.exists()


class Sender:
    """W&B's service in this process. One at a time; the process should end soon after it.

    Args:
        directory: Where W&B makes its `wandb` folder, for its logs.

    Raises:
        TrackingError: W&B is not installed.
    """

    def __init__(self, directory: Path) -> None:
        os.environ["WANDB_DIR"] = os.fspath(directory)
        os.environ["WANDB_SILENT"] = "true"  # W&B prints to the terminal of whoever imports it
        os.environ.pop("WANDB_MODE", None)  # offline is what the programs are; this is what is not
        require_wandb("wandb")
        from wandb.sdk import wandb_setup

        self._logs = directory / "wandb" / "logs"
        self._setup: Any = wandb_setup
        self._singleton: Any = wandb_setup.singleton()
        self.server = str(self._singleton.settings.base_url)

    def check(self) -> AccessAnswer:
        """Ask the server whose key it is that W&B finds; takes at most `_CHECK_S` seconds."""
        return ask_access(self._singleton.settings, timeout_s=_CHECK_S)

    def uploaded(self, *, entity: str, project: str, run_id: str) -> UploadedCounts:
        """Return how much the server has of a run; nothing of one that it does not know.

        Raises:
            TrackingError: It does not answer within `_CHECK_S` seconds, or refuses the question.
        """
        bucket = self._bucket(_LINES, entity=entity, project=project, run_id=run_id)
        rows, events, console = (bucket.get(f"{name}LineCount") or 0 for name in ("history", "events", "log"))
        return UploadedCounts(rows=rows, events=events, console=console)

    def stopped(self, *, entity: str, project: str, run_id: str) -> bool:
        """Return whether somebody asked the server to stop a run.

        Raises:
            TrackingError: As `uploaded`.
        """
        return bool(self._bucket(_STOPPED, entity=entity, project=project, run_id=run_id).get("stopped"))

    def _bucket(self, query: str, *, entity: str, project: str, run_id: str) -> dict[str, Any]:
        """Return what the server says of a run, {} when it does not know it. Raises TrackingError."""
        from wandb.apis.public.service_api import ServiceApi

        variables = {"entity": entity or None, "project": project or "uncategorized", "name": run_id}
        try:
            return _bucket_of(ServiceApi(self._singleton.settings, timeout=_CHECK_S).execute_graphql(query, variables))
        except Exception as error:  # W&B's own, and whatever its service meets
            raise TrackingError(
                f"{self.server} must say what it has of run {run_id}, got: {describe_error(error)}"
            ) from error

    def send(self, path: Path, *, live: bool, program: str = "") -> Sending:
        """Begin to send a file; returns at once.

        Args:
            path: The file; it must exist.
            live: It still grows.
            program: What the run's page names as its program; W&B's client names the one that sends.

        Raises:
            TrackingError: W&B's service does not answer.
        """
        sending = Sending(path)
        sending.marker.unlink(missing_ok=True)
        try:
            service = self._singleton.ensure_service()
            self._singleton.asyncer.run(lambda: self._begin(service, sending, live=live, program=program))
        except Exception as error:
            self._restart()
            raise TrackingError(f"W&B's service must take {path.name}, got: {error}; it is started again") from error
        return sending

    async def _begin(self, service: Any, sending: Sending, *, live: bool, program: str) -> None:
        settings = self._singleton.settings.model_copy(update={"program": program or None})
        nothing_new = {"entity": "", "project": "", "run_id": "", "job_type": "", "tag_replacements": {}}
        first = await service.init_sync({sending.path}, settings, cwd=None, live=live, **nothing_new)
        begun = await first.wait_async(timeout=_BEGIN_S)
        handle = await service.sync(begun.id, parallelism=1)
        self._singleton.asyncer.run_soon(lambda: _follow(handle, sending, self._logs), daemon=True)

    def _restart(self) -> None:
        with contextlib.suppress(Exception):
            self._setup.teardown()
        self._singleton = self._setup.singleton()


def _bucket_of(data: Any) -> dict[str, Any]:
    """Return the run of an answer, {} for none. Raises ValueError: the answer has another shape."""
    found = data.get("model", 0) if isinstance(data, dict) else data
    bucket = found.get("bucket") if isinstance(found, dict) else found
    if isinstance(data, dict) and bucket is None:
        return {}
    counts = bucket.items() if isinstance(bucket, dict) else ()
    if not isinstance(bucket, dict) or any(key.endswith("Count") and not isinstance(n, int) for key, n in counts):
        raise ValueError(f"an answer of another shape: {str(data)[:200]}")
    return bucket


async def _follow(handle: Any, sending: Sending, logs: Path) -> None:
    try:
        response = await handle.wait_async(timeout=None)
        sending.faults = [str(message.content) for message in response.messages if message.severity >= _ERROR]
        sending.faults += _refused_parts(sending, logs)
    except Exception as error:  # the service is gone
        sending.faults = [f"{type(error).__name__}: {error}"]
    sending.over = True


def _refused_parts(sending: Sending, logs: Path) -> list[str]:
    """Return what W&B's log says of what could not be sent with a run."""
    found = []
    for log in logs.glob("debug-sync*.log"):
        if log.stat().st_mtime < sending.began.timestamp():
            continue
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            if '"ERROR"' in line and any(f'"{word}' in line for word in _LOSSES):
                found += _fault_of(line, sending)
    return found


def _fault_of(line: str, sending: Sending) -> list[str]:
    try:
        entry = json.loads(line)
        mine = entry["sync_path"] == os.fspath(sending.path)
        fresh = datetime.fromisoformat(entry["time"][:26].rstrip("Z")).replace(tzinfo=UTC) >= sending.began
        return [str(entry["msg"])] if mine and fresh else []
    except (ValueError, KeyError, TypeError):
        return []
