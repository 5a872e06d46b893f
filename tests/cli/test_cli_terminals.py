"""Terminals and processes that are not what one expects: closed streams, few descriptors, text that steers, pipes."""

import io
import json
import os
import re
import resource
import subprocess
import sys

import pytest
from sweeping import PROGRAMS, RUNNER, Sweeper, in_this_process

from sweepkit.agents import identity
from sweepkit.cli import app
from sweepkit.cli.guard import guarded
from sweepkit.errors import LaunchError, SweepKitError
from sweepkit.model.records import RunRecord, SweepState
from sweepkit.model.runs import RunState
from sweepkit.paths import CODE_DIR
from sweepkit.reports.cells import Cells, as_text
from sweepkit.reports.table import as_rich
from sweepkit.reports.terminal import make_console, print_table
from sweepkit.store.open import open_store
from sweepkit.sweep_config.read import read_sweep_text
from sweepkit.text.json_text import json_text
from sweepkit.text.shown import printable, say

pytestmark = pytest.mark.slow

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


@pytest.mark.parametrize(
    "closed",
    [(1,), pytest.param((1, 2), marks=pytest.mark.heavy), (0, 1, 2)],
    ids=["stdout", "stdout and stderr", "all"],
)
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


@pytest.mark.parametrize("files", [8, pytest.param(10, marks=pytest.mark.heavy), 12])
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
    console.print(STEERS, "[/INST]", style="bold")
    assert "\\x1b[31mred" in out.getvalue() and "[/INST]" in out.getvalue() and "\x1b[31m" not in out.getvalue()
    assert "\x1b[1m" in out.getvalue()  # what is ours is kept

    @guarded
    def main(_):
        raise SweepKitError(STEERS)

    assert main([]) == 2
    assert capsys.readouterr().err == "error: b\\x1b[31mred\\u009b2J\\u202eX\n"
    assert printable("plain 한국어\tand\nlines") == "plain 한국어\tand\nlines"


def test_json_stays_json_and_a_table_keeps_its_columns(capsys):
    values = {STEERS: STEERS + "\x7f\u2028"}
    say(json_text(values))
    shown = capsys.readouterr().out
    assert json.loads(shown) == values and printable(shown) == shown
    rows = (("a\nb", "1"), (STEERS, "2"))
    text = as_text(Cells(caption="", heads=("name", "loss"), rows=rows), width=80)
    assert printable(text) == text
    assert {line.rindex(mark) for line, mark in zip(text.splitlines(), "s12", strict=True)} == {32}


STEERED = f"""\
program: {PROGRAMS / "loss.py"}
name: "{ascii(STEERS)[1:-1]}"
method: grid
metric: {{name: loss, goal: minimize}}
parameters:
  x: {{values: ["{ascii(STEERS)[1:-1]}"]}}
"""


def test_no_command_lets_a_name_steer_the_terminal(tmp_path):
    place = ("--output-dir", str(tmp_path))
    (tmp_path / "s.yaml").write_text(STEERED)
    with open_store(tmp_path / "sweepkit.db") as store:
        sweep, _ = store.create_sweep(STEERS, text=STEERED, seed=0, metric="loss", goal="minimize")
        store.add_run(sweep.sweep_id, 0, {"x": STEERS})
        store.update_sweep(sweep.sweep_id, state=SweepState.FINISHED)
    commands = (
        ("run", "s.yaml", "--dry-run"), ("list",), ("list", "--json"), ("show", STEERS), ("watch", STEERS, "--once"),
        ("analyze", STEERS, "--no-report"), ("tag", STEERS, STEERS), ("note", STEERS, STEERS), ("archive", STEERS),
        ("export", "--bogus" + STEERS), ("rm", STEERS, "--dry-run"), ("rename", STEERS, STEERS + "2"),
    )  # fmt: skip
    for words in commands:
        done = in_this_process(app.main, [*words, *place], tmp_path)
        assert "b" + STEERS[1:] not in done.stdout + done.stderr, words
        assert printable(done.stdout + done.stderr) == done.stdout + done.stderr, words


@pytest.mark.parametrize("width", [200, 30])
def test_values_and_names_are_no_markup(width):
    text = GRID.replace("loss, goal", '"[/m]", goal').replace("[1]", '["[/INST]", "[bold]a", ":smile:", "\\x1b["]')
    spec = read_sweep_text(text, source="s.yaml", directory="", default_name="s")
    runs = [
        RunRecord(run_id=f"r{n}", sweep_id="s", number=n, params={"x": value}, state=RunState.FINISHED, history=(1.0,))
        for n, value in enumerate(("[/INST]", "[bold]a", ":smile:", "\x1b[", "a" * 12))
    ]
    out = io.StringIO()
    print_table(make_console(file=out, width=width, highlight=False), as_rich(spec, runs))
    for shown in ("[/m]", "[/INST]", "[bold]a", ":smile:", "\\x1b[", "a" * 12):
        assert shown in out.getvalue()
    assert max(map(len, out.getvalue().splitlines())) <= width


# Processes without our package (3.9's library alone), and data for another program.
WRITE = {
    "descent.py",
    "ending.py",
    "package_query.py",
    "wandb_hook.py",
    "wandb_compat.py",
    "record_commands.py",
    "shown.py",
}


def test_what_is_said_is_said_by_the_one_function_that_writes_controls_out():
    """Ruff holds `print` (T201)."""
    files = (CODE_DIR / "sweepkit").rglob("*.py")
    assert {file.name for file in files if re.search(r"std(out|err)\.write", file.read_text())} <= WRITE


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
