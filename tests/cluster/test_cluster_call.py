"""`--launcher`: a sweep by agents of this host that outlive the call; what is asked wrongly is refused."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest
import warm
from sweeping import PROGRAMS
from waiting import wait_until

from sweepkit.cli.app import main
from sweepkit.cli.cluster_options import _time
from sweepkit.cluster.on_ray import knock
from sweepkit.model.runs import RunState
from sweepkit.paths import CODE_DIR
from sweepkit.store.open import open_store

SWEEP = f"""\
program: {PROGRAMS / "journal.py"}
method: grid
metric: {{name: loss, goal: minimize}}
parameters: {{number: {{values: [0, 1, 2, 3]}}}}
"""


def states(sweeper):
    with open_store(sweeper.folder / "out" / "sweepkit.db") as store:
        return [run.state for run in store.runs(store.sweep("s").sweep_id)]


def tool(sweeper, *words):
    """Start `sweepkit` as a user does, in the sweep's folder."""
    return warm.WarmPopen(
        [sys.executable, "-m", "sweepkit", *words],
        cwd=sweeper.folder,
        env={**os.environ, "PYTHONPATH": str(CODE_DIR), **sweeper.env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_two_agents_of_this_host_make_a_sweep_together(sweeper):
    sweeper.write(SWEEP)
    process = tool(sweeper, "run", "s.yaml", "--launcher", "local", "--agents", "2", "--output-dir", "out", "--json")
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["counts"] == {"finished": 4}
    assert states(sweeper) == [RunState.FINISHED] * 4
    assert sorted(line[1] for line in sweeper.journal() if line[0] == "end") == [0, 1, 2, 3]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 75, marks=pytest.mark.heavy)]
)
def test_agents_outlive_a_call_that_leaves_and_end_with_one_that_watches(sweeper, number, code):
    sweeper.write(SWEEP)
    sweeper.env["DURATION"] = "30"
    call = ["run", "s.yaml", "--launcher", "local", "--output-dir", "out"]
    process = tool(sweeper, *call, "--detach")
    process.communicate(timeout=60)
    assert process.returncode == 0
    wait_until(sweeper.journal, "a run to begin")
    watching = tool(sweeper, *call, "--json", "--preempted-exit-code", "75")  # finds the agent, and watches it
    assert any("1 run" in line for line in watching.stdout)
    assert len(list((sweeper.folder / "out" / "agents").glob("*.json"))) == 1
    watching.send_signal(number)
    watching.communicate(timeout=60)
    assert watching.returncode == code
    assert RunState.RUNNING not in states(sweeper)
    assert len({line[2] for line in sweeper.journal()}) == 1


@pytest.mark.parametrize(
    "words",
    [
        ["--agents", "2"],
        ["--detach"],
        ["--launcher", "ray", "--partition", "gpu"],
        ["--launcher", "slurm", "--ray-address", "here"],
        ["--launcher", "slurm", "--count", "3"],
        ["--launcher", "local", "--agents", "0"],
        ["--launcher", "local", "--time", "soon"],
    ],
)
def test_what_makes_no_sense_is_refused(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_text(SWEEP)
    with pytest.raises(SystemExit) as refused:
        main(["run", "s.yaml", "--output-dir", "out", *words])
    assert refused.value.code == 2 and not (tmp_path / "out").exists()


def test_a_file_is_no_record_for_several_hosts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}")
    (tmp_path / "s.yaml").write_text(SWEEP)
    assert main(["run", "s.yaml", "--output-dir", "out", "--launcher", "slurm", "--storage", "mine.db"]) == 2
    assert not (tmp_path / "mine.db").exists()


def test_nothing_is_begun_where_the_engine_refuses(tmp_path, monkeypatch):
    """An engine that is not there, or has no such partition, is asked before a database starts."""
    monkeypatch.chdir(tmp_path)
    sbatch = tmp_path / "sbatch"
    sbatch.write_text("#!/bin/sh\necho 'sbatch: error: invalid partition specified: nope' >&2\nexit 1\n")
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "s.yaml").write_text(SWEEP)
    assert main(["run", "s.yaml", "--output-dir", "out", "--launcher", "slurm", "--partition", "nope"]) == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:port", "127.0.0.1:0", "[::1]:1", "ray://127.0.0.1:1"])
def test_an_address_at_which_nothing_listens_is_told_at_once(address):
    with pytest.raises((OSError, ValueError)):
        knock(address)


def test_an_address_at_which_something_listens_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as server:
        knock(f"127.0.0.1:{server.getsockname()[1]}")


def test_times_are_those_of_sbatch():
    read = {"30": 1800, "2:30": 150, "1:30:00": 5400, "1-0": 86400, "1-2:30": 95400, "1-2:30:10": 95410}
    assert {text: _time(text) for text in read} == read
