"""The wheel in an environment of its own: what a stranger gets by pip, without the checkout and without torch."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

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
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", "--no-compile", str(wheel)], check=True, timeout=120)
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

    call.site = site
    return call


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


def test_what_is_typed_next_is_the_command(installed, project):
    done = installed("analyze", "sweep", "--no-report", cwd=project)
    assert done.returncode == 0 and "sweepkit confirm sweep" in done.stdout


@pytest.mark.parametrize(
    "words", [("run", "first_sweep"), ("train",), ("run", "sweep", "--storage", "postgresql://u@h/d")]
)
def test_a_missing_extra_is_one_line(words, installed, project):
    done = installed(*words, cwd=project)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "pip install " in done.stderr and "sweepkit[" in done.stderr
