"""Which project a folder belongs to, what it sets, and that every command finds the same place from it."""

import json
import shutil

import pytest
import warm
from sweeping import Sweeper, in_this_process

import sweepkit
from sweepkit.cli import app, db, monitor_sweep, sweep_runner
from sweepkit.errors import SpecError
from sweepkit.housekeeping import doctor
from sweepkit.paths import database, default_output_dir, storage_setting
from sweepkit.project import project_root, project_settings

PROGRAM = """\
import argparse, json, os
p = argparse.ArgumentParser()
p.add_argument("--x", type=int)
a = p.parse_args()
with open(os.environ["SWEEPKIT_REPORT_FILE"], "a") as file:
    file.write(json.dumps({"loss": a.x}) + "\\n")
"""
SWEEP = """\
program: train.py
method: grid
metric: {name: loss, goal: minimize}
parameters: {x: {values: [3]}}
"""


@pytest.mark.parametrize("marker", ["pyproject.toml", ".git", "sweepkit.toml"])
def test_a_project_is_the_nearest_folder_that_is_marked(tmp_path, marker):
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    assert project_root(deep) == deep
    (tmp_path / marker).touch()
    assert project_root(deep) == tmp_path
    (tmp_path / "a" / "pyproject.toml").touch()
    assert project_root(deep) == tmp_path / "a"


def test_paths_of_a_project_file_are_meant_from_it(tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "pyproject.toml").write_text('[tool.sweepkit]\noutput_dir = "results"\nstorage = "sqlite:///r.db"\n')
    assert default_output_dir({}, inner) == tmp_path / "results"
    assert database(None, tmp_path, {}, inner) == f"sqlite:///{tmp_path}/r.db"
    (tmp_path / "sweepkit.toml").write_text('storage = "postgresql://u@h/d"\n')  # goes before the other file
    assert database(None, tmp_path, {}, inner) == "postgresql://u@h/d"
    assert default_output_dir({}, inner) == tmp_path / "outputs"


def test_the_option_goes_before_the_variable_and_that_before_the_file_and_that_before_the_default(tmp_path):
    def held(named, environ):
        setting = storage_setting(named, tmp_path / "out", environ, tmp_path)
        return setting.value, setting.source

    assert held(None, {}) == (str(tmp_path / "out" / "sweepkit.db"), "default: in the output folder")
    (tmp_path / "sweepkit.toml").write_text('storage = "file.db"\n')
    assert held(None, {}) == (str(tmp_path / "file.db"), str(tmp_path / "sweepkit.toml"))
    environ = {"SWEEPKIT_STORAGE": "env.db"}
    assert held(None, environ) == ("env.db", "SWEEPKIT_STORAGE")
    assert held("option.db", environ) == ("option.db", "--storage")


def test_the_projects_of_a_repository_share_what_its_root_sets(tmp_path):
    one = tmp_path / "repository" / "packages" / "one"
    one.mkdir(parents=True)
    (one / "pyproject.toml").write_text("[project]\nname = 'one'\n")
    (tmp_path / "sweepkit.toml").write_text('output_dir = "beyond"\n')
    (tmp_path / "repository" / ".git").mkdir()
    assert project_settings(one) == {}  # the repository ends the search
    (tmp_path / "repository" / "sweepkit.toml").write_text('output_dir = "ours"\n')
    assert default_output_dir({}, one) == tmp_path / "repository" / "ours"
    (one / "sweepkit.toml").write_text('storage = "own.db"\n')
    assert default_output_dir({}, one) == one / "outputs"


@pytest.mark.parametrize(
    ("name", "text", "where", "stated"),
    [
        ("pyproject.toml", "[tool.sweepkit]\n\noutptu-dir = 'x'\n", (3, "tool.sweepkit.outptu-dir"), "'output_dir'"),
        ("sweepkit.toml", "zzz = 'x'\n", (1, "zzz"), "output_dir, storage"),
        ("sweepkit.toml", "storage = 3\n", (1, "storage"), "got 3"),
        ("sweepkit.toml", "storage = \n", (None, ""), "TOML"),
        ("pyproject.toml", "[tool]\nsweepkit = 'yes'\n", (None, "tool.sweepkit"), "table"),
    ],
)
def test_what_a_project_file_cannot_mean_is_told_with_its_place(tmp_path, name, text, where, stated):
    (tmp_path / name).write_text(text)
    with pytest.raises(SpecError, match=stated) as error:
        project_settings(tmp_path)
    (problem,) = error.value.problems
    assert (problem.where, problem.line, problem.key) == (str(tmp_path / name), *where)


