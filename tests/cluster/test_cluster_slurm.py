"""Sweeps on a real SLURM of two nodes: each configuration is run to its end once, whatever is killed meanwhile."""

import json
import shutil
import sys
import threading
import time
from pathlib import Path

import pytest
from fetching import check_fetched
from journaled import WEIGHTS, check_contract, check_each_once, journal_sweep, may_be_apart, run_apart

from sweepkit.model.runs import RunState
from sweepkit.store.open import open_store

SUPPORT = Path(__file__).parents[1] / "support"
NUMBERS = list(range(20))
SWEEP = journal_sweep(NUMBERS, more="sweepkit: {retries: 5}\n")


@pytest.fixture(scope="module")
def slurm():
    """Skip, aloud, where there is no SLURM, or nobody may have a namespace of his own."""
    lacking = [name for name in ("slurmctld", "slurmd", "munged", "unshare") if shutil.which(name) is None]
    if lacking or not may_be_apart():
        pytest.skip(
            f"SLURM is NOT tested: needs root, namespaces, and {', '.join(lacking) or 'a kernel that allows them'}"
        )


def run(tmp_path, storage, acts, *options, duration="0.4", sweep=SWEEP, **env):
    """Run a sweep on a SLURM of its own; return what `slurm_acts.py` tells, and the sweep's journal."""
    (tmp_path / "s.yaml").write_text(sweep, encoding="utf-8")
    command = [sys.executable, "-m", "sweepkit", "run", "s.yaml", "--launcher", "slurm", "--agents", "2"]
    command += ["--gpus-per-agent", "1", "--cpus-per-agent", "1", "--output-dir", "out", *options]
    cluster = ["bash", str(SUPPORT / "slurm_cluster.sh"), str(tmp_path / "slurm")]
    scenario = [sys.executable, str(SUPPORT / "slurm_acts.py"), str(tmp_path), ",".join(acts), "--", *command]
    done = run_apart(tmp_path, [*cluster, *scenario], storage=storage, duration=duration, timeout_s=400, **env)
    logs = "\n".join(file.read_text() for file in [*tmp_path.glob("driver.log"), *tmp_path.glob("out/*/agents/*.log")])
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{logs}"
    lines = [line.split() for line in (tmp_path / "journal").read_text().splitlines()]
    return json.loads(done.stdout.splitlines()[-1]), lines, logs


def check_once(said, lines, storage, logs):
    return check_each_once(said, lines, storage, logs, numbers=NUMBERS)


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_a_sweep_on_slurm_survives_its_call_and_a_requeue(slurm, tmp_path, storage):
    said, lines, logs = run(tmp_path, storage, ["driver_killed", "requeued"])
    runs, ends = check_once(said, lines, storage, logs)
    assert max(ends.values()) == 1, logs
    assert {run.outcome["device"] for run in runs} <= {"gpu 0", "gpu 1"}


@pytest.mark.heavy
@pytest.mark.timeout(420)
@pytest.mark.parametrize("act", ["controller_killed", "node_killed", "node_frozen"])
def test_a_sweep_on_slurm_survives_its_parts(slurm, tmp_path, storage, act):
    said, lines, logs = run(tmp_path, storage, [act], duration="4")
    check_once(said, lines, storage, logs)


@pytest.mark.heavy
@pytest.mark.timeout(420)
def test_two_copies_of_a_job_make_no_run_twice(slurm, tmp_path, storage):
    """SLURM queues the job of a silent daemon again while the old copy is still at work, and ends that one later."""
    said, lines, logs = run(tmp_path, storage, ["daemon_killed"], duration="9")
    check_once(said, lines, storage, logs)


@pytest.mark.heavy
@pytest.mark.timeout(420)
def test_an_agent_whose_time_is_nearly_over_is_queued_again(slurm, tmp_path, storage):
    """Its runs are released for the others, and SLURM's own clock asks for it: two minutes before the end."""
    said, lines, logs = run(tmp_path, storage, ["last_restarts"], "--time", "2:15", duration="6")
    check_once(said, lines, storage, logs)
    assert max(said["restarts"]) >= 1, logs


