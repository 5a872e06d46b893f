"""The order of runs with several objectives, the same in tables, the progress view and the monitor's picture."""

import csv
import io

from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshots import words_of

from sweepkit.analysis.pareto import dominates
from sweepkit.analysis.progress import Watched, row_of, snapshot
from sweepkit.analysis.ranking import best_configuration, front_runs, ranked
from sweepkit.model.metric import Goal, Metric
from sweepkit.model.objectives import OUTCOME, values_of
from sweepkit.model.records import RunRecord, SweepRecord, SweepState, metrics_of
from sweepkit.model.runs import RunState
from sweepkit.model.space import Space
from sweepkit.monitor.render import Picture, as_text, plain
from sweepkit.reports.progress import Tally
from sweepkit.reports.table import as_csv, front_lines
from sweepkit.sweep_config.sweep import Method, SweepSpec

WORDS = words_of(__file__)

TWO = (Metric(name="f1", goal=Goal.MAXIMIZE), Metric(name="seconds"))
GOALS = [metric.goal for metric in TWO]
SPEC = SweepSpec(name="s", method=Method.CUSTOM, space=Space(parameters=()), metrics=TWO)
SWEEP = SweepRecord(
    sweep_id="s",
    name="s",
    family="s",
    generation=1,
    text="",
    seed=0,
    state=SweepState.FINISHED,
    reason="",
    created_at=0.0,
    metric=None,
    goal=None,
    meta={"metrics": [{"name": "f1", "goal": "maximize"}, {"name": "seconds", "goal": "minimize"}]},
)
few = st.integers(0, 6).map(float)
described = st.lists(st.tuples(few, few, st.sampled_from(list(RunState)), st.booleans()), max_size=14)


def made(items):
    return [
        RunRecord(
            run_id=f"r{number}",
            sweep_id="s",
            number=number,
            params={"a": number},
            state=state,
            outcome={OUTCOME: {"f1": f1, "seconds": seconds}} if known else {},
        )
        for number, (f1, seconds, state, known) in enumerate(items)
    ]


@given(described)
@settings(max_examples=examples(100))
def test_the_front_comes_first_and_is_the_same_everywhere(items):
    runs = made(items)
    members = front_runs(runs, TWO)
    ended = [run for run in runs if run.state in (RunState.FINISHED, RunState.STOPPED) and values_of(run, TWO)]
    expected = {
        run.run_id
        for run in ended
        if not any(dominates(values_of(other, TWO), values_of(run, TWO), GOALS) for other in ended)
    }
    assert {run.run_id for run in members} == expected
    assert ranked(runs, TWO)[: len(members)] == members
    best = best_configuration(runs, TWO)
    assert (None if best is None else best.first) == (members[0] if members else None)
    order = [run.run_id for run in ranked(runs, TWO)]
    for a in ended:
        for b in ended:
            if dominates(values_of(a, TWO), values_of(b, TWO), GOALS):
                assert order.index(a.run_id) < order.index(b.run_id)
    tally = Tally(SPEC, runs, total=None, workers=1)
    assert {item.first.run_id for item in tally.front} == expected
    assert (f"front of {len(expected)}" in tally.words()) == bool(expected)
    rows = list(csv.DictReader(io.StringIO(as_csv(SPEC, runs))))
    assert {row["run_id"] for row in rows if row["front"] == "true"} == expected
    picture = snapshot(
        Watched(
            sweep=SWEEP,
            metric=None,
            metrics=metrics_of(SWEEP),
            total=None,
            rows=[row_of(run, None, TWO) for run in runs],
            live=[],
            now=1.0,
        )
    )
    assert [row.run_id for row in picture.front] == [run.run_id for run in members]


def test_the_front_is_told_in_words_and_in_json():
    runs = made([(0.5, 10.0, RunState.FINISHED, True), (0.7, 20.0, RunState.FINISHED, True)])
    lines = front_lines(SPEC, runs)
    assert lines[0].startswith(WORDS["runs-that-no"])
    assert lines[1:] == ["  run r1  f1=0.7  seconds=20", "  run r0  f1=0.5  seconds=10"]
    assert front_lines(SPEC, []) == []
    rows = [row_of(run, None, TWO) for run in runs]
    item = snapshot(Watched(sweep=SWEEP, metric=None, metrics=TWO, total=2, rows=rows, live=[], now=1.0))
    text = as_text(Picture(sweeps=(item,)))
    assert "front of 2 on f1 (maximize), seconds (minimize)" in text and "run 1 r1: 0.7  20  a=1" in text
    shown = plain(Picture(sweeps=(item,)))["sweeps"][0]
    assert [member["values"] for member in shown["front"]] == [
        {"f1": 0.7, "seconds": 20.0},
        {"f1": 0.5, "seconds": 10.0},
    ]
