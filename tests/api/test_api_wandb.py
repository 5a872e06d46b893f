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


def called(folder, *command):
    env = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB", "SWEEPKIT"))}
    env |= {"PYTHONWARNINGS": "default", "SWEEPKIT_OUTPUT_DIR": str(folder / "out")}
    return warm.run([sys.executable, *command], cwd=folder, env=env, timeout=110)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["run", pytest.param("import", marks=pytest.mark.heavy)])  # as docs/python_api.md does
def test_an_unmodified_script(tmp_path, way):
    script = tmp_path / "train.py"
    count = 2 if way == "import" else 1  # a run with W&B costs 1.5 s of CPU
    text = SCRIPT.replace("COUNT", str(count))
    script.write_text(("import sweepkit.wandb_compat\n" if way == "import" else "") + text)
    done = called(tmp_path, *(["train.py"] if way == "import" else [str(PROGRAMS / "tool.py"), "run", "train.py"]))
    assert done.returncode == 0, done.stderr
    sweep_id = done.stdout.split()[-1]
    sweep = sweepkit.open(f"train-{sweep_id}", output_dir=tmp_path / "out")
    runs = sweep.runs()
    assert list(runs["state"]) == ["finished"] * count and not list(tmp_path.glob("wandb"))
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
