"""The network of one node is cut, for longer than a lease: nothing runs twice at once, nothing is lost, nothing stays.

The node is a network namespace at the end of a cable of its own (veth), so that a cut is silence, as that of a switch:
neither side hears that the connection is gone.
"""

import contextlib
import os
import subprocess
import sys
import time
import uuid
from collections import Counter
from pathlib import Path

import psutil
import pytest
from journaled import journal_sweep, note_figures, recovery
from postgres import running_server
from waiting import wait_until

from sweepkit.model.runs import RunState
from sweepkit.paths import CODE_DIR
from sweepkit.store.open import open_store

NUMBERS = list(range(20))
HERE, THERE = "10.213.77.1", "10.213.77.2"
LEASE_S = 6


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def cable():
    """Give the name of a namespace, and of this end of the cable to it; skip, aloud, where nobody may have one."""
    name = f"sk{uuid.uuid4().hex[:6]}"
    try:
        ip("netns", "add", name)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a cut network is NOT tested: needs root and network namespaces: {error}")
    try:
        ip("link", "add", f"{name}h", "type", "veth", "peer", "name", f"{name}n", "netns", name)
        ip("addr", "add", f"{HERE}/30", "dev", f"{name}h")
        ip("link", "set", f"{name}h", "up")
        ip("-n", name, "addr", "add", f"{THERE}/30", "dev", f"{name}n")
        ip("-n", name, "link", "set", f"{name}n", "up")
        ip("-n", name, "link", "set", "lo", "up")
        yield name
    finally:
        ip("netns", "del", name)
        with contextlib.suppress(subprocess.CalledProcessError):
            ip("link", "del", f"{name}h")


@pytest.fixture
def url(cable):
    with running_server(listen="*") as server:
        yield server.new_database().replace("127.0.0.1", HERE)


class Journal:
    def __init__(self, file):
        self.file = file

    def lines(self, word):
        text = self.file.read_text() if self.file.exists() else ""
        return [line.split() for line in text.splitlines() if line.startswith(word)]

    def open(self, pids):
        """Return the numbers that have begun in these processes and not ended."""
        ended = {line[1] for line in self.lines("end")}
        return {line[1] for line in self.lines("start") if int(line[2]) in pids} - ended


def start(tmp_path, url, *words, prefix=(), host, first=False):
    runner = Path(__file__).parents[1] / "support" / "short_lease.py"
    what = ["--single-parallel", "s.yaml"] if first else ["--join", "s"]
    command = [*prefix, sys.executable, str(runner), *what, "--storage", url, "--output-dir", "out", *words]
    env = {
        **os.environ,
        "PYTHONPATH": str(CODE_DIR),
        "JOURNAL": str(tmp_path / "journal"),
        "DURATION": "4",
        "LEASE_S": str(LEASE_S),
        "HOST": host,
    }
    with (tmp_path / f"{host}.log").open("ab") as log:
        return subprocess.Popen(command, cwd=tmp_path, env=env, stdout=log, stderr=log, stdin=subprocess.DEVNULL)


def below(process):
    with contextlib.suppress(psutil.NoSuchProcess):
        return {child.pid for child in psutil.Process(process.pid).children(recursive=True)}
    return set()


@pytest.mark.heavy
@pytest.mark.timeout(300)
@pytest.mark.parametrize("cold", [False, True], ids=["warm", "cold"])
def test_a_node_whose_network_is_cut(tmp_path, cable, url, cold):
    (tmp_path / "s.yaml").write_text(journal_sweep(NUMBERS), encoding="utf-8")
    journal = Journal(tmp_path / "journal")
    words = ["--cold"] if cold else []
    here = start(tmp_path, url, "--num-workers", "1", *words, host="here", first=True)
    there = None
    try:
        wait_until(lambda: journal.lines("start"), "the sweep to begin", 60)
        enter = ["ip", "netns", "exec", cable]
        there = start(tmp_path, url, "--num-workers", "2", *words, prefix=enter, host="there")
        theirs = set()

        def runs_there():
            theirs.update(journal.open(below(there)))
            return len(theirs) == 2

        wait_until(runs_there, "two runs on the node", 60)
        cut = {"act": "network_cut", "at": time.monotonic()}
        ip("link", "set", f"{cable}h", "down")
        wait_until(
            lambda: all(sum(line[1] == number for line in journal.lines("start")) > 1 for number in theirs),
            "its runs to begin elsewhere",
            120,
        )
        ip("link", "set", f"{cable}h", "up")
        assert here.wait(120) == 0, (tmp_path / "here.log").read_text()
        assert there.wait(120) == 0, (tmp_path / "there.log").read_text()
    finally:
        for process in filter(None, (here, there)):
            process.kill()
            process.wait()
    for number in theirs:  # who was cut off stands still before the other one begins, and is ended when it is back
        first, *later = [float(line[3]) for line in journal.lines("start") if line[1] == number]
        ends = [float(line[3]) for line in journal.lines("end") if line[1] == number]
        assert later and not [end for end in ends if end < later[-1] and end > first + LEASE_S], number
    with open_store(url) as store:
        runs = store.runs(store.sweep("s").sweep_id)
    assert Counter(run.state for run in runs) == {RunState.FINISHED: len(NUMBERS)}
    counted = Counter(int(line[1]) for line in journal.lines("end"))
    assert sorted(counted) == NUMBERS
    note_figures(recovery([cut], journal.lines("")), len(NUMBERS))
    pids = {int(line[2]) for line in journal.lines("start")}
    assert not {pid for pid in pids if psutil.pid_exists(pid)}
