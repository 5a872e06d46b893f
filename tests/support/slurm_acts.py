"""A sweep on a real SLURM, and what happens to it meanwhile: run inside the namespace of `slurm_cluster.sh`.

    python slurm_acts.py FOLDER ACT,ACT ... -- COMMAND ...

See `acts.play`. The last line printed is one JSON object: the command's exit code, the jobs and processes left, what
was fetched, when each fault was.
"""

import contextlib
import os
import signal
import subprocess
import time

import psutil
from acts import Sweep, keepers, lives, play, wait_until
from fetching import fetch, kill_sender


class SlurmSweep(Sweep):
    """A sweep whose agents are jobs; node n1 is the one that is hit."""

    def jobs(self):
        said = subprocess.run(["squeue", "-h", "-o", "%i %N %T"], capture_output=True, text=True, check=True).stdout
        return [line.split() for line in said.splitlines()]

    def left(self):
        wait_until(lambda: not [job for job in self.jobs() if job[-1] != "PENDING"], "the jobs to end")
        return {"jobs": self.jobs()}

    # -- the acts -----------------------------------------------------------------------------------------------------

    def requeued(self):
        """An administrator, or preemption, puts a running job back into the queue."""
        job = next(job for job, *_, state in self.jobs() if state == "RUNNING")
        self.fault()
        subprocess.run(["scontrol", "requeue", job], check=True)

    def controller_killed(self):
        """slurmctld is killed and started again."""
        os.kill(int((self.folder / "slurm/run/slurmctld.pid").read_text()), signal.SIGKILL)
        time.sleep(3)
        subprocess.run(["slurmctld"], check=True)

    def node_killed(self):
        """A node goes down with all that runs on it, and comes back later."""
        wait_until(lambda: self.running_there(self.of_node()), "a run on the node")
        self.fault()
        for process in self.of_node():
            process.kill()
        wait_until(lambda: any("down" in state for state in self._states("n1")), "the node to be down")
        subprocess.run(["slurmd", "-N", "n1"], check=True)

    def daemon_killed(self):
        """Only a node's daemon dies: the old copy of its job goes on beside the new one, until the daemon is back."""
        wait_until(lambda: self.running_there(self.of_node()), "a run on the node")
        theirs = [job for job, node, state in self.jobs() if node == "n1" and state == "RUNNING"]
        before = len(keepers())
        daemon, *old = self.of_node()
        daemon.kill()
        wait_until(
            lambda: all([job, "n2", "RUNNING"] in self.jobs() for job in theirs), "their new copies on the other node"
        )
        wait_until(lambda: len(keepers()) == before + len(theirs), "the agents of both copies")
        wait_until(lambda: self.running_there(with_children(old)), "the old copy to be at a run")
        self.fault()
        subprocess.run(["slurmd", "-N", "n1"], check=True)
        wait_until(lambda: not any(lives(process.pid) for process in old), "the end of the old copy")

    def last_restarts(self):
        """How often each job was queued again; SLURM knows for some minutes."""
        said = subprocess.run(["scontrol", "-o", "show", "job"], capture_output=True, text=True, check=True).stdout
        return [int(words.split()[0]) for words in said.split("Restarts=")[1:]]

    def last_fetched(self):
        """The folder of the best run is fetched, whose sender is killed midway."""
        return fetch("s", kill_sender)

    def _states(self, node):
        said = subprocess.run(["sinfo", "-h", "-N", "-n", node, "-o", "%T"], capture_output=True, text=True, check=True)
        return said.stdout.split()

    def of_node(self):
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


def with_children(processes):
    """Return those of some processes that live, and all that they started meanwhile."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            found += [process, *process.children(recursive=True)]
    return found


if __name__ == "__main__":
    play(SlurmSweep)
