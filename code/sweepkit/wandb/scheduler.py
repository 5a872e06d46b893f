"""The `wandb sweep-scheduler` of a sweep whose configurations come from Optuna, Ax or W&B's own engine on this host.

W&B allows one of them for a sweep. It is started with the sweep, taken over when an earlier runner left it, started
again when it dies (it learns anew from the sweep's runs), and asked to end once no agent is left.
"""

import math
import signal
import subprocess
import time
from collections.abc import Callable

from sweepkit.agents.identity import agent_identity, surely_alive
from sweepkit.agents.launcher import carriers
from sweepkit.model.events import Event, Notice
from sweepkit.wandb.agent_process import Command, ending, is_agent, said, send

_PLACE = "scheduler"
_RESTARTS = 3
_STOP_S = 10.0  # between Ctrl-C, which lets it finish its step, a second one, and SIGKILL


class SchedulerProcess:
    """Keep a sweep's scheduler alive. Call `tick` often, `stop` and then `tick` until it is False; nothing blocks.

    Attributes:
        failed: Why nothing proposes configurations any more, "" while something does.

    Args:
        command: The sweep's commands; `scheduler` is not empty.
        emit: Told what the user should know.
    """

    def __init__(self, command: Command, emit: Callable[[Event], None]) -> None:
        self.command = command
        self.failed = ""
        self._emit = emit
        self._process: subprocess.Popen[bytes] | None = None
        self._adopted = ""
        self._pid = 0
        self._log_from = 0
        self._deaths = 0
        self._not_before = 0.0
        self._done = False
        self._stops: list[float] = []

    def adopt(self) -> None:
        """Take over what a killed runner of this folder left; once, before the first `tick`."""
        found = [pid for pid in carriers(self.command.marker(_PLACE)) if is_agent(pid)]
        if found:
            self._pid, self._adopted = found[0], agent_identity(found[0])
            self._tell(f"the scheduler of an earlier call (process {found[0]}) is taken over")

    def tick(self) -> bool:
        """Do what is due; return whether the scheduler runs or shall run."""
        now = time.monotonic()
        if self._adopted and not surely_alive(self._adopted):
            self._adopted = ""  # not our child: whether it had finished, its successor finds out
        if self._process is not None and (code := self._process.poll()) is not None:
            self._process = None
            self._ended(code, now)
        runs = self._process is not None or bool(self._adopted)
        if self._stops:
            if runs:
                self._press(now)
            return runs
        if not runs and not self._done and not self.failed and now >= self._not_before:
            self._start()
        return not self._done and not self.failed

    def stop(self) -> None:
        """Ask it to end; it leaves the sweep as it is, so that it can go on."""
        if not self._stops:
            self._stops.append(-math.inf)

    def _start(self) -> None:
        log = self.command.log(_PLACE)
        self.command.wandb_dir(_PLACE).mkdir(parents=True, exist_ok=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "ab") as out:
            self._log_from = out.tell()
            self._process = subprocess.Popen(
                [*self.command.scheduler, self.command.sweep],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=self.command.scheduler_cwd,
                env={**self.command.environment(_PLACE), "CUDA_VISIBLE_DEVICES": ""},
                start_new_session=True,
            )
        self._pid = self._process.pid

    def _ended(self, code: int, now: float) -> None:
        if self._stops:
            return
        if code == 0:  # the space is exhausted, a cap is reached, or the sweep was ended at W&B
            self._done = True
            return
        self._deaths += 1
        words = ending(code, said(self.command.log(_PLACE), self._log_from))
        if self._deaths > _RESTARTS:
            self.failed = f"the sweep's scheduler died {self._deaths} times; the last one {words}"
            self._tell(f"{self.failed}; see {self.command.log(_PLACE)}", warning=True)
            return
        self._not_before = now + 2.0 ** (self._deaths - 1)
        self._tell(f"the sweep's scheduler {words}; another one is started", warning=True)

    def _press(self, now: float) -> None:
        """Send Ctrl-C, once more after a while, then SIGKILL."""
        if now - self._stops[-1] < _STOP_S:
            return
        number = signal.SIGINT if len(self._stops) < 3 else signal.SIGKILL
        self._stops.append(now)
        send(self._pid, number)

    def _tell(self, text: str, *, warning: bool = False) -> None:
        self._emit(Notice(text=text, warning=warning))
