"""Figures and the report: every shape of a sweep makes valid plotly, one file without network, nothing unescaped."""

import csv
import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from snapshots import words_of

from sweepkit.analysis.association import associations
from sweepkit.analysis.foreign import from_rows
from sweepkit.analysis.importance import ForestEffort, importances
from sweepkit.analysis.summary import reasons, saved, summary
from sweepkit.analysis.table import from_runs, numbers_column
from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunState
from sweepkit.reports.figures import static
from sweepkit.reports.figures.base import bin_names
from sweepkit.reports.figures.heat import cells
from sweepkit.reports.figures.history import optimization_history
from sweepkit.reports.figures.importances import param_importances
from sweepkit.reports.figures.page import embedded, plotly_js, write_figure
from sweepkit.reports.figures.parallel import parallel_coordinate, scaled
from sweepkit.reports.figures.pareto import pareto_front
from sweepkit.reports.figures.slices import edge_warning, slices
from sweepkit.reports.figures.study import write_figures
from sweepkit.reports.methods import methods
from sweepkit.reports.study_report import ReportContext, study_report
from sweepkit.sweep_config.read import from_config

WORDS = words_of(__file__)

NASTY = "</script><b>한국어</b> & $x$"
QUICK = ForestEffort(trees=20, refit_trees=5, subsamples=10)
CONFIG = {
    "program": "x.py",
    "method": "random",
    "metric": {"name": "eval/rougeL", "goal": "maximize"},
    "parameters": {
        "learning_rate": {"distribution": "log_uniform_values", "min": 1e-6, "max": 1e-2},
        "batch_size": {"values": [4, 8, 16]},
        "gradient_accumulation_steps": {"values": [1, 2]},
        "optimizer": {"values": ["adamw", NASTY]},
        "x" * 90: {"min": 0.0, "max": 1.0},
    },
}


def sweep(n, states=(RunState.FINISHED,), config=CONFIG):
    rng = np.random.default_rng(0)
    runs = []
    for number in range(n):
        params = {
            "learning_rate": float(10 ** rng.uniform(-6, -2)),
            "batch_size": int(rng.choice([4, 8, 16])),
            "optimizer": ["adamw", NASTY][number % 2],
            "x" * 90: float(rng.uniform()),
        }
        if number % 3:
            params["gradient_accumulation_steps"] = int(rng.choice([1, 2]))
        state = states[number % len(states)]
        value = -((np.log10(params["learning_rate"]) + 4) ** 2) + float(rng.normal())
        scored = state in (RunState.FINISHED, RunState.STOPPED)
        runs.append(
            RunRecord(
                run_id=f"r{number}",
                sweep_id="s",
                number=number,
                params=params,
                state=state,
                reason=f"{NASTY} at report {number}",
                history=(float("nan"), value) if scored else (),
                best_metrics=(said := {"f1": value, "time": float(rng.uniform()), "size": number} if scored else {}),
                last_metrics=said,
                attempts=1,
                ended_at=float(number),
                outcome={"duration_s": 2.0 if state is RunState.FINISHED else 1.0},
            )
        )
    return from_runs(from_config(config), runs)


SHAPES = {
    "none": sweep(0),
    "one": sweep(1),
    "all_failed": sweep(4, (RunState.FAILED,)),
    "running": sweep(3, (RunState.RUNNING, RunState.PENDING)),
    "mixed": sweep(40, tuple(RunState)),
    "many": sweep(500, (RunState.FINISHED, RunState.STOPPED)),
}


