"""The `wandb sweep-scheduler` of a sweep whose configurations come from Optuna, Ax or W&B's own engine on this host.

W&B allows one of them for a sweep. It is started with the sweep, taken over when an earlier runner left it, started
again when it dies (it learns anew from the sweep's runs), and asked to end once no agent is left.
"""

import math
import signal
import time
from collections.abc import Callable

from sweepkit.agents.descent import send
from sweepkit.model.events import Event, Notice
from sweepkit.wandb.agent_process import Command, PlacedProcess, describe_exit

_PLACE = "scheduler"
_RESTARTS = 3
_STOP_S = 10.0  # between Ctrl-C, which lets it finish its step, a second one, and SIGKILL


class SchedulerProcess:
    """Keep a sweep's scheduler alive. Call `tick` often, `stop` and then `tick` until it is False; nothing blocks.

    Attributes:
        failed: Why nothing proposes configurations any more, "" while something does.

    Args:
        command: The sweep's commands; `scheduler` is not empty.
        emit: Takes what the user should know.
    """

    def __init__(self, command: Command, emit: Callable[[Event], None]) -> None:
        self.failed = ""
        self._emit = emit
        self._process = PlacedProcess(command, _PLACE)
        self._deaths = 0
        self._not_before = 0.0
        self._done = False
        self._stops: list[float] = []

    def adopt(self) -> None:
        """Take over what a killed runner of this folder left; once, before the first `tick`."""
        if self._process.adopt():
            self._notify(f"the scheduler of an earlier call (process {self._process.pid}) is taken over")

    def tick(self) -> bool:
        """Do what is due; return whether the scheduler runs or shall run."""
        now = time.monotonic()
        _, code = self._process.poll()
        if (
            code is not None
        ):  # of one that was taken over there is none: whether it had finished, its successor finds out
            self._ended(code, now)
        runs = self._process.runs
        if self._stops:
            if runs:
                self._interrupt(now)
            return runs
        if not runs and not self._done and not self.failed and now >= self._not_before:
            self._start()
        return not self._done and not self.failed

    def stop(self) -> None:
        """Ask it to end; it leaves the sweep as it is, so that it can go on."""
        if not self._stops:
            self._stops.append(-math.inf)

    def _start(self) -> None:
        command = self._process.command
        argv = [*command.scheduler, command.sweep]
        self._process.start(argv, cwd=command.scheduler_cwd, env={"CUDA_VISIBLE_DEVICES": ""})

    def _ended(self, code: int, now: float) -> None:
        if self._stops:
            return
        if code == 0:  # the space is exhausted, a cap is reached, or the sweep was ended at W&B
            self._done = True
            return
        self._deaths += 1
        words = describe_exit(code, self._process.log_tail())
        if self._deaths > _RESTARTS:
            self.failed = f"the sweep's scheduler died {self._deaths} times; the last one {words}"
            self._notify(f"{self.failed}; see {self._process.log}", warning=True)
            return
        self._not_before = now + 2.0 ** (self._deaths - 1)
        self._notify(f"the sweep's scheduler {words}; another one is started", warning=True)

    def _interrupt(self, now: float) -> None:
        """Send Ctrl-C, once more after a while, then SIGKILL."""
        if now - self._stops[-1] < _STOP_S:
            return
        number = signal.SIGINT if len(self._stops) < 3 else signal.SIGKILL
        self._stops.append(now)
        send(self._process.pid, number)

    def _notify(self, text: str, *, warning: bool = False) -> None:
        self._emit(Notice(text=text, warning=warning))
