"""A sweep is its program and its folder, not its name alone: nobody is given another one's results."""

import ast
import importlib.machinery
import json
import shutil
import sqlite3
import sys

import pytest
import warm
from sweeping import RUNNER, Sweeper, in_this_process

from sweepkit.cli import app
from sweepkit.model.identity import identity_in
from sweepkit.model.records import SweepRecord, SweepState
from sweepkit.runner.options import RunOptions
from sweepkit.runner.own_sweep import changed_files
from sweepkit.runner.plan import make_join_plan
from sweepkit.runner.program_source import _imported, _parsed_imports, files_of_program
from sweepkit.runner.program_version import version_of
from sweepkit.runner.relocation import relocated
from sweepkit.store.open import open_store

pytestmark = pytest.mark.slow

PROGRAM = """\
import argparse, json, os
p = argparse.ArgumentParser()
p.add_argument("--x", type=int)
a = p.parse_args()
with open(os.environ["SWEEPKIT_REPORT_FILE"], "a") as file:
    file.write(json.dumps({"loss": a.x + OFFSET}) + "\\n")
"""
SWEEP = """\
program: train.py
method: grid
metric: {name: loss, goal: minimize}
parameters: {x: {values: [1, 2]}}
"""


class Project(Sweeper):
    """A folder with a sweep whose values tell whose program made them."""

    def __init__(self, folder, offset):
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder)
        self.options = ["--json"]
        self.write(SWEEP, "sweep.yaml")
        self.edit(offset)

    def edit(self, offset, name="train.py"):
        self.write(PROGRAM.replace("OFFSET", str(offset)), name)

    def run(self, *options, rc=0):
        """Run the sweep with results where nobody says otherwise; return its end and all notices."""
        command = [sys.executable, str(RUNNER), "--sweep-config", "sweep.yaml", *self.options, *options]
        done = self.here(command)
        assert done.returncode == rc, done.stdout + done.stderr
        events = [json.loads(line) for line in done.stdout.splitlines()]
        notes = [event["text"] for event in events if event["event"] == "notice"]
        return events[-1] if rc == 0 else done.stderr, notes


def values(end):
    return sorted(row["value"] for row in end["runs"])


@pytest.fixture
def storage(tmp_path):
    return str(tmp_path / "shared" / "runs.db")


def test_two_projects_with_equal_names_have_each_their_own_results(tmp_path):
    first, _ = Project(tmp_path / "p1", 0).run()
    second, _ = Project(tmp_path / "p2", 100).run()
    assert values(first) == [1, 2] and values(second) == [101, 102]
    assert second["sweep"] == "sweep" and (tmp_path / "p2" / "outputs" / "sweep_sweep" / "runs.csv").is_file()


@pytest.mark.parametrize("way", ["option", "variable"])
def test_two_projects_with_equal_names_share_a_database_and_no_results(tmp_path, storage, way):
    one, two = Project(tmp_path / "p1", 0), Project(tmp_path / "p2", 100)
    options = ["--storage", storage] if way == "option" else []
    for project in (one, two):
        project.env |= {} if options else {"SWEEPKIT_STORAGE": storage}
    first, _ = one.run(*options)
    second, notes = two.run(*options)
    assert values(first) == [1, 2] and values(second) == [101, 102]
    assert (first["sweep"], second["sweep"]) == ("sweep", "sweep-p2")
    assert any("sweep-p2" in note and str(tmp_path / "p1") in note for note in notes)
    for project, name in ((one, "sweep"), (two, "sweep-p2")):  # and each goes on with its own
        again, _ = project.run(*options)
        assert again["sweep"] == name and len(again["runs"]) == 2


