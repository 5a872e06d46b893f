"""The result file of a run and what is the same in all of them."""

import json
import os
import subprocess
import sys
import threading

import pytest

import sweepkit
from sweepkit.agents.identity import host_name
from sweepkit.agents.results import attempts_in, describe_surroundings, write_atomically, write_result
from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunState
from sweepkit.paths import SweepPaths


def git(folder, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_surroundings_name_versions_host_and_the_programs_commit(tmp_path):
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "first")
    seen = describe_surroundings(str(tmp_path))
    assert seen["git_commit"] == git(tmp_path, "rev-parse", "HEAD")
    assert seen["host"] == host_name()
    assert seen["package_versions"]["python"] == sys.version.split()[0]
    assert seen["package_versions"]["sweepkit"] == sweepkit.__version__
    assert {"optuna", "numpy"} <= set(seen["package_versions"])


def test_without_a_repository_or_git_there_is_no_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert describe_surroundings(str(tmp_path))["git_commit"] is None
    git(tmp_path, "init", "-q")
    assert describe_surroundings(str(tmp_path))["git_commit"] is None, "a repository without a commit"
    monkeypatch.setenv("PATH", "")
    assert describe_surroundings(str(tmp_path))["git_commit"] is None


def test_a_result_has_the_run_its_outcome_and_its_surroundings(tmp_path):
    paths = SweepPaths(tmp_path, "s")
    paths.logs.mkdir(parents=True)
    run = RunRecord(
        run_id="abc",
        sweep_id="s",
        number=3,
        params={"lr": 0.1, "opt": {"이름": "아담"}},
        state=RunState.STOPPED,
        reason="worse",
        history=(1.0, 0.5),
        best_metrics={"m": 0.5},
        last_metrics={"m": 0.5, "n": 1},
        attempts=2,
        proposal={"reason": "draw"},
        started_at=10.0,
        ended_at=12.0,
        outcome={"duration_s": 2.0, "exit_code": None, "signal": 15},
    )
    write_result(paths, run, seed=7, surroundings={"host": "h"})
    result = json.loads(paths.result("abc").read_text(encoding="utf-8"))
    assert result["history_file"] is None
    expected = {
        "run_id": "abc",
        "number": 3,
        "sweep_params": run.params,
        "state": "stopped",
        "reason": "worse",
        "best_metrics": {"m": 0.5},
        "attempts": 2,
        "sweep_seed": 7,
        "duration_s": 2.0,
        "signal": 15,
        "host": "h",
    }
    assert expected.items() <= result.items()
    logged = paths.wandb_dir("abc", "abc-2") / "wandb" / "offline-run-1-abc"
    logged.mkdir(parents=True)
    (logged / "run-abc.wandb").touch()
    write_result(paths, run, seed=7, surroundings={})
    result = json.loads(paths.result("abc").read_text(encoding="utf-8"))
    assert (paths.root / result["history_file"]).samefile(logged / "run-abc.wandb")
    paths.reports("abc-2").write_text("{}\n")
    write_result(paths, run, seed=7, surroundings={})
    result = json.loads(paths.result("abc").read_text(encoding="utf-8"))
    assert (paths.root / result["history_file"]).samefile(paths.reports("abc-2"))
    assert "아담" in paths.result("abc").read_text(encoding="utf-8")


def test_a_reader_never_meets_half_a_file(tmp_path):
    file, texts = tmp_path / "f", {letter * 200_000 for letter in "ab"}
    write_atomically(file, min(texts))
    stop = threading.Event()

    def write():
        while not stop.is_set():
            for text in texts:
                write_atomically(file, text)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert all(file.read_text() in texts for _ in range(100))
    finally:
        stop.set()
        writer.join()
    assert os.listdir(tmp_path) == ["f"]


@pytest.mark.parametrize(("text", "attempts"), [('{"attempts": 2}', 2), ("{}", 0), ("null", 0), ('{"att', 0)])
def test_a_result_file_that_is_none_says_of_no_attempt(tmp_path, text, attempts):
    file = tmp_path / "run_a_result.json"
    assert attempts_in(file) == 0
    file.write_text(text)
    assert attempts_in(file) == attempts
