"""Nodes that share no folder: the record carries the project's code there, and the small files of runs back."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from importlib import metadata

import pytest
import warm
from hypothesis import given, settings
from hypothesis import strategies as st
from waiting import wait_until

from sweepkit.agents.environments import different, differing_nodes, environment, package_differences
from sweepkit.agents.results import LOG_FILE, RESULT_FILE, packed, unpacked
from sweepkit.agents.unsent import forget_unsent, note_unsent, send_unsent
from sweepkit.cluster.bring import RunFiles
from sweepkit.cluster.code_archive import CodeArchiveError, pack, unpack
from sweepkit.cluster.node import CODE_OWNER, keep_project, project_here
from sweepkit.cluster.run_folders import FetchError, arrived, lay_down, send_wanted, want
from sweepkit.model.records import SweepRecord, SweepState
from sweepkit.model.runs import RunState
from sweepkit.paths import CODE_DIR, SweepPaths
from sweepkit.runner.relocation import relocated
from sweepkit.store.open import open_store

PROGRAM = """\
import argparse, os, pathlib
from pkg.losses import loss
given = argparse.ArgumentParser()
given.add_argument("--lr", type=float)
lr = given.parse_args().lr
print("at", pathlib.Path(__file__).resolve().parent, pathlib.Path("notes/읽기.txt").read_text(encoding="utf-8"))
weights = pathlib.Path(os.environ["SWEEPKIT_RUN_DIR"], "best_model", "가중치.bin")
weights.parent.mkdir()
weights.write_bytes(str(lr).encode() * 1000)
with open(os.environ["SWEEPKIT_REPORT_FILE"], "a") as file:
    file.write('{"loss": %r}\\n' % loss(lr))
