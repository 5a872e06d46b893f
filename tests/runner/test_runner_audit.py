"""A share of the runs that a rule would stop is finished all the same, and the sweep tells what came of it."""

import json

import pytest
from sweeping import PROGRAMS, Sweeper, in_this_process

from sweepkit.cli import analyze_sweep, sweep_runner
from sweepkit.model.audit import AUDIT, is_audited

SEED = next(seed for seed in range(100) if is_audited(1, 0.05, seed) and is_audited(4, 0.05, seed))
SWEEP = f"""\
name: audited
program: {PROGRAMS / "audited.py"}
method: grid
metric: {{name: loss, goal: minimize}}
early_terminate: {{type: hyperband, min_iter: 1}}
parameters:
  x: {{values: [10, 11, 12, 13, 14, 15, 16]}}
sweepkit: {{seed: {SEED}, audit_stopped: 0.05}}
"""


@pytest.fixture
def sweeper(tmp_path):
    return Sweeper(tmp_path)


@pytest.mark.slow
def test_the_second_and_the_fifth_stop_are_audited_and_a_sweep_that_goes_on_remembers(sweeper):
    # Each run after the first is worse, and would be stopped: 11 is the first stop, 12 the second, 15 the fifth.
    record = sweeper.folder / "out" / "sweepkit.db"
    sweeper.env |= {"FINISHING": "10,12,15", "AUDITED": "12,15", "RECORD": str(record), "LATE": "15"}
    sweeper.write(SWEEP)
    assert sweeper.summary("--count", "3", rc=0)["counts"] == {"finished": 2, "stopped": 1}
    done = sweeper.summary()
    assert done["counts"] == {"finished": 3, "stopped": 4}
    kept = {result["sweep_params"]["x"]: result for result in sweeper.results("audited")}
    assert {x for x, result in kept.items() if AUDIT in result} == {12, 15}
    assert kept[15][AUDIT]["report"] == 1 and "hyperband" in kept[15][AUDIT]["reason"]
    shown = in_this_process(
        analyze_sweep.main, ["audited", "--json", "--no-report", "--output-dir", "out"], sweeper.folder
    )
    audit = json.loads(shown.stdout)["stopping_audit"]
    assert (audit["audited"], audit["stops"], audit["false"], audit["regret"]) == (2, 6, 1, 2.5)
    asked = ["--replay-stopping", "audited", "--output-dir", "out", "--json"]
    replayed = json.loads(in_this_process(sweep_runner.main, asked, sweeper.folder).stdout)["rules"]
    own = next(item for item in replayed if item["own"])
    assert own["stops_winner"] and own["regret"] == 2.5
    said = in_this_process(sweep_runner.main, asked[:-1], sweeper.folder)
    assert said.returncode == 0 and len(said.stdout.splitlines()) > len(replayed)
