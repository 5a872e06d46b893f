"""The plain command in a shell that knows nothing of the virtual environment."""

import gc
import shutil
import subprocess
import sys

import pytest
from snapshots import words_of

from sweepkit.cli import trainer
from sweepkit.cli.guard import collecting, guarded, guarded_training
from sweepkit.paths import CODE_DIR

WORDS = words_of(__file__)


@pytest.fixture
def checkout(tmp_path):
    """A copy of code/, and how to run its script with an interpreter that has no packages."""
    shutil.copytree(CODE_DIR, tmp_path / "code", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))

    def run(script="sweep_runner.py"):
        command = [sys.executable, "-S", str(tmp_path / "code" / script), "--sweep-config", "첫 스윕", "--seed", "1"]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)

    run.folder = tmp_path
    return run


def test_it_goes_on_in_the_checkouts_own_environment(checkout):
    own = checkout.folder / ".venv" / "bin" / "python"
    own.parent.mkdir(parents=True)
    own.write_text('#!/bin/sh\nprintf "%s|" "$@"\nexit 7\n')
    own.chmod(0o755)
    done = checkout()
    assert done.returncode == 7
    assert done.stdout == f"{checkout.folder}/code/sweep_runner.py|--sweep-config|첫 스윕|--seed|1|"
    assert done.stderr == ""


def test_the_module_goes_on_as_the_module(checkout):
    own = checkout.folder / ".venv" / "bin" / "python"
    own.parent.mkdir(parents=True)
    own.write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    own.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-S", "-m", "sweepkit", "run", "첫 스윕"],
        capture_output=True,
        text=True,
        cwd=checkout.folder / "code",
        timeout=60,
    )
    assert done.stdout == "-m|sweepkit|run|첫 스윕|"


@pytest.mark.parametrize("script", ["sweep_runner.py", "trainer.py"])
def test_without_one_it_says_what_to_do(checkout, script):
    done = checkout(script)
    assert done.returncode == 2
    assert WORDS["run-the-first"] in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(("guard", "seldom"), [(guarded, True), (guarded_training, False)])
def test_garbage_is_collected_seldom_but_where_models_are_trained(guard, seldom):
    before, seen = gc.get_threshold(), []
    assert guard(lambda argv: seen.append(gc.get_threshold()) or 0)([]) == 0
    assert guarded(lambda argv: guard(lambda inner: seen.append(gc.get_threshold()) or 0)(argv))([]) == 0
    assert all((number > 10_000) is seldom for number, *_ in seen) and len(seen) == 2
    assert gc.get_threshold() == before


def test_how_often_it_is_collected_is_what_it_was_after_an_error():
    before = gc.get_threshold()
    with pytest.raises(ZeroDivisionError):
        guarded(lambda argv: 1 // 0)([])
    assert gc.get_threshold() == before


def test_the_trainer_collects_garbage_as_usual(monkeypatch):
    seen = []
    monkeypatch.setattr(type(trainer.COMMAND), "run", lambda *_: seen.append(gc.get_threshold()) or 0)
    with collecting():
        assert trainer.main([]) == 0
    assert seen[0][0] < 10_000