"""
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1, max_size=40).filter(
    lambda name: name not in (".", "..")
)
SWEEP = """\
program: train.py
method: grid
metric: {name: loss, goal: minimize}
parameters: {lr: {values: [0.1, 0.2, 0.3]}}
"""


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    for name, text in {
        "train.py": PROGRAM,
        "pkg/__init__.py": "",
        "pkg/losses.py": "def loss(lr):\n    return lr * 2\n",
        "notes/읽기.txt": "안녕",
        "sweep.yaml": SWEEP,
        ".gitignore": "data/\n",
        "data/large.bin": "x",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return folder


def files_in(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".git/" not in str(path)
    }


def test_what_git_does_not_ignore_is_carried(project, tmp_path):
    (project / "outputs").mkdir()
    (project / "outputs" / "old.txt").write_text("old")
    digest, data = pack(project, without=[project / "outputs"])
    made = unpack(digest, data, tmp_path / "node")
    expected = {name: text for name, text in files_in(project).items() if not name.startswith(("data/", "outputs/"))}
    assert files_in(made) == expected | {"sweepkit.toml": b""}  # nothing in it marks it as a project otherwise
    assert unpack(digest, b"" + data, tmp_path / "node") == made


def test_the_same_files_make_the_same_archive(project):
    first = pack(project)
    os.utime(project / "train.py", (1, 1))
    (project / "data" / "more.bin").write_text("ignored")
    assert pack(project) == first
    (project / "train.py").chmod(0o755)
    assert pack(project)[0] != first[0]


def test_without_git_environments_and_caches_stay(project, tmp_path):
    (project / ".git").rename(tmp_path / "git")
    for name in ("venv/pyvenv.cfg", "venv/lib.py", "__pycache__/x.pyc", ".secret/key", "wandb/run.txt"):
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text("x")
    made = unpack(*pack(project), tmp_path / "node")
    names = {"train.py", "pkg/__init__.py", "pkg/losses.py", "notes/읽기.txt", "sweep.yaml", ".gitignore"}
    assert set(files_in(made)) == names | {"data/large.bin", "sweepkit.toml"}


def test_links_into_the_project_are_carried_and_others_are_not(project, tmp_path):
    (project / "inside").symlink_to("pkg/losses.py")
    (project / "outside").symlink_to("/etc/hostname")
    (project / "gone").symlink_to("nowhere")
    made = unpack(*pack(project), tmp_path / "node")
    assert (made / "inside").read_text() == (project / "pkg/losses.py").read_text()
    assert not os.path.lexists(made / "outside") and os.path.islink(made / "gone")


def test_what_is_too_large_is_refused_and_named(project, monkeypatch):
    monkeypatch.setattr("sweepkit.cluster.code_archive._LARGEST_BYTES", 2000)
    (project / "weights.bin").write_bytes(os.urandom(3000))
    with pytest.raises(CodeArchiveError, match="weights.bin"):
        pack(project)


def test_an_empty_project_is_refused(tmp_path):
    with pytest.raises(CodeArchiveError, match="no file"):
        pack(tmp_path)


@given(st.binary(max_size=200), st.integers(0, 199))
def test_a_damaged_archive_is_never_unpacked(tmp_path_factory, content, at):
    folder = tmp_path_factory.mktemp("archive")
    (folder / "a.py").write_bytes(content)
    digest, data = pack(folder)
    broken = bytearray(data)
    broken[at % len(broken)] ^= 1
    with pytest.raises(CodeArchiveError):
        unpack(digest, bytes(broken), folder / "node")
    assert not list((folder / "node").glob("*")) if (folder / "node").exists() else True


@pytest.fixture
def store(tmp_path):
    with open_store(tmp_path / "record.db") as store:
        yield store


def test_a_node_gets_the_project_once_and_tells_what_differs(project, store, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    sweep = store.create_sweep("s", text="", seed=0, metric=None, goal=None)[0].sweep_id
    digest, data = pack(project)
    keep_project(store, sweep, digest, data)
    folder, results = project_here(store, sweep, digest)
    (folder / "made.txt").write_text("by a run")
    assert project_here(store, sweep, digest) == (folder, results) and (folder / "made.txt").exists()
    assert package_differences(store, sweep) == [] and differing_nodes(store, sweep) == {}
    older = environment() | {"numpy": "0.1"}
    store.keep_file(sweep, "environment", json.dumps(older).encode())
    (said,) = package_differences(store, sweep)
    assert said.startswith("numpy 0.1, here ") and list(differing_nodes(store, sweep).values()) == [said]
    store.keep_file(CODE_OWNER, "f" * 64, b"other")
    with pytest.raises(CodeArchiveError):
        project_here(store, sweep, "f" * 64)


def test_what_a_package_brings_for_itself_is_no_difference(tmp_path, monkeypatch):
    """Ray and setuptools put packages of their own on the path of the process that imports them."""
    before = environment()
    within = tmp_path / "site-packages" / "ray" / "thirdparty_files"
    (within / "colorama_ours-0.4.6.dist-info").mkdir(parents=True)
    (within / "colorama_ours-0.4.6.dist-info" / "METADATA").write_text("Name: colorama_ours\nVersion: 0.4.6\n")
    monkeypatch.syspath_prepend(within)
    assert environment() == before
    beside = tmp_path / "site-packages"
    (within / "colorama_ours-0.4.6.dist-info").rename(beside / "colorama_ours-0.4.6.dist-info")
    monkeypatch.syspath_prepend(beside)
    assert environment() == before | {"colorama_ours": "0.4.6"}


def test_packages_are_called_what_python_itself_calls_them(tmp_path, monkeypatch):
    readme = "Metadata-Version: 2.1\nName: Told\nVersion: 1.0\nSummary: x\n\nName: untold\nVersion: 2.0\n"
    for folder, file, text in (
        ("told-1.0.dist-info", "METADATA", readme),
        ("old-0.5.egg-info", "PKG-INFO", "Name: Old\nVersion: 0.5\n\n"),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / file).write_text(text)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    said = {item.metadata["Name"].lower(): item.version for item in metadata.distributions(path=sys.path)}
    assert environment() == said | {"told": "1.0", "old": "0.5", "python": sys.version.split()[0]}


def test_python_is_named_first():
    there, here = {"python": "3.11.2", "a": "1", "z": "1"}, {"python": "3.12.0", "z": "2", "more": "1"}
    assert different(there, here) == ["python 3.11.2, here 3.12.0", "a 1, here none", "z 1, here 2"]


def test_places_of_the_project_are_those_of_its_copy(tmp_path):
    meta = {"program": "/p/src/train.py", "directory": "/p", "cwd": "/p/src", "base_config": "/p/base.yaml", "x": "/p"}
    record = SweepRecord(
        sweep_id="a", name="s", family="s", generation=1, text="", seed=0, state=SweepState.RUNNING, reason="",
        created_at=0.0, metric=None, goal=None, meta=meta | {"source": "/q/p.yaml"},
    )  # fmt: skip
    moved = relocated(record, tmp_path, carried_from="/p").meta
    assert moved["program"] == f"{tmp_path}/src/train.py" and moved["base_config"] == f"{tmp_path}/base.yaml"
    assert moved["directory"] == str(tmp_path) and moved["cwd"] == f"{tmp_path}/src"
    assert moved["x"] == "/p" and moved["source"] == "/q/p.yaml"


@pytest.mark.slow
def test_a_sweep_whose_project_is_not_on_its_node(project, tmp_path):
    """The node has a home of its own, and the copy there is what runs, whatever lies at the project's path."""
    env = {**os.environ, "PYTHONPATH": str(CODE_DIR), "PYTHONWARNINGS": "default", "HOME": str(tmp_path / "home")}
    env.pop("XDG_CACHE_HOME", None)
    command = [sys.executable, "-m", "sweepkit", "run", "sweep.yaml", "--launcher", "local", "--agents", "2"]
    command += ["--no-shared-folder", "--output-dir", str(tmp_path / "out"), "--cold", "--json"]
    done = warm.run(command, cwd=project, env=env, timeout=100)
    assert done.returncode == 0, done.stderr
    copy = next((tmp_path / "home/.cache/sweepkit/code").glob("*/train.py")).parent
    with open_store(tmp_path / "out" / "sweepkit.db") as store:
        sweep = store.sweep("sweep")
        runs = store.runs(sweep.sweep_id)
        kept = store.kept_files(runs[0].run_id)
        result = json.loads(unpacked(store.kept_file(runs[0].run_id, RESULT_FILE)))
        paths = SweepPaths(tmp_path / "out", sweep.name)
        assert RunFiles(store, sweep.sweep_id, paths).bring() == 0  # all of it is here
        paths.result(runs[0].run_id).unlink()
        files = RunFiles(store, sweep.sweep_id, paths)
        assert files.bring() == 1
        paths.result(runs[0].run_id).unlink()
        assert files.bring() == 0  # what came once is not looked for again
        assert RunFiles(store, sweep.sweep_id, paths).bring() == 1
    assert set(kept) == {RESULT_FILE, f"{LOG_FILE} {runs[0].run_id}-1"}
    for run in runs:
        assert json.loads(paths.result(run.run_id).read_text())["run_id"] == run.run_id
        (log,) = paths.logs.glob(f"{run.run_id}-*.log")
        assert log.read_text(encoding="utf-8").split()[:3] == ["at", str(copy), "안녕"]
    assert result["run_id"] == runs[0].run_id and result["git_commit"] is None
    assert result["code_hash"].startswith(copy.name)
    command = [sys.executable, "-m", "sweepkit", "fetch", "sweep:1", "--output-dir", str(tmp_path / "out"), "--json"]
    command += ["--files", "best_model/*", "--wait", "60"]
    for _ in range(2):  # the second time there is nothing to be sent but the same
        done = warm.run(command, cwd=project, env=env, timeout=100)
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        folder = paths.run_dir(runs[1].run_id)
        assert said == {**said, "run_id": runs[1].run_id, "files": 1, "folder": str(folder)}
        assert (folder / "best_model" / "가중치.bin").read_bytes() == b"0.2" * 1000
    command[command.index("best_model/*")] = "*.ckpt"
    done = warm.run(command, cwd=project, env=env, timeout=100)
    assert done.returncode == 2 and "best_model" in done.stderr


