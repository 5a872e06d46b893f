"""What a run is worth of its reports: the best, the last, the mean of the last; decided in one place."""

import math

import pytest

from sweepkit.model.metric import Goal, Metric, mean_of_last, rule_of_summary
from sweepkit.model.objectives import counted_metrics, report_of, value_of
from sweepkit.model.records import VALUE_FACT, RunRecord
from sweepkit.model.runs import RunState, RunView


def record(*history, summary=None, facts=None):
    return RunRecord(
        run_id="a",
        sweep_id="s",
        number=0,
        params={},
        state=RunState.FINISHED,
        history=tuple(history),
        summary=summary,
        best_metrics={"f1": 0.9, "fold": 1.0},
        last_metrics={"f1": 0.7, "fold": 3.0},
        outcome={} if facts is None else {"facts": facts},
    )


@pytest.mark.parametrize(
    ("rule", "worth", "at"),
    [("best", 0.9, 2), ("last", 0.7, 4), ("mean_of_last 2", 0.75, None), ("mean_of_last 9", 0.725, None)],
)
def test_a_value_follows_its_rule_d38(rule, worth, at):
    run, metric = record(0.5, 0.9, 0.8, 0.7), Metric(name="f1", goal=Goal.MAXIMIZE, value=rule)
    assert value_of(run, metric) == pytest.approx(worth)
    assert report_of(run, metric) == at


def test_a_summary_is_the_last_and_no_report():
    last = Metric(name="f1", goal=Goal.MAXIMIZE, value="last")
    assert value_of(record(0.5, 0.9, summary=0.6), last) == 0.6
    assert value_of(record(0.5, math.nan), last) == 0.5
    assert value_of(record(summary=0.4), Metric(name="f1", value="mean_of_last 3")) == 0.4
    assert value_of(record(math.nan), last) is None
    means = Metric(name="f1", value="mean_of_last 2")
    assert value_of(record(0.2, 0.4, summary=9.0), means) == pytest.approx(0.3)


def test_a_program_that_reports_running_means_says_so_and_is_believed_everywhere():
    metric = Metric(name="f1", goal=Goal.MAXIMIZE)
    run = record(0.9, 0.8, 0.7, facts={VALUE_FACT: "last"})
    assert value_of(run, metric) == 0.7 and report_of(run, metric) == 3
    assert counted_metrics(run, metric) == {"f1": 0.7, "fold": 3.0}
    assert counted_metrics(record(0.9), metric)["fold"] == 1.0
    view = RunView(number=0, run_id="a", params={}, state=RunState.FINISHED, history=(0.9, 0.7), value_rule="last")
    assert value_of(view, metric) == 0.7


@pytest.mark.parametrize("rule", ["first", "mean_of_last", "mean_of_last 0", "mean_of_last -1", "last 2", ""])
def test_what_is_no_rule_is_none(rule):
    assert mean_of_last(rule) is None


@pytest.mark.parametrize(
    ("kinds", "goal", "own", "rule", "worth"),
    [
        ("max", "maximize", None, "best", 0.9),
        ("min", "minimize", None, "best", 0.5),
        ("min", "maximize", None, "min", 0.5),
        ("max,last", "minimize", None, "last", 0.7),
        ("min,max,mean", "minimize", None, "best", 0.5),
        ("max,mean", "minimize", None, "mean", 0.725),
        ("best", "maximize", None, "best", 0.9),
        ("best", "maximize", "maximize", "best", 0.9),
        ("best", "minimize", "maximize", "max", 0.9),
        ("none", "maximize", None, "", 0.9),
        ("first,copy", "maximize", None, "", 0.9),
    ],
)
def test_what_define_metric_asks_for_is_the_runs_value(kinds, goal, own, rule, worth):
    own = own and Goal(own)
    assert rule_of_summary(kinds.split(","), Goal(goal), own) == rule
    metric = Metric(name="f1", goal=Goal(goal))
    run = record(0.5, 0.9, 0.8, 0.7, facts={VALUE_FACT: rule} if rule else None)
    assert value_of(run, metric) == pytest.approx(worth)
    assert report_of(run, metric) == (None if rule == "mean" else run.history.index(worth) + 1)
