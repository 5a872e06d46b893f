"""A sweep on a real Ray of two nodes that share no folder: each configuration is run to its end, whatever is killed."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import pytest
from fetching import check_fetched
from journaled import WEIGHTS, check_each_once, journal_sweep, may_be_apart, run_apart

from sweepkit.store.open import open_store

SUPPORT = Path(__file__).parents[1] / "support"
NUMBERS = list(range(8))


@pytest.fixture
def program():
    """Give the program `ray`; skip, aloud, without it."""
    found = Path(sys.executable).with_name("ray")
    here = str(found) if found.exists() else shutil.which("ray")
    if importlib.util.find_spec("ray") is None or not may_be_apart():
        pytest.skip("Ray is NOT tested: needs the package ray, root and namespaces")
    return here or f"{sys.executable} -m ray.scripts.scripts"


@pytest.mark.heavy
@pytest.mark.timeout(730)
def test_a_sweep_on_ray_survives_its_call_and_a_node_and_its_checkpoint_is_fetched(program, tmp_path, storage):
    (tmp_path / "s.yaml").write_text(journal_sweep(NUMBERS, program="weights.py", more="sweepkit: {retries: 5}\n"))
    (tmp_path / "weights.py").write_text(WEIGHTS)
    command = [sys.executable, "-m", "sweepkit", "run", "s.yaml", "--launcher", "ray", "--agents", "2"]
    command += ["--gpus-per-agent", "1", "--cpus-per-agent", "1", "--output-dir", "out", "--no-shared-folder"]
    scenario = ["bash", str(SUPPORT / "ray_cluster.sh"), sys.executable, str(SUPPORT / "ray_acts.py"), str(tmp_path)]
    done = run_apart(tmp_path, [*scenario, "--", *command], storage=storage, duration="3", timeout_s=700, RAY=program)
    logs = "\n".join(file.read_text() for file in tmp_path.glob("driver.log"))
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{logs}"
    said = json.loads(done.stdout.splitlines()[-1])
    lines = [line.split() for line in (tmp_path / "journal").read_text().splitlines()]
    runs, _ = check_each_once(said, lines, storage, logs, numbers=NUMBERS)
    with open_store(storage) as store:
        hosts = {store.attempts(run.run_id)[-1].host for run in runs}
    assert hosts == {"r1", "r2"}, logs
    check_fetched(said["fetched"], tmp_path / "out", runs)
