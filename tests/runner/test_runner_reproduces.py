"""A sweep's best configuration trained again: the very same metric, or what differs."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import warnings

import pytest
from snapshots import words_of
from sweeping import Sweeper

from sweepkit.paths import CODE_DIR, CONFIG_DIR, DATA_DIR
from sweepkit.training.config.training import as_dict, from_mapping, read_training_config, to_yaml

WORDS = words_of(__file__)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]
METRIC = "eval/rouge_combined_f1"
SWEEP = """\
program: trainer.py
method: grid
metric: {{name: {metric}, goal: {goal}}}
parameters:
  learning_rate: {{values: [3e-3, 1e-5]}}
  max_train_samples: {{value: 48}}
  max_val_samples: {{value: 8}}
  train_file: {{value: {train}}}
early_terminate: {{type: hyperband, min_iter: 1}}
sweepkit: {{preload: [sweepkit.training.preload], cpus_per_run: 1}}
"""


def swept(folder, *, metric=METRIC, goal="maximize"):
    folder.mkdir(exist_ok=True)
    sweeper = Sweeper(folder)
    shutil.copy(DATA_DIR / "train.csv", folder / "mine.csv")
    sweeper.write(SWEEP.format(metric=metric, goal=goal, train=folder / "mine.csv"))
    done = sweeper.call("--json", "--base-config", str(CONFIG_DIR / "quick_test.yaml"), timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    sweeper.events = [json.loads(line) for line in done.stdout.splitlines()]
    sweeper.final = sweeper.events[-1]
    sweeper.best = folder / "out" / "sweep_s" / "best_config.yaml"
    return sweeper


@pytest.fixture(scope="module")
def best(tmp_path_factory):
    return swept(tmp_path_factory.mktemp("best") / "sweep")


def again(config, output, *options, **environ):
    env = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, str(CODE_DIR / "trainer.py"), "--config", str(config), "--output-dir", str(output), *options],
        env={**env, **environ},
        cwd=output.parent,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((output / "results" / "training_results.json").read_text(encoding="utf-8"))
    return done.stdout.splitlines()[-1], result


def here(config, output, monkeypatch, capsys):
    """Do as `again` in this process, which has torch: six seconds of imports less."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # transformers' own, at import
        from sweepkit.cli import trainer

        monkeypatch.delenv("OMP_NUM_THREADS")
        monkeypatch.chdir(output.parent)
        assert trainer.main(["--config", str(config), "--output-dir", str(output)]) == 0
    result = json.loads((output / "results" / "training_results.json").read_text(encoding="utf-8"))
    return capsys.readouterr().out.splitlines()[-1], result


def test_the_best_run_trains_again_to_the_very_same_value_from_any_place(best, tmp_path, monkeypatch, capsys):
    copied = shutil.copy(best.best, tmp_path / "copied.yaml")
    line, result = here(copied, tmp_path / "out", monkeypatch, capsys)
    value, run_id = best.final["best"]["value"], best.final["best"]["run_id"]
    assert line.startswith(f"reproduced: {METRIC} {value!r} is the value of run {run_id} (step ")
    assert result["reproduction"] == {"reproduced": True, "expected": value, "got": value, "differs": []}
    section = read_training_config(best.best).reproduces
    assert (section.sweep, section.run_id, section.metric, section.value) == ("s", run_id, METRIC, value)
    assert (section.device, section.threads, section.seed) == (result["device"], 1, result["seed"])
    assert f"torch {result['versions']['torch']}" in section.versions
    assert [item.split()[0] for item in section.data] == ["data.train_file", "data.val_file"]


def test_the_worse_run_is_stopped_and_nothing_is_warned_about_or_left_elsewhere(best):
    good, bad = sorted(best.results(), key=lambda result: -result["sweep_params"]["learning_rate"])
    assert (good["state"], bad["state"]) == ("finished", "stopped")
    assert "hyperband" in bad["reason"] and bad["reports"] < good["reports"]
    assert not [event for event in best.events if event["event"] == "notice" and event["warning"]]
    assert sorted(path.name for path in best.folder.iterdir()) == ["mine.csv", "out", "s.yaml"]
    assert {path.name for path in (best.folder / "out").iterdir()} >= {"sweep_s", "sweepkit.db", "cache"}


