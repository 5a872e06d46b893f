"""Several seeds for each configuration (`sweepkit.seeds_per_run`), with the real runners."""

import csv
import json
import random
import signal
import subprocess

import pytest
from snapshots import words_of
from sweeping import PROGRAMS, Sweeper

from sweepkit.store.mirror import load_study

WORDS = words_of(__file__)

SWEEP = f"""\
program: {PROGRAMS / "noisy.py"}
method: grid
metric: {{name: loss, goal: minimize}}
parameters:
  x: {{values: [0.02, 0, 3, 5]}}
sweepkit: {{seeds_per_run: [7, 8, 9]}}
"""


def noise(x, seed):
    return random.Random(f"{x:g} {seed}").gauss(0, 0.05)


def mean(x, seeds=(7, 8, 9)):
    return sum(x + noise(x, seed) for seed in seeds) / len(seeds)


BEST = min((0.02, 0), key=mean)


@pytest.fixture
def sweeper(tmp_path):
    made = Sweeper(tmp_path)
    made.write(SWEEP)
    return made


def journal(sweeper, word):
    return [line.split()[1:] for line in (sweeper.folder / "journal").read_text().splitlines() if line.startswith(word)]


@pytest.mark.slow
def test_the_best_is_the_best_mean_and_what_is_clearly_worse_gets_no_further_seed(sweeper):
    done = sweeper.ran("--json", "--optuna-storage", f"sqlite:///{sweeper.folder}/optuna.db")
    assert done.returncode == 0, done.stderr
    end = json.loads(done.stdout.splitlines()[-1])
    counts = {x: sum(run["params.x"] == x for run in end["runs"]) for x in (0.02, 0, 3, 5)}
    assert counts == {0.02: 3, 0: 3, 3: 2, 5: 2}
    assert end["complete"] and end["reason"].endswith(WORDS["clearly-worse-configurations"])
    assert end["best"]["params"] == {"x": BEST, "seed": 7}
    assert end["best"]["value"] == pytest.approx(mean(BEST))
    assert [item["value"] for item in end["best"]["seeds"]] == [pytest.approx(BEST + noise(BEST, s)) for s in (7, 8, 9)]
    assert {tuple(line) for line in journal(sweeper, "start") if line[1] != line[2]} == set(), "SEED is the argument"
    out = sweeper.folder / "out" / "sweep_s"
    best = (out / "best_config.yaml").read_text()
    assert best.startswith(WORDS["best-of-sweep"]) and f"x: {BEST:g}\n" in best
    with open(out / "runs.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert (
        float(table[0]["mean"]) == pytest.approx(mean(BEST)) and table[0]["configuration"] == table[2]["configuration"]
    )
    results = sweeper.results()
    assert {(result["sweep_params"]["seed"], result["seed"]) for result in results} == {(7, 7), (8, 8), (9, 9)}
    trials = load_study(f"sqlite:///{sweeper.folder}/optuna.db", "s").trials
    assert [trial.user_attrs["run_seed"] for trial in trials[:2]] == [7, 8] and len(trials) == len(end["runs"])

    again = sweeper.ran()
    assert "best: configuration " in again.stdout and f"mean loss = {mean(BEST):.5g} over 3 seeds" in again.stdout
    assert "10/12 done" in again.stdout and WORDS["clearly-worse-than"] in again.stdout

    sweeper.write(SWEEP.replace("[7, 8, 9]", "{seeds: [7, 8, 9, 10], stop_worse: false}"))
    extended = sweeper.ran("--json")
    assert extended.returncode == 0, extended.stderr
    assert len(json.loads(extended.stdout.splitlines()[-1])["runs"]) == 16
    assert (sweeper.folder / "out" / "sweep_s" / "report.html").exists()


def test_the_dry_run_counts_the_runs_and_tells_of_the_seeds(sweeper):
    said = sweeper.call("--dry-run").stdout
    assert "sweep s: 12 runs\neach configuration with 3 seeds (7, 8, 9); after 2 only while" in said
    assert "--x=0.02 --seed=7" in said and "--x=0.02 --seed=8" in said


def test_run_cap_counts_runs_and_not_configurations(sweeper):
    sweeper.write(SWEEP + "run_cap: 5\n")
    done = sweeper.ran("--json")
    assert len(sweeper.results()) == 5 and json.loads(done.stdout.splitlines()[-1])["reason"] == "run_cap of 5 reached"


def test_a_program_that_only_reads_the_variable_gets_no_argument(sweeper):
    sweeper.write(SWEEP.replace("[7, 8, 9]", "{seeds: 2, stop_worse: false}, seed_parameter: null"))
    done = sweeper.ran()
    assert done.returncode == 0, done.stderr
    assert sorted(journal(sweeper, "start")) == sorted(
        [f"{x:g}", str(s), "None"] for x in (0.02, 0, 3, 5) for s in (1, 2)
    )


@pytest.mark.slow
@pytest.mark.heavy
def test_kill_9_at_any_moment_repeats_no_seed_and_loses_none(sweeper):
    dice = random.Random(5)
    sweeper.write(SWEEP.replace("[7, 8, 9]", "{seeds: [7, 8, 9], stop_worse: false}"))
    sweeper.env["PAUSE"] = "0.1"
    kills = 0
    for _ in range(5):
        with sweeper.start("--cold", stdout=subprocess.DEVNULL) as process:
            try:
                process.wait(timeout=dice.uniform(0.5, 1.2))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                kills += 1
    assert kills
    done = sweeper.ran("--json")
    assert done.returncode == 0, done.stderr
    end = json.loads(done.stdout.splitlines()[-1])
    pairs = sorted((run["params.x"], run["params.seed"]) for run in end["runs"])
    assert pairs == sorted((x, seed) for x in (0.02, 0, 3, 5) for seed in (7, 8, 9))
    assert end["counts"] == {"finished": 12} and {run["configuration"] for run in end["runs"]} == {0, 1, 2, 3}
    assert end["best"]["value"] == pytest.approx(mean(BEST))
