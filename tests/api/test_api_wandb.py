"""A script that calls `wandb.sweep` and `wandb.agent` with a function: unmodified, offline, under us."""

import os
import sys

import pytest
import warm
from sweeping import PROGRAMS, in_this_process

import sweepkit
from sweepkit.api import wandb_calls
from sweepkit.cli import app
from sweepkit.errors import SpecError

SCRIPT = """
import wandb
wandb.login()
config = {
    "method": "random", "metric": {"name": "loss", "goal": "minimize"},
    "parameters": {"lr": {"min": 0.1, "max": 1.0}, "epochs": {"value": 2}},
}
def train():
    with wandb.init(project="mine") as run:
        for epoch in range(run.config.epochs):
            run.log({"loss": run.config.lr - 0.01 * epoch})
sweep_id = wandb.sweep(config, project="x")
wandb.agent(sweep_id, function=train, count=COUNT)
print("after", sweep_id)
"""

# Stands for W&B's client: its own ways to the network are refused, a run reports as a program does.
CLIENT = """
import json, os, types
import yaml
assert os.environ["WANDB_MODE"] == "offline"

def login(*_, **__):
    raise ConnectionError("W&B's server was asked")

sweep = agent = login
sdk = types.SimpleNamespace(sweep=login, agent=login, login=login)

class Run:
    def __init__(self):
        with open(os.environ["WANDB_SWEEP_PARAM_PATH"]) as file:
            said = yaml.safe_load(file)
        self.config = types.SimpleNamespace(**{key: said[key]["value"] for key in said if key != "wandb_version"})
    def __enter__(self):
        return self
    def __exit__(self, *_):
        pass
    def log(self, row):
        with open(os.environ["SWEEPKIT_REPORT_FILE"], "a") as file:
            file.write(json.dumps(row) + "\\n")

def init(**_):
    return Run()
"""


def called(folder, *command):
    env = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB", "SWEEPKIT"))}
    env |= {"PYTHONWARNINGS": "default", "SWEEPKIT_OUTPUT_DIR": str(folder / "out")}
    return warm.run([sys.executable, *command], cwd=folder, env=env, timeout=110)


@pytest.mark.slow
@pytest.mark.parametrize("client", ["stand-in", pytest.param("real", marks=pytest.mark.heavy)])
def test_an_unmodified_script_is_run(tmp_path, client):
    """With the real client docs/python_api.md does the same in CI, by the line that `sweepkit run` makes needless."""
    if client == "stand-in":
        (tmp_path / "wandb").mkdir()
        (tmp_path / "wandb" / "__init__.py").write_text(CLIENT)
    (tmp_path / "train.py").write_text(SCRIPT.replace("COUNT", "1"))
    check(tmp_path, called(tmp_path, str(PROGRAMS / "tool.py"), "run", "train.py"), 1)
    left = [str(file.relative_to(tmp_path)) for file in tmp_path.glob("wandb/*") if file.name != "__pycache__"]
    assert left == ["wandb/__init__.py"] * (client == "stand-in")


@pytest.mark.heavy
def test_an_unmodified_script_with_one_line_more(tmp_path):
    (tmp_path / "train.py").write_text("import sweepkit.wandb_compat\n" + SCRIPT.replace("COUNT", "2"))
    check(tmp_path, called(tmp_path, "train.py"), 2)
    assert not list(tmp_path.glob("wandb"))


def check(folder, done, count):
    assert done.returncode == 0, done.stderr
    sweep_id = done.stdout.split()[-1]
    sweep = sweepkit.open(f"train-{sweep_id}", output_dir=folder / "out")
    runs = sweep.runs()
    assert list(runs["state"]) == ["finished"] * count, runs
    assert all(abs(runs["value"] - (runs["params.lr"] - 0.01)) < 1e-9)
    assert len(sweep.history().query("metric == 'loss'")) == 2 * count


@pytest.mark.parametrize("options, word", [(["train.py", "--count", "3"], "--count"), (["nowhere.py"], "nowhere.py")])
def test_what_a_script_says_itself(tmp_path, options, word):
    (tmp_path / "train.py").write_text(SCRIPT)
    done = in_this_process(app.main, ["run", *options], tmp_path)
    assert done.returncode == 2 and word in done.stderr


@pytest.mark.slow
def test_ids(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SWEEPKIT_OUTPUT_DIR", str(tmp_path))
    config = {"method": "grid", "program": "its_own.py", "parameters": {"x": {"values": [1, 2]}}}
    first, second = wandb_calls.sweep(lambda: config, project="p"), wandb_calls.sweep(config)
    assert first != second and first in capsys.readouterr().out
    with pytest.raises(sweepkit.SweepKitError, match=first):
        wandb_calls.agent("entity/p/" + first[:-1], lambda: None)
    with pytest.raises(SpecError, match="method"):
        wandb_calls.sweep({"parameters": {}})

    def train():
        import sweepkit

        sweepkit.report({"seen": 1})

    wandb_calls.agent(f"entity/p/{first}", function=train, count=1)
    wandb_calls.agent(first, function=train)  # goes on
    (sweep,) = sweepkit.list_sweeps().to_dict("records")
    assert (sweep["runs"], sweep["state"]) == (2, "finished") and sweep["name"].endswith(first)
