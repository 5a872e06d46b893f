"""Terminals and processes that are not what one expects: closed streams, few descriptors, text that steers, pipes."""

import io
import os
import resource
import subprocess
import sys

import pytest
from sweeping import PROGRAMS, RUNNER, Sweeper

from sweepkit.agents import identity
from sweepkit.cli.guard import guarded
from sweepkit.errors import LaunchError, SweepKitError
from sweepkit.reports.terminal import make_console
from sweepkit.text.shown import printable

GRID = f"""\
program: {PROGRAMS / "loss.py"}
method: grid
metric: {{name: loss, goal: minimize}}
parameters:
  x: {{values: [1]}}
"""


@pytest.fixture
def sweeper(tmp_path):
    made = Sweeper(tmp_path)
    made.write(GRID)
    return made


@pytest.mark.parametrize("closed", [(1,), (1, 2), (0, 1, 2)], ids=["stdout", "stdout and stderr", "all"])
def test_a_sweep_runs_though_its_caller_closed_its_streams(sweeper, closed):
    def close():
        for number in closed:
            os.close(number)

    process = subprocess.Popen(
        sweeper.command(), cwd=sweeper.folder, env=sweeper.env, preexec_fn=close, stderr=subprocess.PIPE
    )
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, b"")
    assert [result["state"] for result in sweeper.results()] == ["finished"]


@pytest.mark.parametrize("files", [8, 10, 12])
def test_too_few_descriptors_are_a_message(sweeper, files):
    done = subprocess.run(
        [sys.executable, str(RUNNER), "--sweep-config", "s.yaml", "--output-dir", "out"],
        cwd=sweeper.folder, env=sweeper.env, capture_output=True, text=True, timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files)),
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert done.returncode == 0 or (done.returncode == 2 and "ulimit -n" in done.stderr)


STEERS = "b\x1b[31mred\x9b2J\u202eX"


def test_text_cannot_steer_the_terminal(capsys):
    out = io.StringIO()
    console = make_console(file=out, force_terminal=True, width=80, highlight=False)
    console.print(f"[bold]{STEERS}[/bold]")
    assert "\\x1b[31mred" in out.getvalue() and "\x1b[31m" not in out.getvalue()
    assert "\x1b[1m" in out.getvalue()  # what is ours is kept

    @guarded
    def main(_):
        raise SweepKitError(STEERS)

    assert main([]) == 2
    assert capsys.readouterr().err == "error: b\\x1b[31mred\\x9b2J\\u202eX\n"
    assert printable("plain 한국어\tand\nlines") == "plain 한국어\tand\nlines"


def test_a_named_pipe_is_no_program_and_one_beside_a_program_is_not_read(sweeper):
    os.mkfifo(sweeper.folder / "pipe.py")
    sweeper.write("program: pipe.py\nmethod: grid\nparameters: {x: {values: [1]}}\n", "pipe.yaml")
    refused = sweeper.asked(sweep="pipe.yaml")
    assert refused.returncode == 2 and "named pipe" in refused.stderr
    sweeper.write("print('fine')", "own.py")
    sweeper.write("program: own.py\nmethod: grid\nparameters: {x: {values: [1]}}\n")
    assert sweeper.summary()["counts"] == {"finished": 1}


def test_a_proc_of_another_pid_namespace_is_named(monkeypatch):
    identity.check_proc()
    monkeypatch.setattr(os, "readlink", lambda path: "1")
    with pytest.raises(LaunchError, match="/proc"):
        identity.check_proc()


def test_a_program_may_lead_a_process_group(sweeper):
    sweeper.write("import os\nos.setpgrp()\nassert os.getpgrp() == os.getpid()\n", "own.py")
    sweeper.write("program: own.py\nmethod: grid\nparameters: {x: {values: [1]}}\n")
    assert sweeper.summary()["counts"] == {"finished": 1}
