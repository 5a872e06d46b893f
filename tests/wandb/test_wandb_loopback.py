"""The real client against the loopback backend: what the benchmark and the online mode stand on."""

import json
import os
import subprocess
import sys

import pytest
from wandb_backend import ENTITY, PROJECT, WandbBackend

from sweepkit.tracking.run_card import RunCard
from sweepkit.tracking.wandb_env import FOREIGN_VARIABLES, wandb_environment, write_parameters
from sweepkit.tracking.wandb_file import WandbTail

WANDB = [sys.executable, "-m", "wandb"]
CARD = RunCard(run_id="r9", group="스윕", project="proj")

FUNCTION = """
import json, wandb
sweep = {"method": "grid", "name": "s", "parameters": {"x": {"values": [1, 2, 3]}, "y": {"value": "a"}}}
sweep_id = wandb.sweep(sweep, project="other")
def train():
    with wandb.init() as run:
        run.log({"loss": run.config.x * 0.5})
        run.log({"loss": run.config.x * 0.25})
wandb.agent(sweep_id, function=train, count=2)
found = wandb.Api().sweep(f"tester/other/{sweep_id}")
print(json.dumps({"id": sweep_id, "runs": {r.name: [r.config, r.summary["loss"]] for r in found.runs}}))
"""

SCRIPT = """
import wandb
run = wandb.init()
wandb.log({"loss": run.config["x"] * 0.5})
"""


def client(command, env, folder):
    done = subprocess.run(command, env=os.environ | env, cwd=folder, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.slow
@pytest.mark.heavy
def test_the_agent_function_of_the_real_client(tmp_path):
    with WandbBackend() as backend:
        done = client([sys.executable, "-c", FUNCTION], backend.environment(tmp_path), tmp_path)
    said = json.loads(done.stdout.splitlines()[-1])
    assert [run.config for run in backend.runs.values()] == [{"x": 1, "y": "a"}, {"x": 2, "y": "a"}]
    assert said["runs"] == {name: [run.config, run.config["x"] * 0.25] for name, run in backend.runs.items()}
    for run in backend.runs.values():
        assert [row["loss"] for row in run.history] == [run.config["x"] * 0.5, run.config["x"] * 0.25]
        assert (run.state, run.exit_code, run.sweep, run.project) == ("finished", 0, said["id"], "other")
    assert backend.operations["Heartbeat"] >= 2 and backend.operations["CreateAgent"] == 1
    assert set(backend.unknown) <= {"ServerFeaturesQuery", "OrganizationCoreWeaveOrganizationID"}


@pytest.mark.slow
@pytest.mark.heavy
def test_the_agent_command_of_the_real_client(tmp_path):
    program = tmp_path / "noop.py"
    program.write_text(f"import sys\nopen({str(tmp_path / 'ran')!r}, 'a').write(' '.join(sys.argv[1:]) + '\\n')\n")
    with WandbBackend() as backend:
        sweep = {"method": "grid", "program": "noop.py", "parameters": {"x": {"values": [1, 2]}, "b": {"value": True}}}
        sweep_id = backend.add_sweep(sweep)
        command = [*WANDB, "agent", "--count", "2", f"{ENTITY}/{PROJECT}/{sweep_id}"]
        client(command, backend.environment(tmp_path), tmp_path)
    assert (tmp_path / "ran").read_text().splitlines() == ["--b=True --x=1", "--b=True --x=2"]
    assert [run.config for run in backend.runs.values()] == [{"b": True, "x": 1}, {"b": True, "x": 2}]
    assert backend.operations["SweepWithRuns"] == 1 and not backend.unknown


@pytest.mark.slow
@pytest.mark.heavy
def test_a_run_of_ours_goes_online_and_its_file_is_read_all_the_same(tmp_path):
    write_parameters(tmp_path / "p.yaml", {"x": 3})
    ours = wandb_environment(CARD, param_path=tmp_path / "p.yaml", directory=tmp_path, online=True)
    with WandbBackend() as backend:
        client([sys.executable, "-c", SCRIPT], backend.environment(tmp_path) | ours, tmp_path)
    run = backend.runs["r9"]
    assert (run.group, run.project, run.sweep, run.exit_code) == ("스윕", "proj", None, 0)
    assert run.config == {"x": 3} and [row["loss"] for row in run.history] == [1.5]
    tail = WandbTail(tmp_path)
    assert [dict(report.values) for report in tail.read()] == [{"loss": 1.5}] and tail.exit_code == 0


@pytest.mark.slow
def test_an_offline_run_of_ours_can_be_synced_later_into_its_group(tmp_path):
    write_parameters(tmp_path / "p.yaml", {"x": 3})
    ours = wandb_environment(CARD, param_path=tmp_path / "p.yaml", directory=tmp_path)
    assert not FOREIGN_VARIABLES & set(os.environ)
    client([sys.executable, "-c", SCRIPT], ours, tmp_path)
    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    with WandbBackend() as backend:
        client([*WANDB, "sync", str(folder)], backend.environment(tmp_path), tmp_path)
    run = backend.runs["r9"]
    assert (run.group, run.sweep, run.exit_code) == ("스윕", None, 0)
    assert run.config == {"x": 3} and [row["loss"] for row in run.history] == [1.5]
