"""Keeps one agent on its node until the sweep is over: what an engine of a cluster starts there.

    python -m sweepkit.cluster.keeper NAME COMMAND ...

COMMAND is the agent's (`sweepkit agent NAME ...`), with the database in SWEEPKIT_STORAGE. An agent that ended although
the sweep goes on is started again, after a while that grows: its node may have lost the database for a moment. SIGTERM
and SIGUSR1 are passed on as SIGTERM: the agent releases its runs, which go on elsewhere. Exit codes:

| 0 | the sweep is over |
| 75 | it goes on: this node was asked for back (EX_TEMPFAIL: whoever started this may start it again elsewhere) |
| 1 | it goes on, and the agent ended too soon too often |
"""

import ctypes
import functools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from sweepkit.agents.environments import package_differences
from sweepkit.cluster.node import CODE_ENV, OUTPUT_WORD, project_here
from sweepkit.environ import CARRY_FILES_ENV, STORAGE_ENV
from sweepkit.errors import StoreError, SweepKitError
from sweepkit.paths import SweepPaths
from sweepkit.text.shown import say

MOVED = 75  # EX_TEMPFAIL of sysexits.h
# Whoever ends this process tells the agent itself, too, as SLURM tells all processes of a job: twice would be once too
# much, since the second signal makes an agent kill its runs.
NOTIFIED_ALL_ENV = "SWEEPKIT_NOTIFIED_ALL"
_SOON_S = 30.0  # an agent that lived for less has failed to start
_LONGEST_WAIT_S = 60.0
_BETWEEN_S = 30.0  # who waits for a checkpoint waits a while; a thousand keepers ask at once
_PATIENCE_S = 5.0  # then it is passed on all the same
_PR_SET_PDEATHSIG = 1


class _Keeper:
    """One agent after the other, each of them a child process in a session of its own.

    Args:
        sweep: Name of the recorded sweep.
        storage: URL or path of the record.
        command: The agent's command.
        give_up_after: So many agents in a row may end within half a minute, >= 1.
        notified_all: SIGTERM reaches the agent by itself.
        between: Called every half a minute while an agent lives, in a thread.
    """

    def __init__(
        self,
        sweep: str,
        storage: str,
        command: Sequence[str],
        *,
        give_up_after: int = 5,
        notified_all: bool = False,
        between: Callable[[], None] | None = None,
    ) -> None:
        self.sweep = sweep
        self.storage = storage
        self.command = list(command)
        self.give_up_after = give_up_after
        self.notified_all = notified_all
        self.between = between
        self.over = threading.Event()
        self.asked_to_end = False
        self.pass_on_at: float | None = None  # monotonic seconds

    def run(self) -> int:
        """Keep an agent; return the exit code."""
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
        previous = {number: signal.signal(number, self._on_signal) for number in numbers}
        if self.between is not None:
            threading.Thread(target=self._between, args=(self.between,), daemon=True).start()
        try:
            return self._run()
        finally:
            self.over.set()
            if self.between is not None:  # the last agent may have been killed
                self.between()
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _between(self, call: Callable[[], None]) -> None:
        while not self.over.wait(_BETWEEN_S):
            call()

    def _run(self) -> int:
        failed = 0
        while not self.asked_to_end and not self._is_over():
            began = time.monotonic()
            status = self._run_agent()
            if self.asked_to_end or (status == 0 and self._is_over()):
                break
            failed = failed + 1 if time.monotonic() - began < _SOON_S else 0
            if failed >= self.give_up_after:
                _say(f"{failed} agents in a row ended at once, the last with exit code {status}: given up")
                return 0 if self._is_over() else 1
            wait_s = min(_LONGEST_WAIT_S, 2.0**failed)
            _say(f"the agent ended with exit code {status}, and the sweep goes on: another one in {wait_s:g} s")
            self._rest(wait_s)
        return 0 if self._is_over() else MOVED

    def _run_agent(self) -> int:
        agent = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_end_with_the_parent
        )
        while True:
            try:
                return agent.wait(timeout=0.2)
            except subprocess.TimeoutExpired:
                if self.pass_on_at is not None and time.monotonic() >= self.pass_on_at:
                    self.pass_on_at = None
                    agent.send_signal(signal.SIGTERM)

    def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self.asked_to_end and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.2))

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if not self.asked_to_end:
            waits = self.notified_all and number == signal.SIGTERM
            self.asked_to_end, self.pass_on_at = True, time.monotonic() + (_PATIENCE_S if waits else 0.0)

    def _is_over(self) -> bool:
        """Return whether the record says that the sweep is over; False while it cannot be asked."""
        from sweepkit.agents.control import find_sweep_record
        from sweepkit.store.open import open_store

        try:
            with open_store(self.storage) as store:
                return find_sweep_record(store, self.sweep).state.over
        except StoreError as error:
            _say(f"the database cannot be asked: {error}")
            return False


def _end_with_the_parent() -> None:
    """In the child: get SIGTERM when the keeper is killed, so that the runs are released."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _say(text: str) -> None:
    say(f"sweepkit: {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Run the command line; return the exit code."""
    sweep, *command = sys.argv[1:]
    if int(os.environ.get("SLURM_NNODES", "1")) > 1:  # a job's script runs on the first of its nodes
        os.environ.setdefault("MASTER_ADDR", socket.gethostname())
    notified_all = bool(os.environ.pop(NOTIFIED_ALL_ENV, ""))
    storage = os.environ[STORAGE_ENV]
    between = None
    if digest := os.environ.pop(CODE_ENV, ""):
        try:
            sweep_id, results = _prepare(sweep, storage, digest)
        except SweepKitError as error:
            _say(str(error))
            return MOVED
        command = [str(results) if word == OUTPUT_WORD else word for word in command]
        between = functools.partial(_send, sweep, sweep_id, storage, results)
    return _Keeper(sweep, storage, command, notified_all=notified_all, between=between).run()


def _prepare(sweep: str, storage: str, digest: str) -> tuple[str, Path]:
    """Bring the project to this node and go there; return the sweep's id and the node's folder of results."""
    from sweepkit.agents.control import find_sweep_record
    from sweepkit.store.open import open_store

    with open_store(storage) as store:
        sweep_id = find_sweep_record(store, sweep).sweep_id
        project, results = project_here(store, sweep_id, digest)
        for line in package_differences(store, sweep_id):
            _say(f"this node differs from the launching host: {line}")
    os.environ[CARRY_FILES_ENV] = digest
    os.chdir(project)  # a recorded sweep is found where its project lies now
    return sweep_id, results


def _send(sweep: str, sweep_id: str, storage: str, results: Path) -> None:
    """Send what killed agents left, and what is wanted of this node; what fails is tried again the next time."""
    from sweepkit.agents.control import find_sweep_record
    from sweepkit.agents.unsent import send_unsent
    from sweepkit.cluster.run_folders import send_wanted
    from sweepkit.store.open import open_store

    try:
        with open_store(storage) as store:
            send_unsent(store, find_sweep_record(store, sweep), SweepPaths(results, sweep))
            for run_id in send_wanted(store, sweep_id, sweep, results):
                _say(f"sent the folder of run {run_id}")
    except (StoreError, OSError) as error:
        _say(f"the folders of runs cannot be sent now: {error}")


if __name__ == "__main__":
    raise SystemExit(main())
