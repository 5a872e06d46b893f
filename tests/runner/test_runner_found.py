"""Defects that using the scripts by hand found, each as the user met it."""

import dataclasses
import errno
import json
import os
import subprocess

import pytest
from snapshots import words_of
from sweeping import PROGRAMS, Sweeper

from sweepkit.agents.results import write_atomically
from sweepkit.cli.guard import guarded
from sweepkit.model.events import RunChanged
from sweepkit.model.runs import RunState, RunView
from sweepkit.paths import CONFIG_DIR
from sweepkit.reports.progress import Tally
from sweepkit.sweep_config.read import read_sweep_text

pytestmark = pytest.mark.slow

WORDS = words_of(__file__)

GRID = f"""\
program: {PROGRAMS / "loss.py"}
method: grid
metric: {{name: loss, goal: minimize}}
parameters:
  x: {{values: [3, 1, 2]}}
"""


@pytest.fixture
def sweeper(tmp_path):
    made = Sweeper(tmp_path)
    made.write(GRID)
    return made


def test_a_fresh_start_passes_over_a_name_that_another_sweep_has(sweeper):
    sweeper.write("name: s-2\n" + GRID.replace("[3, 1, 2]", "[7]"), "other.yaml")
    assert len(sweeper.summary(sweep="other.yaml")["runs"]) == 1
    sweeper.summary("--count", "1")
    fresh = sweeper.summary("--fresh")
    assert fresh["sweep"] == "s-3"
    assert [row["params.x"] for row in fresh["runs"]] == [1, 2, 3]
    assert [row["params.x"] for row in sweeper.summary(sweep="other.yaml")["runs"]] == [7]
    assert sweeper.summary()["sweep"] == "s-3"


@pytest.mark.parametrize(("first", "second"), [("a b", "a-b"), ("s", "s-2")])
def test_a_sweep_whose_folder_is_another_ones_is_refused(sweeper, first, second):
    sweeper.write(f"name: {first}\n{GRID}")
    sweeper.summary("--count", "1")
    if second == "s-2":
        sweeper.summary("--fresh", "--count", "1")
    sweeper.write(f"name: {second}\n{GRID}", "other.yaml")
    done = sweeper.ran(sweep="other.yaml")
    assert done.returncode == 2
    assert f"other.yaml: name: a sweep needs a folder of its own, but sweep_{second} is that of sweep" in done.stderr


def test_a_name_longer_than_a_file_name_may_be_still_has_a_folder(sweeper):
    sweeper.write(f"name: {'가' * 200}\n{GRID}")
    assert sweeper.summary()["counts"] == {"finished": 3}
    assert sweeper.summary()["counts"] == {"finished": 3}


def strict(text):
    def refuse(constant):
        raise AssertionError(f"not JSON: {constant}")

    return json.loads(text, parse_constant=refuse)


def test_what_is_not_finite_is_told_in_json_that_every_reader_takes(sweeper):
    sweeper.write(GRID.replace("x: {values: [3, 1, 2]}", "mode: {values: [good, nan]}"))
    done = sweeper.ran("--json")
    events = [strict(line) for line in done.stdout.splitlines()]
    assert "NaN" in [event["values"]["loss"] for event in events if event["event"] == "report"]
    assert events[-1]["counts"] == {"finished": 1, "diverged": 1}
    for file in (sweeper.folder / "out" / "sweep_s").glob("run_*_result.json"):
        strict(file.read_text(encoding="utf-8"))


def test_the_counts_hold_what_another_runner_does():
    spec = read_sweep_text(GRID, source="s.yaml", directory="", default_name="s")
    tally = Tally(spec, [], total=3, workers=1)
    theirs = RunView(number=0, run_id="theirs", params={"x": 3}, state=RunState.RUNNING, history=(2.0,))
    tally.take(RunChanged(view=theirs))
    assert tally.words() == "0/3 done, 1 running"
    tally.take(RunChanged(view=dataclasses.replace(theirs, state=RunState.FINISHED)))
    assert tally.words() == "1/3 done, best 2 (run theirs)"


def test_two_runners_together_count_the_whole_sweep(sweeper):
    sweeper.write(GRID.replace("[3, 1, 2]", "[1, 2, 3, 4, 5, 6]"))
    sweeper.env["PAUSE"] = "0.1"
    runners = [sweeper.start(stdout=subprocess.PIPE, text=True, encoding="utf-8") for _ in range(2)]
    said = [runner.communicate(timeout=120)[0] for runner in runners]
    ends = [line for text in said for line in text.splitlines() if line.startswith("run ")]
    assert len(ends) == 6
    # Whichever ended last proposed, and so looked, after at least four runs had ended, its own last one not counted.
    assert max(int(line.split("[")[1].split("/")[0]) for line in ends) >= 5


@pytest.mark.heavy
def test_the_best_configuration_has_the_seed_that_its_run_had(sweeper):
    sweeper.write("""\
        program: trainer.py
        method: grid
        metric: {name: eval/rouge_combined_f1, goal: maximize}
        parameters: {learning_rate: {value: 1e-3}, max_train_samples: {value: 8}, max_val_samples: {value: 2}}
        """)
    sweeper.env["SEED"] = "7"
    sweeper.summary("--base-config", str(CONFIG_DIR / "quick_test.yaml"))
    assert [result["seed"] for result in sweeper.results()] == [7]
    assert "seed: 7\n" in (sweeper.folder / "out" / "sweep_s" / "best_config.yaml").read_text()


def test_a_full_disk_is_a_message_and_leaves_no_half_file(tmp_path, capsys):
    @guarded
    def fill(argv):
        def full(*_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "there")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "replace", full)
            write_atomically(tmp_path / "runs.csv", "text")

    assert fill([]) == 2
    assert capsys.readouterr().err == (WORDS["error-there-the"])
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_before_the_first_run_shows_no_traceback(capsys):
    @guarded
    def interrupted(argv):
        raise KeyboardInterrupt

    assert interrupted([]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_parameters_that_the_trainer_does_not_know_are_told_with_their_lines(sweeper):
    sweeper.write("""\
        program: trainer.py
        method: grid
        metric: {name: num_beam, goal: maximize}
        parameters:
          learning_rat: {values: [1e-3]}
          "num_beam": {value: 1}
        """)
    said = sweeper.call("--dry-run").stderr
    assert "s.yaml:5: learning_rat: " in said and "s.yaml:6: num_beam: " in said


def test_a_run_that_is_tried_again_is_told_with_its_reason(sweeper):
    sweeper.write(GRID.replace("x: {values: [3, 1, 2]}", "mode: {value: fail-once}") + "sweepkit: {retries: 1}\n")
    sweeper.env["FLAG"] = str(sweeper.folder / "flag")
    again = next(line for line in sweeper.ran().stdout.splitlines() if "again" in line)
    assert "RuntimeError: 실패: x=1.0 (exit code 1); retry 1 of 1" in again
