"""Real W&B runs of an unmodified script, offline: the .wandb files have the group and the names that were asked for."""

import pytest
from snapshots import words_of
from sweeping import Sweeper

from sweepkit.tracking.wandb_file import WandbTail

WORDS = words_of(__file__)

SCRIPT = """
import wandb

with wandb.init(settings=wandb.Settings(x_disable_stats=True, silent=True)) as run:
    for step in range(2):
        run.log({"loss": run.config.lr / (step + 1)})
"""
SWEEP = """
program: p.py
method: grid
metric: {name: loss}
parameters: {lr: {values: [0.1, 0.2]}}
"""
NAMED = """
sweepkit:
  wandb: {group: optuna_search, name: "trial_{number}", job_type: search, tags: [안녕, b]}
"""


@pytest.fixture
def runs(tmp_path):
    """Return what runs the sweep with some more YAML: what it says, and W&B's run of each of its runs by number."""

    def run(more, rc=0):
        sweeper = Sweeper(tmp_path)
        (tmp_path / "p.py").write_text(SCRIPT, encoding="utf-8")
        sweeper.write(SWEEP + more)
        done = sweeper.call("--json")
        assert done.returncode == rc, done.stdout + done.stderr
        found = []
        for result in sorted(sweeper.results(), key=lambda result: result["sweep_params"]["lr"]):
            tail = WandbTail(tmp_path / "out" / "sweep_s" / "runs" / result["run_id"] / f"{result['run_id']}-1")
            tail.read()
            found.append(tail.run)
        return done.stdout, found

    return run


@pytest.mark.slow
def test_each_run_is_named_and_grouped_as_the_yaml_says(runs):
    said, found = runs(NAMED)
    assert [run.name for run in found] == ["trial_0", "trial_1"]
    assert {(run.group, run.job_type, run.tags) for run in found} == {("optuna_search", "search", ("안녕", "b"))}
    assert len({run.run_id for run in found}) == 2
    assert '"tags": "안녕,b"' in said  # and stand in the table of the runs
    assert "was never logged" not in said


@pytest.mark.slow
def test_a_disabled_wandb_records_nothing_and_says_that_no_metric_came(runs, tmp_path):
    said, found = runs("\nsweepkit: {wandb: {mode: disabled}}\nrun_cap: 1\n", rc=3)
    assert found == [None] and not list(tmp_path.rglob("*.wandb"))
    assert WORDS["loss'-was-never"] in said
