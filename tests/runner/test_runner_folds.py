"""A sweep over folds with the Wilcoxon rule: what a fold scored by itself reaches the rule, and W&B gets the names."""

import json

import pytest
from sweeping import Sweeper

from sweepkit.tracking.wandb_file import WandbTail

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
SWEEP = """
program: trainer.py
method: grid
metric: {name: eval/macro_f1, goal: maximize}
parameters:
  learning_rate: {values: [1e-2, 1e-6]}
  max_samples: {value: 150}
  epochs: {value: 2}
  num_folds: {value: 3}
  batch_size: {value: 16}
sweepkit:
  base_config: image_classification
  preload: [sweepkit.training.images.preload]
  cpus_per_run: 1
  early_terminate: {type: wilcoxon, p_threshold: 0.3}
  wandb: {mode: offline, group: optuna_search, name: "trial_{number}"}
"""


def test_a_run_that_is_worse_in_every_fold_ends_at_the_second(tmp_path):
    sweeper = Sweeper(tmp_path)
    sweeper.write(SWEEP)
    sweeper.summary(timeout=280)
    good, bad = sorted(sweeper.results(), key=lambda result: -result["sweep_params"]["learning_rate"])
    assert (good["state"], bad["state"]) == ("finished", "stopped")
    assert "wilcoxon: p = 0.25 over 2 instances against run 0 is below 0.3" in bad["reason"]
    assert bad["reason"].endswith(" 2 folds")
    folds = {}
    for result in (good, bad):
        history = (tmp_path / "out" / "sweep_s" / result["history_file"]).read_text(encoding="utf-8")
        rows = [json.loads(line) for line in history.splitlines() if "eval/macro_f1" in line]
        folds[result["state"]] = [row["eval/fold_macro_f1"] for row in rows]
    assert len(folds["finished"]) == 3 and len(folds["stopped"]) >= 2
    # The means named are those of the folds by themselves, not of the means so far that the metric is.
    first = sum(folds["stopped"][:2]) / 2
    assert f"mean {first:.4g} to {sum(folds['finished']) / 3:.4g}" in bad["reason"]
    for number, result in enumerate((good, bad)):
        tail = WandbTail(tmp_path / "out" / "sweep_s" / "runs" / result["run_id"])
        assert tail.read() and (tail.run.group, tail.run.name) == ("optuna_search", f"trial_{number}")
