"""A sweep's best again with fresh seeds: real runs, real record, the hold-out set opened once."""

import json
import random
import shutil
import signal
import subprocess
from collections import Counter

import pytest
from snapshots import words_of
from sweeping import PARALLEL, PROGRAMS, RUNNER, Sweeper

from sweepkit.reports.confirmation import labels_of, section_of
from sweepkit.store.open import open_store

WORDS = words_of(__file__)

SWEEP = f"""\
name: noisy
program: {PROGRAMS / "noisy_acc.py"}
method: grid
metric: {{name: acc, goal: maximize, target: 2}}
parameters:
  x: {{values: [0, 1, 2, 3, 4, 5, 6, 7]}}
early_terminate: {{type: hyperband, min_iter: 2}}
sweepkit: {{seed: 1, holdout: {{split: test}}}}
"""


class Confirmer(Sweeper):
    """A folder with a sweep that was run."""

    def command(self, *options, sweep="s.yaml"):
        which = [] if {"--confirm", "--single-parallel"} & set(options) else ["--sweep-config", sweep]
        python, runner = super().command()[:2]
        runner = str(PARALLEL if "--num-workers" in options else RUNNER)
        return [python, runner, *which, "--output-dir", "out", *options]

    def confirm(self, *options, rc=0):
        done = self.call("--confirm", "noisy", *options)
        assert done.returncode == rc, done.stdout + done.stderr
        return done.stdout if rc == 0 else done.stderr

    def said(self, *options):
        lines = [json.loads(line) for line in self.confirm("--json", *options).splitlines()]
        return next(line for line in lines if line["event"] == "confirmation")

    def lines(self):
        return (self.folder / "journal").read_text().splitlines()

    @property
    def root(self):
        return self.folder / "out" / "sweep_noisy"


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """The folder of a sweep that was run, to be copied."""
    sweeper = Confirmer(tmp_path_factory.mktemp("original"))
    sweeper.write(SWEEP)
    done = sweeper.ran()
    assert done.returncode == 0, done.stdout + done.stderr
    return sweeper.folder


@pytest.fixture
def swept(original, tmp_path):
    shutil.copytree(original, tmp_path, dirs_exist_ok=True)
    return Confirmer(tmp_path)


@pytest.mark.slow
def test_it_races_looks_once_and_tells(swept):
    before = swept.lines()
    shown = swept.confirm()
    said = json.loads((swept.root / "confirmation.json").read_text(encoding="utf-8"))
    assert said["winner"] == said["members"][0]["run_id"] and said["finished"]
    assert said["members"][0]["params"] == {"x": 3} and "take run 3" in shown
    made = [line.split() for line in swept.lines()[len(before) :]]
    raced = [(x, seed) for x, seed, split in made if split == "dev"]
    looked = [(x, seed) for x, seed, split in made if split == "test"]
    assert len(set(raced)) == len(raced) == said["runs"] <= 15
    assert {int(seed) for _, seed in raced} <= set(said["seeds"]) and min(said["seeds"]) == 1001
    assert len(looked) == 4 and not {seed for _, seed in looked} & {seed for _, seed in raced}
    leader = said["holdout"]["looks"][0]
    assert leader["run_id"] == said["winner"] and leader["report"] == 3 and 0.85 < leader["mean"] < 0.95
    member = said["members"][0]
    values = [run["value"] for run in member["fresh"]]
    assert member["mean"] == pytest.approx(sum(values) / len(values))
    assert member["optimism"] == pytest.approx(member["sweep_score"] - member["mean"])
    assert (swept.root / "confirmed_config.yaml").read_text().splitlines()[1:] == ["x: 3"]
    # what else shows it
    assert labels_of(swept.root)[said["winner"]].startswith("confirmed ")
    assert "hold-out" in section_of(swept.root).body
    report = (swept.root / "report.html").read_text(encoding="utf-8")
    assert report.index('id="confirmation"') < report.index('id="runs"') and "Unconfirmed" not in report
    assert f"confirmed {labels_of(swept.root)[said['winner']].split()[1]}" in report
    # the same command again runs nothing and tells the same
    count = len(swept.lines())
    again = swept.confirm()
    assert len(swept.lines()) == count and again.strip() == shown[shown.index("noisy: 5 of") :].strip()


