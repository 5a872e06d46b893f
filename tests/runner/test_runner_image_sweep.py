"""A sweep over folds with the real runner: each fold is a report, and the worst run ends before its last."""

import json

import pytest
from sweeping import Sweeper

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
SWEEP = """
program: trainer.py
method: grid
metric: {name: eval/macro_f1, goal: maximize}
parameters:
  learning_rate: {values: [1e-2, 5e-3, 1e-6]}
  max_samples: {value: 200}
  epochs: {value: 2}
  num_folds: {value: 4}
  batch_size: {value: 16}
early_terminate: {type: hyperband, min_iter: 2}
sweepkit:
  base_config: image_classification
  preload: [sweepkit.training.images.preload]
  cpus_per_run: 1
"""


@pytest.mark.heavy
def test_runs_of_folds_are_compared_by_their_folds(tmp_path):
    sweeper = Sweeper(tmp_path)
    sweeper.write(SWEEP)
    summary = sweeper.summary(timeout=280)
    assert len(summary["runs"]) == 3
    results = {result["sweep_params"]["learning_rate"]: result for result in sweeper.results()}
    assert all(result["warm"] for result in results.values())
    stopped = results[1e-6]
    assert stopped["state"] == "stopped" and stopped["last_metrics"]["eval/fold"] < 4, (
        "it was judged by its second fold"
    )
    assert "hyperband" in stopped["reason"]
    finished = next(result for result in results.values() if result["state"] == "finished")
    assert finished["best_metrics"]["eval/macro_f1"] > 0.5
    history = (tmp_path / "out" / "sweep_s" / finished["history_file"]).read_text(encoding="utf-8")
    folds = [json.loads(line) for line in history.splitlines() if "eval/macro_f1" in line]
    assert [row["eval/fold"] for row in folds] == [1, 2, 3, 4]
    run_dir = tmp_path / "out" / "sweep_s" / "runs" / finished["run_id"]
    result = json.loads((run_dir / "results" / "training_results.json").read_text(encoding="utf-8"))
    assert len(result["folds"]) == 4 and (run_dir / "results" / "predictions.csv").is_file()
    config = (tmp_path / "out" / "sweep_s" / "best_config.yaml").read_text(encoding="utf-8")
    assert "task: image_classification" in config and "  folds: 4" in config
