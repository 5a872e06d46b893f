"""The packages of a run are those of the interpreter that ran it, not of ours."""

import json
import subprocess
import sys
import venv
from importlib import metadata

import pytest
from sweeping import Sweeper, in_this_process

from sweepkit.agents.package_query import version_of, versions_of
from sweepkit.agents.packages import PackageVersions
from sweepkit.agents.warm_command import command_start
from sweepkit.cli import app

PACKAGE = """\
Metadata-Version: 2.1
Name: {name}
Version: {version}
"""
PROGRAM = """\
import json, os, numpy, odd_name
with open(os.environ["SWEEPKIT_REPORT_FILE"], "a") as file:
    file.write(json.dumps({"loss": 1}) + "\\n")
"""


def install(site, name, version, module):
    """Put a package of one module into an environment, as an installer would."""
    (site / module).mkdir()
    (site / module / "__init__.py").touch()
    info = site / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(PACKAGE.format(name=name, version=version))
    (info / "RECORD").write_text(f"{module}/__init__.py,,\n")


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """An environment of its own, with a numpy that nobody else has and a package whose module is named otherwise."""
    folder = tmp_path_factory.mktemp("environments") / "own"
    venv.create(folder, with_pip=False)
    site = next((folder / "lib").glob("python*/site-packages"))
    install(site, "numpy", "0.0.7", "numpy")
    install(site, "odd-distribution", "2.5", "odd_name")
    return folder / "bin" / "python"


def test_an_environment_tells_its_own_versions_by_the_names_of_its_packages(environment, tmp_path):
    versions = PackageVersions(lambda: ["odd_name", "json", "missing"], str(tmp_path))
    for interpreter in (str(environment), sys.executable):
        versions.ask(interpreter)
    theirs, ours = versions.of(str(environment)), versions.of(sys.executable)
    assert {**theirs, "python": ""} == {"python": "", "numpy": "0.0.7", "odd-distribution": "2.5"}
    assert ours["numpy"] != "0.0.7" and ours["python"] == sys.version.split()[0]


def test_a_version_is_that_of_the_metadata_of_any_kind(tmp_path, monkeypatch):
    (tmp_path / "older.egg-info").write_text(PACKAGE.format(name="older", version="0.9.post1"))
    install(tmp_path, "newer", "2.0", "newer")
    (tmp_path / "newer-2.0.dist-info" / "METADATA").write_text(
        PACKAGE.format(name="newer", version="2.0") + "\nDescription\n\nVersion: 1.0 was another one\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    found = {name: version_of(name) for name in ("older", "newer", "torch", "wandb", "numpy")}
    assert (found["older"], found["newer"]) == ("0.9.post1", "2.0")
    assert found == {name: metadata.version(name) for name in found}
    with pytest.raises(metadata.PackageNotFoundError):
        version_of("no-such-package")


def test_an_interpreter_is_asked_once(environment, tmp_path, monkeypatch):
    asked, run = [], subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda command, **more: asked.append(command) or run(command, **more))
    versions = PackageVersions(list, str(tmp_path))
    for _ in range(3):
        versions.ask(str(environment))
        assert versions.of(str(environment))["numpy"] == "0.0.7"
    assert len(asked) == 1


def test_an_interpreter_that_tells_nothing_costs_nothing_else(tmp_path):
    versions = PackageVersions(list, str(tmp_path))
    versions.ask("/bin/false")
    assert versions.of("/bin/false") == {}


def test_packages_are_found_by_the_names_of_their_modules():
    assert set(versions_of(["sklearn", "numpy", "no_such_module"])) == {"python", "scikit-learn", "numpy"}


@pytest.mark.parametrize(
    ("words", "known"),
    [
        (["PYTHON", "p.py"], True),
        (["env", "X=1", "PYTHON", "-O", "p.py"], True),  # a fresh process, and an interpreter all the same
        (["docker", "run", "image"], False),
        (["PYTHON"], True),
    ],
)
def test_which_interpreter_a_command_runs_with(environment, tmp_path, words, known):
    (tmp_path / "p.py").touch()
    argv = [str(environment) if word == "PYTHON" else word for word in words]
    start = command_start(argv, env={"PATH": "/usr/bin:/bin"}, cwd=str(tmp_path))
    assert start.interpreter == (str(environment) if known else "")


def test_record_result_and_show_name_the_environment_of_the_run(environment, tmp_path):
    sweeper = Sweeper(tmp_path)
    sweeper.write(PROGRAM, "p.py")
    sweeper.write(
        f"program: p.py\nmethod: grid\nmetric: {{name: loss}}\nparameters: {{x: {{values: [1, 2]}}}}\n"
        f"command: [{environment}, '${{program}}', '${{args}}']\n"
    )
    assert sweeper.summary()["counts"] == {"finished": 2}
    for result in sweeper.results():
        assert result["interpreter"] == str(environment)
        assert result["package_versions"]["numpy"] == "0.0.7"
        assert result["package_versions"]["odd-distribution"] == "2.5"
    argv = ["show", "s:0", "--output-dir", "out"]
    shown = json.loads(in_this_process(app.main, [*argv, "--json"], tmp_path).stdout)
    assert shown["outcome"]["package_versions"]["numpy"] == "0.0.7"
    assert "numpy 0.0.7" in in_this_process(app.main, argv, tmp_path).stdout
