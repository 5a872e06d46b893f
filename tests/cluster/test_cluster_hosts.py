"""Plain hosts: the commands of docs/cluster.md, word by word, on two hosts that share nothing but a network."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from journaled import journal_sweep
from sweeping import PROGRAMS
from waiting import wait_until

from sweepkit.cluster.postgres import ProjectPostgres
from sweepkit.model.runs import RunState
from sweepkit.paths import CODE_DIR, ROOT_DIR
from sweepkit.store.open import open_store

TEXT = (ROOT_DIR / "docs" / "cluster.md").read_text(encoding="utf-8")
COMMANDS = dict(re.findall(r"```sh on (\w)\n(.*?)```", TEXT, re.DOTALL))
NUMBERS = list(range(8))


class Host:
    """A host with a home, a project and programs of its own; `a` is the one that others reach by ssh."""

    def __init__(self, folder, name):
        self.home = folder / name
        self.project = self.home / "project"
        self.project.mkdir(parents=True)
        shutil.copy(PROGRAMS / "journal.py", self.project)
        (self.project / "my.yaml").write_text(journal_sweep(NUMBERS, program="journal.py"))
        programs = self.home / "bin"
        programs.mkdir()
        self._program(programs / "sweepkit", f'exec {sys.executable} -m sweepkit "$@"')
        self._program(programs / "scp", f'exec cp "{folder}/a/${{1#a:}}" "$2"')
        gates = {"JOURNAL": str(folder / "journal"), "GATES": str(folder / "gates"), "DURATION": "0.2"}
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        self.env = {**os.environ, **gates, "HOME": str(self.home), "PATH": path, "PYTHONPATH": str(CODE_DIR)}

    def _program(self, file, command):
        file.write_text(f"#!/bin/sh\n{command}\n")
        file.chmod(0o755)

    def start(self, lines):
        with (self.home / "said").open("ab") as said:
            command = ["bash", "-e", "-c", lines]
            return subprocess.Popen(command, cwd=self.project, env=self.env, stdout=said, stderr=said)


@pytest.mark.heavy
@pytest.mark.timeout(240)
def test_a_plain_host_joins_by_the_commands_of_the_page(open_path):
    (open_path / "gates").mkdir()
    a, b = Host(open_path, "a"), Host(open_path, "b")
    server = ProjectPostgres(a.project / "outputs" / "postgres")
    begins, runs = COMMANDS["a"].split("\n", 1)
    here = b.project.parent  # `cd project` of b
    journal = open_path / "journal"
    try:
        assert a.start(begins).wait(60) == 0, (a.home / "said").read_text()
        port = (server.folder / "port").read_text().strip()
        first = a.start(runs.replace("@a:5432", f"@127.0.0.1:{port}"))
        wait_until(journal.exists, "the sweep to begin")
        joined = COMMANDS["b"].replace("@a:5432", f"@127.0.0.1:{port}")
        second = subprocess.Popen(["bash", "-e", "-c", joined], cwd=here, env=b.env)
        wait_until(lambda: len({line.split()[1] for line in journal.read_text().splitlines()}) > 1, "two runs")
        for number in NUMBERS:
            (open_path / "gates" / str(number)).touch()
        assert (first.wait(90), second.wait(90)) == (0, 0), (a.home / "said").read_text()
        with open_store(f"{server.url('127.0.0.1')}") as store:
            runs_made = store.runs(store.sweep("my").sweep_id)
        assert [run.state for run in runs_made] == [RunState.FINISHED] * len(NUMBERS)
        ended = [json.loads(line.split()[1]) for line in journal.read_text().splitlines() if line.startswith("end")]
        assert sorted(ended) == NUMBERS
        assert list((b.project / "outputs" / "sweep_my" / "logs").glob("*.log"))  # its own runs' files are there
    finally:
        server.stop()
