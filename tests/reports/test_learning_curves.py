"""Learning curves: what is drawn is what the stopping rule decided by, on every axis; and every figure by its name."""

from dataclasses import replace

import pytest

from sweepkit.analysis.curves import curve_rows, with_reports
from sweepkit.analysis.table import from_runs
from sweepkit.errors import SweepKitError
from sweepkit.model.metric import Goal, Metric
from sweepkit.model.records import Report, RunRecord
from sweepkit.model.runs import RunState, RunView
from sweepkit.reports.figures.curves import CurveStyle, _final, learning_curves, stopping_limits
from sweepkit.reports.figures.library import KINDS, figure
from sweepkit.reports.figures.page import colours
from sweepkit.reports.figures.shown import as_plotly
from sweepkit.reports.study_report import ReportContext, study_report
from sweepkit.stopping.make import limits, make_rule
from sweepkit.sweep_config.read import from_config
from sweepkit.sweep_config.sweep import EarlyTerminate

NASTY = "</script><b>한국어</b>"
CONFIG = {
    "program": "x.py",
    "method": "random",
    "metric": {"name": "loss", "goal": "minimize"},
    "early_terminate": {"type": "hyperband", "min_iter": 2, "eta": 2},
    "parameters": {
        "lr": {"distribution": "log_uniform_values", "min": 1e-5, "max": 1e-1},
        "model": {"values": ["bart", NASTY]},
    },
}


def table(count=12, reports=8, states=(RunState.FINISHED, RunState.STOPPED, RunState.RUNNING)):
    runs = []
    for number in range(count):
        values = tuple(1.0 / (1 + at) + 0.1 * number for at in range(reports))
        runs.append(
            RunRecord(
                run_id=f"r{number}",
                sweep_id="s",
                number=number,
                params={"lr": 10.0 ** -(1 + number / 100), "model": ["bart", NASTY][number % 2]},
                state=states[number % len(states)],
                reason=f"hyperband: worse {NASTY}",
                history=values,
                best_metrics={"loss": values[-1]},
                last_metrics={"loss": values[-1]},
                ended_at=float(number),
            )
        )
    return from_runs(from_config(CONFIG), runs)


def traces(drawn, key):
    return [trace for trace in drawn.data if key in trace["meta"]]


def test_each_run_is_a_curve_and_the_stopped_ones_are_faded_and_say_why():
    drawn = learning_curves(table())
    curves = traces(drawn, "run")
    assert [trace["meta"]["run"] for trace in curves] == list(range(12))
    assert curves[0]["y"] == [pytest.approx(1 / (1 + at), rel=1e-4) for at in range(8)]
    assert curves[1]["opacity"] < 0.5 < curves[0]["opacity"]
    (ends,) = traces(drawn, "ends")
    assert ends["x"] == [8] * 4 and "&lt;/script&gt;" in ends["text"][0]


@pytest.mark.parametrize(
    "wanted",
    [
        {"type": "hyperband", "min_iter": 2, "eta": 2},
        {"type": "asha", "min_iter": 2, "eta": 2},
        {"type": "median", "n_startup_runs": 2},
        {"type": "percentile", "n_startup_runs": 2, "percentile": 30.0},
        {"type": "successive_halving", "min_resource": 1, "reduction_factor": 2},
    ],
    ids=lambda wanted: wanted["type"],
)
@pytest.mark.parametrize("goal", Goal)
def test_the_line_that_is_drawn_is_the_one_that_decides(wanted, goal):
    rule = EarlyTerminate(**wanted)
    past = [
        RunView(
            number=n,
            run_id=str(n),
            params={},
            state=RunState.FINISHED,
            history=tuple(n + 0.1 * t + (1e25 if n == 5 else 0) for t in range(9)),
        )
        for n in range(6)
    ]
    found = limits(rule, goal, past)
    assert found
    spec = from_config({**CONFIG, "metric": {"name": "loss", "goal": goal.value}})
    decider = make_rule(replace(spec, early_terminate=rule))
    for report, limit in found:
        for shift, stop in ((goal.sign * 1e-6, True), (-goal.sign * 1e-6, False)):
            # A probe that has never been better: of rules that look at the best so far, too.
            probe = RunView(number=99, run_id="p", params={}, state=RunState.RUNNING, history=(limit + shift,) * report)
            assert decider.decide(probe, past).stop is stop, (report, limit)