@pytest.mark.slow
def test_another_budget_is_refused_and_a_second_look_too(swept):
    first = swept.said("--budget", "5")
    error = swept.confirm("--budget", "6", rc=2)
    assert "--budget: 5 → 6" in error and "--fresh" in error
    count = len(swept.lines())
    anew = swept.said("--budget", "5", "--fresh", "--seeds-from", "7")
    assert anew["confirmation"] == "noisy-confirm-2" and anew["holdout"] is None
    assert "was opened on" in anew["no_holdout"] and "--again" in anew["no_holdout"]
    made = [line.split() for line in swept.lines()[count:]]
    assert len(made) == 5 and {seed for _, seed, _ in made} == {"7"}
    again = swept.said("--again")
    assert again["holdout"]["opened"] == 2 and len(again["holdout"]["looks"]) == 2
    assert "opened 2 times" in " ".join(again["verdict"]) and first["holdout"]["opened"] == 1


def test_a_dry_run_writes_nothing(swept):
    before = sorted(path.name for path in (swept.folder / "out").iterdir())
    shown = swept.asked("--confirm", "noisy", "--dry-run").stdout
    assert "at most 15 runs (5 x 1, 3 x 2, 2 x 2), seeds 1001 to 1005" in shown and "split=test" in shown
    assert sorted(path.name for path in (swept.folder / "out").iterdir()) == before
    with open_store(swept.folder / "out" / "sweepkit.db") as store:
        assert [sweep.name for sweep in store.sweeps()] == ["noisy"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--budget", "3"], "--budget: needs --confirm"),
        (["--confirm", "noisy", "--sampler", "tpe"], "leave --sampler out"),
        (["--confirm", "noisi"], "did you mean 'noisy'?"),
        (["--confirm", "noisy", "--holdout", "split"], "must be NAME=VALUE"),
        (["--confirm", "noisy", "--rope", "-1"], "must be a number of at least 0"),
    ],
)
def test_wrong_input_is_told(swept, options, said):
    done = swept.asked(*options)
    assert done.returncode == 2 and said in done.stderr


def test_a_confirmation_is_not_confirmed(swept):
    assert swept.ran("--confirm", "noisy", "--budget", "3", "--no-holdout").returncode == 0
    done = swept.asked("--confirm", "noisy-confirm")
    assert done.returncode == 2 and WORDS["is-itself-a"] in done.stderr


@pytest.mark.slow
def test_failing_seeds_a_minimized_metric_and_several_workers(tmp_path):
    sweeper = Confirmer(tmp_path)
    text = SWEEP.replace("values: [0, 1, 2, 3, 4, 5, 6, 7]", "values: [6, 7, 8, 8.5]").replace(
        "maximize, target: 2", "minimize"
    )
    sweeper.write(text.replace("sweepkit: {", "sweepkit: {retries: 0, "))
    sweeper.env["SEED"] = "2"
    assert sweeper.ran().returncode == 0
    said = sweeper.said("--num-workers", "2", "--no-holdout")
    members = {item["params"]["x"]: item for item in said["members"]}
    assert members[8.5]["lost"] >= 1 and members[8.5]["chance"] == 0.0 and said["members"][-1]["params"]["x"] == 8.5
    assert said["members"][0]["params"]["x"] == 8 and said["no_holdout"] == "not opened (--no-holdout)"
    best = said["members"][0]
    assert best["low"] < best["mean"] < best["high"] and WORDS["without-a-value"] in " ".join(said["verdict"])


@pytest.mark.slow
def test_a_program_that_names_no_seed_gets_it_by_the_environment(tmp_path):
    sweeper = Confirmer(tmp_path)
    (tmp_path / "plain.py").write_text(
        "import argparse, json, os\n"
        "p = argparse.ArgumentParser(); p.add_argument('--x', type=float); x = p.parse_args().x\n"
        "with open(os.environ['SWEEPKIT_REPORT_FILE'], 'a') as f:\n"
        "    f.write(json.dumps({'acc': x}) + '\\n')\n"
    )
    sweeper.write(
        SWEEP.replace(str(PROGRAMS / "noisy_acc.py"), "plain.py")
        .replace(", holdout: {split: test}", "")
        .replace(", target: 2", "")
    )
    assert sweeper.ran().returncode == 0
    said = sweeper.said("--budget", "10")
    assert said["seed_parameter"] is None and {run["seed"] for run in said["members"][0]["fresh"]} <= set(said["seeds"])
    assert WORDS["every-seed-gave"] in " ".join(said["verdict"]) and said["runs"] == 8  # decided by then
    assert "none is named" in said["no_holdout"]
    assert said["seed_ignored"] and all(item["chance"] is None for item in said["members"])


