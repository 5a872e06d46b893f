"""What a dry run works out, and that it leaves nothing behind."""

import json
import os
import sys

import pytest
from snapshots import words_of

from sweepkit.agents.slots import make_slots
from sweepkit.errors import ConflictError
from sweepkit.model.runs import RunState
from sweepkit.runner.dry_run import MOST_SHOWN, Certainty, dry_run, dry_run_text
from sweepkit.runner.options import RunOptions
from sweepkit.runner.plan import make_plan
from sweepkit.store.open import open_store

WORDS = words_of(__file__)

GRID = {"method": "grid", "parameters": {"x": {"values": [1, 2, 3]}, "y": {"values": ["a", "b b"]}}}
LINE = {"method": "random", "parameters": {"x": {"min": 0.0, "max": 1.0}}}


def slots(workers):
    return make_slots(workers, gpus=(), gpus_per_run=None, cpus_per_run=None)


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (tmp_path / "p.py").touch()

    def make(**config):
        config = {"name": "s", "program": "p.py", "metric": {"name": "m"}, **config}
        (tmp_path / "s.yaml").write_text(json.dumps(config), encoding="utf-8")
        return make_plan(RunOptions(output_dir=tmp_path / "out"), "s.yaml")

    return make


def asked(plan, *, workers=1, most=None, **options):
    given = RunOptions(output_dir=plan.output_dir, **options)
    return dry_run(plan, slots=slots(workers), options=given, most=most)


def record(plan, runs, *, seed=0):
    """Record a sweep of the plan with runs: a configuration, a state and how many seconds it took."""
    os.makedirs(plan.output_dir, exist_ok=True)
    with open_store(plan.storage) as store:
        sweep, _ = store.create_sweep("s", text=plan.spec.text, seed=seed, metric="m", goal="minimize")
        for number, (params, state, seconds) in enumerate(runs):
            attempt = store.add_and_claim(sweep.sweep_id, number, params, agent_id="a", host="h", lease_s=60)
            store.finish(attempt, state, reason="", outcome={"duration_s": seconds})


def test_of_a_recorded_sweep_what_is_left_is_shown_and_what_failed_is_no_measure(plan):
    made = plan(**GRID)
    record(made, [({"x": 1, "y": "a"}, RunState.FINISHED, 8.0), ({"x": 1, "y": "b b"}, RunState.FAILED, 0.1)])
    report = asked(made)
    assert (report.runs, report.done, report.left, report.mean_s) == (6, 2, 4, 8.0)
    assert report.first[0] == {"x": 2, "y": "a"} and len(report.first) == 4
    again = asked(made, retry_failed=True)
    assert (again.left, again.first[0]) == (5, {"x": 1, "y": "b b"})
    assert asked(made, fresh=True).left == 6


def test_a_sweep_in_which_nothing_worked_shows_its_failed_runs_as_the_same_command_makes_them(plan):
    made = plan(**GRID)
    record(made, [({"x": 1, "y": "a"}, RunState.FAILED, 0.1)])
    assert asked(made).first[0] == {"x": 1, "y": "a"} and asked(made).left == 6


def test_a_sweep_at_its_end_shows_no_run(plan):
    made = plan(**{**GRID, "run_cap": 1})
    record(made, [({"x": 1, "y": "a"}, RunState.FINISHED, 8.0)])
    report = asked(made)
    assert (report.left, report.first, report.failed) == (0, (), 0)
    assert "--fresh" in dry_run_text(report) and "estimate" not in dry_run_text(report)


def test_a_recorded_sweep_goes_on_by_its_own_seed_and_another_yaml_is_refused(plan):
    made = plan(**LINE, run_cap=4)
    record(made, [({"x": 0.5}, RunState.FINISHED, 1.0)], seed=77)
    report = asked(made)
    assert (report.seed, report.certain) == (77, Certainty.SURE)
    with pytest.raises(ConflictError):
        asked(plan(**GRID))


def test_the_limit_of_the_call_is_obeyed(plan):
    report = asked(plan(**GRID), workers=2, most=(4, "--runs-per-worker 2"))
    assert len(report.first) == 4 and "--runs-per-worker 2" in dry_run_text(report).splitlines()[0]


