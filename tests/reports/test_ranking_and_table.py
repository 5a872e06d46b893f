"""The order of a table, the best run, and its CSV."""

import csv
import io
import math
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweepkit.analysis.foreign import from_frame
from sweepkit.analysis.ranking import best_configuration, ranked
from sweepkit.analysis.table import from_runs
from sweepkit.model.metric import Goal, Metric
from sweepkit.model.objectives import value_of
from sweepkit.model.records import SEED_FACT, VALUE_FACT, RunRecord
from sweepkit.model.runs import RunState
from sweepkit.model.space import Space
from sweepkit.reports.methods import methods
from sweepkit.reports.table import as_csv, parameter_names
from sweepkit.sweep_config.sweep import Method, SweepSpec
from sweepkit.text.nested_tables import flattened


def spec(goal=Goal.MAXIMIZE):
    return SweepSpec(name="s", method=Method.GRID, space=Space(parameters=()), metric=Metric(name="m", goal=goal))


def run(number, history=(), state=RunState.FINISHED, params=None, **fields):
    return RunRecord(
        run_id=f"r{number}",
        sweep_id="s",
        number=number,
        params=params or {"a": number},
        state=state,
        history=history,
        **fields,
    )


values = st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=5).map(tuple)


@given(st.lists(st.tuples(values, st.sampled_from(list(RunState))), max_size=12), st.sampled_from(list(Goal)))
def test_the_best_comes_first_and_only_runs_that_ended_well_can_win(described, goal):
    runs = [run(number, history, state) for number, (history, state) in enumerate(described)]
    metric = Metric(name="m", goal=goal)
    order = ranked(runs, metric)
    assert sorted(r.number for r in order) == list(range(len(runs)))
    best = best_configuration(runs, metric)
    able = [r for r in runs if r.state in (RunState.FINISHED, RunState.STOPPED) and value_of(r, metric) is not None]
    if not able:
        assert best is None
    else:
        assert value_of(best.first, metric) == goal.best([value_of(r, metric) for r in able])


def test_a_value_is_the_best_finite_one_of_history_and_summary():
    metric = Metric(name="m", goal=Goal.MINIMIZE)
    assert value_of(run(0, (3.0, 1.0, math.nan, 2.0)), metric) == 1.0
    assert value_of(run(0, (3.0,), summary=0.5), metric) == 0.5
    assert value_of(run(0, (math.nan, math.inf)), metric) is None
    assert value_of(run(0, (1.0,)), None) is None


def test_csv_keeps_nested_parameters_lists_and_hangul():
    runs = [
        run(0, (0.5,), params={"opt": {"lr": 1e-5}, "tags": ["가", "나"], "flag": True}, reason="완료"),
        run(1, (0.7,), params={"opt": {"lr": 1e-4}, "tags": [], "flag": False}),
    ]
    rows = list(csv.DictReader(io.StringIO(as_csv(spec(), runs))))
    assert [row["number"] for row in rows] == ["1", "0"]
    assert rows[1]["params.opt.lr"] == "1e-05"
    assert rows[1]["params.tags"] == '["가", "나"]'
    assert rows[1]["params.flag"] == "true"
    assert rows[1]["reason"] == "완료"


@pytest.mark.parametrize(
    ("rule", "own", "column"),
    [
        ("best", {}, "best.m"),
        ("last", {}, "last.m"),
        ("mean_of_last 2", {}, "last.m"),
        ("best", {VALUE_FACT: "last"}, "last.m"),
    ],
)
def test_the_columns_of_the_report_that_counts_are_called_after_it(rule, own, column):
    """A column `best.m` held the last value where the last report counts."""
    reported = run(0, (0.9, 0.5), best_metrics={"m": 0.9}, last_metrics={"m": 0.5}, outcome={"facts": own})
    counting = replace(spec(), metric=Metric(name="m", goal=Goal.MAXIMIZE, value=rule))
    (row,) = csv.DictReader(io.StringIO(as_csv(counting, [reported])))
    assert {name for name in row if name.endswith(".m")} == {column}
    table = from_runs(counting, [reported])
    assert any(line.endswith("as its program says.") for line in methods(counting, table)) == bool(own)
    frame = table.to_frame()
    assert float(row[column]) == frame[column][0] == (0.9 if column == "best.m" else 0.5)
    assert from_frame(frame).to_frame()[column][0] == frame[column][0]


@pytest.mark.parametrize(
    ("outcome", "told"),
    [({"facts": {SEED_FACT: 42}}, ["42"]), ({"seed": 7, "facts": {SEED_FACT: 42}}, ["7"]), ({}, [])],
)
def test_the_methods_say_with_which_seed_the_program_trained(outcome, told):
    """A sweep of trainer.py trained with 42 in every run, and "one run for each" was all that was said."""
    (line,) = [line for line in methods(spec(), from_runs(spec(), [run(0, (0.9,), outcome=outcome)])) if "eed" in line]
    assert re.findall(r"\d+", line) == told


def test_only_parameters_that_vary_are_shown():
    runs = [run(0, params={"a": 1, "b": {"c": 1}}), run(1, params={"a": 1, "b": {"c": 2}})]
    assert parameter_names(runs) == ["b.c"]
    assert parameter_names(runs[:1]) == ["a", "b.c"]
    assert flattened({"a": {}, "b": {"c": {"d": 1}}}) == {"a": {}, "b.c.d": 1}


# -- a full memory -----------------------------------------------------------------------------------------------------


def full_memory(number, asked, size, peak):
    said = {"from": asked, "per_device_train_batch_size": size, "gradient_checkpointing": False}
    outcome = {"peak_memory_mb": peak, "facts": {"out_of_memory": said} if size < asked else {}}
    return run(number, (0.5 + number / 10,), params={"per_device_train_batch_size": asked}, outcome=outcome)


def test_the_answer_to_a_full_memory_and_every_peak_stand_in_table_csv_and_report(tmp_path):
    import json

    from rich.console import Console

    from sweepkit.agents.results import write_result
    from sweepkit.analysis.table import from_runs
    from sweepkit.paths import SweepPaths
    from sweepkit.reports.run_table import table_html
    from sweepkit.reports.table import as_rich

    runs = [full_memory(0, 8, 8, 300.0), full_memory(1, 16, 8, 452.0)]
    said = io.StringIO()
    Console(file=said, width=160).print(as_rich(spec(), runs))
    cells = list(csv.DictReader(io.StringIO(as_csv(spec(), runs))))
    report = table_html(from_runs(spec(), runs))
    for text in (said.getvalue(), cells[0]["memory"], report):
        assert "16 → 2 × 8" in text
    assert [row["peak_memory_mb"] for row in cells] == ["452.0", "300.0"] and not cells[1]["memory"]
    for text in (said.getvalue(), report):
        assert "peak MiB" in text and "452" in text and "300" in text
    paths = SweepPaths(tmp_path, "s")
    paths.root.mkdir()
    write_result(paths, runs[1], seed=1, surroundings={})
    (file,) = paths.root.glob("run_*_result.json")
    result = json.loads(file.read_text(encoding="utf-8"))
    assert result["peak_memory_mb"] == 452.0
    assert result["facts"]["out_of_memory"]["per_device_train_batch_size"] == 8