def test_a_name_means_the_sweep_of_the_project_that_one_stands_in(tmp_path, storage):
    one, two = Project(tmp_path / "p1", 0), Project(tmp_path / "p2", 100)
    for project in (one, two):
        project.run("--storage", storage)

    def asked(folder, *words):
        done = in_this_process(app.main, [*words, "--storage", storage], folder)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert json.loads(asked(one.folder, "show", "sweep", "--json"))["value"] == 1
    assert json.loads(asked(two.folder, "show", "sweep", "--json"))["value"] == 101
    assert json.loads(asked(two.folder, "show", "sweep:1", "--json"))["value"] == 102
    tables = [asked(project.folder, "export", "sweep", "--csv") for project in (one, two)]
    assert [",101.0," in table for table in tables] == [False, True]
    assert json.loads(asked(two.folder, "watch", "sweep", "--once", "--json"))["sweeps"][0]["name"] == "sweep-p2"
    assert "sweep-p2" in asked(tmp_path, "watch", "--once", "p2/sweep.yaml")
    assert json.loads(asked(tmp_path, "show", "sweep", "--json"))["value"] == 1  # from elsewhere: the very name


@pytest.mark.parametrize("marker", [None, "pyproject.toml"])
def test_a_copied_experiment_that_is_edited_is_one_of_its_own(tmp_path, marker):
    if marker:
        (tmp_path / marker).touch()  # both in one project, and so in one database
    one = Project(tmp_path / "exp1", 0)
    first, _ = one.run()
    shutil.copytree(one.folder, tmp_path / "exp2")  # without a marker its results go with it
    two = Sweeper.__new__(Project)
    two.__dict__ |= {**one.__dict__, "folder": tmp_path / "exp2", "processes": []}
    two.edit(100)
    second, _ = two.run()
    assert values(first) == [1, 2] and values(second) == [101, 102]
    assert second["directory"] != first["directory"]
    assert values(one.run()[0]) == [1, 2] and values(two.run()[0]) == [101, 102]


def test_another_program_of_the_same_name_elsewhere_is_another_sweep(tmp_path):
    (tmp_path / "sweepkit.toml").touch()
    shared = tmp_path / "sweep.yaml"
    found = {}
    for name, offset in (("a", 0), ("b", 100)):
        project = Project(tmp_path / name, offset)  # the YAML is one, the program is looked up where it is started
        (project.folder / "sweep.yaml").unlink()
        shared.write_text(SWEEP)
        command = [sys.executable, str(RUNNER), "--sweep-config", "../sweep.yaml", "--json"]
        done = warm.run(command, timeout=120, cwd=project.folder, env=project.env)
        assert done.returncode == 0, done.stderr
        found[name] = json.loads(done.stdout.splitlines()[-1])
    assert values(found["a"]) == [1, 2] and values(found["b"]) == [101, 102]


def test_a_moved_project_goes_on_with_its_sweep(tmp_path):
    project = Project(tmp_path / "here", 0)
    (project.folder / "pyproject.toml").touch()
    project.run("--count", "1")
    project.folder.rename(tmp_path / "there")
    project.folder = tmp_path / "there"
    end, _ = project.run()
    assert end["sweep"] == "sweep" and values(end) == [1, 2]
    with open_store(tmp_path / "there" / "outputs" / "sweepkit.db") as store:
        assert store.sweeps()[0].meta["identity"]["folder"] == str(tmp_path / "there")


def test_a_moved_project_goes_on_in_a_database_that_stayed_where_it_was(tmp_path, storage):
    project = Project(tmp_path / "here", 0)
    project.run("--count", "1", "--storage", storage)
    project.folder.rename(tmp_path / "there")
    project.folder = tmp_path / "there"
    end, _ = project.run("--storage", storage)
    assert end["sweep"] == "sweep" and len(end["runs"]) == 2
    shutil.rmtree(project.folder)  # gone, and what takes its place is another program
    other = Project(tmp_path / "new", 100)
    end, _ = other.run("--storage", storage)
    assert values(end) == [101, 102]


