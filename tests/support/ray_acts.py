"""A sweep on a real Ray of two nodes, and what happens to it: run inside the namespaces of `ray_cluster.sh`.

    python ray_acts.py FOLDER -- COMMAND ...

COMMAND runs the sweep. After its first run it is killed and started again; after the second one node r2 is killed with
all that runs there, and comes back. When the sweep is over a folder is fetched from r1, whose sender is killed midway.
The last line printed is one JSON object: exit code, what was fetched, the keepers left.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
from fetching import fetch, kill_sender
from slurm_acts import Sweep, keepers, wait_until

from sweepkit.store.open import open_store


def of_node(host):
    """Return the processes whose host name is that node's."""
    found = [process for process in psutil.process_iter() if _uts(process.pid) != _uts("self")]
    return [process for process in found if _host(process.pid) == host]


def _uts(pid):
    try:
        return os.readlink(f"/proc/{pid}/ns/uts")
    except OSError:
        return ""


def _host(pid):
    said = subprocess.run(["nsenter", "-t", str(pid), "-u", "hostname"], capture_output=True, text=True, check=False)
    return said.stdout.strip()


def kill_node(host):
    """Kill all that runs on a node, and start its raylet anew."""
    for process in of_node(host):
        process.kill()
    wait_until(lambda: not of_node(host), "the end of the node's processes")
    subprocess.run(["bash", str(Path(__file__).with_name("ray_node.sh")), host.removeprefix("r")], check=True)


def run_of(host):
    """Return a run that ended on a host, as `sweepkit fetch` names it."""
    with open_store(os.environ["SWEEPKIT_STORAGE"]) as store:
        runs = store.runs(store.sweep("s").sweep_id)
        return next(f"s:{run.number}" for run in runs if store.attempts(run.run_id)[-1].host == host)


def main():
    folder, _, *command = sys.argv[1:]
    sweep = Sweep(folder, command)
    wait_until(lambda: sweep.ends() > 0, "the first run to end")
    sweep.driver_killed()
    wait_until(lambda: sweep.ends() > 1, "the second run to end")
    kill_node("r2")
    status = sweep.driver.wait(timeout=150)
    wait_until(lambda: not keepers(), "the agents to end")
    fetched = fetch(run_of("r1"), kill_sender)
    print(json.dumps({"status": status, "fetched": fetched, "keepers": keepers()}))


if __name__ == "__main__":
    main()
