from dataclasses import replace

import numpy as np
import pytest

from sweepkit.analysis.candidates import NEAR, choose_candidates
from sweepkit.analysis.foreign import from_rows
from sweepkit.analysis.table import RunTable, from_runs
from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunState
from sweepkit.model.seeds import is_seed
from sweepkit.sweep_config.read import read_sweep_text


def table(rows, **changes) -> RunTable:
    return from_rows(rows, name="t", **changes)


def record(number, params, value, state=RunState.FINISHED):
    history = () if value is None else (value - 1, value)
    return RunRecord(
        run_id=f"r{number}", sweep_id="s", number=number, params=params, state=state, history=history, outcome={}
    )


def numbers(field):
    return [item.number for item in field.candidates]


SPACE = """\
program: t.py
method: random
metric: {name: m, goal: %s}
parameters:
  lr: {distribution: log_uniform_values, min: 1.0e-5, max: 1.0e-1}
  kind: {values: [a, b]}
  seed: {values: [1, 2, 3]}
"""


def swept(runs, goal="maximize"):
    return from_runs(read_sweep_text(SPACE % goal), runs)


def test_few_runs_are_ranked_by_their_scores():
    rows = [{"x": float(place), "value": float(-place)} for place in range(7)]
    field = choose_candidates(table(rows))
    assert numbers(field) == [0, 1, 2, 3, 4] and field.model == ""
    assert [item.sweep_rank for item in field.candidates] == [1, 2, 3, 4, 5]
    assert not any(item.by_model for item in field.candidates) and len(field.configurations) == 7


def test_a_minimized_metric_is_ranked_from_below():
    runs = [record(place, {"lr": 10.0 ** -(place + 1), "kind": "a", "seed": 1}, float(place)) for place in range(3)]
    assert numbers(choose_candidates(swept(runs, "minimize"))) == [0, 1, 2]
    assert numbers(choose_candidates(swept(runs))) == [2, 1, 0]


def test_the_seeds_of_one_configuration_are_one_candidate_with_the_mean():
    runs = [
        record(0, {"lr": 1e-3, "kind": "a", "seed": 1}, 0.9),  # lucky
        record(1, {"lr": 1e-3, "kind": "a", "seed": 2}, 0.1),
        record(2, {"lr": 1e-4, "kind": "a", "seed": 1}, 0.6),
    ]
    field = choose_candidates(swept(runs))
    assert numbers(field) == [2, 0]
    assert [item.scores for item in field.candidates] == [(0.6,), (0.9, 0.1)]


def test_a_run_that_was_stopped_early_may_race_but_its_score_does_not_count():
    runs = [
        record(0, {"lr": 1e-3, "kind": "a", "seed": 1}, 0.9, RunState.STOPPED),
        record(1, {"lr": 1e-4, "kind": "b", "seed": 1}, 0.5),
        record(2, {"lr": 1e-2, "kind": "b", "seed": 1}, 0.7, RunState.DIVERGED),
        record(3, {"lr": 1e-1, "kind": "b", "seed": 1}, None),
    ]
    first, second = choose_candidates(swept(runs)).candidates
    assert (first.scores, first.sweep_score) == ((), 0.9)
    assert (second.scores, second.sweep_rank) == ((0.5,), 2)


def test_nearly_the_same_configurations_race_once():
    step = 10 ** (4 * 2 * NEAR * 0.9)  # two parameters, one of which is the same: just near
    runs = [
        record(0, {"lr": 1e-3, "kind": "a", "seed": 1}, 0.9),
        record(1, {"lr": 1e-3 * step, "kind": "a", "seed": 1}, 0.8),
        record(2, {"lr": 1e-3, "kind": "b", "seed": 1}, 0.7),  # another category is another configuration
        record(3, {"lr": 1e-3 * step**3, "kind": "a", "seed": 1}, 0.6),
    ]
    field = choose_candidates(swept(runs))
    assert numbers(field) == [0, 2, 3] and field.candidates[0].alike == (1,)


def test_nothing_to_confirm():
    assert choose_candidates(swept([record(0, {"lr": 1e-3, "kind": "a", "seed": 1}, None)])).candidates == ()


def test_equal_scores_leave_no_model():
    rows = [{"x": float(place), "value": 1.0} for place in range(20)]
    field = choose_candidates(table(rows))
    assert field.model == "" and len(field.candidates) == 5


def test_a_model_names_what_its_neighbours_speak_for():
    rng = np.random.default_rng(5)
    xs = np.linspace(0, 1, 40)
    rows = [{"x": float(x), "value": float(-((x - 0.7) ** 2) + 0.002 * rng.normal())} for x in xs]
    for lucky in (2, 5, 9):  # far from the best, with luck that no neighbour shares
        rows[lucky]["value"] = 0.01 + 0.001 * lucky
    field = choose_candidates(table(rows), seed=1)
    assert (
        set(numbers(field)[:3]) == {2, 5, 9}
        and [item.by_model for item in field.candidates] == [False] * 3 + [True] * 2
    )
    assert all(abs(xs[place] - 0.7) < 0.15 for place in numbers(field)[3:]) and "R²" in field.model
    assert numbers(field) == numbers(choose_candidates(table(rows), seed=1))


def test_seeds_that_the_sweep_ran_of_each_configuration_are_scores_of_their_own():
    text = SPACE.replace("  seed: {values: [1, 2, 3]}\n", "") % "maximize" + "sweepkit: {seeds_per_run: 2}\n"
    scores = {0: (0.9, 0.1), 1: (0.6, 0.7)}
    runs = [
        replace(
            record(2 * number + place, {"lr": 10.0**-number, "kind": "a", "seed": place + 1}, value),
            proposal={"configuration": number, "run_seed": place + 1},
        )
        for number, values in scores.items()
        for place, value in enumerate(values)
    ]
    swept = from_runs(read_sweep_text(text), runs)
    field = choose_candidates(swept)
    assert [sorted(item.scores) for item in field.candidates] == [[0.6, 0.7], [0.1, 0.9]]
    assert [row.number for row in swept.best_first()] == [2, 3, 0, 1]


@pytest.mark.parametrize(
    ("name", "yes"), [("seed", True), ("trainer/random_state", True), ("seeds", False), ("lr", False)]
)
def test_what_is_a_seed(name, yes):
    assert is_seed(name) is yes
