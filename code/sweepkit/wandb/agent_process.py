"""What is known of a `wandb` command that runs or ran: its command, files, marker, log, and how it ended."""

import contextlib
import os
import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from sweepkit.agents.slots import Slot

MARKER_ENV = "SWEEPKIT_WANDB_AGENT"
_LOG_TAIL_BYTES = 16_384
_LONGEST_LINE = 240
_GAVE_UP = re.compile(r"Detected \d+ (?:consecutive )?failed runs.*")
_SAYS_NOTHING = re.compile(r"^\s*(?:\^+|~+|File .*|Traceback .*|wandb: Starting .*)?\s*$")


class Order(Enum):
    """What W&B wants of the agents of a sweep."""

    WORK = "work"
    PAUSE = "pause"
    END = "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What is started for a sweep.

    Args:
        agent: The command of an agent; `--count N` and the sweep's path are added.
        scheduler: The command of the sweep's scheduler, to which the path is added; () for a sweep without.
        sweep: The sweep's path at W&B, entity/project/id.
        cwd: Working directory of the agents, and so of their runs.
        scheduler_cwd: Working directory of the scheduler: where `scheduler.source` is.
        env: Their environment, without what is a slot's own.
        folder: The sweep's folder, absolute; each slot has a folder and a log below it.
    """

    agent: tuple[str, ...]
    sweep: str
    cwd: str
    env: Mapping[str, str]
    folder: Path
    scheduler: tuple[str, ...] = ()
    scheduler_cwd: str = "."

    def wandb_dir(self, place: str) -> Path:
        """Return the folder (WANDB_DIR) of a slot's agent and of its runs, or of the scheduler."""
        return self.folder / "wandb_agents" / place

    def log(self, place: str) -> Path:
        """Return the file that takes what an agent and its runs, or the scheduler, print."""
        return self.folder / "logs" / f"wandb-{place}.log"

    def marker(self, place: str) -> str:
        """Return `NAME=value` that every process of a place has in its environment."""
        return f"{MARKER_ENV}={self.folder}#{place}"

    def environment(self, place: str) -> dict[str, str]:
        """Return the environment of a place, without what is its slot's own."""
        name, _, value = self.marker(place).partition("=")
        return {**self.env, name: value, "WANDB_DIR": str(self.wandb_dir(place))}

    def begun(self, slot: Slot) -> frozenset[str]:
        """Return the ids of the runs that agents of the slot have begun, in earlier calls too.

        An agent writes `config-<run>.yaml` before it starts a run, and never removes it.
        """
        folder = self.wandb_dir(place_of(slot)) / "wandb" / f"sweep-{self.sweep.rpartition('/')[2]}"
        return frozenset(file.stem.removeprefix("config-") for file in folder.glob("config-*.yaml"))

    def placements(self, slots: Sequence[Slot]) -> dict[str, Slot]:
        """Return the slot of every run that agents of these slots have begun."""
        return {run_id: slot for slot in slots for run_id in self.begun(slot)}


def place_of(slot: Slot) -> str:
    """Return the name of a slot's folder, log and marker."""
    return f"agent-{slot.index}"


def is_agent(pid: int) -> bool:
    """Return whether a process is a `wandb agent` or `wandb sweep-scheduler`, not one of their runs."""
    words = _words(pid)
    return any(words[at : at + 3] == ["-m", "wandb", verb] for at in (1, 2) for verb in ("agent", "sweep-scheduler"))


def is_service(pid: int) -> bool:
    """Return whether a process is W&B's own helper, which ends by itself once its agent is gone."""
    words = _words(pid)
    return bool(words) and Path(words[0]).name == "wandb-core"


def _words(pid: int) -> list[str]:
    try:
        data = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return [os.fsdecode(word) for word in data.split(b"\0")[:-1]]


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal; a process that is gone needs none."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def interrupt_pending(pid: int) -> bool:
    """Return whether a process has yet to take a Ctrl-C: a second one sent now would be lost in the first."""
    bit = 1 << (signal.SIGINT - 1)
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    return any(int(line.split()[1], 16) & bit for line in lines if line.startswith(("SigPnd:", "ShdPnd:")))


def said(log: Path, start: int) -> str:
    """Return what was written to a log after byte `start`, its last 16 KiB."""
    try:
        with open(log, "rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(start, end - _LOG_TAIL_BYTES))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def why_gave_up(text: str) -> str:
    r"""Return why an agent stopped by itself although the sweep goes on: its runs fail; "" when it did not.

    >>> why_gave_up("… - ERROR - Detected 3 failed runs in the first 60 seconds, shutting down.\n")
    'Detected 3 failed runs in the first 60 seconds, shutting down.'
    """
    found = _GAVE_UP.findall(text)
    return str(found[-1]).strip() if found else ""


def ending(code: int, text: str) -> str:
    r"""Return how a process ended, in words, with the last line of its log that says something.

    >>> ending(-9, "")
    'was killed by SIGKILL'
    >>> ending(1, "Traceback (most recent call last):\n  File 'a'\nValueError: no such sweep\n\n")
    'ended with exit code 1: ValueError: no such sweep'
    """
    if code < 0:
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"
    last = next((line.strip() for line in reversed(text.splitlines()) if not _SAYS_NOTHING.match(line)), "")
    return f"ended with exit code {code}" + (f": {last[:_LONGEST_LINE]}" if last else "")
