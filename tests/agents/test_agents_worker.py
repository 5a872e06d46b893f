"""What an attempt costs the record."""

from pools import Bench

from sweepkit.agents import worker
from sweepkit.model.runs import RunState

REPORTS = """\
import json, os
with open(os.environ["SWEEPKIT_REPORT_FILE"], "a") as file:
    file.write(json.dumps({"loss": 1.0}) + "\\n")
"""
GOES_ON = f"{REPORTS}import signal\nsignal.pause()\n"


def test_an_attempt_that_is_over_before_its_first_look_is_claimed_and_ended_and_nothing_more(tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "_FIRST_LOOK_S", 3600.0)
    with Bench(tmp_path) as bench:
        bench.start(REPORTS).join()
        (run,) = bench.runs()
        attempts = bench.store.attempts(run.run_id)
    assert (run.state, run.history, run.change) == (RunState.FINISHED, (1.0,), 2)  # the sweep's second write
    assert [attempt.pid is not None and attempt.device for attempt in attempts] == ["1 cpu"]


def test_a_run_that_a_rule_may_end_is_looked_at_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "_FIRST_LOOK_S", 3600.0)
    with Bench(tmp_path) as bench:
        bench.start(GOES_ON, stops={"type": "threshold", "upper": 0.5}).join()
        (run,) = bench.runs()
    assert run.state is RunState.STOPPED
