"""Tables of runs: from the record, from foreign rows; their columns, their best so far."""

import math
import re
from dataclasses import replace

import pandas as pd
import pytest
from depth import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sweepkit.analysis.foreign import from_frame, from_rows
from sweepkit.analysis.history import best_so_far, expected_best, seed_sd
from sweepkit.analysis.table import from_runs
from sweepkit.errors import DataError
from sweepkit.model.metric import Goal, Metric
from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunState
from sweepkit.sweep_config.read import from_config

CONFIG = {
    "program": "x.py",
    "method": "random",
    "metric": {"name": "m", "goal": "maximize"},
    "parameters": {
        "lr": {"distribution": "log_uniform_values", "min": 1e-6, "max": 1e-2},
        "batch": {"values": [4, 8, 16]},
        "kind": {"values": ["a", None, True]},
        "opt": {"parameters": {"beta": {"min": 0.0, "max": 1.0}}},
        "epochs": {"value": 3},
    },
}


def run(number, params, history=(), state=RunState.FINISHED, **fields):
    return RunRecord(
        run_id=f"r{number}", sweep_id="s", number=number, params=params, state=state, history=history, **fields
    )


def table(*runs):
    return from_runs(from_config(CONFIG), runs)


def test_columns_know_their_scale_and_levels():
    params = {"lr": 1e-4, "batch": 8, "kind": None, "opt": {"beta": 0.5}, "epochs": 3}
    found = table(run(0, params, (0.1, 0.3, 0.2), outcome={"duration_s": 2.0, "seed": 7}), run(1, {"lr": 1e-3}))
    lr, batch, kind, beta = (found.column(name) for name in ("lr", "batch", "kind", "opt.beta"))
    assert lr.numeric and lr.log and (lr.low, lr.high) == (1e-6, 1e-2) and not lr.conditional
    assert batch.numeric and batch.log and batch.conditional
    assert not kind.numeric and kind.levels == ("a", "null", "true")
    assert beta.numeric and not beta.log
    assert not found.column("epochs").searched
    assert found.rows[0].params["kind"] == "null" and "kind" not in found.rows[1].params
    assert (found.rows[0].value, found.rows[0].duration_s, found.rows[0].seed) == (0.3, 2.0, 7)
    assert found.exchangeable


def test_only_runs_that_ended_well_are_ranked():
    states = [RunState.FINISHED, RunState.STOPPED, RunState.FAILED, RunState.RUNNING, RunState.DIVERGED]
    found = table(*(run(i, {"lr": 1e-3 / (i + 1)}, (float(i),), state) for i, state in enumerate(states)))
    assert [row.number for row in found.ranked()] == [1, 0]
    assert [row.number for row in found.finished()] == [0]


def test_several_objectives_need_all_their_values():
    metrics = [{"name": "f1", "goal": "maximize"}, {"name": "time", "goal": "minimize"}]
    config = {key: value for key, value in CONFIG.items() if key not in ("metric", "method")}
    spec = from_config(config | {"method": "custom", "metrics": metrics, "scheduler": {"engine": "optuna"}})
    both = run(0, {"lr": 1e-3}, last_metrics={"f1": 0.5, "time": 3.0})
    one = run(1, {"lr": 1e-3}, last_metrics={"f1": 0.5})
    assert [row.objectives for row in from_runs(spec, [both, one]).rows] == [(0.5, 3.0), None]


def test_a_table_of_our_own_csv():
    rows = [
        {"number": "3", "run_id": "ab", "state": "finished", "value": "0.5", "params.lr": "1e-4", "params.o": "none"},
        {"number": "4", "run_id": "cd", "state": "failed", "value": "", "params.lr": "1e-2", "params.o": ""},
    ]
    found = from_rows(rows)
    assert [column.name for column in found.columns] == ["lr", "o"]
    assert found.column("lr").log and found.column("o").levels == ("none",)
    assert [(row.number, row.state, row.value) for row in found.rows] == [
        (3, RunState.FINISHED, 0.5),
        (4, RunState.FAILED, None),
    ]
    assert "o" not in found.rows[1].params


def test_a_table_of_optunas_trials():
    rows = [
        {"number": 0, "value": 1.0, "state": "TrialState.COMPLETE", "params_x": 2},
        {"state": "PRUNED", "params_x": 3},
    ]
    found = from_rows(rows, goal=Goal.MINIMIZE)
    assert [row.state for row in found.rows] == [RunState.FINISHED, RunState.STOPPED]
    assert [column.name for column in found.columns] == ["x"]


def test_a_table_of_the_frame_that_optuna_hands_over():
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="minimize")
    study.enqueue_trial({"lr": 0.01, "kind": "1"})
    study.enqueue_trial({"lr": 0.1, "kind": "b"})
    study.optimize(lambda t: t.suggest_float("lr", 1e-3, 1) + len(t.suggest_categorical("kind", ["1", "b"])), 2)
    found = from_frame(study.trials_dataframe(), goal=Goal.MINIMIZE)
    assert [column.name for column in found.columns] == ["kind", "lr"]
    assert [row.params["lr"] for row in found.ranked()] == [0.01, 0.1]
    assert all(row.state is RunState.FINISHED and 0 <= row.duration_s < 60 for row in found.rows)


def described():
    params = {"lr": 1e-4, "batch": 8, "kind": None, "opt": {"beta": 0.5}, "epochs": 3}
    ended = {"outcome": {"duration_s": 2.0, "seed": 2**63}, "attempts": 2, "best_metrics": {"f1": 0.5}}
    failed = run(2, {"lr": 1e-2, "kind": True}, state=RunState.FAILED, reason="메모리")
    return table(run(1, params, (0.1, 0.3), **ended), failed)


