"""Every pure place that names the best configuration names the same one, on random sweeps with seeds and without."""

import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from sweepkit.analysis.candidates import choose_candidates
from sweepkit.analysis.progress import Watched, row_of, snapshot
from sweepkit.analysis.ranking import best_configuration, configuration_numbers, front_of, ranked, recorded_front
from sweepkit.analysis.replicates import seed_runs
from sweepkit.analysis.table import from_runs
from sweepkit.model.records import RunRecord, SweepRecord, SweepState
from sweepkit.model.runs import RunState
from sweepkit.model.seeds import without_seeds
from sweepkit.reports.progress import Tally
from sweepkit.reports.seeds_table import best_parameters
from sweepkit.reports.table import front_rows, rows
from sweepkit.sweep_config.read import from_config

SWEEP = SweepRecord(
    sweep_id="s", name="s", family="s", generation=1, text="", seed=0, state=SweepState.RUNNING, reason="",
    created_at=0.0, metric="score", goal="maximize",
)  # fmt: skip
ENDS = st.sampled_from([RunState.FINISHED] * 4 + [RunState.STOPPED, RunState.FAILED, RunState.DIVERGED])


@st.composite
def sweeps(draw):
    """A sweep and its runs: no seed, a seed by its name, one that `sweepkit.seed_parameter` names, or dealt seeds."""
    kind = draw(st.sampled_from(["none", "seed", "training.random_state", "init", "dealt"]))
    name = {"dealt": "seed", "none": None}.get(kind, kind)
    goal = draw(st.sampled_from(["maximize", "minimize"]))
    config = {
        "method": "random",
        "metric": {"name": "score", "goal": goal},
        "parameters": {"lr": {"min": 0.0, "max": 9.0}},
    }
    extensions = {"seed_parameter": "init"} if kind == "init" else {}
    if kind == "dealt":
        extensions = {"seeds_per_run": 3}
    elif name is not None:
        config["parameters"][name] = {"values": [0, 1, 2]}
    if extensions:
        config["sweepkit"] = extensions
    pairs = [(lr, seed) for lr in range(4) for seed in range(3 if name else 1)]
    chosen = draw(st.lists(st.sampled_from(pairs), min_size=1, max_size=12, unique=True))
    runs = []
    for number, (lr, seed) in enumerate(chosen):
        state, value = draw(ENDS), draw(st.integers(-50, 50)) / 8  # eighths: means are exact, ties are frequent
        runs.append(
            RunRecord(
                run_id=f"r{number}",
                sweep_id="s",
                number=number,
                params={"lr": float(lr) + 0.5, **({} if name is None else {name: seed})},
                state=state,
                history=(value,) if state is not RunState.FAILED else (),
                proposal={"configuration": lr, "run_seed": seed} if kind == "dealt" else {},
                ended_at=float(number + 1),
                outcome={"duration_s": 1.0},
            )
        )
    return from_config(config), runs, kind


def bare(spec, params):
    return without_seeds(params, spec.extensions.seed_parameter)


@settings(max_examples=examples(150), deadline=None)
@given(sweeps())
def test_every_place_names_the_same_configuration_and_its_value(drawn):
    spec, runs, kind = drawn
    seed = spec.extensions.seed_parameter
    best = best_configuration(runs, spec.metric, seed_parameter=seed)
    table = from_runs(spec, runs)
    rows_ = [row_of(run, spec.metric, seed_parameter=seed) for run in runs]
    shot = snapshot(Watched(sweep=SWEEP, metric=spec.metric, total=12, rows=rows_, live=(), now=99.0))
    tally = Tally(spec, runs, total=None, workers=1)
    if best is None:
        assert tally.best is None and shot.best is None and table.ranked() == [] and table.configurations() == []
        return
    name, value = bare(spec, best.first.params), pytest.approx(best.values[0])
    members = {run.run_id for run in best.members}
    assert ranked(runs, spec.metric, seed_parameter=seed)[0].run_id in members  # runs.csv
    assert rows(spec, runs)[0]["run_id"] in members
    assert bare(spec, best_parameters(spec, best)) == name  # the runner's last lines
    assert (tally.best.value, bare(spec, tally.best.first.params)) == (value, name)  # its progress
    assert table.ranked()[0].run_id in members and table.ranked()[0].value == value  # figures
    leader = table.configurations()[0]  # report, analysis
    assert (leader.value, {row.run_id for row in leader.members}) == (value, members)
    assert (shot.best.value, bare(spec, shot.best.params)) == (value, name)  # the monitor
    field = choose_candidates(table)
    assert field.candidates[0].run_id in members  # --confirm
    if configuration_numbers(runs, seed):
        assert seed_runs(spec, runs)[0].worth == best
    if kind == "none":
        assert len(best.members) == 1 and not best.several


