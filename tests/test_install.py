"""The wheel in an environment of its own: what a stranger gets by pip, without the checkout and without torch."""

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pip
import pytest

from sweepkit.paths import ROOT_DIR
from sweepkit.version import VERSION

pytestmark = pytest.mark.slow  # a wheel is built and installed, a sweep is run

EXTRAS = {"torch", "transformers", "accelerate", "peft", "rouge_score", "pyarrow", "psycopg", "starlette", "uvicorn"}
PROGRAM = """
import argparse, json, os
p = argparse.ArgumentParser(); p.add_argument("--lr", type=float); lr = p.parse_args().lr
open(os.environ["SWEEPKIT_REPORT_FILE"], "a").write(json.dumps({"val/loss": lr}) + "\\n")
"""
SWEEP = """
program: train.py
method: random
metric: {name: val/loss, goal: minimize}
parameters: {lr: {min: 0.0, max: 1.0}}
run_cap: 2
sweepkit: {seed: 1}
"""
HIDE = """
import importlib.abc, sys
class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in {extras!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hidden())
"""
# Each line asks for one call of the command, in a fork of this process, which has imported what all of them do.
FORKS = """
import json, os, runpy, sys
import sweepkit.cli.app, sweepkit.runner.call
for line in sys.stdin:
    script, words, folder, out, err = json.loads(line)
    if (pid := os.fork()) == 0:
        os.chdir(folder)
        for number, path in ((1, out), (2, err)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.argv = [script, *words]
        sys.path[0] = os.path.dirname(script)
        runpy.run_path(script, run_name="__main__")
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT_DIR, check=True, capture_output=True, timeout=120)
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Call `sweepkit` of an environment with the wheel and the core's packages, without the checkout on its path."""
    folder = tmp_path_factory.mktemp("env")
    venv.create(folder, with_pip=False)
    site = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    runner = Path(pip.__file__).with_name("__pip-runner__.py")  # which `pip --python` starts in its turn
    command = [str(folder / "bin" / "python"), str(runner), "install", "--quiet"]
    subprocess.run([*command, "--no-deps", "--no-index", "--no-compile", str(wheel)], check=True, timeout=120)
    checkout = {str(ROOT_DIR / "code"), str(ROOT_DIR)}
    shared = [path for path in sys.path if Path(path).name == "site-packages" and path not in checkout]
    (site / "shared.pth").write_text("\n".join([*shared, "import hide_extras"]) + "\n")
    (site / "hide_extras.py").write_text(HIDE.format(extras=EXTRAS))
    script = folder / "bin" / "sweepkit"
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SWEEPKIT_"))}

    def call(*words, cwd):
        return subprocess.run(
            [str(script), *words], cwd=cwd, env=environ, capture_output=True, text=True, encoding="utf-8", timeout=110
        )

    call.site, call.script, call.environ = site, script, environ
    return call


@pytest.fixture(scope="module")
def forked(installed, tmp_path_factory):
    """Call `sweepkit` as `installed` does, its imports made once for all calls."""
    folder = tmp_path_factory.mktemp("said")
    command = [str(installed.script.with_name("python")), "-c", FORKS]
    piped = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "encoding": "utf-8"}

    def call(*words, cwd):
        out, err = folder / "out", folder / "err"
        asked = [str(installed.script), words, str(cwd), str(out), str(err)]
        process.stdin.write(json.dumps(asked) + "\n")
        process.stdin.flush()
        code = int(process.stdout.readline())
        return subprocess.CompletedProcess(words, code, *(file.read_text(encoding="utf-8") for file in (out, err)))

    with subprocess.Popen(command, cwd=folder, env=installed.environ, **piped) as process:
        yield call


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    (folder / "train.py").write_text(PROGRAM)
    (folder / "sweep.yaml").write_text(SWEEP)
    return folder


def test_the_wheel_says_what_it_is(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (archive.read(name).decode() for name in names if name.endswith("METADATA"))
        (entry,) = (archive.read(name).decode() for name in names if name.endswith("entry_points.txt"))
    needed = {line.split(":")[1].strip() for line in metadata.splitlines() if line.startswith("Requires-Dist")}
    core = {text for text in needed if "extra ==" not in text}
    assert f"Version: {VERSION}\n" in metadata and "sweepkit = sweepkit.cli.app:main" in entry
    assert core and not any("==" in text for text in core)
    assert not {text for text in core if text.startswith(("torch", "transformers", "peft", "accelerate", "ray"))}
    assert "sweepkit/py.typed" in names


def test_every_configuration_and_the_embedded_data_are_in_it(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name.removeprefix("sweepkit/bundled/") for name in archive.namelist()}
    here = {str(path.relative_to(ROOT_DIR)) for path in (ROOT_DIR / "config").rglob("*.yaml")}
    here |= {str(path.relative_to(ROOT_DIR)) for path in (ROOT_DIR / "data" / "checkpoints").rglob("*.*")}
    here |= {str(path.relative_to(ROOT_DIR)) for path in (ROOT_DIR / "data").glob("*.csv")}
    assert here | {"code/trainer.py"} <= names


def test_ones_own_program_is_swept_where_it_stands(installed, project):
    done = installed("run", cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = project / "outputs" / "sweep_sweep"
    assert len(list(folder.glob("run_*_result.json"))) == 2 and (folder / "report.html").is_file()
    assert not (installed.site / "outputs").exists()


def test_what_is_typed_next_is_the_command(forked, project):
    done = forked("analyze", "sweep", "--no-report", cwd=project)
    assert done.returncode == 0 and "sweepkit confirm sweep" in done.stdout


@pytest.mark.parametrize(
    "words", [("run", "first_sweep"), ("train",), ("run", "sweep", "--storage", "postgresql://u@h/d")]
)
def test_a_missing_extra_is_one_line(words, forked, project):
    done = forked(*words, cwd=project)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "pip install " in done.stderr and "sweepkit[" in done.stderr