# -- a program that changes -------------------------------------------------------------------------------------------
def test_a_program_that_was_changed_between_two_calls_is_told_and_its_earlier_runs_are_marked(tmp_path):
    project = Project(tmp_path / "p", 0)
    project.write("OFFSET = 0\n", "helper.py")
    project.write("from helper import OFFSET\n" + PROGRAM, "train.py")
    project.run("--count", "1")
    table = project.folder / "outputs" / "sweep_sweep" / "runs.csv"
    assert "program_version" not in table.read_text()
    project.write("OFFSET = 100\n", "helper.py")
    end, notes = project.run()
    assert values(end) == [1, 102]
    assert any("helper.py" in note and "1 of 1" in note for note in notes)
    versions = {row["number"]: row["program_version"] for row in end["runs"]}
    assert len(set(versions.values())) == 2 and "program_version" in table.read_text().splitlines()[0]
    shown = [
        json.loads(in_this_process(app.main, ["show", f"sweep:{number}", "--json"], project.folder).stdout)["program"]
        for number in (0, 1)
    ]
    assert shown == [
        {"version": versions[0], "changed": ["helper.py"]},
        {"version": versions[1], "changed": []},
    ]
    report = (project.folder / "outputs" / "sweep_sweep" / "report.html").read_text()
    assert versions[0] in report and versions[1] in report


def test_a_program_that_is_changed_while_its_sweep_runs_is_told_and_its_runs_are_marked(tmp_path):
    project = Project(tmp_path / "p", 0)
    project.write("OFFSET = 0\n", "helper.py")
    edits = 'if a.x == 1:\n    open("helper.py", "w").write("OFFSET = 10000\\n")\n'
    project.write("from helper import OFFSET\n" + PROGRAM + edits, "train.py")
    end, notes = project.run()
    assert values(end) == [1, 10002]
    assert any("helper.py" in note for note in notes)
    assert len({row["program_version"] for row in end["runs"]}) == 2