@given(sweeps())
@settings(max_examples=examples(100), deadline=None)
def test_a_configuration_is_judged_by_the_runs_of_full_budget(drawn):
    spec, runs, kind = drawn
    for item in from_runs(spec, runs).configurations():
        finished = [row for row in item.members if row.state is RunState.FINISHED]
        counted = item.members if kind == "dealt" or not finished else finished
        assert [row.run_id for row in item.runs] == [row.run_id for row in counted]
        assert item.value == pytest.approx(sum(row.value for row in counted) / len(counted))


@st.composite
def sweeps_of_two(draw):
    """A sweep over two objectives and its runs: without seeds, with a seed as a parameter, or with dealt ones."""
    kind = draw(st.sampled_from(["none", "seed", "dealt"]))
    config = {
        "method": "custom",
        "scheduler": {"engine": "optuna"},
        "parameters": {"lr": {"min": 0.0, "max": 9.0}, **({"seed": {"values": [0, 1]}} if kind == "seed" else {})},
        "metrics": [{"name": "f1", "goal": "maximize"}, {"name": "cost"}],
        "sweepkit": {"seeds_per_run": 2} if kind == "dealt" else {},
    }
    pairs = [(lr, seed) for lr in range(4) for seed in range(1 if kind == "none" else 2)]
    chosen = draw(st.lists(st.sampled_from(pairs), min_size=1, unique=True))
    runs = []
    for number, (lr, seed) in enumerate(chosen):
        f1, cost = draw(st.integers(0, 3)) / 4, draw(st.integers(0, 3)) / 4
        runs.append(
            RunRecord(
                run_id=f"r{number}",
                sweep_id="s",
                number=number,
                params={"lr": float(lr) + 0.5, **({} if kind == "none" else {"seed": seed})},
                state=draw(ENDS),
                proposal={"configuration": lr, "run_seed": seed} if kind == "dealt" else {},
                ended_at=float(number + 1),
                outcome={"objectives": {"f1": f1, "cost": cost}},
            )
        )
    return from_config(config), runs


@settings(max_examples=examples(100), deadline=None)
@given(sweeps_of_two())
def test_every_place_names_the_same_front_of_several_objectives(drawn):
    spec, runs = drawn
    front = recorded_front(runs, spec.metrics)
    expected = [(item.first.run_id, item.values) for item in front]
    best = best_configuration(runs, spec.metrics)
    assert (best is None and not front) or best == front[0]
    tally = Tally(spec, [], total=None, workers=1)
    for place, run in enumerate(runs, 1):  # as they end
        tally._consider(run)
        so_far = recorded_front(runs[:place], spec.metrics)
        assert {item.first.run_id for item in tally.front} == {item.first.run_id for item in so_far}
    watched = [row_of(run, None, spec.metrics) for run in runs]
    shot = snapshot(
        Watched(sweep=SWEEP, metric=None, metrics=spec.metrics, total=None, rows=watched, live=(), now=99.0)
    )
    assert [(row.run_id, row.values) for row in shot.front] == expected  # the monitor
    assert [(row["run_id"], tuple(row["values"].values())) for row in front_rows(spec, runs)] == expected  # --json
    marked = {row["run_id"] for row in rows(spec, runs) if row["front"]}  # runs.csv
    assert marked == {run.run_id for item in front for run in item.runs}
    table = from_runs(spec, runs)
    found = front_of(table.configurations(), table.metrics, lambda row: row.number)
    assert [(item.first.run_id, item.values) for item in found] == expected  # analyze_sweep.py
    assert not front or ranked(runs, spec.metrics)[0] in front[0].members
