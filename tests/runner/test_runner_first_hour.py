"""The first hour: a typo, the fix, the same command; and exit codes that say whether there is a result."""

import json
import signal
import subprocess
import sys

import pytest
import warm
from sweeping import Sweeper

from sweepkit.errors import SpecError
from sweepkit.paths import CODE_DIR
from sweepkit.runner.options import RunOptions
from sweepkit.runner.plan import make_plan

GRID = """\
program: g.py
method: grid
metric: {name: a, goal: maximize}
parameters: {x: {values: [1, 2, 3, 4, 5, 6, 7]}}
"""
WORKS = """\
import argparse, json, os
p = argparse.ArgumentParser(); p.add_argument("--x", type=int); a = p.parse_args()
open(os.environ["SWEEPKIT_REPORT_FILE"], "a").write(json.dumps({"a": a.x}) + "\\n")
"""
FEW = GRID.replace("[1, 2, 3, 4, 5, 6, 7]", "[1, 2]")
SAYS_NOTHING = "import sys"
WAITS = "import pathlib, time\npathlib.Path('here').touch()\ntime.sleep(600)\n"


@pytest.fixture
def sweeper(tmp_path):
    made = Sweeper(tmp_path)
    made.write(GRID)
    made.forks = True  # what it says of the next step is the command that it was started by
    return made


def steps(done):
    return [line.rpartition(": ")[2] for line in done["next"]]


@pytest.mark.slow
def test_a_typo_the_fix_and_the_same_command_leave_no_point_untried(sweeper):
    sweeper.write("raise ValueError('typo')", "g.py")
    done = sweeper.summary(rc=1)
    assert (done["complete"], done["counts"]) == (False, {"failed": 5})
    (step,) = steps(done)
    assert step.endswith("code/sweep_runner.py --sweep-config s.yaml --output-dir out --json")  # the same command
    sweeper.write(WORKS, "g.py")
    done = sweeper.summary()
    assert (done["complete"], done["counts"], done["next"]) == (True, {"finished": 7}, [])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "counts", "complete", "option"),
    [
        ("raise ValueError('always')", {"failed": 2}, False, ""),
        (SAYS_NOTHING, {"finished": 2}, True, "--fresh"),
        (WORKS + "if a.x == 2: raise ValueError('sometimes')", {"finished": 1, "failed": 1}, False, "--retry-failed"),
    ],
    ids=["all failed", "never logged", "one failed"],
)
def test_the_exit_code_says_whether_there_is_a_result(sweeper, program, counts, complete, option):
    sweeper.write(FEW)
    sweeper.write(program, "g.py")
    done = sweeper.summary(rc=0 if option == "--retry-failed" else 3)
    assert (done["complete"], done["counts"]) == (complete, counts)
    (step,) = steps(done)
    assert step.endswith(f"--json {option}".strip())


@pytest.mark.slow
def test_a_lone_trial_that_failed_is_tried_again_with_the_rest(sweeper):
    sweeper.write(FEW)
    sweeper.write("raise ValueError('typo')", "g.py")
    assert sweeper.summary("--count", "1", rc=3)["counts"] == {"failed": 1}
    sweeper.write(WORKS, "g.py")
    assert sweeper.summary()["counts"] == {"finished": 2}


@pytest.mark.slow
def test_fresh_names_the_sweep_that_continues_and_how(sweeper):
    sweeper.write(WORKS, "g.py")
    sweeper.summary("--count", "1")
    done = sweeper.summary("--fresh", "--count", "1")
    (step,) = steps(done)
    assert done["sweep"] == "s-2" and "--fresh" not in step
    assert sweeper.summary()["sweep"] == "s-2"  # what the line says


@pytest.mark.slow
@pytest.mark.parametrize("door", ["run", "script"])
def test_a_step_works_when_it_is_pasted_where_it_was_printed(tmp_path, door):
    """The shell reads it and says which command it would start; that is forked warm."""
    made = Sweeper(tmp_path / "내 것")
    made.folder.mkdir()
    made.write(FEW, "my sweep.yaml")
    made.write(WORKS, "g.py")
    called = [str(CODE_DIR / "sweep_runner.py"), "--sweep-config"] if door == "script" else ["-m", "sweepkit", "run"]
    command = [sys.executable, *called, "my sweep.yaml", "--output-dir", "o 1", "--fresh", "--count", "1", "--json"]

    def end(given):
        env = {**made.env, "PYTHONPATH": str(CODE_DIR)}
        done = warm.run(given, cwd=made.folder, env=env, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    first = end(command)
    assert first["counts"] == {"finished": 1}
    step = first["next"][0].partition(": ")[2]
    read = subprocess.run(
        ["sh", "-ec", f"set -- {step}\nprintf '%s\\0' \"$@\""], capture_output=True, text=True, check=True
    )
    second = end(read.stdout.split("\0")[:-1])
    assert (second["sweep"], second["counts"]) == (first["sweep"], {"finished": 2})


@pytest.mark.slow
@pytest.mark.parametrize("code", [0, 75])
def test_a_machine_that_is_taken_back_leaves_with_the_code_that_was_asked_for(sweeper, code):
    sweeper.write(WAITS, "g.py")
    process = sweeper.parallel(
        "--single-parallel", "s.yaml", "--num-workers", "1", "--preempted-exit-code", str(code), "--json"
    )
    for line in process.stdout:
        if json.loads(line)["event"] == "run_started":
            break
    process.send_signal(signal.SIGTERM)
    done = sweeper.ended(process, rc=code)["s"]
    assert not done["complete"] and steps(done)


EVERYWHERE_WRONG = """\
program: trian.py
method: grdi
metric: {name: loss, goal: minimise}
parameters:
  lr: {min: 0.0, max: 1.0}
  kind: {values: [a, b]}
  momentum: {mn: 0.0, max: 0.99}
run_cap: -1
sweepkit:
  retrys: 1
  conditions:
    momentum: {when: {knd: b}}
    lr: {when: {kind: c}}
"""


def test_every_problem_of_a_yaml_is_told_at_once_in_the_order_of_its_lines(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text("")
    (tmp_path / "s.yaml").write_text(EVERYWHERE_WRONG)
    with pytest.raises(SpecError) as refused:
        make_plan(RunOptions(output_dir=tmp_path / "out"), "s.yaml")
    found = [(problem.line, problem.key) for problem in refused.value.problems]
    assert found == [
        (1, "program"),
        (2, "method"),
        (3, "metric.goal"),
        (7, "parameters.momentum.mn"),
        (7, "parameters.momentum"),
        (8, "run_cap"),
        (10, "sweepkit.retrys"),
        (12, "sweepkit.conditions.momentum.when.knd"),
        (13, "sweepkit.conditions.lr.when.kind"),
    ]


def test_what_is_wrong_around_a_yaml_that_is_right_is_told_at_once_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_text(
        "program: p.py\nmethod: random\nmetric: {name: loss}\nsweepkit: {search_space: 'space:draw'}\nrun_cap: 1\n"
    )
    with pytest.raises(SpecError) as refused:
        make_plan(RunOptions(output_dir=tmp_path / "out"), "s.yaml")
    assert [problem.key for problem in refused.value.problems] == ["program", "sweepkit.search_space"]