def test_a_frame_has_numbers_categories_and_na():
    frame = described().to_frame()
    kinds = {"params.lr": "Float64", "params.batch": "Int64", "params.kind": "category", "value": "Float64"}
    kinds |= {"number": "Int64", "seed": "Float64", "state": "string", "best.f1": "Float64"}
    assert {name: frame[name].dtype.name for name in kinds} == kinds
    assert list(frame["params.kind"]) == ["null", "true"] and list(frame["params.kind"].cat.categories)[0] == "a"
    absent = ["value", "params.batch", "params.opt.beta", "best.f1", "duration_s", "seed"]
    assert frame[absent].isna().iloc[1].all() and frame[absent].notna().iloc[0].all()
    assert frame.groupby("state")["value"].max().to_dict()["finished"] == 0.3


def test_a_frame_becomes_its_table_again():
    one = described()
    again = from_frame(one.to_frame())
    assert (again.name, again.metrics, again.method) == (one.name, one.metrics, one.method)
    assert [column.name for column in again.columns] == [column.name for column in one.columns]
    for name in ("number", "run_id", "state", "params", "value", "metrics", "duration_s", "attempts", "reason"):
        assert [getattr(row, name) for row in again.rows] == [getattr(row, name) for row in one.rows], name
    assert from_frame(one.to_frame(), metric="m") == again
    loss = from_frame(replace(one, metrics=(Metric(name="m", goal=Goal.MINIMIZE),)).to_frame(), metric="f1")
    assert loss.metric == Metric(name="f1", goal=Goal.MAXIMIZE) and loss.rows[0].value == 0.5


def test_a_frame_of_several_metrics_has_a_column_for_each():
    metrics = [{"name": "time", "goal": "minimize"}, {"name": "f1", "goal": "maximize"}]
    config = {key: value for key, value in CONFIG.items() if key not in ("metric", "method")}
    spec = from_config(config | {"method": "custom", "metrics": metrics, "scheduler": {"engine": "optuna"}})
    frame = from_runs(spec, [run(0, {"lr": 1e-3}, last_metrics={"f1": 0.5, "time": 3.0}), run(1, {"lr": 1})]).to_frame()
    assert frame[["objective.time", "objective.f1"]].iloc[0].tolist() == [3.0, 0.5] and "value" not in frame
    again = from_frame(frame)
    assert again.metric.name == "time" and again.metric.goal is Goal.MINIMIZE
    assert [row.value for row in again.rows] == [3.0, None]


def test_text_that_reads_as_a_number_stays_a_category_in_a_frame():
    frame = pd.DataFrame({"params.a": ["1", "2"], "params.b": ["1", "2"], "value": ["0.5", ""]})
    frame["params.a"] = frame["params.a"].astype("category")
    found = from_frame(frame)
    assert not found.column("a").numeric and found.column("b").numeric
    assert [row.value for row in found.rows] == [0.5, None]


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        ([], {}, "at least one run"),
        ([{"x": 1}], {}, "metric 'value'"),
        ([{"x": 1, "value": 1}], {"parameters": ["y"]}, "'y' must be a column"),
        ([{"value": 1}], {}, "columns of parameters"),
    ],
)
def test_a_table_that_is_none_says_what_to_do(rows, options, said):
    with pytest.raises(DataError, match=said):
        from_rows(rows, **options)


cells = st.one_of(st.text(max_size=6), st.integers(), st.floats(), st.booleans(), st.none())


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.fixed_dictionaries({"params.a": cells, "params.b": cells, "value": cells}), min_size=1, max_size=8))
@example([{"params.a": 2**63 + 1, "params.b": 2**53 + 1, "value": 1}, {"params.a": None, "params.b": 0.5, "value": 2}])
def test_any_cells_make_a_table(rows):
    try:
        found = from_rows(rows)
    except DataError as error:  # a score that is no number is named with its row, nothing else is refused
        assert re.search(r"column value must hold numbers, got .* in row \d", str(error), re.DOTALL)
        assert any(isinstance(row["value"], str | bool) for row in rows)
        return
    assert len({row.number for row in found.rows}) == len(rows)
    for row in found.rows:
        assert row.value is None or math.isfinite(row.value)
        for column in found.columns:
            value = row.params.get(column.name)
            assert value is None or (math.isfinite(value) if column.numeric else value in column.levels)
    again = from_frame(found.to_frame())
    assert [(row.params, row.value) for row in again.rows] == [(row.params, row.value) for row in found.rows]


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=30), st.sampled_from(Goal))
def test_expected_best_is_the_mean_over_all_subsets(values, goal):
    from itertools import combinations
    from statistics import fmean

    curve = expected_best(values, goal)
    assert len(curve) == len(values) // 2
    assert curve[0] == pytest.approx(fmean(values), abs=1e-9)
    if len(curve) > 1:
        pairs = [goal.best(pair) for pair in combinations(values, 2)]
        assert curve[1] == pytest.approx(fmean(pairs), abs=1e-9)


def test_best_so_far_ignores_what_has_no_value():
    assert best_so_far([None, 3.0, None, 5.0, 1.0], Goal.MINIMIZE) == [None, 3.0, 3.0, 3.0, 1.0]


def test_seed_noise_is_pooled_over_configurations():
    rows = [
        {"params.lr": lr, "params.seed": seed, "value": lr + noise}
        for lr in (1.0, 2.0)
        for seed, noise in ((1, 0.1), (2, -0.1))
    ]
    sd, freedom = seed_sd(from_rows(rows))
    assert freedom == 2 and sd == pytest.approx(math.sqrt(0.04 / 2))
    assert seed_sd(from_rows(rows[::2])) is None