def valid(drawn):
    """Return plotly's figure of it, which checks every key and value, with real colours for the page's variables."""
    from plotly.graph_objects import Figure

    text = re.sub(r'"--[a-z]+"', '"#123456"', embedded({"data": drawn.data, "layout": drawn.layout or {}}))
    return Figure(json.loads(text))


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_every_shape_of_a_sweep_makes_valid_figures(name):
    table = SHAPES[name]
    importance = importances(table, effort=QUICK)
    figures = [optimization_history(table), param_importances(importance), parallel_coordinate(table)]
    for drawn in [*figures, *slices(table)]:
        valid(drawn)
        assert drawn.title and drawn.caption
        assert bool(drawn.data) == (drawn.height > 0)


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_a_report_is_one_file_without_network_and_escapes_what_it_shows(name):
    table = SHAPES[name]
    spec = from_config(CONFIG)
    importance = importances(table, effort=QUICK)
    context = ReportContext(
        title=NASTY, importance=importance, methods=methods(spec, table, importance), environment={"host": NASTY}
    )
    page = study_report(table, context).replace(plotly_js(), "")
    assert NASTY not in page
    assert page.count("<script") == page.count("</script>")
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=", page)
    assert page.count("<tr data-state=") == len(table.rows)
    if table.rows:
        assert "&lt;/script&gt;&lt;b&gt;한국어&lt;/b&gt; &amp; $x$" in page
    if found := re.search(r'id="plotted">(.*?)</script>', page, re.DOTALL):
        assert json.loads(found.group(1))


def test_the_report_says_what_happened():
    page = study_report(SHAPES["mixed"], ReportContext(importance=importances(SHAPES["mixed"], effort=QUICK)))
    for said in ("Stopped early, and why", "Failures", "unconfirmed", "no configuration finished with two seeds"):
        assert said in page
    assert "No run yet." in study_report(SHAPES["none"], ReportContext())
    assert "4 runs: 4 failed" in study_report(SHAPES["all_failed"], ReportContext())


def test_plotlys_script_cannot_end_the_page_early():
    assert "</script" not in plotly_js() and "<!--" not in plotly_js() and len(plotly_js()) > 1_000_000


def test_files_of_a_study_hold_their_data_beside_them(tmp_path):
    table = SHAPES["mixed"]
    written = write_figures(tmp_path / "new", table, importances(table, effort=QUICK))
    assert [path.name for path in written] == [
        "learning_curves.html",
        "optimization_history.html",
        "param_importances.html",
        "parallel_coordinate.html",
        "heat_map.html",
        "slice.html",
    ]
    with open(tmp_path / "new" / "optimization_history.csv", encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    best = [float(row["best_so_far.eval/rougeL"]) for row in rows if row["best_so_far.eval/rougeL"]]
    assert best == sorted(best) and best[-1] == pytest.approx(table.ranked()[0].value)
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_run_without_a_conditional_parameter_lies_at_a_tick_of_its_own():
    table = SHAPES["many"]
    rows = table.ranked()
    column = table.column("gradient_accumulation_steps")
    places, ticks, low, high = scaled(column, rows)
    absent = {place for place, row in zip(places, rows, strict=True) if column.name not in row.params}
    assert absent == {ticks[0][0]} and ticks[0][1] == "n/a" and low == ticks[0][0] < ticks[1][0] <= high
    assert [text for _, text in ticks[1:]] == ["1", "2"]


def test_the_best_tenth_is_drawn_last():
    drawn = parallel_coordinate(SHAPES["many"])
    metric = drawn.data[0]["dimensions"][-1]["values"]
    assert metric == sorted(metric) and drawn.data[0]["line"]["color"] == metric


def test_the_front_of_two_and_three_objectives():
    goals = {"f1": "maximize", "time": "minimize", "size": "maximize"}
    for names in (["f1", "time"], ["f1", "time", "size"]):
        config = {key: value for key, value in CONFIG.items() if key not in ("metric", "method")}
        metrics = [{"name": name, "goal": goals[name]} for name in names]
        config |= {"method": "custom", "metrics": metrics, "scheduler": {"engine": "optuna"}}
        table = sweep(30, (RunState.FINISHED, RunState.FAILED), config)
        drawn = pareto_front(table)
        assert valid(drawn).data[-1].type == ("scatter" if len(names) == 2 else "scatter3d")
        on = [row for row in drawn.rows if row["on_front"]]
        assert 0 < len(on) < 15
        assert max(row["f1"] for row in drawn.rows) in [row["f1"] for row in on]
        valid(optimization_history(table))
    assert not pareto_front(SHAPES["mixed"]).data


def pressed(low, high, *, downward):
    """Return what is said of a range at one end of which the best of 40 runs lie."""
    config = CONFIG | {"parameters": {"lr": {"min": low, "max": high}}}
    places = [low + (high - low) * i / 40 for i in range(41)]
    runs = [
        RunRecord(
            run_id=f"r{i}",
            sweep_id="s",
            number=i,
            params={"lr": at},
            state=RunState.FINISHED,
            history=(-at if downward else at,),
        )
        for i, at in enumerate(places)
    ]
    table = from_runs(from_config(config), runs)
    return edge_warning(table, table.columns[0])


def test_a_range_that_the_best_press_against_is_named():
    rows = [{"params.lr": i / 40, "value": float(i)} for i in range(40)]
    foreign = from_rows(rows)
    assert edge_warning(foreign, foreign.columns[0]) == ""  # nobody knows the range
    assert WORDS["upper-end-of"] in pressed(0.0, 1.0, downward=False)


@pytest.mark.parametrize(
    ("low", "high", "downward", "ends"),
    [
        (0.1, 0.7, True, WORDS["downward"]),
        (0.1, 0.7, False, WORDS["upward"]),
        (0.0, 0.3, True, WORDS["downward-if"]),  # a dropout of 0
        (0.0, 1.0, False, WORDS["upward-if"]),  # a share
        (-1.0, 1.0, False, WORDS["upward"]),
    ],
)
def test_no_range_is_to_be_widened_beyond_what_may_be_possible(low, high, downward, ends):
    assert pressed(low, high, downward=downward).endswith(ends)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["none", "one", "all_failed", "mixed"])
