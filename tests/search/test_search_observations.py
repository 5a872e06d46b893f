import math

import pytest

from sweepkit.model.metric import Goal, Impute, Metric
from sweepkit.model.runs import RunState, RunView
from sweepkit.search.observations import ObservationState, observe

NAN, INF = math.nan, math.inf
S = RunState


def told(*rows, **metric):
    """Return the values of runs given as (state, history[, summary]); "pending" and "unknown" where there is none."""
    runs = [
        RunView(number=n, run_id=str(n), params={}, state=row[0], history=tuple(row[1]), summary=(*row, None)[2])
        for n, row in enumerate(rows)
    ]
    seen = observe(runs, Metric(name="m", **metric))
    return [item.value if item.state is ObservationState.TOLD else str(item.state) for item in seen]


def test_a_run_is_told_as_its_best_over_history_and_summary():
    assert told((S.FINISHED, [3.0, 1.0, 2.0]), (S.FINISHED, [3.0], 0.5), (S.FINISHED, [], 7.0)) == [1.0, 0.5, 7.0]
    assert told((S.FINISHED, [3.0, 1.0, NAN, INF]), goal=Goal.MAXIMIZE) == [3.0]


def test_a_stopped_run_is_told_as_its_best_so_far_d33():
    assert told((S.STOPPED, [5.0, 4.0]), (S.STOPPED, []), (S.FINISHED, [9.0, 1.0])) == [4.0, 9.0, 1.0]


@pytest.mark.parametrize("impute", list(Impute))
def test_a_diverged_run_is_always_the_worst_d33(impute):
    assert told((S.DIVERGED, [0.1, NAN]), (S.FINISHED, [9.0, 1.0]), impute=impute) == [9.0, 1.0]
    assert told((S.DIVERGED, [0.9]), (S.FINISHED, [0.2, 0.5]), impute=impute, goal=Goal.MAXIMIZE) == [0.2, 0.5]


def test_a_failed_run_is_imputed_and_the_worst_stands_in():
    rows = ((S.FAILED, [0.5, 3.0]), (S.FAILED, [NAN]), (S.FINISHED, [7.0, 1.0]), (S.RUNNING, [99.0]))
    assert told(*rows, impute=Impute.WORST) == [7.0, 7.0, 1.0, "pending"]
    assert told(*rows, impute=Impute.BEST) == [0.5, 7.0, 1.0, "pending"]
    assert told(*rows, impute=Impute.LATEST) == [3.0, 7.0, 1.0, "pending"]


def test_a_running_run_may_be_told_as_its_best():
    rows = ((S.RUNNING, [2.0, 4.0]), (S.RUNNING, [NAN]), (S.FINISHED, [9.0]), (S.PENDING, []))
    assert told(*rows, impute_while_running=Impute.BEST) == [2.0, "pending", 9.0, "pending"]
    assert told(*rows, impute_while_running=Impute.WORST) == [2.0, 9.0, 9.0, "pending"]


def test_nothing_finite_anywhere_is_not_told_d24():
    assert told((S.DIVERGED, [NAN, NAN]), (S.FINISHED, []), (S.FAILED, [INF]), (S.RUNNING, [1.0])) == [
        "unknown",
        "unknown",
        "unknown",
        "pending",
    ]
