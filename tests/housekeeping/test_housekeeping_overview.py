"""`list`, the page and the monitor say the same of a sweep, whatever it is."""

import json

import pytest
from sweeping import in_this_process

from sweepkit.cli import app
from sweepkit.model.records import STOPPED, Report, SweepState
from sweepkit.model.runs import RunState
from sweepkit.monitor.follow import Follower
from sweepkit.store.open import open_store
from sweepkit.store.watch import open_watch
from sweepkit.ui.live_sweep import LiveSweep

S, R = SweepState, RunState
SPACE = "run_cap: 6\nparameters: {x: {values: [1, 2]}, seed: {values: [1, 2, 3]}}\n"
ONE = f"method: random\nmetric: {{name: loss}}\n{SPACE}"
TWO = f"method: custom\nscheduler: {{engine: optuna}}\nmetrics: [{{name: loss}}, {{name: size}}]\n{SPACE}"
# What a sweep is recorded as: its YAML, its state and why, and of each run the state, x and the losses it reported.
SWEEPS = {
    "several seeds": (ONE, S.RUNNING, "", [(R.FINISHED, 1, [0.0]), (R.FINISHED, 1, [1.0]), (R.FINISHED, 2, [0.4])]),
    "a lucky best report": (ONE, S.FINISHED, "", [(R.FINISHED, 1, [0.1, 0.9]), (R.FINISHED, 2, [0.3])]),
    "diverged and failed": (ONE, S.RUNNING, "", [(R.DIVERGED, 1, []), (R.FAILED, 2, []), (R.STOPPED, 1, [2.0])]),
    "left by --count": (ONE, S.RUNNING, "--count of 2 reached", [(R.FINISHED, 1, [0.5]), (R.FINISHED, 2, [0.2])]),
    "ended before its cap": (ONE, S.FINISHED, "target reached", [(R.FINISHED, 1, [0.5]), (R.FINISHED, 2, [0.2])]),
    "stopped by hand": (ONE, S.FINISHED, STOPPED, [(R.FINISHED, 1, [0.5])]),
    "running": (ONE, S.RUNNING, "", [(R.FINISHED, 1, [0.5]), (R.RUNNING, 2, [0.1])]),
    "paused": (ONE, S.PAUSED, "paused by --pause", [(R.FINISHED, 1, [0.5])]),
    "several metrics": (TWO, S.RUNNING, "", [(R.FINISHED, 1, [0.5]), (R.FINISHED, 2, [0.2])]),
    "nothing yet": (ONE, S.RUNNING, "", []),
}


def record(folder, text, state, reason, runs):
    several = "metrics:" in text
    meta = {"metrics": [{"name": name, "goal": "minimize"} for name in ("loss", "size")]} if several else {}
    named = {"metric": None, "goal": None} if several else {"metric": "loss", "goal": "minimize"}
    with open_store(folder / "sweepkit.db") as store:
        sweep, _ = store.create_sweep("s", text=text, seed=0, meta=meta, **named)
        for number, (end, x, losses) in enumerate(runs):
            params = {"x": x, "seed": number}
            attempt = store.add_and_claim(sweep.sweep_id, number, params, agent_id="a", host="h", lease_s=3600)
            said = [Report(seq=at, values={"loss": v, "size": v}, step=at, time=1e9) for at, v in enumerate(losses, 1)]
            store.report(attempt, said, **named)
            if end is not R.RUNNING:
                store.finish(attempt, end, reason="", failure=end is R.FAILED)
        store.update_sweep(sweep.sweep_id, state=state, reason=reason)
        return sweep.sweep_id


@pytest.mark.parametrize("kind", SWEEPS)
def test_list_page_and_monitor_tell_one_thing(kind, tmp_path):
    sweep_id = record(tmp_path, *SWEEPS[kind])
    done = in_this_process(app.main, ["list", "--json", "--output-dir", "."], tmp_path)
    (row,) = json.loads(done.stdout)
    watch = open_watch(str(tmp_path / "sweepkit.db"))
    try:
        page, item = LiveSweep(watch, sweep_id, tmp_path).line(), Follower(watch, sweep_id).snapshot()
    finally:
        watch.close()
    for key in ("standing", "done", "total", "failed", "counts", "metric", "goal"):
        assert row[key] == page[key], key
    assert (None if row["best"] is None else row["best"]["value"]) == page["best"]
    assert (row["running"], row["idle"]) == (page["workers"], bool(page["idle"]))
    assert (item.standing, item.done, item.total, item.failed) == tuple(
        row[key] for key in ("standing", "done", "total", "failed")
    )


def listed(tmp_path, kind):
    record(tmp_path, *SWEEPS[kind])
    (row,) = json.loads(in_this_process(app.main, ["list", "--json", "--output-dir", "."], tmp_path).stdout)
    return row


def test_the_best_of_several_seeds_is_their_mean(tmp_path):
    best = listed(tmp_path, "several seeds")["best"]
    assert (best["value"], best["seeds"], best["params"]["x"]) == (0.4, 1, 2)


def test_a_sweep_that_ended_has_as_many_runs_as_it_made_unless_somebody_stopped_it(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert listed(tmp_path / "a", "ended before its cap")["total"] == 2
    assert listed(tmp_path / "b", "stopped by hand")["total"] == 6


def test_what_ended_badly_is_one_number_and_what_was_left_is_idle(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert listed(tmp_path / "a", "diverged and failed")["failed"] == 2
    assert listed(tmp_path / "b", "left by --count")["standing"] == "idle"
