"""A sweep on a real SLURM, and what happens to it meanwhile: run inside the namespace of `slurm_cluster.sh`.

    python slurm_acts.py FOLDER ACT,ACT ... -- COMMAND ...

COMMAND runs the sweep and is started again when an act killed it. Each act begins when the journal has one more end
of a run, `fetched` when the sweep is over. The last line printed is one JSON object: the command's exit code, the jobs
left, the processes left, what was fetched.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import waiting
from fetching import fetch, kill_sender

TIMEOUT_S = 100
wait_until = partial(waiting.wait_until, timeout_s=TIMEOUT_S, every_s=0.1)


class Sweep:
    """The command under test, and the cluster that it runs on."""

    def __init__(self, folder, command):
        self.folder, self.command = Path(folder), command
        self.driver = self.begin()

    def begin(self):
        with (self.folder / "driver.log").open("ab") as log:
            return subprocess.Popen(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def ends(self):
        return len(self._lines("end"))

    def _lines(self, word, number=None):
        journal = Path(os.environ["JOURNAL"])
        lines = [line.split() for line in journal.read_text().splitlines()] if journal.exists() else []
        return [line for line in lines if line[0] == word and number in (None, line[1])]

    def _running_there(self, processes):
        """Return the numbers of the runs that have begun in these processes and not ended."""
        pids = {str(process.pid) for process in processes}
        return {line[1] for line in self._lines("start") if line[2] in pids and not self._lines("end", line[1])}

    def jobs(self):
        said = subprocess.run(["squeue", "-h", "-o", "%i %N %T"], capture_output=True, text=True, check=True).stdout
        return [line.split() for line in said.splitlines()]

    # -- the acts -----------------------------------------------------------------------------------------------------

    def driver_killed(self):
        """The call is killed, and started again by its user."""
        self.driver.kill()
        self.driver.wait()
        self.driver = self.begin()

    def requeued(self):
        """An administrator, or preemption, puts a running job back into the queue."""
        job = next(job for job, *_, state in self.jobs() if state == "RUNNING")
        subprocess.run(["scontrol", "requeue", job], check=True)

    def controller_killed(self):
        """slurmctld is killed and started again."""
        os.kill(int((self.folder / "slurm/run/slurmctld.pid").read_text()), signal.SIGKILL)
        time.sleep(3)
        subprocess.run(["slurmctld"], check=True)

    def node_killed(self):
        """A node goes down with all that runs on it, and comes back later."""
        for process in self._of_node():
            process.kill()
        wait_until(lambda: any("down" in state for state in self._states("n1")), "the node to be down")
        subprocess.run(["slurmd", "-N", "n1"], check=True)

    def daemon_killed(self):
        """Only a node's daemon dies: the old copy of its job goes on, while SLURM starts it elsewhere."""
        self._of_node()[0].kill()
        wait_until(lambda: any("down" in state for state in self._states("n1")), "the node to be down")

    def node_frozen(self):
        """A node stands still for longer than a lease, its runs begin elsewhere, and it goes on as if nothing was."""
        wait_until(lambda: self._running_there(self._of_node()), "a run on the node")
        frozen = self._of_node()
        for process in frozen:
            process.suspend()
        theirs = self._running_there(frozen)
        wait_until(
            lambda: all(len(self._lines("start", number)) > 1 for number in theirs), "its runs to begin elsewhere"
        )
        for process in frozen:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    def _states(self, node):
        said = subprocess.run(["sinfo", "-h", "-N", "-n", node, "-o", "%T"], capture_output=True, text=True, check=True)
        return said.stdout.split()

    def _of_node(self):
        daemon = psutil.Process(int((self.folder / "slurm/run/slurmd_n1.pid").read_text()))
        steps = [
            process
            for process in psutil.process_iter()
            if process.name() == "slurmstepd" and "n1" in self._node_of(process)
        ]
        found = [daemon]
        for process in steps:
            found += [process, *process.children(recursive=True)]
        return found

    def _node_of(self, process):
        for child in process.children(recursive=True):
            try:
                return child.environ().get("SLURMD_NODENAME", "")
            except psutil.Error:
                continue
        return ""


def keepers():
    """Return the processes that keep an agent."""
    found = psutil.process_iter(["cmdline"])
    return [process.pid for process in found if "sweepkit.cluster.keeper" in " ".join(process.info["cmdline"] or [])]


def main():
    folder, acts, _, *command = sys.argv[1:]
    sweep = Sweep(folder, command)
    wanted = list(filter(None, acts.split(",")))
    for number, act in enumerate(act for act in wanted if act != "fetched"):
        wait_until(lambda number=number: sweep.ends() > number or sweep.driver.poll(), "the next run to end")
        getattr(sweep, act)()
    status = sweep.driver.wait(timeout=TIMEOUT_S)
    wait_until(lambda: not [job for job in sweep.jobs() if job[-1] != "PENDING"], "the jobs to end")
    fetched = fetch("s", kill_sender) if "fetched" in wanted else None
    print(json.dumps({"fetched": fetched, "status": status, "jobs": sweep.jobs(), "keepers": keepers()}))


if __name__ == "__main__":
    main()
