"""A sweep on a cluster of a test's own, and what happens to it meanwhile: what its acts share, whatever the engine."""

import contextlib
import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import waiting

TIMEOUT_S = 300
wait_until = partial(waiting.wait_until, timeout_s=TIMEOUT_S, every_s=0.1)


class Sweep:
    """The command under test, and what it did. A subclass knows its cluster and has the acts of it.

    Args:
        folder: The command's working directory.
        command: Runs the sweep; started again when an act killed it.

    Attributes:
        acted: Of each act its name, and when its fault was (the monotonic clock, as the journal's).
    """

    def __init__(self, folder, command):
        self.folder, self.command = Path(folder), command
        self.acted = []
        self.driver = None

    def begin(self, command=None):
        with (self.folder / "driver.log").open("ab") as log:
            self.driver = subprocess.Popen(command or self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def ends(self):
        return len(self.lines("end"))

    def lines(self, word, number=None):
        journal = Path(os.environ["JOURNAL"])
        lines = [line.split() for line in journal.read_text().splitlines()] if journal.exists() else []
        return [line for line in lines if line[0] == word and number in (None, line[1])]

    def act(self, name):
        """Do one of the acts, and note when its fault was: as it begins, unless it says so itself."""
        self.acted.append({"act": name, "at": time.monotonic()})
        getattr(self, name)()

    def fault(self):
        """Say that the fault is now."""
        self.acted[-1]["at"] = time.monotonic()

    def of_node(self):
        """Return the processes of the node that is hit."""
        raise NotImplementedError

    def running_there(self, processes):
        """Return the numbers of the runs that have begun in these processes and not ended."""
        pids = {str(process.pid) for process in processes}
        return {line[1] for line in self.lines("start") if line[2] in pids and not self.lines("end", line[1])}

    # -- the acts that every cluster has ------------------------------------------------------------------------------

    def driver_killed(self):
        """The call is killed, and started again by its user."""
        self.driver.kill()
        self.driver.wait()
        self.begin()

    def node_frozen(self):
        """A node stands still for longer than a lease, its runs begin elsewhere, and it goes on as if nothing was."""
        wait_until(lambda: self.running_there(self.of_node()), "a run on the node")
        frozen = self.of_node()
        self.fault()
        for process in frozen:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        theirs = self.running_there(frozen)
        old = {int(line[2]) for number in theirs for line in self.lines("start", number)}
        wait_until(
            lambda: all(len(self.lines("start", number)) > 1 for number in theirs), "its runs to begin elsewhere"
        )
        for process in frozen:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()
        wait_until(lambda: not any(map(lives, old)), "the end of the attempts that stood still")


def keepers():
    """Return the processes that keep an agent."""
    found = psutil.process_iter(["cmdline"])
    return [process.pid for process in found if "sweepkit.cluster.keeper" in " ".join(process.info["cmdline"] or [])]


def lives(pid):
    """Return whether a process is there, and no zombie: nobody may be there to bury it."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def runs_left(sweep):
    """Return the processes of runs that still live."""
    return [int(line[2]) for line in sweep.lines("start") if lives(int(line[2]))]


def play(make):
    """Have the acts of the command line happen to the sweep of `make(folder, command)`; return it and its exit code.

    `FOLDER ACT,ACT ... -- COMMAND ...`: each act begins when the journal has one more end of a run. `first_…` is done
    before the command is started, `last_…` when it has ended; by those the command line is done, too.
    """
    folder, acts, _, *command = sys.argv[1:]
    sweep = make(folder, command)
    wanted = list(filter(None, acts.split(",")))
    for name in filter(lambda name: name.startswith("first_"), wanted):
        getattr(sweep, name)()
    sweep.begin()
    during = [name for name in wanted if not name.startswith(("first_", "last_"))]
    for number, name in enumerate(during):
        wait_until(lambda number=number: sweep.ends() > number or sweep.driver.poll(), "the next run to end")
        sweep.act(name)
    status = sweep.driver.wait(timeout=TIMEOUT_S)
    wait_until(lambda: not keepers(), "the agents to end")  # the engine may have forgotten one that a node still has
    said = {"status": status, "acted": sweep.acted, **sweep.left()}
    for name in filter(lambda name: name.startswith("last_"), wanted):
        said[name.removeprefix("last_")] = getattr(sweep, name)()
    print(json.dumps({**said, "keepers": keepers(), "runs_left": runs_left(sweep)}))