@pytest.mark.heavy
@pytest.mark.timeout(420)
def test_a_sweep_on_slurm_survives_its_database(slurm, tmp_path, storage, postgres):
    """The database is killed and started again, twice: reports wait, and no run that ended is made again."""
    journal, over = tmp_path / "journal", threading.Event()

    def ended():
        return journal.exists() and sum(line.startswith("end") for line in journal.read_text().splitlines())

    killed = []

    def restart():
        for wanted in (2, 6):
            while ended() < wanted and not over.wait(0.1):
                pass
            killed.append({"act": "database_killed", "at": time.monotonic()})
            postgres.stop()
            postgres.start()

    thread = threading.Thread(target=restart)
    thread.start()
    try:
        said, lines, logs = run(tmp_path, storage, [], duration="2")
    finally:
        over.set()
        thread.join()
    _, ends = check_once({**said, "acted": killed}, lines, storage, logs)
    assert max(ends.values()) == 1, logs


RANKS = """\
import json, os, socket, sys
rank, ranks = int(os.environ["SLURM_PROCID"]), int(os.environ["SLURM_NTASKS"])
address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
if rank == 0:  # the rendezvous that torchrun, Lightning and accelerate make of these two variables
    heard = {0: os.environ["SLURMD_NODENAME"]}
    with socket.create_server(("", address[1])) as server:
        while len(heard) < ranks:
            with server.accept()[0] as other:
                heard.update([json.loads(other.makefile().readline())])
    with open(os.environ["SWEEPKIT_REPORT_FILE"], "a") as file:
        loss, nodes = float(sys.argv[1].partition("=")[2]), len(set(heard.values()))
        file.write(json.dumps({"loss": loss, "nodes": nodes}) + "\\n")
    with open(os.environ["JOURNAL"], "a") as file:
        file.write(f"end {sys.argv[1]}\\n")
else:
    while True:
        try:
            with socket.create_connection(address) as there:
                there.sendall(json.dumps([rank, os.environ["SLURMD_NODENAME"]]).encode() + b"\\n")
            break
        except ConnectionRefusedError:
            pass
"""
SPREAD = """\
program: ranks.py
command: [srun, --overlap, --ntasks=2, --ntasks-per-node=1, "${interpreter}", "${program}", "${args}"]
method: grid
metric: {name: loss, goal: minimize}
parameters: {number: {values: [0, 1, 2]}}
"""


@pytest.mark.heavy
@pytest.mark.timeout(420)
def test_a_run_spreads_over_the_nodes_of_its_agent(slurm, tmp_path, storage):
    (tmp_path / "ranks.py").write_text(RANKS)
    said, _, logs = run(tmp_path, storage, [], "--agents", "1", "--nodes-per-agent", "2", sweep=SPREAD)
    assert said["status"] == 0 and said["keepers"] == [], logs
    with open_store(storage) as store:
        runs = store.runs(store.sweep("s").sweep_id)
    assert [run.state for run in runs] == [RunState.FINISHED] * 3, logs
    assert {run.last_metrics["nodes"] for run in runs} == {2.0} and {run.attempts for run in runs} == {1}


@pytest.mark.heavy
@pytest.mark.timeout(420)
def test_a_sweep_on_slurm_without_a_shared_folder(slurm, tmp_path, storage):
    said, lines, logs = run(tmp_path, storage, ["requeued"], "--no-shared-folder")
    runs, _ = check_once(said, lines, storage, logs)
    folder = tmp_path / "out" / "sweep_s"
    assert {json.loads(file.read_text())["run_id"] for file in folder.glob("run_*_result.json")} == {
        run.run_id for run in runs
    }


@pytest.mark.heavy
@pytest.mark.timeout(420)
def test_the_checkpoint_of_a_run_on_slurm_is_fetched_from_its_node(slurm, tmp_path, storage):
    """The nodes have host names and disks of their own; the first sender is killed midway, and placed again."""
    (tmp_path / "weights.py").write_text(WEIGHTS)
    sweep = journal_sweep(NUMBERS, program="weights.py")
    said, lines, logs = run(tmp_path, storage, ["last_fetched"], "--no-shared-folder", sweep=sweep, NODES_APART="1")
    runs, _ = check_once(said, lines, storage, logs)
    check_fetched(said["fetched"], tmp_path / "out", runs)


@pytest.mark.heavy
@pytest.mark.timeout(420)
def test_slurm_keeps_what_every_engine_promises(slurm, tmp_path):
    check_contract(
        tmp_path, ["bash", str(SUPPORT / "slurm_cluster.sh"), str(tmp_path / "slurm")], CLUSTER_ENGINE="slurm"
    )
