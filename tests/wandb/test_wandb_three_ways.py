"""One YAML of W&B's, unchanged, three ways: here, led by W&B's server, and here with W&B looking on: the same table."""

import csv
import json
import os
import sys

import pytest
import warm
from sweeping import Sweeper, in_this_process
from test_wandb_backend_runs import QUICK
from wandb_backend import ENTITY, PROJECT
from wandb_scheduler import SchedulingBackend

from sweepkit.cli import analyze_sweep
from sweepkit.paths import CODE_DIR, ROOT_DIR

SCRIPTS = ROOT_DIR / "examples" / "wandb_scripts"
YAML = SCRIPTS / "train_argparse.yaml"
NAME = "wandb-argparse"
WAYS = {"local": (), "led": ("--backend", "wandb"), "watched": ("--wandb", "online")}
COLUMNS = ("state", "params.learning_rate", "params.batch_size", "params.optimizer", "best.val_loss")


def table(folder):
    """Return what `runs.csv` says of each run, without what is another each time: ids, times."""
    with open(folder / f"sweep_{NAME}" / "runs.csv", encoding="utf-8", newline="") as file:
        return [{name: row[name] for name in COLUMNS} for row in csv.DictReader(file)]


def analysis(sweeper, *source):
    """Return what analyze_sweep.py finds, run ids left out."""
    argv = [*source, "--json", "--no-report"]
    if source[0].startswith("wandb:"):
        command = [sys.executable, str(ROOT_DIR / "analysis" / "analyze_sweep.py"), *argv]
        done = warm.run(command, timeout=100, env=sweeper.env, cwd=sweeper.folder)
    else:
        done = in_this_process(analyze_sweep.main, argv, sweeper.folder)
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    best = said["best"]
    return said["counts"], best["value"], best["params"], said["comparison"]["difference"]


@pytest.mark.heavy
def test_one_yaml_gives_the_same_table_here_at_w_and_b_and_here_with_w_and_b_looking_on(tmp_path):
    with SchedulingBackend() as server:
        sweeper = Sweeper(tmp_path)
        (tmp_path / "w").mkdir()
        sweeper.env |= server.environment(tmp_path / "w") | {
            "PYTHONPATH": f"{QUICK}{os.pathsep}{CODE_DIR}",
            "WANDB_PROJECT": PROJECT,
        }
        for variable in ("WANDB_DIR", "WANDB_MODE"):
            sweeper.env.pop(variable, None)
        for way, options in WAYS.items():
            process = sweeper.parallel(
                "--single-parallel", str(YAML), "--num-workers", "1", "--output-dir", way, *options
            )
            sweeper.finished(process)
        tables = {way: table(tmp_path / way) for way in WAYS}
        assert tables["local"] == tables["led"] == tables["watched"], tables
        assert [row["params.learning_rate"] for row in tables["local"]] == ["0.1", "0.01"]

        (led,) = server.sweeps
        found = {way: analysis(sweeper, NAME, "--output-dir", way) for way in WAYS}
        found["at W&B"] = analysis(sweeper, f"wandb:{ENTITY}/{PROJECT}/{led}", "--output-dir", "other")
        assert len({json.dumps(each, sort_keys=True) for each in found.values()}) == 1, found

        rows = {way: [] for way in ("led", "watched")}
        for run in server.runs.values():  # the runs of the local sweep were never sent
            own = sorted((row["epoch"], row["val_loss"]) for row in run.history)
            rows["watched" if run.sweep is None else "led"].append((run.config["learning_rate"], run.state, own))
        assert sorted(rows["led"]) == sorted(rows["watched"]) and len(rows["led"]) == 2
        assert {run.group for run in server.runs.values() if run.sweep is None} == {NAME}
