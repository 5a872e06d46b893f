"""A grid over a learning rate and a seed: every place that a user looks at names the same configuration."""

import csv
import io
import json
import re

import pytest
from ruamel.yaml import YAML
from snapshots import words_of
from sweeping import Sweeper, in_this_process

from sweepkit.cli import analyze_sweep, monitor_sweep, sweep_runner

WORDS = words_of(__file__)

PROGRAM = """\
import json, os, sys
values = dict(word.lstrip("-").split("=") for word in sys.argv[1:])
scores = {("0.1", "1"): 0.9, ("0.1", "2"): 0.1, ("0.2", "1"): 0.6, ("0.2", "2"): 0.6}
with open(os.environ["SWEEPKIT_REPORT_FILE"], "a") as file:
    file.write(json.dumps({"score": scores[values["lr"], values["seed"]]}) + "\\n")
"""
SWEEP = """\
program: scored.py
method: grid
metric: {name: score, goal: maximize}
parameters:
  lr: {values: [0.1, 0.2]}
  seed: {values: [1, 2]}
"""


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    made = Sweeper(tmp_path_factory.mktemp("best"))
    made.write(PROGRAM, "scored.py")
    made.write(SWEEP)
    done = made.call()
    assert done.returncode == 0, done.stderr
    made.printed = done.stdout
    return made


def asked(swept, main, *argv):
    done = in_this_process(main, [*argv, "--output-dir", "out"], swept.folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_runner_and_its_files_name_the_best_mean(swept):
    assert re.search(r"^best: configuration 1, mean score = 0\.6 over 2 seeds.*\n +lr=0\.2$", swept.printed, re.M)
    folder = swept.folder / "out" / "sweep_s"
    text = (folder / "best_config.yaml").read_text()
    assert YAML(typ="safe").load(text) == {"lr": 0.2, "seed": 1} and "mean score = 0.6 over 2 seeds" in text
    rows = list(csv.DictReader(io.StringIO((folder / "runs.csv").read_text())))
    assert [(row["params.lr"], row["mean"]) for row in rows] == [("0.2", "0.6")] * 2 + [("0.1", "0.5")] * 2
    best = re.search(r'id="best".*?</section>', (folder / "report.html").read_text(), re.S)[0]
    assert "<td>0.6 ± 0</td>" in best and re.search(r"lr</\w+><\w+>0\.2<", best)


def test_the_json_of_every_command_names_it_too(swept):
    ended = swept.summary()["best"]
    assert (ended["value"], ended["params"]["lr"], len(ended["seeds"])) == (0.6, 0.2, 2)
    analysed = json.loads(asked(swept, analyze_sweep.main, "s", "--json"))["best"]
    assert (analysed["value"], analysed["params"]["lr"], len(analysed["run_ids"])) == (0.6, 0.2, 2)
    watched = json.loads(asked(swept, monitor_sweep.main, "s", "--once", "--json"))["sweeps"][0]["best"]
    assert (watched["value"], watched["params"]["lr"], watched["seeds"]) == (0.6, 0.2, 2)
    plan = json.loads(asked(swept, sweep_runner.main, "--confirm", "s", "--dry-run", "--json"))
    assert plan["entrants"][0]["params"] == {"lr": 0.2} and plan["entrants"][0]["scores"] == [0.6, 0.6]


def test_what_is_printed_says_of_what_the_best_value_is(swept):
    analysed = asked(swept, analyze_sweep.main, "s")
    assert re.search(r"^best configuration: runs 2, 3, mean score = 0\.6 over 2 seeds\n  lr  0\.2\n", analysed, re.M)
    assert re.findall(r"^ +(\d+)  (\d)  ", analysed, re.M) == [("1", "2"), ("1", "3"), ("2", "0"), ("2", "1")]
    watched = asked(swept, monitor_sweep.main, "s", "--once")
    assert "best 0.6 (mean over 2 seeds, run 2" in watched
    assert re.search(WORDS["first-run-of"], watched, re.M)
    report = (swept.folder / "out" / "sweep_s" / "report.html").read_text()
    assert "Best single run: 0.9 in run 0" in report and WORDS["the-best-mean"] in report
    shown = re.search(r"<tbody>.*?</tbody>", report[report.index('id="state"') :], re.S)[0]
    assert re.findall(r"<tr [^>]*><td[^>]*>(\d)<", shown) == ["2", "3", "0", "1"]


def test_seeds_that_are_drawn_with_their_configuration_leave_the_best_single_run(tmp_path):
    made = Sweeper(tmp_path)
    made.write(PROGRAM.replace('values["lr"], values["seed"]', '"0.1", values["seed"]'), "scored.py")
    drawn = SWEEP.replace("grid", "random").replace("{values: [0.1, 0.2]}", "{min: 0.0, max: 1.0}") + "run_cap: 6\n"
    made.write(drawn + "sweepkit: {seed: 1}\n")
    done = made.call()
    assert done.returncode == 0, done.stderr
    best = json.loads(asked(made, analyze_sweep.main, "s", "--json"))["best"]
    (run_id,) = best["run_ids"]
    assert best["value"] == 0.9 and f"best: run {run_id}, score = 0.9\n" in done.stdout
    assert f": run {run_id}.\n" in (made.folder / "out" / "sweep_s" / "best_config.yaml").read_text()
    watched = json.loads(asked(made, monitor_sweep.main, "s", "--once", "--json"))["sweeps"][0]["best"]
    assert watched["run_id"] == run_id and "seeds" not in watched
