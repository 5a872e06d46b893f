"""docs/projects.md, executed: its files are written, its commands typed one after another in a project of its own."""

import os
import re
import subprocess
import sys

import pytest
from warm_tool import warm_tool

from sweepkit.paths import ROOT_DIR
from sweepkit.sweep_config.read import read_sweep_text
from sweepkit.text.yaml import parse

TEXT = (ROOT_DIR / "docs" / "projects.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
# What the comments beside the commands promise, by words that are in the output of the document's blocks, in order.
PROMISED = (
    ("best:", "outputs/sweep_sweep", "runs.csv", "program version"),
    ("sweep-exp1", "sweep-exp2"),
    ("the program has changed since (train.py): 4 of 4", "changed since: train.py", "sweep-2"),
    ("sweepkit.toml", "results/runs.db", "elsewhere/sweep_sweep", "third/sweep_sweep"),
    ("environment/bin/python: python",),
    ("sweep_sweep",),
)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder, and the environment in which `sweepkit` is the command."""
    folder = tmp_path_factory.mktemp("doc")
    command = folder / "bin" / "sweepkit"
    (folder / "mine").mkdir()
    path = os.pathsep.join([str(command.parent), os.path.dirname(sys.executable), os.environ["PATH"]])
    with warm_tool(command):
        yield folder / "mine", {**os.environ, "PATH": path}


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_every_command_of_the_document_does_what_it_says(project):
    folder, env = project
    promised = list(PROMISED)
    for kind, text in BLOCKS:
        if kind != "sh":
            (folder / re.match(r"# (\S+)\n", text)[1]).write_text(text, encoding="utf-8")
            continue
        script = "set -e\n" + text
        done = subprocess.run(["bash", "-c", script], cwd=folder, env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, (text, done.stdout[-3000:], done.stderr)
        missing = [words for words in promised.pop(0) if words not in done.stdout]
        assert not missing, (missing, done.stdout)
    assert promised == []


def test_each_command_of_the_table_is_one_that_a_sweep_may_have():
    rows = re.findall(r"^\| [^|]+ \| `(\[.*?\])`", TEXT, re.MULTILINE)
    assert len(rows) == 5
    for command in rows:
        text = f"program: train.py\nmethod: random\nparameters: {{x: {{min: 0.0, max: 1.0}}}}\ncommand: {command}\n"
        spec = read_sweep_text(text)
        assert list(spec.command) == parse(text).data["command"] and "${args}" in spec.command