def test_a_run_that_was_tried_again_brings_its_newer_result(store, tmp_path):
    sweep = store.create_sweep("s", text="", seed=0, metric=None, goal=None)[0].sweep_id
    paths = SweepPaths(tmp_path, "s")
    watched = RunFiles(store, sweep, paths)
    store.add_run(sweep, 0, {"lr": 0.1})
    for attempts in (1, 2):
        attempt = store.claim(sweep, agent_id="a", host="n1", lease_s=60.0)
        run_id = attempt.run.run_id
        store.finish(attempt, RunState.FAILED, reason="first")
        assert watched.bring() == 0  # its end is recorded, and what is kept is the earlier file, if any
        result = {"run_id": run_id, "attempts": attempts}
        store.keep_file(run_id, RESULT_FILE, packed(json.dumps(result).encode()))
        assert watched.bring() == 1 and watched.bring() == 0
        assert json.loads(paths.result(run_id).read_text()) == result
        store.retry(sweep, [RunState.FAILED])


@settings(max_examples=6)
@given(st.dictionaries(NAMES, st.binary(max_size=700), max_size=5), st.integers(300, 5000))
def test_a_folder_comes_as_it_is(tmp_path_factory, files, part_bytes):
    """Whatever its files hold and however they are cut."""
    folder = tmp_path_factory.mktemp("node")
    paths, here = SweepPaths(folder / "results", "s"), folder / "here"
    with pytest.MonkeyPatch.context() as patch, open_store(folder / "record.db") as store:
        patch.setattr("sweepkit.cluster.run_folders._PART_BYTES", part_bytes)
        sweep = store.create_sweep("s", text="", seed=0, metric=None, goal=None)[0].sweep_id
        run = store.add_run(sweep, 0, {}).run_id
        want(store, sweep, run, [])
        assert send_wanted(store, sweep, "s", folder / "results") == []  # another node's
        paths.run_dir(run).mkdir(parents=True)
        for name, data in files.items():
            (paths.run_dir(run) / name).mkdir()
            (paths.run_dir(run) / name / "data").write_bytes(data)
        assert send_wanted(store, sweep, "s", folder / "results") == [run]
        assert send_wanted(store, sweep, "s", folder / "results") == []  # once
        said = arrived(store, run)
        assert said.whole and bool(said.refused) == (not files)
        if files:
            kept = store.kept_files(run)
            want(store, sweep, run, [])  # who waits again for what has come does not have it sent again
            assert store.kept_files(run) == kept and send_wanted(store, sweep, "s", folder / "results") == []
            assert lay_down(store, run, here) == len(files)
            assert {path.parent.name: path.read_bytes() for path in here.rglob("data")} == files
            assert not store.kept_files(run) and not list(folder.glob(".here*"))
            with pytest.raises(FetchError):
                lay_down(store, run, here)


