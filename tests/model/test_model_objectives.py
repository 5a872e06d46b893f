"""The vector of a run: the last report that has all values, summaries first."""

import math

import pytest

from sweepkit.model.metric import Metric
from sweepkit.model.objectives import OUTCOME, objectives_of
from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunState, RunView

NAN, INF = math.nan, math.inf
TWO = (Metric(name="a"), Metric(name="b"))


def view(a, b, summaries=()):
    return RunView(
        number=0, run_id="r", params={}, state=RunState.FINISHED, objectives=(tuple(a), tuple(b)), summaries=summaries
    )


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (view([3, 1, 2], [5, 6, 7]), (2, 7)),  # the last, not the best
        (view([3, 1, NAN], [5, 6, 7]), (1, 6)),  # of one report, not 1 with 7
        (view([3, INF], [NAN, 6]), None),
        (view([3, 1, NAN], [5]), (1, 5)),  # not reported together: the last finite of each
        (view([3], []), None),
        (view([], []), None),
        (view([3], [], (None, 9.0)), (3, 9)),  # a summary stands for its metric
        (view([3, 2], [5, NAN], (None, 9.0)), (2, 9)),
        (view([3], [5], (NAN, 9.0)), (3, 9)),  # one that is not finite does not
        (view([], [], (1.0, 9.0)), (1, 9)),
        (RunView(number=0, run_id="r", params={}, state=RunState.RUNNING), None),
    ],
)
def test_the_vector_of_a_view(run, expected):
    assert objectives_of(run, TWO) == expected


def record(state=RunState.FINISHED, outcome=None, last=None):
    return RunRecord(
        run_id="r", sweep_id="s", number=0, params={}, state=state, outcome=outcome or {}, last_metrics=last or {}
    )


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (record(outcome={OUTCOME: {"b": 2.0, "a": 1.0}}, last={"a": 7, "b": 8}), (1, 2)),
        (record(last={"a": 7, "b": 8}), (7, 8)),
        (record(last={"a": 7, "b": NAN}), None),
        (record(last={"a": 7}), None),
        # what an earlier attempt came to says nothing of the one that runs
        (record(state=RunState.RUNNING, outcome={OUTCOME: {"a": 1.0, "b": 2.0}}, last={"a": 7, "b": 8}), (7, 8)),
    ],
)
def test_the_vector_of_a_record(run, expected):
    assert objectives_of(run, TWO) == expected
