"""Configurations with several seeds: ranked, shown and analysed by their means, everywhere alike."""

from dataclasses import replace

import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshots import words_of

from sweepkit.analysis.encoding import encode
from sweepkit.analysis.history import seed_sd
from sweepkit.analysis.progress import Watched, row_of, snapshot
from sweepkit.analysis.ranking import best_configuration, front_runs, ranked, recorded_configurations
from sweepkit.analysis.replicates import seed_notice, seed_runs, worse_configurations
from sweepkit.analysis.summary import summary
from sweepkit.analysis.table import from_runs
from sweepkit.model.events import RunChanged
from sweepkit.model.metric import Metric
from sweepkit.model.records import RunRecord, SweepRecord, SweepState
from sweepkit.model.runs import RunState, RunView
from sweepkit.reports.progress import Tally
from sweepkit.reports.seeds_table import best_in_words, best_parameters, best_row
from sweepkit.reports.table import as_csv
from sweepkit.sweep_config.read import from_config

WORDS = words_of(__file__)

SPEC = from_config(
    {
        "method": "random",
        "metric": {"name": "loss"},
        "parameters": {"x": {"min": 0.0, "max": 9.0}},
        "sweepkit": {"seeds_per_run": 3, "seed_parameter": "rng"},
    }
)
SWEEP = SweepRecord(
    sweep_id="s", name="s", family="s", generation=1, text="", seed=0, state=SweepState.RUNNING, reason="",
    created_at=0.0, metric="loss", goal="minimize",
)  # fmt: skip


def run(number, configuration, seed, value=None, state=RunState.FINISHED, reason=""):
    return RunRecord(
        run_id=f"r{number}",
        sweep_id="s",
        number=number,
        params={"x": float(configuration), "rng": seed},
        state=state,
        reason=reason,
        history=() if value is None else (value,),
        proposal={"configuration": configuration, "run_seed": seed},
        ended_at=float(number + 1) if state.done else None,
        outcome={"duration_s": 2.0, "seed": seed},
    )


# The best single run is of configuration 1, the best mean of configuration 0; 2 looks better but is not complete.
RUNS = [
    run(0, 0, 1, 1.0),
    run(1, 0, 2, 1.2),
    run(2, 1, 1, 0.1),
    run(3, 1, 2, 3.1),
    run(4, 0, 3, 1.1),
    run(5, 1, 3, 2.2),
    run(6, 2, 1, 0.5),
    run(7, 2, 2, state=RunState.FAILED, reason="out of memory"),
    run(8, 3, 1, state=RunState.RUNNING),
]


def test_the_best_is_the_best_mean_of_those_with_all_their_seeds():
    best = best_configuration(RUNS, SPEC.metric)
    assert best.values == (pytest.approx(1.1),) and [item.run_id for item in best.runs] == ["r0", "r1", "r4"]
    assert best_configuration(RUNS, SPEC.metric).first.run_id == "r0" == front_runs(RUNS, SPEC.metric)[0].run_id
    order = [item.run_id for item in ranked(RUNS, SPEC.metric)]
    assert order == ["r0", "r1", "r4", "r2", "r3", "r5", "r6", "r7", "r8"]
    assert best_configuration(RUNS[6:], SPEC.metric).first.run_id == "r6"


def test_everything_that_names_the_best_names_the_same():
    tally = Tally(SPEC, RUNS[:3], total=None, workers=1)
    for item in RUNS[3:]:
        view = RunView(
            number=item.number, run_id=item.run_id, params=item.params, state=item.state, history=item.history,
            info=item.proposal,
        )  # fmt: skip
        tally.take(RunChanged(view=view))
    assert tally.best.value == pytest.approx(1.1) and "best 1.1 (mean of configuration 0)" in tally.words()
    rows = [row_of(item, SPEC.metric) for item in RUNS]
    shot = snapshot(Watched(sweep=SWEEP, metric=SPEC.metric, total=12, rows=rows, live=(), now=20.0))
    assert (shot.best.run_id, shot.best.value, shot.best.configuration) == ("r0", pytest.approx(1.1), 0)
    assert [(point.done, point.value) for point in shot.curve] == [(5, pytest.approx(1.1))]
    table = from_runs(SPEC, RUNS)
    assert [(row.number, row.value, row.seeds) for row in table.ranked()] == [
        (0, pytest.approx(1.1), 3), (2, pytest.approx(1.8), 3), (6, 0.5, 1),
    ]  # fmt: skip
    assert [row.run_id for row in table.best_first()] == [item.run_id for item in ranked(RUNS, SPEC.metric)]
    assert summary(table)[1].startswith(WORDS["the-lowest-mean"])
    best = best_configuration(RUNS, SPEC.metric, seed_parameter="rng")
    assert best_in_words(SPEC, RUNS, best) == "configuration 0, mean loss = 1.1 over 3 seeds, sd 0.1"
    row = best_row(SPEC, RUNS, best)
    assert (row["configuration"], row["value"], [item["seed"] for item in row["seeds"]]) == (
        0,
        pytest.approx(1.1),
        [1, 2, 3],
    )
    assert best_parameters(SPEC, best) == {"x": 0.0}