def test_a_grid_is_counted_and_shown_with_its_commands(plan, tmp_path):
    report = dry_run(plan(**GRID), slots=slots(2))
    assert (report.name, report.runs, report.mean_s, report.estimate_s()) == ("s", 6, None, None)
    assert [params["x"] for params in report.first] == [1, 1, 2, 2, 3, 3]
    assert report.commands[1] == ("/usr/bin/env", sys.executable, str(tmp_path / "p.py"), "--x=1", "--y=b b")
    assert [slot.index for slot in report.slots] == [0, 1]
    assert json.loads(json.dumps(report.plain()))["runs"] == 6
    text = dry_run_text(report)
    assert text.startswith("sweep s: 6 runs\n") and "'--y=b b'" in text
    assert text.count("--x=") == 5 and "\n  …\n" in text
    assert text.endswith(WORDS["estimate-none-before"])
    assert sorted(os.listdir(tmp_path)) == ["p.py", "s.yaml"]


@pytest.mark.parametrize(
    ("config", "runs", "shown"),
    [
        ({**GRID, "run_cap": 4}, 4, 4),
        ({**GRID, "run_cap": 9}, 6, 6),
        ({**LINE, "run_cap": 3}, 3, 3),
        (LINE, None, MOST_SHOWN),
        ({**LINE, "run_cap": 1000}, 1000, MOST_SHOWN),
        ({**LINE, "parameters": {"x": {"min": 1, "max": 4}}}, 4, 4),
    ],
)
def test_the_number_of_runs_is_the_smaller_of_space_and_cap(plan, config, runs, shown):
    report = dry_run(plan(**config), slots=slots(1))
    assert (report.runs, len(report.first), len(report.commands)) == (runs, shown, shown)
    assert dry_run_text(report).startswith(f"sweep s: {'unbounded' if runs is None else runs} runs")


def test_the_proposals_are_those_of_the_seed_and_the_sampler(plan):
    seeded = plan(**LINE, run_cap=5, sweepkit={"seed": 3})
    first = asked(seeded).first
    assert asked(seeded).first == asked(seeded, seed=3).first == first
    assert asked(seeded, seed=4).first != first
    assert len({params["x"] for params in asked(seeded, sampler="tpe").first}) == 5
    certain = [asked(seeded).certain, asked(seeded, sampler="tpe").certain, asked(plan(**GRID)).certain]
    assert certain == [Certainty.SURE, Certainty.LEARNS, Certainty.SURE]


def test_without_a_seed_the_shown_runs_are_an_example_and_its_seed_keeps_them(plan):
    report = asked(plan(**LINE, run_cap=3))
    assert report.certain is Certainty.DRAWN
    assert asked(plan(**LINE, run_cap=3), seed=report.seed).first == report.first
    assert f"--seed {report.seed}" in dry_run_text(report)


def test_a_measured_sweep_has_an_estimate(plan):
    made = plan(**GRID)
    os.makedirs(made.output_dir)
    store = open_store(made.storage)
    sweep, _ = store.create_sweep("s", text=made.spec.text, seed=0, metric="m", goal="minimize")
    for number, seconds in enumerate((10.0, 20.0)):
        attempt = store.add_and_claim(sweep.sweep_id, number, {"x": number}, agent_id="a", host="h", lease_s=60)
        store.finish(attempt, RunState.FINISHED, reason="", outcome={"duration_s": seconds})
    store.add_and_claim(sweep.sweep_id, 2, {"x": 2}, agent_id="a", host="h", lease_s=60)  # still running
    store.close()
    report = dry_run(made, slots=slots(2))
    assert (report.mean_s, report.done, report.under_way, report.left) == (15.0, 2, 1, 4)
    assert report.estimate_s() == 30.0
    assert WORDS["s-a-run"] in dry_run_text(report)
    other = plan(**{**GRID, "name": "t"})
    assert dry_run(other, slots=slots(1)).mean_s is None, "another sweep of the same record was measured"


def test_warnings_of_the_yaml_are_shown(plan):
    report = dry_run(plan(**{**LINE, "run_cap": 1, "parameters": {"x": {"min": 1, "max": 2.5}}}), slots=slots(1))
    (line,) = [line for line in dry_run_text(report).splitlines() if line.startswith("warning: ")]
    assert "parameters.x" in line