FOLDS = """\
import csv, json, os, pathlib, random, sys
given = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:])
luck = random.Random(f"{sorted(given.items())}").gauss(0, 0.01)
with open(os.environ["SWEEPKIT_REPORT_FILE"], "a") as file:
    file.write(json.dumps({"_sweepkit_facts": {"value": "last"}}) + "\\n")
    for score in (0.95, 0.6 + float(given["x"]) / 10 + luck):  # of the first fold alone, and of both
        file.write(json.dumps({"accuracy": score}) + "\\n")
if given.get("split") == "test":
    folder = pathlib.Path(os.environ["SWEEPKIT_RUN_DIR"], "results")
    folder.mkdir(parents=True)
    with open(folder / "predictions.csv", "w", newline="") as file:
        csv.writer(file).writerows([("image", "label", "predicted"), *((i, "a", "ab"[i % 3 == 0]) for i in range(99))])
"""


@pytest.mark.heavy
def test_of_a_run_with_folds_the_hold_out_score_is_that_of_all_and_has_its_examples_luck(tmp_path):
    sweeper = Confirmer(tmp_path)
    (tmp_path / "folds.py").write_text(FOLDS)
    values = "[0, 1, 2, 3, 4, 5, 6, 7]"
    text = SWEEP.replace(str(PROGRAMS / "noisy_acc.py"), "folds.py").replace("name: acc,", "name: accuracy,")
    sweeper.write(text.replace(values, "[0, 1]"))
    assert sweeper.ran().returncode == 0
    said = sweeper.said("--budget", "4")
    for look in said["holdout"]["looks"]:
        assert max(look["scores"]) < 0.8 and look["report"] is None  # 0.95 is the best partial mean
        assert look["examples"] == 99 and look["example_error"] == pytest.approx((2 / 9 / 99) ** 0.5, rel=0.15)
    assert WORDS["new-examples"] in " ".join(said["verdict"])


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.heavy
def test_kills_repeat_nothing_and_change_nothing(tmp_path):
    """Two copies of a swept folder: one is confirmed in peace, the other under kill -9. They end alike."""
    calm = Confirmer(tmp_path / "calm")
    calm.folder.mkdir()
    calm.write(SWEEP)
    assert calm.ran().returncode == 0
    shutil.copytree(calm.folder, tmp_path / "killed")
    killed = Confirmer(tmp_path / "killed")
    (killed.folder / "journal").unlink()
    peaceful = calm.said("--seed", "5")
    dice, kills = random.Random(1), 0
    while kills < 8:
        with killed.start("--confirm", "noisy", "--seed", "5", stdout=subprocess.DEVNULL) as process:
            try:
                process.wait(timeout=dice.uniform(0.8, 2.5))
                break
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
    survived = killed.said("--seed", "5")
    assert kills > 0

    def decided(said):
        return [
            (item["number"], item["mean"], item["chance"], [(run["seed"], run["value"]) for run in item["fresh"]])
            for item in said["members"]
        ], [look["scores"] for look in said["holdout"]["looks"]]

    assert decided(survived) == decided(peaceful)
    # A process that is killed between its last line and its recorded end is run again: never more than once a kill.
    repeated = sum(count - 1 for count in Counter(killed.lines()).values())
    assert repeated <= kills and set(killed.lines()) == set(calm.lines()[8:])
    with open_store(killed.folder / "out" / "sweepkit.db") as store:
        for name in ("noisy-confirm", "noisy-holdout"):
            runs = store.runs(store.sweep(name).sweep_id)
            pairs = [(run.proposal["candidate"], run.proposal["repeat"]) for run in runs]
            assert len(set(pairs)) == len(pairs) and all(run.state.done for run in runs)