def test_a_line_tells_what_became_of_each_configuration():
    found = seed_runs(SPEC, RUNS)
    assert [item.number for item in found] == [0, 1, 2, 3]
    assert [item.note for item in found] == ["", "", WORDS["failed-out-of"], "seed 1 running"]
    assert [item.seconds for item in found] == [6.0, 6.0, 4.0, 2.0]
    assert found[0].sd == pytest.approx(0.1) and found[2].sd is None and found[3].worth is None
    alone = [replace(item, proposal={}, params={"x": float(item.number)}) for item in RUNS]
    assert seed_runs(SPEC, alone) == []
    assert as_csv(SPEC, RUNS).splitlines()[0].startswith("number,run_id,name,state,value,configuration,mean,params.x")


def test_one_that_is_clearly_worse_says_so_in_its_line():
    runs = [*RUNS[:2], run(4, 0, 3, 1.1), run(5, 7, 1, 9.0), run(6, 7, 2, 9.1)]
    assert list(worse_configurations(SPEC, runs)) == [7]
    assert seed_runs(SPEC, runs)[-1].note.startswith(WORDS["clearly-worse-than"])


def test_the_analysis_averages_the_seeds_whatever_their_parameter_is_called():
    table = from_runs(SPEC, RUNS)
    design = encode(table)
    assert [group.name for group in design.groups] == ["x"] and design.dropped == {"rng": WORDS["a-seed-an"]}
    assert sorted(design.y) == pytest.approx([0.5, 1.1, 1.8]) and design.replicates == 4
    assert seed_sd(table)[1] == 4


def test_a_program_that_ignores_its_seed_is_noticed():
    same = [run(i, i // 2, i % 2, float(i // 2)) for i in range(4)]
    assert WORDS["does-the-program"] in seed_notice(SPEC, same)
    assert seed_notice(SPEC, RUNS) == "" and seed_notice(SPEC, same[:2]) == ""


def test_several_objectives_are_compared_by_their_mean_vectors():
    metrics = (Metric(name="a"), Metric(name="b"))
    values = [(0, (1.0, 3.0)), (0, (3.0, 1.0)), (1, (0.0, 9.0)), (1, (9.0, 0.0)), (2, (2.5, 1.0)), (2, (1.5, 2.8))]
    runs = [replace(run(i, c, i % 2), outcome={"objectives": {"a": a, "b": b}}) for i, (c, (a, b)) in enumerate(values)]
    assert [item.values for item in recorded_configurations(runs, metrics)] == [
        (2.0, 2.0),
        (4.5, 4.5),
        (2.0, pytest.approx(1.9)),
    ]
    assert [item.number for item in front_runs(runs, metrics)] == [4]
    assert [item.number for item in ranked(runs, metrics)] == [4, 5, 0, 1, 2, 3]


@settings(max_examples=examples(100))
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.floats(-1e3, 1e3) | st.none(), st.sampled_from(list(RunState))), max_size=12
    )
)
def test_tally_monitor_table_and_ranking_agree(drawn):
    runs = [run(i, c, i, v, state) for i, (c, v, state) in enumerate(drawn)]
    best = best_configuration(runs, SPEC.metric)
    tally = Tally(SPEC, runs, total=None, workers=1)
    rows = [row_of(item, SPEC.metric) for item in runs]
    shot = snapshot(Watched(sweep=SWEEP, metric=SPEC.metric, total=None, rows=rows, live=(), now=99.0))
    ordered = from_runs(SPEC, runs).ranked()
    if best is None:
        assert tally.best is None and shot.best is None and ordered == []
        return
    assert [tally.best.value, shot.best.value, ordered[0].value] == pytest.approx([best.values[0]] * 3, abs=1e-9)
    first = ranked(runs, SPEC.metric)[0].run_id
    (place,) = [
        item for item in recorded_configurations(runs, SPEC.metric) if first in {member.run_id for member in item.runs}
    ]
    assert place.contends and place.values[0] == best.values[0]