def test_static_pictures_of_every_shape(name, tmp_path):
    table = SHAPES[name]
    importance = importances(table, effort=QUICK)
    paths = [
        static.four_panels(table, importance, tmp_path / "a.png"),
        static.correlation_matrix(associations(table), tmp_path / "b.png"),
        static.parallel_picture(table, importance, tmp_path / "c.png"),
        static.history_picture(table, tmp_path / "d.png"),
        static.curves_picture(table, tmp_path / "e.png"),
    ]
    for path in paths:
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" and path.with_suffix(".csv").exists()


def test_reasons_are_grouped_without_their_numbers_and_savings_are_counted():
    table = SHAPES["many"]
    groups = reasons(table, [RunState.STOPPED])
    assert [len(group.rows) for group in groups] == [250]
    assert WORDS["runs-were-stopped"] in saved(table) and "4.2 min" in saved(table)
    one = sweep(2, (RunState.FINISHED, RunState.STOPPED))
    assert saved(one).startswith(WORDS["run-was-stopped"])
    assert any("chosen by the same number" in sentence for sentence in summary(table))


def test_values_that_are_not_finite_are_gaps(tmp_path):
    assert embedded({"a": [float("nan"), 1.0, "<"]}) == '{"a":[null,1.0,"\\u003c"]}'
    path = write_figure(tmp_path / "x.html", [optimization_history(SHAPES["none"])], title="t")
    assert "Plotly" not in path.read_text(encoding="utf-8") and path.with_suffix(".csv").read_text() == ""


@given(
    edges=st.lists(st.floats(1e-9, 1e9), min_size=2, max_size=6, unique=True).map(sorted),
)
def test_the_bins_of_a_heat_map_are_told_apart_by_their_names(edges):
    names = bin_names(edges)
    assert len(set(names)) == len(edges) - 1
    assert all(low != high for low, high in (name.split("–") for name in names))


@given(values=st.lists(st.integers(0, 40), min_size=9, max_size=60), bins=st.sampled_from([4, 5]))
def test_the_cells_of_a_heat_map_are_in_the_order_of_their_values(values, bins):
    table = from_rows([{"params.x": value, "value": 0.0} for value in values])
    at, names = cells(numbers_column("x", values, missing=False), table.rows, bins=bins)
    assert [x for _, x in sorted(zip(values, at, strict=True))] == sorted(at)
    assert set(at) <= set(range(len(names))) and len(names) <= max(bins, 8)
    assert all(len({place for value, place in zip(values, at, strict=True) if value == one}) == 1 for one in values)
