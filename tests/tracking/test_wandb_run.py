import json
import os
import subprocess
import sys

import pytest

from sweepkit import paths
from sweepkit.errors import TrackingError
from sweepkit.tracking import wandb_run
from sweepkit.tracking.wandb_file import WandbTail

# Each line asks for a training in a fork of this process: that W&B's client was imported before changes nothing.
TRAINERS = """
import json, os, sys
import wandb
from sweepkit.tracking.wandb_run import start_run

def train(directory, code):
    run = start_run({"lr": 0.5, "model": {"dim": 8}}, project="proj", directory=directory)
    for step in (1, 2):
        run.log({"loss": 1.0 / step, "epoch": step}, step=step)
    run.finish(code)
    run.finish()
    print(run.directory)

for line in sys.stdin:
    directory, code, env, out, err = json.loads(line)
    if (pid := os.fork()) == 0:
        os.environ.update(env)
        for number, path in ((1, out), (2, err)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        train(directory, code)
        sys.exit()
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    folder = tmp_path_factory.mktemp("said")
    env = {**os.environ, "PYTHONPATH": str(paths.CODE_DIR)}
    piped = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}

    def train(directory, code, **env):
        out, err = folder / "out", folder / "err"
        process.stdin.write(json.dumps([str(directory), code, env, str(out), str(err)]) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "0\n", err.read_text()
        return subprocess.CompletedProcess([], 0, out.read_text(), err.read_text())

    with subprocess.Popen([sys.executable, "-c", TRAINERS], env=env, **piped) as process:
        yield train


@pytest.mark.slow
def test_our_trainers_run_is_grouped_silent_and_readable(train, tmp_path):
    done = train(
        tmp_path / "new",
        4,
        WANDB_RUN_GROUP="첫 스윕",
        WANDB_RUN_ID="r1",
        WANDB_NAME="trial_7",
        WANDB_TAGS="a,나",
        WANDB_NOTES="메모",
    )
    tail = WandbTail(tmp_path / "new")
    reports = tail.read()
    assert [(r.step, r.values["loss"], r.values["epoch"]) for r in reports] == [(1, 1.0, 1), (2, 0.5, 2)]
    assert tail.exit_code == 4
    assert (tail.run.group, tail.run.project, tail.run.run_id, tail.run.sweep_id) == ("첫 스윕", "proj", "r1", "")
    assert (tail.run.name, tail.run.tags, tail.run.notes) == ("trial_7", ("a", "나"), "메모")
    assert tail.run.config == {"lr": 0.5, "model": {"dim": 8}}
    assert done.stderr == ""
    assert os.path.dirname(done.stdout.strip()) == str(tmp_path / "new" / "wandb")


@pytest.mark.slow
def test_a_disabled_wandb_writes_nothing(train, tmp_path):
    train(tmp_path, 0, WANDB_MODE="disabled")
    assert WandbTail(tmp_path).read() == []
    assert not (tmp_path / "wandb").exists()


def test_a_folder_called_wandb_is_not_wandb(tmp_path, monkeypatch):
    (tmp_path / "wandb").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    assert not wandb_run.wandb_installed()
    with pytest.raises(TrackingError, match="must be installed"):
        wandb_run.start_run({}, project=None, directory=tmp_path)


def test_the_room_does_not_import_wandb():
    modules = ["reports", "rows", "wandb_env", "wandb_file", "wandb_log", "wandb_run"]
    code = "import sys\n" + "".join(f"import sweepkit.tracking.{name}\n" for name in modules)
    code += "print([m for m in sys.modules if m.split('.')[0] in ('wandb', 'google', 'yaml', 'numpy', 'sqlalchemy')])"
    env = {**os.environ, "PYTHONPATH": str(paths.CODE_DIR)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
