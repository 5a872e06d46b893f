"""Attempts started by a real launcher: write a program, run it, read what it printed, see what is left."""

import os
import secrets
import sys
import textwrap
from queue import Empty

import psutil
from waiting import WAIT_S

from sweepkit.agents.launcher import AttemptSpec, Exited, Started
from sweepkit.agents.warm_command import command_start


class Bench:
    """Write a program, run it, read its output."""

    def __init__(self, folder, launcher):
        self.folder, self.launcher, self.count = folder, launcher, 0
        self.prefix = secrets.token_hex(4)  # leftovers are looked for on the whole host: other tests run on it

    def write(self, source, name="program.py"):
        path = self.folder / name
        path.write_text(textwrap.dedent(source), encoding="utf-8")
        return path

    def submit(self, program, *args, warm=True, env=None, argv=None, lease_end=None):
        self.count += 1
        attempt = f"{self.prefix}{self.count}-1"
        argv = argv or (sys.executable, str(program), *args)
        log = self.folder / f"{attempt}.log"
        queue = self.launcher.submit(
            AttemptSpec(
                attempt_id=attempt,
                argv=argv,
                env={**os.environ, "SWEEPKIT_ATTEMPT_ID": attempt, **(env or {})},
                cwd=str(self.folder),
                log=log,
                exit_file=self.folder / f"{attempt}.exit.json",
                warm=command_start(argv, env=os.environ, cwd=str(self.folder)).warm if warm else None,
                lease_end=lease_end,
            )
        )
        return attempt, queue, log

    def next_of(self, queue):
        try:
            return queue.get(timeout=WAIT_S)
        except Empty:
            said = (self.folder / "forkserver.log").read_text(encoding="utf-8")
            raise AssertionError(
                f"nothing in {WAIT_S} s; notes: {self.launcher.notes}; the fork server said: {said!r}"
            ) from None

    def run(self, program, *args, **options):
        _, queue, log = self.submit(program, *args, **options)
        started, exited = self.next_of(queue), self.next_of(queue)
        assert isinstance(started, Started) and isinstance(exited, Exited)
        return started, exited, log.read_text(encoding="utf-8")


def alive(marker):
    """Return the processes whose environment carries the attempt's id."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get("SWEEPKIT_ATTEMPT_ID") == marker:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found