def test_one_fork_server_imports_all_that_trainings_need_and_is_never_replaced(best):
    """A second one imports once more, without what the first was wrong about: torch, that once was, and all upon it."""
    notices = "\n".join(event["text"] for event in best.events if event["event"] == "notice")
    (imported,) = re.findall(r"(\d+) modules are imported once", notices)
    assert int(imported) > 2500  # torch and transformers; 164 without them
    assert [event["warm"] for event in best.events if event["event"] == "run_started"] == [True, True]


def test_every_run_says_what_its_scores_mean(best):
    facts = [result["facts"] for result in best.results()]
    assert {fact["rouge_tokenizer"] for fact in facts} == {"unicode 1"}
    assert {fact["architecture"] for fact in facts} == {"bart"}
    assert all(fact["trainable_parameters"] == fact["parameters"] for fact in facts)


@pytest.mark.heavy
def test_what_differs_is_said(best, tmp_path):
    config = as_dict(read_training_config(best.best))
    config["reproduces"]["versions"] = tuple(
        "torch 1.0" if item.startswith("torch ") else item for item in config["reproduces"]["versions"]
    )
    config["reproduces"]["device"] = "cuda:0 NVIDIA H200"
    changed = tmp_path / "mine.csv"
    with (DATA_DIR / "train.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    with changed.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *reversed(rows)])
    config["data"]["train_file"] = str(changed)
    edited = tmp_path / "edited.yaml"
    edited.write_text(to_yaml(from_mapping(config)), encoding="utf-8")
    line, result = again(edited, tmp_path / "out", "--set", "learning_rate=1e-4", OMP_NUM_THREADS="2", SEED="9")
    got = result["reproduction"]
    assert not got["reproduced"] and got["got"] != got["expected"] == best.final["best"]["value"]
    assert got["differs"] == [
        WORDS["rate-set-by"],
        WORDS["seed-set-by"],
        WORDS["the-settings-in"],
        "device cuda:0 NVIDIA H200 → cpu",
        "threads 1 → 2",
        f"torch 1.0 → {result['versions']['torch']}",
        WORDS["file-has-other"],
    ]
    run_id = best.final["best"]["run_id"]
    assert line.startswith(f"not reproduced: {METRIC} is {got['got']!r} instead of {got['expected']!r} of run {run_id}")
    assert line.endswith("; what differs: " + "; ".join(got["differs"]))


@pytest.mark.heavy
def test_a_sweep_over_another_metric_and_a_run_that_was_stopped(tmp_path):
    """The run with the worse loss is made the best one by failing the other: hyperband had stopped it."""
    sweeper = swept(tmp_path / "sweep", metric="eval/loss", goal="minimize")
    states = {row["params.learning_rate"]: row["state"] for row in sweeper.final["runs"]}
    assert states == {3e-3: "finished", 1e-5: "stopped"}
    from sweepkit.paths import SweepPaths
    from sweepkit.reports.files import write_best_config
    from sweepkit.store.open import open_store
    from sweepkit.sweep_config.read import read_sweep

    with open_store(f"sqlite:///{tmp_path}/sweep/out/sweepkit.db") as store:
        (sweep,) = store.sweeps()
        stopped = [run for run in store.runs(sweep.sweep_id) if run.state.value == "stopped"]
    paths = SweepPaths(tmp_path / "sweep" / "out", "s")
    spec = read_sweep(tmp_path / "sweep" / "s.yaml")
    file = write_best_config(paths, spec, stopped, base_config=CONFIG_DIR / "quick_test.yaml")
    line, result = again(file, tmp_path / "out")
    assert line.startswith(f"reproduced: eval/loss {min(stopped[0].history)!r} is the value of run {stopped[0].run_id}")
    assert line.endswith(WORDS["which-was-stopped"])
    assert len(result["history"]) > len(stopped[0].history)
