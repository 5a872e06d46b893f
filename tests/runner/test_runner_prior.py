"""Runs of earlier sweeps: from the record, from a table, from a result file."""

import json

import pytest

from sweepkit.agents.results import write_result
from sweepkit.errors import SpecError
from sweepkit.model.records import Report
from sweepkit.model.runs import RunState
from sweepkit.paths import SweepPaths
from sweepkit.reports.files import write_table
from sweepkit.runner.options import RunOptions
from sweepkit.runner.plan import make_plan
from sweepkit.runner.prior import prior_views
from sweepkit.store.open import open_store

PARAMETERS = {
    "lr": {"min": 0.0, "max": 1.0},
    "opt": {"parameters": {"name": {"values": ["adam", "아담, 둘"]}, "on": {"values": [True, False]}}},
    "sizes": {"values": [[1, 2], [3]]},
}
EARLIER = [
    ({"lr": 0.5, "opt": {"name": "adam", "on": True}, "sizes": [1, 2]}, RunState.FINISHED, [0.9, 0.25]),
    ({"lr": 0.25, "opt": {"name": "아담, 둘", "on": False}, "sizes": [3]}, RunState.STOPPED, [0.75]),
    ({"lr": 1.0, "opt": {"name": "adam", "on": False}, "sizes": [3]}, RunState.DIVERGED, []),
    ({"lr": 0.125, "opt": {"name": "adam", "on": True}, "sizes": [3]}, RunState.FAILED, []),
]


@pytest.fixture
def store(tmp_path):
    opened = open_store(tmp_path / "sweepkit.db")
    yield opened
    opened.close()


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """Return the plan of a sweep with these prior runs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.py").touch()

    def make(*sources):
        config = {"name": "later", "method": "bayes", "program": "p.py", "metric": {"name": "m"}}
        config |= {"parameters": PARAMETERS, "sweepkit": {"prior_runs": list(sources)}}
        (tmp_path / "later.yaml").write_text(json.dumps(config, ensure_ascii=False), encoding="utf-8")
        return make_plan(RunOptions(output_dir=tmp_path), "later.yaml")

    return make


@pytest.fixture
def earlier(store, plan, tmp_path):
    """Record a sweep with its files; return its runs."""
    sweep, _ = store.create_sweep("earlier", text="", seed=0, metric="m", goal="minimize")
    for number, (params, state, history) in enumerate(EARLIER):
        attempt = store.add_and_claim(sweep.sweep_id, number, params, agent_id="a", host="h", lease_s=60)
        reports = [Report(seq=seq, values={"m": value, "other": 7.0}) for seq, value in enumerate(history)]
        store.report(attempt, reports, metric="m", goal="minimize")
        store.finish(attempt, state, reason=state.value)
    store.add_run(sweep.sweep_id, len(EARLIER), EARLIER[0][0])  # still pending: nothing is known of it
    paths = SweepPaths(tmp_path, "earlier")
    paths.root.mkdir()
    runs = store.runs(sweep.sweep_id)
    write_table(paths, plan().spec, runs)
    for run in runs:
        write_result(paths, run, seed=0, surroundings={})
    return runs


def seen(views):
    """Return what an engine makes of prior runs: configuration, state, best value."""
    values = [[*view.history, *([] if view.summary is None else [view.summary])] for view in views]
    return [(view.params, view.state, min(own) if own else None) for view, own in zip(views, values, strict=True)]


EXPECTED = [(params, state, min(history) if history else None) for params, state, history in EARLIER]


def test_a_recorded_sweep_is_told_run_by_run_but_for_the_pending(store, plan, earlier):
    assert seen(prior_views(plan("earlier"), store)) == EXPECTED


def test_a_table_tells_the_same_runs(store, plan, earlier):
    views = prior_views(plan("sweep_earlier/runs.csv"), store)
    assert sorted(seen(views), key=repr) == sorted(EXPECTED, key=repr)
    assert [type(view.params["opt"]["on"]) for view in views] == [bool] * 4


def test_a_result_file_tells_its_run(store, plan, earlier):
    files = [f"sweep_earlier/run_{run.run_id}_result.json" for run in earlier]
    assert seen(prior_views(plan(*files), store)) == EXPECTED


def test_several_sources_are_numbered_anew(store, plan, earlier):
    views = prior_views(plan("earlier", "sweep_earlier/runs.csv"), store)
    assert len({view.number for view in views}) == len(views) == 8


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"run_id": "x"}', "a: 1\n"])
@pytest.mark.parametrize("name", ["bad.json", "bad.csv"])
def test_files_that_no_sweep_left_are_refused(store, plan, tmp_path, name, text):
    (tmp_path / name).write_text(text if name == "bad.json" else f"run_id,state\n{text or 1},finished\n")
    with pytest.raises(SpecError, match=f"prior_runs: must be a recorded sweep.*got '{name}'"):
        prior_views(plan(name), store)


def test_every_source_that_is_none_is_told_at_once(store, plan):
    with pytest.raises(SpecError) as caught:
        prior_views(plan("no-such-sweep", "none.csv"), store)
    assert [problem.got for problem in caught.value.problems] == ["'no-such-sweep'", "'none.csv'"]
