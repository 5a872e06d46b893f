"""SIGTERM to the runner: trainings are saved, it exits 0 within the grace, and the same command goes on from there."""

import json
import signal
import subprocess

import pytest
from sweeping import Sweeper

pytestmark = pytest.mark.slow

SWEEP = """\
program: trainer.py
method: grid
metric: {{name: eval/loss, goal: minimize}}
parameters:
  learning_rate: {{values: {rates}}}
  max_train_samples: {{value: 24}}
  max_val_samples: {{value: 4}}
  allow_small_val: {{value: true}}
  predict_with_generate: {{value: false}}
  per_device_train_batch_size: {{value: 8}}
  num_train_epochs: {{value: 30}}
  eval_steps: {{value: 10}}
  dropout_rate: {{value: 0.2}}
  save_model: {{value: false}}
  use_cpu: {{value: true}}
sweepkit:
  preload: [sweepkit.training.preload]
  cpus_per_run: 1
"""
# Says how it was asked to end; STUBBORN in the environment makes it go on all the same.
ASKED = """\
import os, signal, sys, time

def asked(*_):
    with open("asked", "a") as file:
        file.write(f"{sys.argv[1]} {os.path.exists(os.environ['SWEEPKIT_PREEMPT_FILE'])}\\n")
    if "STUBBORN" not in os.environ:
        os._exit(143)

signal.signal(signal.SIGTERM, asked)
number = float(sys.argv[1].partition("=")[2])
with open(os.environ["SWEEPKIT_REPORT_FILE"], "a", buffering=1) as file:
    for _ in range(3):
        file.write(f'{{"loss": {number}}}\\n')
if os.path.exists("quick") and number < 2:
    raise SystemExit
while True:
    time.sleep(1)
"""
OF_ASKED = """\
program: asked.py
method: grid
metric: {name: loss, goal: minimize}
parameters:
  number: {values: [1, 2]}
sweepkit: {kill_delay_s: 1}
"""


def made(folder, text, **programs):
    folder.mkdir(exist_ok=True)
    sweeper = Sweeper(folder)
    sweeper.write(text)
    for name, program in programs.items():
        sweeper.write(program, f"{name}.py")
    return sweeper


def preempt(sweeper, *, reports):
    """Start the runner, end it by SIGTERM once a run has reported so often; return its last event."""
    process = sweeper.start("--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8")
    with process:
        seen = 0
        for line in process.stdout:
            seen += json.loads(line)["event"] == "report"
            if seen == reports:
                break
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


def folder_of(sweeper):
    return sweeper.folder / "out" / "sweep_s"


def rows(sweeper):
    """Return what each run reported in its last attempt, by its number, and how many attempts it had."""
    found, attempts = {}, {}
    for result in sweeper.results():
        text = (folder_of(sweeper) / result["history_file"]).read_text(encoding="utf-8")
        lines = [json.loads(line) for line in text.splitlines()]
        found[result["number"]] = [
            {key: value for key, value in line.items() if key != "_time"} for line in lines if "eval/loss" in line
        ]
        attempts[result["number"]] = result["attempts"]
    return found, attempts


def logs(sweeper):
    return {path.stem: path.read_text(encoding="utf-8") for path in folder_of(sweeper).glob("logs/*-*.log")}


@pytest.mark.heavy
@pytest.mark.timeout(300)
def test_a_preempted_run_goes_on_and_ends_as_an_undisturbed_one(tmp_path):
    """Two runs that train the same: nothing is generated, so num_beams means nothing. The first one is preempted."""
    text = SWEEP.format(rates=[0.001]).replace("parameters:\n", "parameters:\n  num_beams: {values: [1, 2]}\n")
    cut = made(tmp_path / "cut", text)
    ended = preempt(cut, reports=2)
    assert (ended["complete"], ended["counts"]) == (False, {"pending": 1})
    (checkpoint,) = folder_of(cut).glob("runs/*/preempted/*")
    assert checkpoint.name.startswith("step-")
    assert not list(folder_of(cut).glob("logs/*.preempt"))
    done = cut.summary(timeout=200)
    assert (done["complete"], done["counts"]) == (True, {"finished": 2})

    got, tries = rows(cut)
    assert tries == {0: 2, 1: 1}
    assert len(got[1]) == 9 and got[0] == got[1]
    one, other = cut.results()
    assert one["best_metrics"] == other["best_metrics"]
    assert not list(folder_of(cut).glob("runs/*/preempted"))
    said = [text for name, text in logs(cut).items() if name.endswith("-2")]
    resumed = f"resuming from the checkpoint at step {checkpoint.name[5:]}"
    # A library says a line of its own when it is imported.
    assert len(said) == 1 and resumed in said[0].splitlines()[:2]


@pytest.mark.timeout(200)
@pytest.mark.heavy
def test_a_run_that_a_stopping_rule_ends_saves_nothing(tmp_path):
    text = SWEEP.format(rates=[0.003, 0.000000001]) + "early_terminate: {type: hyperband, min_iter: 2}\n"
    sweeper = made(tmp_path, text)
    done = sweeper.summary(timeout=150)
    assert done["counts"] == {"finished": 1, "stopped": 1}
    (stopped,) = [result for result in sweeper.results() if result["state"] == "stopped"]
    assert stopped["signal"] == signal.SIGTERM
    said = logs(sweeper)[f"{stopped['run_id']}-1"]
    assert "step 20/" in said and "preempted" not in said


def test_only_a_run_that_is_given_back_is_asked_to_save(tmp_path):
    sweeper = made(tmp_path, OF_ASKED + "early_terminate: {type: hyperband, min_iter: 2}\n", asked=ASKED)
    assert preempt(sweeper, reports=3)["counts"] == {"pending": 1}
    assert (tmp_path / "asked").read_text() == "--number=1 True\n"
    (tmp_path / "quick").touch()
    assert sweeper.summary()["counts"] == {"finished": 1, "stopped": 1}
    assert (tmp_path / "asked").read_text() == "--number=1 True\n--number=2 False\n"


def test_a_program_that_ignores_it_is_killed_after_the_grace(tmp_path):
    sweeper = made(tmp_path, OF_ASKED, asked=ASKED)
    sweeper.env["STUBBORN"] = "1"
    assert preempt(sweeper, reports=3)["counts"] == {"pending": 1}
    assert (tmp_path / "asked").read_text() == "--number=1 True\n"
