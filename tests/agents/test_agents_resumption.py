"""What an attempt takes over from one that was marked as preempting."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweepkit.agents.prepare import Workplace
from sweepkit.agents.resumption import Resumption, preempted_attempt
from sweepkit.model.records import Attempt, Report, RunRecord
from sweepkit.model.runs import RunState
from sweepkit.paths import SweepPaths
from sweepkit.sweep_config.read import from_config
from sweepkit.tracking.wandb_file import WandbTail


def rows(*steps, first=0.0):
    return [Report(seq=n, values={"v": first + n}, step=step, time=0.0) for n, step in enumerate(steps)]


def steps_and_values(reports):
    return [(report.step, report.values["v"]) for report in reports]


@pytest.mark.parametrize(
    ("logged", "then", "whole"),
    [
        ((0, 1), (0, 1), [(0, 0), (1, 1), (2, 10), (3, 11)]),  # counted by W&B's client, which cannot know better
        ((0, 1), (2, 3), [(0, 0), (1, 1), (2, 10), (3, 11)]),  # told by the program, from its checkpoint
        ((0, 10), (10, 20), [(0, 0), (10, 1), (20, 11)]),  # the checkpoint was older than the last row
        ((), (0, 1), [(0, 10), (1, 11)]),  # preempted before it logged anything
        ((None, None), (None,), [(None, 0), (None, 1), (None, 10)]),
        ((5, None), (0,), [(5, 0), (None, 1), (6, 10)]),
    ],
)
def test_the_rows_follow_those_that_are_there(logged, then, whole):
    assert steps_and_values(Resumption(rows(*logged)).follow(rows(*then, first=10.0))) == whole


@given(st.lists(st.integers(0, 9), max_size=6), st.lists(st.integers(0, 9), max_size=6), st.integers(0, 6))
def test_it_is_the_same_however_the_rows_arrive(logged, then, cut):
    earlier, fresh = rows(*sorted(logged)), rows(*sorted(then), first=10.0)
    whole, parts = Resumption(earlier), Resumption(earlier)
    found = parts.follow(fresh[:cut]) + parts.follow(fresh[cut:])
    assert found == whole.follow(fresh)
    assert found[: len(earlier)] == earlier
    assert [report.step for report in found] == sorted(report.step for report in found)


def test_the_resumed_attempt_is_the_last_that_began_a_run_if_that_was_marked(tmp_path, monkeypatch):
    marks = {"r-1": True, "r-2": False, "r-3": True}  # what each attempt's W&B run says; the fourth began none

    def read(tail, final):
        name = tail.directory.rpartition("/")[2]
        tail.run, tail.preempting = (name if name in marks else None), marks.get(name, False)
        return []

    monkeypatch.setattr(WandbTail, "read", read)
    run = RunRecord(run_id="r", sweep_id="s", number=0, params={}, state=RunState.RUNNING)
    spec = from_config({"name": "s", "method": "grid", "program": "p.py", "parameters": {"x": {"value": 1}}})
    paths = SweepPaths(tmp_path, "s")
    place = Workplace(spec=spec, paths=paths, program="p.py", cwd=str(tmp_path), base_config=None, inherited={})
    found = [
        preempted_attempt(
            place,
            Attempt(attempt_id=f"r-{n}", token="t", run=run, ordinal=n, lease_until=0.0),
        )
        for n in range(1, 6)
    ]
    assert found == [None, "r-1", None, "r-3", "r-3"]
