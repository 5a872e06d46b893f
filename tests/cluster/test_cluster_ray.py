"""A sweep on a real Ray of two nodes that share no folder: each configuration is run to its end, whatever is killed."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import pytest
from fetching import check_fetched
from journaled import WEIGHTS, check_contract, check_each_once, journal_sweep, may_be_apart, run_apart

from sweepkit.store.open import open_store

SUPPORT = Path(__file__).parents[1] / "support"
NUMBERS = list(range(20))


@pytest.fixture
def program():
    """Give the program `ray`; skip, aloud, without it."""
    found = Path(sys.executable).with_name("ray")
    here = str(found) if found.exists() else shutil.which("ray")
    if importlib.util.find_spec("ray") is None or not may_be_apart():
        pytest.skip("Ray is NOT tested: needs the package ray, root and namespaces")
    return here or f"{sys.executable} -m ray.scripts.scripts"


def run(tmp_path, storage, program, acts, *, duration, sweep, cluster="ray_cluster.sh", stood_still=False, **env):
    """Run a sweep on a Ray of its own; return what `ray_acts.py` tells, its runs, the hosts of them, and the logs."""
    (tmp_path / "s.yaml").write_text(sweep, encoding="utf-8")
    command = [sys.executable, "-m", "sweepkit", "run", "s.yaml", "--launcher", "ray", "--agents", "2"]
    command += ["--gpus-per-agent", "1", "--cpus-per-agent", "1", "--output-dir", "out", "--no-shared-folder"]
    scenario = ["bash", str(SUPPORT / cluster), sys.executable, str(SUPPORT / "ray_acts.py"), str(tmp_path)]
    scenario += [",".join(acts), "--", *command]
    done = run_apart(tmp_path, scenario, storage=storage, duration=duration, timeout_s=700, RAY=program, **env)
    logs = "\n".join(file.read_text() for file in tmp_path.glob("driver.log"))
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{logs}"
    said = json.loads(done.stdout.splitlines()[-1])
    lines = [line.split() for line in (tmp_path / "journal").read_text().splitlines()]
    runs, _ = check_each_once(said, lines, storage, logs, numbers=NUMBERS, stood_still=stood_still)
    assert said["actors"] == [] and said["gpus"] == 0, said
    with open_store(storage) as store:
        hosts = {store.attempts(run.run_id)[-1].host for run in runs}
    return said, runs, hosts, logs


@pytest.mark.heavy
@pytest.mark.timeout(730)
def test_a_sweep_on_ray_survives_its_call_and_a_node_and_its_checkpoint_is_fetched(program, tmp_path, storage):
    (tmp_path / "weights.py").write_text(WEIGHTS)
    sweep = journal_sweep(NUMBERS, program="weights.py", more="sweepkit: {retries: 5}\n")
    acts = ["driver_killed", "node_killed", "last_fetched"]
    said, runs, hosts, logs = run(tmp_path, storage, program, acts, duration="3", sweep=sweep)
    assert hosts == {"r1", "r2"}, logs
    check_fetched(said["fetched"], tmp_path / "out", runs)


@pytest.mark.heavy
@pytest.mark.timeout(730)
def test_a_node_of_ray_stands_still_for_longer_than_a_lease(program, tmp_path, storage):
    sweep = journal_sweep(NUMBERS, more="sweepkit: {retries: 5}\n")
    more = {"sweep": sweep, "stood_still": True}
    _, runs, _, _ = run(tmp_path, storage, program, ["node_frozen"], duration="6", **more)
    assert max(run.attempts for run in runs) == 2


@pytest.mark.heavy
@pytest.mark.timeout(730)
def test_an_agent_begins_on_a_node_that_joins(program, tmp_path, storage):
    gates = tmp_path / "gates"
    gates.mkdir()
    (gates / "0").touch()
    more = {"sweep": journal_sweep(NUMBERS), "NODES": "1", "GATES": str(gates)}
    _, _, hosts, logs = run(tmp_path, storage, program, ["node_joined"], duration="0.4", **more)
    assert hosts == {"r1", "r2"}, logs


@pytest.mark.heavy
@pytest.mark.timeout(730)
def test_agents_of_a_call_that_left_are_found_by_name_and_none_stays(program, tmp_path, storage):
    acts = ["first_left_behind", "driver_killed"]
    _, runs, _, logs = run(tmp_path, storage, program, acts, duration="2", sweep=journal_sweep(NUMBERS))
    assert {run.attempts for run in runs} == {1}
    assert logs.count("1 agent of an earlier call") == 2, logs  # the third, which still waits for room


@pytest.mark.heavy
@pytest.mark.timeout(730)
def test_an_autoscaler_starts_nodes_for_agents_and_ends_them(program, tmp_path, storage):
    """There is no node at first; one of the two that come is lost, and another one takes its place."""
    sweep = journal_sweep(NUMBERS, more="sweepkit: {retries: 5}\n")
    more = {"sweep": sweep, "cluster": "ray_autoscaling.sh"}
    said, *_ = run(tmp_path, storage, program, ["scaled_node_lost", "last_scaled_down"], duration="4", **more)
    assert said["scaled_down"] == 0


@pytest.mark.heavy
@pytest.mark.timeout(420)
def test_ray_keeps_what_every_engine_promises(program, tmp_path):
    check_contract(tmp_path, ["bash", str(SUPPORT / "ray_cluster.sh")], CLUSTER_ENGINE="ray", RAY=program)