def test_a_rule_that_draws_no_line_draws_none():
    assert limits(EarlyTerminate(type="patience"), Goal.MINIMIZE, []) == []
    assert stopping_limits(table(0)) == []


def test_curves_follow_steps_and_time_where_the_program_told_them():
    said = {
        f"r{n}": [Report(seq=at, values={"loss": 1.0 - at / 10}, step=10 * at, time=5.0 + at) for at in range(4)]
        for n in range(12)
    }
    drawn = learning_curves(with_reports(table(), said), CurveStyle(x="time"))
    first = traces(drawn, "run")[0]
    assert first["x"] == [0.0, 1.0, 2.0, 3.0] and first["meta"]["step"] == [0.0, 10.0, 20.0, 30.0]
    assert drawn.layout["meta"]["x"] == ["report", "step", "time"]
    assert learning_curves(table()).layout["meta"]["x"] == ["report"]
    (limit,) = traces(drawn, "limit")
    assert limit["meta"]["step"] == [10.0, 30.0]  # of reports 2 and 4, in which all runs agree


def test_curves_are_coloured_by_the_value_or_a_parameter():
    by_value = [trace["line"]["color"] for trace in traces(learning_curves(table(), CurveStyle(colour="value")), "run")]
    ended = [colour for number, colour in enumerate(by_value) if number % 3 != 2]
    assert ended[0] == "--rampi" and ended == sorted(ended, reverse=True)
    assert learning_curves(table(), CurveStyle(colour="model")).data[0]["line"]["color"].startswith("--ramp")
    with pytest.raises(SweepKitError, match="colour must be one of"):
        learning_curves(table(), CurveStyle(colour="nothing"))
    with pytest.raises(SweepKitError, match="x must be one of"):
        learning_curves(table(), CurveStyle(x="epoch"))


def test_of_many_runs_the_best_and_a_spread_are_shown_and_all_that_run():
    many = table(300, states=(RunState.FINISHED,) * 29 + (RunState.RUNNING,))
    shown = curve_rows(many, 40)
    running = {row.number for row in many.rows if row.state is RunState.RUNNING}
    numbers = {row.number for row in shown}
    assert len(shown) == 40 and running <= numbers and {0, 1, 2} <= numbers and max(numbers) > 200


def test_every_figure_has_a_name_and_is_valid_light_and_dark():
    from plotly.graph_objects import Figure

    made = table(states=(RunState.FINISHED, RunState.STOPPED))
    options = {"slice": {"parameter": "lr"}, "heat_map": {"pair": ("lr", "model")}}
    for kind in sorted(set(KINDS) - {"importance"}):
        drawn = figure(kind, made, **options.get(kind, {}))
        shown = as_plotly([drawn])
        assert not drawn.data or shown.layout.font.color == colours()["--ink"]
        assert not any(name in shown.to_json() for name in colours(dark=True))  # a page of either kind has them
    for colour in colours(dark=True).values():
        Figure(layout={"font": {"color": colour}})
    with pytest.raises(SweepKitError, match="figure: must be one of"):
        figure("pie", made)
    with pytest.raises(SweepKitError, match="of two parameters that vary"):
        figure("heat_map", made, pair=("lr", "nothing"))
    with pytest.raises(SweepKitError, match="of a parameter of the sweep"):
        figure("slice", made, parameter="nothing")
    assert colours()["--page"] != colours(dark=True)["--page"]


def test_a_report_has_the_curves_and_stays_small():
    page = study_report(table(600, 50), ReportContext())
    assert 'id="plot-learning_curves"' in page and NASTY not in page
    assert len(page.encode()) < 1_000_000


@pytest.mark.parametrize(("rule", "value"), [("best", 0.1), ("last", 0.3), ("mean_of_last 2", 0.2)])
def test_a_running_run_is_coloured_by_what_its_reports_come_to(rule, value):
    metric = Metric(name="loss", goal=Goal.MINIMIZE, value=rule)
    (row,) = table(1, states=(RunState.RUNNING,)).rows
    assert _final(replace(row, value=None, history=(0.5, 0.1, 0.3)), metric) == pytest.approx(value)
