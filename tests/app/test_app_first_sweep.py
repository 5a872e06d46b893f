"""The first sweep as README runs it: real training on the embedded data, then what stands on its results."""

import json
import os
import subprocess
import sys

import pytest
from sweeping import Sweeper

from sweepkit.paths import CODE_DIR

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
METRIC = "eval/rouge_combined_f1"


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    sweeper = Sweeper(tmp_path_factory.mktemp("first"))
    done = sweeper.call("--json", sweep="first_sweep", timeout=500)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    sweeper.final = json.loads(done.stdout.splitlines()[-1])
    sweeper.events = [json.loads(line) for line in done.stdout.splitlines()]
    return sweeper


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


def test_nothing_is_warned_about_and_all_is_under_the_output_directory(swept):
    assert not [event for event in swept.events if event["event"] == "notice" and event["warning"]]
    assert sorted(path.name for path in swept.folder.iterdir()) == ["out"]
    assert {path.name for path in (swept.folder / "out").iterdir()} >= {"sweep_first_sweep", "sweepkit.db", "cache"}


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
