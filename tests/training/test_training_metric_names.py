"""What is told of a metric that our trainer does not report, or that is searched the wrong way."""

import pytest

from sweepkit.model.metric import Goal, Metric
from sweepkit.training.metric_names import REPORTED, likely, metric_notes


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("rouge1", "eval/rouge1_f1"),
        ("eval_rougeL", "eval/rougeL_f1"),
        ("eval/rouge2", "eval/rouge2_f1"),
        ("rougel_f1", "eval/rougeL_f1"),
        ("eval/los", "eval/loss"),
    ],
)
def test_the_nearest_metric_is_the_one_that_begins_so(name, meant):
    assert likely(name, REPORTED["summarization"]) == f"did you mean {meant}?"
    (said,) = metric_notes([Metric(name=name, goal=Goal.MAXIMIZE)], "summarization")
    assert meant in said


@pytest.mark.parametrize("task", sorted(REPORTED))
def test_nothing_is_told_of_what_is_reported_and_better_that_way(task):
    for name, goal in REPORTED[task].items():
        assert metric_notes([Metric(name=name, goal=goal)], task) == []
        other = Goal.MINIMIZE if goal is Goal.MAXIMIZE else Goal.MAXIMIZE
        assert len(metric_notes([Metric(name=name, goal=other)], task)) == 1
    for name in ("train/loss", "_runtime", "eval/fold_macro_f1"):
        assert metric_notes([Metric(name=name, goal=Goal.MAXIMIZE)], task) == []
