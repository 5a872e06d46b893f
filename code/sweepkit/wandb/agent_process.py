"""The processes of `wandb` commands: what is started where, with which files and marker, and how it ended."""

import hashlib
import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from sweepkit.agents import descent
from sweepkit.agents.identity import agent_identity, surely_alive
from sweepkit.agents.launcher import carriers
from sweepkit.agents.results import log_tail
from sweepkit.agents.slots import Slot

MARKER_ENV = "SWEEPKIT_WANDB_AGENT"
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

    def temp_name(self, place: str) -> str:
        """Return the name of a place's temporary folder: another folder's runner may work on the same sweep here."""
        folder = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:8]
        return f"{self.sweep.rpartition('/')[2]}-{folder}-{place}"

    def environment(self, place: str) -> dict[str, str]:
        """Return the environment of a place, without what is its slot's own."""
        name, _, value = self.marker(place).partition("=")
        return {**self.env, name: value, "WANDB_DIR": str(self.wandb_dir(place))}

    def run_ids(self, slot: Slot) -> frozenset[str]:
        """Return the ids of the runs that agents of the slot have begun, in earlier calls too.

        An agent writes `config-<run>.yaml` before it starts a run, and never removes it.
        """
        return frozenset(map(run_of, self.begun(place_of(slot))))

    def begun(self, place: str) -> list[Path]:
        """Return the file that an agent of a place wrote before each run that it started, in no order."""
        folder = self.wandb_dir(place) / "wandb" / f"sweep-{self.sweep.rpartition('/')[2]}"
        return list(folder.glob("config-*.yaml"))

    def placements(self, slots: Sequence[Slot]) -> dict[str, Slot]:
        """Return the slot of every run that agents of these slots have begun."""
        return {run_id: slot for slot in slots for run_id in self.run_ids(slot)}


class PlacedProcess:
    """The agent of a slot, or the sweep's scheduler: started here, or taken over from a runner that was killed.

    Args:
        command: What is started for the sweep.
        place: The name of its folder, log and marker.

    Attributes:
        pid: Of the last one; 0 before the first.
        child: The process, when this one has started it and has not noticed its end.
    """

    def __init__(self, command: Command, place: str) -> None:
        self.command = command
        self.place = place
        self.pid = 0
        self.child: subprocess.Popen[bytes] | None = None
        self._adopted = ""  # identity of a process that is not our child
        self._log_from = 0

    @property
    def runs(self) -> bool:
        """Return whether it was begun and no end of it was noticed."""
        return self.child is not None or bool(self._adopted)

    @property
    def log(self) -> Path:
        """Return the file that takes what it and its runs print."""
        return self.command.log(self.place)

    def log_tail(self) -> str:
        """Return what was printed since it was started, the last 16 KiB."""
        return log_tail(self.log, self._log_from)

    def start(self, argv: Sequence[str], *, cwd: str, env: Mapping[str, str]) -> None:
        """Start it.

        Args:
            argv: The command.
            cwd: Its working directory.
            env: Variables beside those of the sweep and the place.
        """
        self.command.wandb_dir(self.place).mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as out:
            self._log_from = out.tell()
            self.child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env={**self.command.environment(self.place), **env},
                start_new_session=True,  # the terminal's Ctrl-C is ours to pass on, tier by tier
            )
        self.pid = self.child.pid
        descent.mark(self.command.marker(self.place).partition("=")[2], self.pid)

    def adopt(self) -> bool:
        """Take over the one that a killed runner of this folder left; return whether there is one."""
        found = [pid for pid in self.pids() if is_agent(pid)]
        if found:
            self.pid, self._adopted = found[0], agent_identity(found[0])
        return bool(found)

    def poll(self) -> tuple[bool, int | None]:
        """Return, once, that it has ended, and its exit code: None for one that was taken over, which is not ours."""
        code = self.child.poll() if self.child is not None else None
        if code is None and (not self._adopted or surely_alive(self._adopted)):
            return False, None
        self.child, self._adopted = None, ""
        return True, code

    def pids(self) -> list[int]:
        """Return every process of the place: the command, its runs, and theirs."""
        return carriers(self.command.marker(self.place))

    def kill(self) -> None:
        """Kill everything of the place, at once."""
        for pid in self.pids():
            descent.send(pid, signal.SIGKILL)


def run_of(begun: Path) -> str:
    """Return the run of a file of `Command.begun`."""
    return begun.stem.removeprefix("config-")


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


def interrupt_pending(pid: int) -> bool:
    """Return whether a process has yet to take a Ctrl-C: a second one sent now would be lost in the first."""
    bit = 1 << (signal.SIGINT - 1)
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    return any(int(line.split()[1], 16) & bit for line in lines if line.startswith(("SigPnd:", "ShdPnd:")))


def give_up_reason(text: str) -> str:
    r"""Return why an agent stopped by itself although the sweep goes on: its runs fail; "" when it did not.

    >>> give_up_reason("… - ERROR - Detected 3 failed runs in the first 60 seconds, shutting down.\n")
    'Detected 3 failed runs in the first 60 seconds, shutting down.'
    """
    found = _GAVE_UP.findall(text)
    return str(found[-1]).strip() if found else ""


def describe_exit(code: int, text: str) -> str:
    r"""Return how a process ended, in words, with the last line of its log that says something.

    >>> describe_exit(-9, "")
    'was killed by SIGKILL'
    >>> describe_exit(1, "Traceback (most recent call last):\n  File 'a'\nValueError: no such sweep\n\n")
    'ended with exit code 1: ValueError: no such sweep'
    """
    if code < 0:
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"
    last = next((line.strip() for line in reversed(text.splitlines()) if not _SAYS_NOTHING.match(line)), "")
    return f"ended with exit code {code}" + (f": {last[:_LONGEST_LINE]}" if last else "")