def test_a_folder_that_lost_a_part_is_not_laid_down(store, tmp_path, monkeypatch):
    monkeypatch.setattr("sweepkit.cluster.run_folders._PART_BYTES", 512)
    paths = SweepPaths(tmp_path / "results", "s")
    sweep = store.create_sweep("s", text="", seed=0, metric=None, goal=None)[0].sweep_id
    run = store.add_run(sweep, 0, {}).run_id
    paths.run_dir(run).mkdir(parents=True)
    (paths.run_dir(run) / "weights.bin").write_bytes(bytes(4000))
    want(store, sweep, run, [])
    send_wanted(store, sweep, "s", tmp_path / "results")
    store.forget_file(run, "part 000003")
    with pytest.raises(FetchError, match="part 3"):
        lay_down(store, run, tmp_path / "here")
    assert not (tmp_path / "here").exists() and [path.name for path in tmp_path.glob(".here*")] == []


def test_what_a_killed_agent_has_not_sent_is_sent_by_the_next_one(store, tmp_path):
    made = store.create_sweep("s", text=SWEEP, seed=0, metric="loss", goal="minimize")[0]
    paths = SweepPaths(tmp_path, "s")
    paths.logs.mkdir(parents=True)
    attempts = []
    for number in range(4):
        store.add_run(made.sweep_id, number, {"lr": 0.1})
        attempts.append(store.claim(made.sweep_id, agent_id="a", host="n1", lease_s=60.0))
        paths.log(attempts[-1].attempt_id).write_text(f"log {number}")
        note_unsent(paths, attempts[-1].attempt_id, {"host": "n1"})
    recorded, released, running, sent = attempts
    store.finish(recorded, RunState.FINISHED, reason="exit code 0")
    store.release(released, reason="asked to end")
    store.finish(sent, RunState.FINISHED, reason="exit code 0")
    forget_unsent(paths, sent.attempt_id)
    assert send_unsent(store, made, paths) == [recorded.run.run_id]
    kept = {attempt.attempt_id: set(store.kept_files(attempt.run.run_id)) for attempt in attempts}
    assert kept == {
        recorded.attempt_id: {RESULT_FILE, f"{LOG_FILE} {recorded.attempt_id}"},
        **dict.fromkeys((released.attempt_id, running.attempt_id, sent.attempt_id), set()),
    }
    result = json.loads(unpacked(store.kept_file(recorded.run.run_id, RESULT_FILE)))
    assert (result["run_id"], result["state"], result["host"]) == (recorded.run.run_id, "finished", "n1")
    assert [note.stem for note in (paths.root / "unsent").iterdir()] == [running.attempt_id]
    assert send_unsent(store, made, paths) == []


