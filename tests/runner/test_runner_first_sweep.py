"""The first sweep as README runs it: real training on the embedded data, then what stands on its results.

All of it is heavy. In CI test_runner_configs.py holds that the file makes eight runs, and test_runner_reproduces.py
that a sweep of trainings has a best run and a worse one, which hyperband ends, and that it writes nothing beside its
output directory.
"""

import json
import os
import subprocess
import sys

import pytest
from sweeping import Sweeper

from sweepkit.paths import CODE_DIR, CONFIG_DIR

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
METRIC = "eval/rouge_combined_f1"


def called(sweeper, sweep):
    done = sweeper.call("--json", sweep=sweep, timeout=500)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    sweeper.final = json.loads(done.stdout.splitlines()[-1])
    sweeper.events = [json.loads(line) for line in done.stdout.splitlines()]
    return sweeper


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    return called(Sweeper(tmp_path_factory.mktemp("first")), "first_sweep")


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The same file with the best and the worst learning rate, in a folder elsewhere."""
    folder = tmp_path_factory.mktemp("two")
    sweeper = Sweeper(folder / "run")
    sweeper.folder.mkdir()
    text = (CONFIG_DIR / "sweep" / "first_sweep.yaml").read_text(encoding="utf-8")
    for all_values, some in (("[1e-4, 3e-4, 1e-3, 3e-3]", "[3e-3, 1e-4]"), ("[8, 16]", "[16]")):
        assert text.count(all_values) == 1
        text = text.replace(all_values, some)
    (folder / "first_sweep.yaml").write_text(text, encoding="utf-8")
    return called(sweeper, str(folder / "first_sweep.yaml"))


def no_warnings_and_all_under_the_output_directory(sweeper):
    assert not [event for event in sweeper.events if event["event"] == "notice" and event["warning"]]
    assert sorted(path.name for path in sweeper.folder.iterdir()) == ["out"]
    assert {path.name for path in (sweeper.folder / "out").iterdir()} >= {"sweep_first_sweep", "sweepkit.db", "cache"}


@pytest.mark.heavy
def test_two_runs_the_worse_one_stopped_and_a_learning_rate_that_matters(two):
    assert two.final["complete"] and two.final["counts"] == {"finished": 1, "stopped": 1}
    good, bad = sorted(two.results("first_sweep"), key=lambda result: -result["sweep_params"]["learning_rate"])
    assert (good["state"], good["reports"], bad["state"]) == ("finished", 8, "stopped")
    assert "hyperband" in bad["reason"] and bad["reports"] < 8
    value = {row["params.learning_rate"]: row["value"] for row in two.final["runs"]}
    assert value[3e-3] > value[1e-4] + 0.14, value
    no_warnings_and_all_under_the_output_directory(two)


@pytest.mark.heavy
def test_eight_runs_the_worst_stopped_and_learning_rates_that_matter(swept):
    final = swept.final
    assert final["complete"] and len(final["runs"]) == 8
    assert set(final["counts"]) <= {"finished", "stopped"} and final["counts"]["stopped"] >= 1
    best = {}
    for row in final["runs"]:
        rate = row["params.learning_rate"]
        best[rate] = max(best.get(rate, 0.0), row["value"])
    assert best[3e-3] > best[3e-4] + 0.02 > best[1e-4] + 0.12, best
    stopped = [result for result in swept.results("first_sweep") if result["state"] == "stopped"]
    assert all("hyperband" in result["reason"] and result["reports"] < 8 for result in stopped)


@pytest.mark.heavy
def test_nothing_is_warned_about_and_all_is_under_the_output_directory(swept):
    no_warnings_and_all_under_the_output_directory(swept)


@pytest.mark.heavy
def test_the_best_configuration_trains_again_to_the_very_same_metric(swept):
    config = swept.folder / "out" / "sweep_first_sweep" / "best_config.yaml"
    env = {**os.environ, "OMP_NUM_THREADS": str(len(os.sched_getaffinity(0)))}
    (best,) = [r for r in swept.results("first_sweep") if r["run_id"] == swept.final["best"]["run_id"]]
    env["OMP_NUM_THREADS"] = best["device"].split()[0]
    again = swept.folder / "again"
    done = subprocess.run(
        [sys.executable, str(CODE_DIR / "trainer.py"), "--config", str(config), "--output-dir", str(again)],
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((again / "results" / "training_results.json").read_text(encoding="utf-8"))
    assert result["best_metrics"]["rouge_combined_f1"] == swept.final["best"]["value"]


@pytest.mark.heavy
def test_a_fresh_process_gives_bit_identical_histories(swept):
    cold = Sweeper(swept.folder / "cold")
    cold.folder.mkdir()
    cold.env = dict(swept.env)  # conftest's variables, threads among them, came after the sweep was made
    summary = cold.summary("--cold", "--count", "1", sweep="first_sweep", timeout=300)
    assert summary["counts"] == {"finished": 1}

    def rows(sweeper):
        (first,) = [r for r in sweeper.results("first_sweep") if r["number"] == 0]
        file = sweeper.folder / "out" / "sweep_first_sweep" / first["history_file"]
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        return first["warm"], [
            {key: value for key, value in line.items() if not key.startswith("_")} for line in lines if METRIC in line
        ]

    (warm, warm_rows), (fresh, fresh_rows) = rows(swept), rows(cold)
    assert (warm, fresh) == (True, False)
    assert len(warm_rows) == 8
    assert warm_rows == fresh_rows
