"""A sweep over folds with the Wilcoxon rule: what a fold scored by itself reaches the rule, and W&B gets the names.

CI runs it with a program that scores its folds as the trainer does (`tests/training/test_training_images_train.py`
holds that it does); the trainer itself makes the heavy one.
"""

import json

import pytest
from sweeping import Sweeper

from sweepkit.tracking.wandb_file import WandbTail

SWEEP = """
program: {program}
method: grid
metric: {{name: eval/macro_f1, goal: maximize}}
parameters:
  learning_rate: {{values: [1e-2, 1e-6]}}
  max_samples: {{value: 150}}
  epochs: {{value: 2}}
  num_folds: {{value: 3}}
  batch_size: {{value: 16}}
sweepkit:
  {trainer}cpus_per_run: 1
  early_terminate: {{type: wilcoxon, p_threshold: 0.3}}
  wandb: {{mode: offline, group: optuna_search, name: "trial_{{number}}"}}
"""
TRAINER = "base_config: image_classification\n  preload: [sweepkit.training.images.preload]\n  "
# The worse run stays after its second fold until it is ended.
FOLDS = """\
import json, os, sys, time
good = "--learning_rate=0.01" in sys.argv
sum_so_far = 0.0
for fold, score in enumerate((0.9, 0.7, 0.8) if good else (0.4, 0.3, 0.2), 1):
    if fold == 3 and not good:
        time.sleep(600)
    sum_so_far += score
    row = {"eval/macro_f1": sum_so_far / fold, "eval/fold_macro_f1": score, "eval/fold": fold, "_step": fold}
    facts = {"_sweepkit_facts": {"value": "last", "mean_over": "fold"}}
    with open(os.environ["SWEEPKIT_REPORT_FILE"], "a") as reports:
        reports.write("".join(json.dumps(line) + "\\n" for line in (facts, row)))
open("names-" + os.environ["WANDB_NAME"], "w").write(os.environ["WANDB_RUN_GROUP"])
"""


def swept(folder, **sweep):
    """Run the sweep; return the result of the good run and of the bad one, and check what the rule saw of them."""
    sweeper = Sweeper(folder)
    sweeper.write(SWEEP.format(**sweep))
    sweeper.summary(timeout=280)
    good, bad = sorted(sweeper.results(), key=lambda result: -result["sweep_params"]["learning_rate"])
    assert (good["state"], bad["state"]) == ("finished", "stopped")
    assert "wilcoxon: p = 0.25 over 2 instances against run 0 is below 0.3" in bad["reason"]
    assert bad["reason"].endswith(" 2 folds")
    folds = {}
    for result in (good, bad):
        history = (folder / "out" / "sweep_s" / result["history_file"]).read_text(encoding="utf-8")
        rows = [json.loads(line) for line in history.splitlines() if "eval/macro_f1" in line]
        folds[result["state"]] = [row["eval/fold_macro_f1"] for row in rows]
    assert len(folds["finished"]) == 3 and len(folds["stopped"]) >= 2
    # The means named are those of the folds by themselves, not of the means so far that the metric is.
    first = sum(folds["stopped"][:2]) / 2
    assert f"mean {first:.4g} to {sum(folds['finished']) / 3:.4g}" in bad["reason"]
    return good, bad


@pytest.mark.slow
def test_a_run_that_is_worse_in_every_fold_ends_at_the_second(tmp_path):
    (tmp_path / "folds.py").write_text(FOLDS)
    swept(tmp_path, program="folds.py", trainer="")
    assert (tmp_path / "names-trial_0").read_text() == "optuna_search"


@pytest.mark.slow
@pytest.mark.heavy
@pytest.mark.timeout(300)
def test_a_training_that_is_worse_in_every_fold_ends_at_the_second(tmp_path):
    for number, result in enumerate(swept(tmp_path, program="trainer.py", trainer=TRAINER)):
        tail = WandbTail(tmp_path / "out" / "sweep_s" / "runs" / result["run_id"])
        assert tail.read() and (tail.run.group, tail.run.name) == ("optuna_search", f"trial_{number}")