@pytest.mark.slow
def test_files_of_a_run_come_though_its_agent_is_killed_before_it_has_sent_them(project, tmp_path):
    """The record takes no result until the agent is dead, and the run's end all the same."""
    (project / "sweep.yaml").write_text(SWEEP.replace("0.1, 0.2, 0.3", "0.1"))
    env = {**os.environ, "PYTHONPATH": str(CODE_DIR), "PYTHONWARNINGS": "default", "HOME": str(tmp_path / "home")}
    env.pop("XDG_CACHE_HOME", None)
    file = tmp_path / "out" / "sweepkit.db"
    with open_store(file) as store:
        store.keep_file("a file", "which makes the table", b"")
    with contextlib.closing(sqlite3.connect(file, timeout=60)) as record:
        record.execute(
            "CREATE TRIGGER hold BEFORE INSERT ON kept_files WHEN NEW.name = 'result' "
            "BEGIN SELECT RAISE(ABORT, 'held by a test'); END"
        )
        command = [sys.executable, "-m", "sweepkit", "run", "sweep.yaml", "--launcher", "local", "--no-shared-folder"]
        command += ["--output-dir", str(tmp_path / "out"), "--cold"]
        process = warm.WarmPopen(command, cwd=project, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        with open_store(file) as store:
            wait_until(lambda: (made := store.sweep("sweep")) and finished(store, made), "the run's end in the record")
            (run,) = store.runs(store.sweep("sweep").sweep_id)
            assert RESULT_FILE not in store.kept_files(run.run_id)
            agent = int(store.attempts(run.run_id)[-1].agent_id.split("|")[3])
        os.kill(agent, signal.SIGKILL)
        record.execute("DROP TRIGGER hold")
        record.commit()
        said = process.communicate(timeout=100)[0].decode()
    assert process.returncode == 0, said
    paths = SweepPaths(tmp_path / "out", "sweep")
    assert json.loads(paths.result(run.run_id).read_text())["state"] == "finished", said
    assert "안녕" in paths.log(f"{run.run_id}-1").read_text(encoding="utf-8")


def finished(store, sweep):
    return store.counts(sweep.sweep_id).get(RunState.FINISHED) == 1