def test_a_broken_project_file_stops_commands_but_not_their_help(tmp_path):
    (tmp_path / "sweepkit.toml").write_text("storge = 'x'\n")
    refused = in_this_process(app.main, ["list"], tmp_path)
    assert refused.returncode == 2 and "'storage'" in refused.stderr
    assert in_this_process(app.main, ["list", "--help"], tmp_path).returncode == 0


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with a sweep that has run, started from elsewhere; and another one beside it."""
    folder = tmp_path_factory.mktemp("projects")
    for name in ("mine", "other"):
        (folder / name / "sweeps").mkdir(parents=True)
        (folder / name / "pyproject.toml").write_text(f"[project]\nname = '{name}'\n")
    sweeps = Sweeper(folder / "mine" / "sweeps")
    sweeps.write(SWEEP, "sweep.yaml")
    sweeps.write(PROGRAM, "train.py")
    elsewhere = Sweeper(folder / "other")
    command = elsewhere.command(sweep="../mine/sweeps/sweep.yaml")
    at = command.index("--output-dir")
    del command[at : at + 2]
    done = warm.run(command, timeout=120, cwd=folder / "other", env=elsewhere.env)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_results_go_to_the_project_of_the_yaml(project):
    assert (project / "mine" / "outputs" / "sweep_sweep" / "runs.csv").is_file()
    assert not (project / "other" / "outputs").exists() and not (project / "mine" / "sweeps" / "outputs").exists()


@pytest.mark.parametrize("below", [".", "sweeps"])
def test_every_command_finds_the_sweep_from_its_project_and_from_folders_in_it(project, below):
    here = project / "mine" / below
    for argv in (["list"], ["show", "sweep"], ["watch", "--once"], ["export", "--csv"], ["analyze", "--no-report"]):
        done = in_this_process(app.main, argv, here)
        assert done.returncode == 0 and done.stdout, (argv, done.stderr)
    for argv in (["clean", "--keep-best", "1", "--dry-run"], ["rm", "sweep", "--dry-run"], ["db", "check"]):
        assert in_this_process(app.main, argv, here).returncode == 0, argv
    assert in_this_process(db.main, ["check"], here).returncode == 0
    assert in_this_process(monitor_sweep.main, ["sweep", "--once"], here).returncode == 0


def test_a_yaml_that_is_named_brings_its_project(project):
    done = in_this_process(app.main, ["watch", "--once", "../mine/sweeps/sweep.yaml"], project / "other")
    assert done.returncode == 0, done.stderr
    argv = ["--sweep-config", "../mine/sweeps/sweep.yaml", "--dry-run", "--json"]
    assert in_this_process(sweep_runner.main, argv, project / "other").returncode == 0
    assert not (project / "other" / "outputs").exists()


def test_the_python_api_takes_the_project_of_the_yaml_too(project, monkeypatch):
    monkeypatch.chdir(project / "other")
    sweep = sweepkit.sweep("../mine/sweeps/sweep.yaml")
    assert sweep.folder == project / "mine" / "outputs" / "sweep_sweep" and sweep.state == "finished"
    monkeypatch.setenv("SWEEPKIT_OUTPUT_DIR", "elsewhere")
    assert sweepkit.sweep("../mine/sweeps/sweep.yaml").folder.parent == project / "other" / "elsewhere"


def test_a_moved_project_keeps_its_results(project, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(project / "mine", moved)
    assert "sweep" in in_this_process(app.main, ["list"], moved / "sweeps").stdout


def test_doctor_says_which_file_sets_what(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "_forks", lambda: doctor._good("starts", ""))
    (tmp_path / "pyproject.toml").write_text('[tool.sweepkit]\noutput_dir = "results"\nstorage = "runs.db"\n')
    (tmp_path / "below").mkdir()
    done = in_this_process(app.main, ["doctor", "--json"], tmp_path / "below")
    found = {item["part"]: item["text"] for item in map(json.loads, done.stdout.splitlines())}
    said = f"{tmp_path / 'pyproject.toml'} [tool.sweepkit]"
    assert f"{tmp_path / 'results'} ({said})" in found["output folder"]
    assert f"{tmp_path / 'runs.db'} ({said})" in found["database"]
    assert str(tmp_path) in found["project"]