def test_a_version_is_the_same_wherever_the_project_lies_and_another_for_any_file_of_it(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.py").write_text("import other\n")
        (tmp_path / name / "other.py").write_text("x = 1\n")
    first, second = (version_of(files_of_program(tmp_path / name / "train.py"), tmp_path / name) for name in ("a", "b"))
    assert first.digest == second.digest and set(first.files) == {"train.py", "other.py"}
    (tmp_path / "b" / "other.py").write_text("x = 2\n")
    third = version_of(files_of_program(tmp_path / "b" / "train.py"), tmp_path / "b")
    assert third.digest != first.digest and third.changed(first) == ["other.py"]


def test_a_program_that_is_no_python_or_does_not_parse_has_a_version_too(tmp_path):
    for name, text in (("run.sh", "echo 1\n"), ("broken.py", "def (\n")):
        (tmp_path / name).write_text(text)
        assert version_of(files_of_program(tmp_path / name), tmp_path).digest
    assert version_of([], tmp_path).digest == ""


# -- records from before ----------------------------------------------------------------------------------------------
def forget_identity(database):
    """Make a record what it was before sweeps had an identity and runs a version."""
    with sqlite3.connect(database) as connection:
        for sweep_id, text in connection.execute("SELECT sweep_id, meta FROM sweeps").fetchall():
            meta = {key: value for key, value in json.loads(text).items() if not key.startswith(("program ", "identi"))}
            connection.execute("UPDATE sweeps SET meta = ? WHERE sweep_id = ?", (json.dumps(meta), sweep_id))
        for run_id, text in connection.execute("SELECT run_id, outcome FROM runs").fetchall():
            outcome = {key: value for key, value in json.loads(text).items() if key != "program_version"}
            connection.execute("UPDATE runs SET outcome = ? WHERE run_id = ?", (json.dumps(outcome), run_id))
    connection.close()


def test_an_old_record_goes_on_and_is_nobody_elses(tmp_path, storage):
    one, two = Project(tmp_path / "p1", 0), Project(tmp_path / "p2", 100)
    one.run("--count", "1", "--storage", storage)
    forget_identity(storage)
    second, _ = two.run("--storage", storage)
    assert values(second) == [101, 102] and second["sweep"] == "sweep-p2"
    first, _ = one.run("--storage", storage)
    assert values(first) == [1, 2] and first["sweep"] == "sweep"


def test_an_old_record_of_a_moved_project_goes_on(tmp_path):
    project = Project(tmp_path / "here" / "sub", 0)
    (tmp_path / "here" / "pyproject.toml").touch()
    project.run("--count", "1")
    forget_identity(tmp_path / "here" / "outputs" / "sweepkit.db")
    (tmp_path / "here").rename(tmp_path / "there")
    project.folder = tmp_path / "there" / "sub"
    end, _ = project.run()
    assert end["sweep"] == "sweep" and values(end) == [1, 2]


def test_a_sweep_that_comes_with_us_is_one_in_all_checkouts(tmp_path):
    meta = {
        "program": "/elsewhere/code/trainer.py",
        "directory": "/elsewhere/config/sweep",
        "source": "../config/sweep/first_sweep.yaml",
        "cwd": "/elsewhere/code",
        "code_dir": "/elsewhere/code",
    }
    known = identity_in(SweepRecord(**RECORD, meta=meta))
    assert (known.folder, known.program) == ("", "sweepkit:trainer.py")
    assert identity_in(SweepRecord(**RECORD, meta={})) is None


RECORD = {
    "sweep_id": "abcd1234",
    "name": "s",
    "family": "s",
    "generation": 1,
    "text": "",
    "seed": 1,
    "state": SweepState.RUNNING,
    "reason": "",
    "created_at": 0.0,
    "metric": None,
    "goal": None,
}


IMPORTS = '''
"""from here on nothing is meant, nor
from nowhere import nothing
"""
import one, two.inner as three; import four
from five import (
    a,  # a comment with )
    b,
)
from six import x, \\
    y
import twelve  # (a comment
try: import seven
except ImportError: eight = None
if True:
    from . import nine
def late():
    from ten.deep import *
text = "import eleven"
'''


def test_imports_are_found_without_parsing_the_rest():
    quick, whole = (set(_imported(tree, "p")) for tree in (_parsed_imports(IMPORTS), ast.parse(IMPORTS)))
    assert whole <= quick
    assert quick - whole <= {("nowhere.nothing", True)}


def test_a_module_is_looked_for_once_however_many_files_import_it(tmp_path, monkeypatch):
    package = tmp_path / "project"
    package.mkdir()
    (package / "__init__.py").write_text("")
    names = [f"part{number}" for number in range(30)]
    for name in names:
        (package / f"{name}.py").write_text("".join(f"from project.{other} import thing\n" for other in names))
    (tmp_path / "train.py").write_text("import project.part0\n")
    looked = []
    find = importlib.machinery.PathFinder.find_spec
    monkeypatch.setattr(
        importlib.machinery.PathFinder, "find_spec", lambda name, path=None: looked.append(name) or find(name, path)
    )
    assert len(files_of_program(tmp_path / "train.py")) == 32
    assert {name: looked.count(name) for name in names} == dict.fromkeys(names, 1)
    assert looked.count("project") == 1


def test_a_sweep_of_a_moved_project_is_known_by_its_name_too(tmp_path):
    project = Project(tmp_path / "here" / "sub", 0)
    (tmp_path / "here" / "pyproject.toml").touch()
    project.run("--count", "1")
    (tmp_path / "here").rename(tmp_path / "there")
    with open_store(tmp_path / "there" / "outputs" / "sweepkit.db") as store:
        record = store.sweep("sweep")
    moved = relocated(record, tmp_path / "there" / "sub").meta
    assert moved["program"] == str(tmp_path / "there" / "sub" / "train.py")
    assert moved["cwd"] == moved["directory"] == str(tmp_path / "there" / "sub")
    (tmp_path / "there" / "sub" / "train.py").write_text("another = True\n")
    assert relocated(record, tmp_path / "there") == record


def test_a_confirmation_is_told_that_the_program_has_changed(tmp_path):
    project = Project(tmp_path / "p", 0)
    project.run("--count", "1")
    options = RunOptions(output_dir=project.folder / "outputs")
    with open_store(project.folder / "outputs" / "sweepkit.db") as store:
        record = store.sweep("sweep")
    plan = make_join_plan(options, record)
    assert changed_files(plan, record) == []
    project.edit(100)
    assert changed_files(plan, record) == ["train.py"]
