"""A sweep on a real Ray of two nodes, and what happens to it: run inside the namespaces of `ray_cluster.sh`.

    python ray_acts.py FOLDER ACT,ACT ... -- COMMAND ...

See `acts.play`. The last line printed is one JSON object: the command's exit code, the actors, processes and GPUs left,
what was fetched, when each fault was.
"""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
from acts import Sweep, keepers, play, wait_until
from fetching import fetch, kill_sender

from sweepkit.store.open import open_store

_LEFT = """\
import json, ray
from ray.util import list_named_actors
ray.init("auto", namespace="sweepkit", log_to_driver=False, logging_level="error")
free, all = (found().get("GPU", 0) for found in (ray.available_resources, ray.cluster_resources))
print(json.dumps({"actors": list_named_actors(), "gpus": all - free, "all": all}))
"""


class RaySweep(Sweep):
    """A sweep whose agents are actors; node r2 is the one that is hit."""

    def left(self):
        """Return the actors and the GPUs that are taken, when no agent lives any more."""
        found = {}

        def nothing():
            found.update(self._gpus())
            return not found["actors"] and not found["gpus"]

        wait_until(nothing, "the actors to end")
        return found

    def _gpus(self):
        done = subprocess.run([sys.executable, "-c", _LEFT], capture_output=True, text=True, check=True)
        return json.loads(done.stdout.splitlines()[-1])

    def of_node(self):
        """Return the processes whose host name is that of r2."""
        found = [process for process in psutil.process_iter() if _uts(process.pid) != _uts("self")]
        return [process for process in found if _host(process.pid) == "r2"]

    # -- the acts -----------------------------------------------------------------------------------------------------

    def first_left_behind(self):
        """An earlier call asked for one agent more than there is room for, and left; what it placed is still there."""
        command = [*self.command, "--detach"]
        command[command.index("--agents") + 1] = "3"
        self.begin(command)
        assert self.driver.wait() == 0
        wait_until(lambda: len(keepers()) == 2, "two agents to begin")

    def node_joined(self):
        """A node comes to a cluster that had no room for the second agent; the other runs wait until it is there."""
        _start_node("2")
        wait_until(lambda: self.running_there(self.of_node()), "a run on the node that joined")
        for number in range(100):
            Path(os.environ["GATES"], str(number)).touch()

    def node_killed(self):
        """A node goes down with all that runs on it, and comes back."""
        wait_until(lambda: self.running_there(self.of_node()), "a run on the node")
        self.fault()
        for process in self.of_node():
            process.kill()
        wait_until(lambda: not self.of_node(), "the end of the node's processes")
        _start_node("2")

    def node_frozen(self):
        """As everywhere; Ray has given the node up meanwhile, and nothing of ours stays when it goes on.

        The node does not come back: the agent that waits for one is taken back when the sweep is over.
        """
        super().node_frozen()
        wait_until(lambda: not self._agents_of_node(), "the end of the node's agent")

    def _agents_of_node(self):
        there = {process.pid for process in self.of_node()}
        found = psutil.process_iter(["cmdline"])
        return [each for each in found if each.pid in there and "sweepkit" in " ".join(each.info["cmdline"] or [])]

    def scaled_node_lost(self):
        """A node that the autoscaler started goes down with all that runs on it."""
        wait_until(lambda: self.running_there(self._of_scaled_node()), "a run on a node")
        self.fault()
        for process in self._of_scaled_node():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def _of_scaled_node(self):
        """Return the processes of the first node that has a GPU."""
        found = psutil.process_iter(["name", "cmdline"])
        daemons = [process for process in found if process.info["name"] == "raylet"]
        with_gpu = [process for process in daemons if "GPU" in " ".join(process.info["cmdline"] or [])]
        first = min(with_gpu, key=lambda process: process.pid, default=None)
        return [] if first is None else [first, *first.children(recursive=True)]

    def last_scaled_down(self):
        """The nodes go when nobody needs them; return how many GPUs are left."""
        wait_until(lambda: not self._gpus()["all"], "the nodes to go")
        return self._gpus()["all"]

    def last_fetched(self):
        """A folder of r1 is fetched, whose sender is killed midway."""
        with open_store(os.environ["SWEEPKIT_STORAGE"]) as store:
            runs = store.runs(store.sweep("s").sweep_id)
            of_r1 = next(run for run in runs if store.attempts(run.run_id)[-1].host == "r1")
        return fetch(f"s:{of_r1.number}", kill_sender)


def _start_node(number):
    subprocess.run(["bash", str(Path(__file__).with_name("ray_node.sh")), number], check=True)


def _uts(pid):
    try:
        return os.readlink(f"/proc/{pid}/ns/uts")
    except OSError:
        return ""


def _host(pid):
    said = subprocess.run(["nsenter", "-t", str(pid), "-u", "hostname"], capture_output=True, text=True, check=False)
    return said.stdout.strip()


if __name__ == "__main__":
    play(RaySweep)
