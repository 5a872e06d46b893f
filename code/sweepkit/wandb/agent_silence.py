"""What W&B's own processes wait for when nothing goes on: an agent that gets no answer, a run whose rows are refused.

W&B's agent asks again for ever when its question fails, and a run's `wandb.finish()` sends again for hours. Neither
says its parent; what tells are their logs, one JSON object a line, and which processes there are.
"""

import contextlib
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sweepkit.files import last_bytes
from sweepkit.wandb.agent_process import Command, PlacedProcess, is_service, run_of

_RETRIES = "api: retrying"
_LOST = "filestream: fatal error"
_STARTING, _STARTED, _ENDING = "communicating run to backend", "run started", "finishing run"
_TAIL = 16_384  # bytes at the end of a log
_LONGEST_GAP_S = 90.0  # between two tries of one question; W&B's client waits a minute at most
_LOOK_S = 2.0
# W&B's helper keeps what a run logged in its memory for 15 s (`x_transaction_log_flush_interval`); ended with its
# program it writes none of that: with less patience `wandb sync` would find nothing.
_WRITTEN_S = 18.0
_CLOCK_S = 1.0  # by which the clocks of a file system may differ
_NO_WORK_S = 120.0  # an agent without work, and without a word why: W&B gives it, or the end, at once


@dataclass(frozen=True, slots=True, kw_only=True)
class _StuckRun:
    """A run whose program has ended, but W&B does not take its last rows.

    Args:
        run_id: The run.
        folder: Where W&B's client keeps its rows, for `wandb sync`.
        pids: Its processes.
        fault: What the server does, in W&B's words.
    """

    run_id: str
    folder: Path
    pids: tuple[int, ...]
    fault: str


class SilenceWatch:
    """Looks every two seconds whether W&B's processes wait for a server that fails for good.

    Args:
        command: What is started for the sweep.
        agents: Its agents.
        patience_s: Seconds for which a server may fail, >= 0; a run is stuck after `_WRITTEN_S` at the earliest.
    """

    def __init__(self, command: Command, agents: Sequence[PlacedProcess], *, patience_s: float) -> None:
        self._command = command
        self._agents = agents
        self._patience_s = patience_s
        self._looked_at = 0.0
        self._idle_since: float | None = None
        self.stuck: list[_StuckRun] = []
        self.start_fault = ""
        self.idle_fault = ""

    def look(self, *, work_wanted: bool) -> bool:
        """Look, if it is time to; return whether `stuck`, `start_fault` or `idle_fault` says something.

        Args:
            work_wanted: W&B has the sweep running, and no scheduler of its own makes its runs.
        """
        now = time.monotonic()
        if now - self._looked_at < _LOOK_S:
            return False
        self._looked_at = now
        working = {agent.place: _runs_of(agent) for agent in self._agents if agent.runs}
        self.stuck = [
            found
            for place, pids in working.items()
            if pids and (found := _stuck_run(self._command, place, pids, for_s=max(self._patience_s, _WRITTEN_S)))
        ]
        begins = (_start_fault(self._command, place, for_s=self._patience_s) for place, pids in working.items() if pids)
        self.start_fault = next(filter(None, begins), "")
        idle = bool(working) and not any(working.values())
        if not idle:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        self.idle_fault = self._why_idle(now, work_wanted=work_wanted)
        return bool(self.stuck or self.start_fault or self.idle_fault)

    def _why_idle(self, now: float, *, work_wanted: bool) -> str:
        """Return why agents that live have no run, "" while there is no fault in it."""
        if self._idle_since is None or now - self._idle_since < self._patience_s:
            return ""
        env = {**os.environ, **self._command.env}
        faults = (_unanswered(agent.pid, env, for_s=self._patience_s) for agent in self._agents if agent.runs)
        if fault := next(filter(None, faults), ""):
            return fault
        idle_s = now - self._idle_since
        if work_wanted and idle_s >= max(self._patience_s, _NO_WORK_S):
            return f"for {idle_s:.0f} s its agents got neither a run nor the end"
        return ""


def _runs_of(agent: PlacedProcess) -> tuple[int, ...]:
    """Return the processes that an agent has started, W&B's own helper left out."""
    try:
        pids = Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split()
    except OSError:
        return ()
    return tuple(int(pid) for pid in pids if not is_service(int(pid)))


def _run_folder(command: Command, run_id: str, place: str = "*") -> Path | None:
    """Return where W&B's client keeps what the newest process of a run logged, None when there is no such folder."""
    folders = (command.folder / "wandb_agents").glob(f"{place}/wandb/run-*-{run_id}")
    return max(folders, key=lambda folder: folder.name, default=None)


def unsent_folder(command: Command, run_id: str) -> Path | None:
    """Return `_run_folder` of a run that W&B's client had begun: there is something to send in it."""
    folder = _run_folder(command, run_id)
    began = folder is not None and any(_STARTED in line for line in _tail(folder / "logs" / "debug.log"))
    return folder if began else None


