"""Trainings grouped for a comparison, and what they were given."""

import math

import pytest
from snapshots import words_of

from sweepkit.analysis.budget import budget_sentences, budgets
from sweepkit.analysis.trained import Trained, group, mismatches, uneven_seeds
from sweepkit.errors import SweepKitError

WORDS = words_of(__file__)


def trained(model, seed, score=0.5, **changes):
    facts = changes.pop("facts", {})
    return Trained(model=model, seed=seed, where=f"{model}/{seed}", best={"f1": score}, facts=facts, **changes)


def test_a_missing_or_wordy_score_is_not_finite_and_not_zero():
    found = group(
        [trained("a", "1"), trained("a", "2", None), trained("a", "3", "x"), trained("a", "4", True)], "eval/f1"
    )
    (only,) = found.groups
    assert only.scores["1"] == 0.5
    assert all(math.isnan(only.scores[seed]) for seed in "234")


def test_the_same_seed_twice_is_refused_with_both_files():
    twice = [trained("a", "1"), Trained(model="a", seed="1", where="elsewhere", best={"f1": 0.4})]
    with pytest.raises(SweepKitError, match=WORDS["must-be-trained"]):
        group(twice, "f1")


def test_validation_data_decide_whether_scores_mean_the_same():
    same = [trained(m, "1", facts={"data": {"data.val_file": "ab"}, "val_rows": 5}) for m in "ab"]
    assert mismatches(same) == []
    other = trained("c", "1", facts={"data": {"data.val_file": "cd"}, "val_rows": 6})
    assert [text.split(" differs")[0] for text in mismatches([*same, other])] == [
        "the validation data",
        WORDS["the-number-of"],
    ]
    assert mismatches([same[0], trained("d", "1")]) == []  # nothing is known: nothing is said


def test_the_seed_may_differ_within_a_model_and_nothing_else():
    runs = [
        trained("a", str(seed), config={"training": {"seed": seed, "lr": lr}, "output": {"directory": str(seed)}})
        for seed, lr in ((1, 0.1), (2, 0.1), (3, 0.2))
    ]
    assert uneven_seeds(runs[:2]) == []
    assert uneven_seeds(runs) == [WORDS["a-its-runs"]]


def test_budgets_are_told_where_they_differ():
    fast = [trained("a", s, facts={"steps": 10, "duration_s": 2.0}, last={"epoch": 1.0}) for s in "12"]
    slow = [trained("b", s, facts={"steps": 20, "duration_s": 5.0}) for s in "12"]
    found = budgets([*fast, *slow], {})
    assert [(item.model, item.steps, item.epochs, item.seconds) for item in found] == [
        ("a", (10,), 1.0, 2.0),
        ("b", (20,), None, 5.0),
    ]
    said = budget_sentences(found)
    assert said[1:] == [
        WORDS["the-models-were"],
        WORDS["a-run-of"],
    ]
    assert budget_sentences(found[:1]) == []


@pytest.mark.parametrize(
    ("sweeps", "said"),
    [
        ({"s": 8, "t": 8}, "Tuning: equal (a best of 8 runs of sweep s, b best of 8 runs of sweep t)."),
        ({"s": 8, "t": 9}, "Tuning: not equal (a best of 8 runs of sweep s, b best of 9 runs of sweep t)."),
        ({"s": 8}, "but not every record is at hand"),
    ],
)
def test_tuning_is_equal_when_the_sweeps_had_as_many_runs(sweeps, said):
    runs = [trained(m, "1", config={"reproduces": {"sweep": s}}) for m, s in (("a", "s"), ("b", "t"))]
    assert said in budget_sentences(budgets(runs, sweeps))[0]