def _stuck_run(command: Command, place: str, pids: tuple[int, ...], *, for_s: float) -> _StuckRun | None:
    """Return the run of a place when it has been sending its last rows in vain for that long, else None.

    Args:
        command: What is started for the sweep.
        place: The name of its folder.
        pids: The processes of that run.
        for_s: Seconds since its program ended, >= 0.
    """
    folder = _current_folder(command, place)
    if folder is None:
        return None
    ended = any(_ENDING in line for line in _tail(folder / "logs" / "debug.log"))
    fault, _ = _newest_fault(_tail(folder / "logs" / "debug-internal.log"))
    if not ended or not fault or time.time() - _modified(folder / "logs" / "debug.log") < for_s:
        return None
    return _StuckRun(run_id=folder.name.split("-", 2)[2], folder=folder, pids=pids, fault=fault)


def _start_fault(command: Command, place: str, *, for_s: float) -> str:
    """Return what the server does to the run of a place that it shall begin, in W&B's words, "" for no such fault.

    Args:
        command: What is started for the sweep.
        place: The name of its folder.
        for_s: Seconds that the fault must have lasted.
    """
    folder = _current_folder(command, place)
    if folder is None:
        return ""
    said = "\n".join(_tail(folder / "logs" / "debug.log"))
    fault, lasted_s = _newest_fault(_tail(folder / "logs" / "debug-internal.log"))
    return fault if _STARTING in said and _STARTED not in said and lasted_s >= for_s else ""


def _current_folder(command: Command, place: str) -> Path | None:
    """Return the folder of the run that an agent makes now, None while W&B's client has not made it."""
    begun = max(command.begun(place), key=_modified, default=None)  # the agent makes one run after the other
    folder = None if begun is None else _run_folder(command, run_of(begun), place)
    if begun is None or folder is None or _modified(folder) < _modified(begun) - _CLOCK_S:
        return None
    return folder


def _unanswered(pid: int, env: Mapping[str, str], *, for_s: float) -> str:
    """Return what the server does to an agent's questions, in W&B's words; "" when its helper notes no such fault.

    Args:
        pid: The agent.
        env: Its environment, which may say where W&B's client keeps its logs.
        for_s: Seconds that a fault must have lasted.
    """
    cache = env.get("WANDB_CACHE_DIR") or os.path.join(env.get("XDG_CACHE_HOME") or "~/.cache", "wandb")
    base = Path(cache).expanduser()
    logs = [*base.glob("wandb/logs/core-debug-*.log"), *base.glob("logs/core-debug-*.log")]
    for log in sorted(logs, key=_modified, reverse=True)[:32]:
        with contextlib.suppress(OSError), open(log, encoding="utf-8", errors="replace") as file:
            if re.search(rf'"pid":{pid}\b', file.readline()):
                fault, lasted_s = _newest_fault(_tail(log))
                return fault if lasted_s >= for_s and time.time() - _modified(log) < _LONGEST_GAP_S else ""
    return ""


def _newest_fault(lines: Sequence[str]) -> tuple[str, float]:
    """Return the fault that the last lines of a log of W&B's helper tell of and for how long; "", 0 for none."""
    entries = [entry for line in lines if (entry := _entry(line))]
    said = [entry for entry in entries if not str(entry.get("msg")).startswith("connection:")]
    if not said or not (fault := _fault(said[-1])):
        return "", 0.0
    newest = first = _seconds(said[-1])
    for entry in reversed(said):
        at = _seconds(entry)
        if not _fault(entry) or first - at > _LONGEST_GAP_S:
            break
        first = at
    return fault, newest - first


def _fault(entry: Mapping[str, Any]) -> str:
    """Return what an entry says of a request that failed, "" when it says none did."""
    message = str(entry.get("msg", ""))
    if message.startswith(_LOST):
        return " ".join(message.split())[:200]
    if not message.startswith(_RETRIES):
        return ""
    status, why = entry.get("status"), entry.get("error") or entry.get("body") or ""
    return " ".join((f"HTTP {status}: {why}" if status else str(why or message)).split())[:200]


def _seconds(entry: Mapping[str, Any]) -> float:
    """Return when an entry was written, seconds since the epoch; its nanoseconds are more than Python reads."""
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(f"{str(entry.get('time'))[:19]}+00:00").timestamp()
    return 0.0


def _entry(line: str) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        found = json.loads(line)
        return found if isinstance(found, dict) else {}
    return {}


def _tail(file: Path) -> list[str]:
    return last_bytes(file, _TAIL).decode("utf-8", "replace").splitlines()


def _modified(file: Path) -> float:
    with contextlib.suppress(OSError):
        return file.stat().st_mtime
    return 0.0
