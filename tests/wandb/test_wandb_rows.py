"""What W&B tells of runs, in our words: every state, any configuration, any history; what is missing stays missing."""

import math
from dataclasses import replace

import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from sweepkit.analysis.table import from_runs
from sweepkit.model.metric import Goal, Metric
from sweepkit.model.objectives import value_of
from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunState
from sweepkit.sweep_config.read import from_config
from sweepkit.wandb.rows import (
    LoggedHistory,
    RawRun,
    SearchTarget,
    extend_history,
    run_record,
    run_state,
    seconds,
    split_config,
    sweep_state,
    watched_attempt,
)

BEGAN = 1_767_225_600.0  # 2026-01-01T00:00:00Z
LOSS = SearchTarget(metric="손실.val", parameters={"x": {"values": [1, 2]}})

names = st.text(
    st.characters(codec="utf-8", exclude_characters="._", exclude_categories=("Cs",)), min_size=1, max_size=5
)
leaves = st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=4) | st.lists(st.integers())
configs = st.dictionaries(
    names, st.recursive(leaves, lambda inner: st.dictionaries(names, inner, max_size=3)), max_size=5
)
# How W&B's files write them: a text of these letters cannot be told from them.
NOT_FINITE = ("NaN", "Infinity", "-Infinity")
numbers = st.floats(-1e6, 1e6) | st.sampled_from([*NOT_FINITE, math.nan]) | st.integers(-5, 5)
logged = st.fixed_dictionaries(
    {},
    optional={
        "손실": st.fixed_dictionaries({}, optional={"val": numbers, "train": numbers}),
        "acc": numbers,
        "note": st.text(max_size=3).filter(lambda text: text not in NOT_FINITE),
        "image": st.just({"_type": "image-file", "size": 3}),
    },
)


def with_steps(rows):
    return [{**row, "_step": n * 10, "_timestamp": BEGAN + n} for n, row in enumerate(rows)]


@pytest.mark.parametrize(
    ("said", "stopped", "state"),
    [
        ("finished", False, RunState.FINISHED),
        ("finished", True, RunState.FINISHED),  # asked to stop when it was already through
        ("crashed", False, RunState.FAILED),
        ("failed", False, RunState.FAILED),
        ("failed", True, RunState.STOPPED),  # early_terminate ends a program by an exception or a signal
        ("crashed", True, RunState.STOPPED),
        ("killed", False, RunState.STOPPED),
        ("running", True, RunState.RUNNING),
        ("preempting", False, RunState.RUNNING),
        ("preempted", False, RunState.PENDING),
        ("pending", False, RunState.PENDING),
        ("Finished", False, RunState.FINISHED),
    ],
)
def test_each_state_of_a_run(said, stopped, state):
    assert run_state(said, stopped=stopped)[0] is state


@pytest.mark.slow
@given(st.text(max_size=12), st.booleans())
@settings(max_examples=examples(50))
def test_an_unknown_state_is_not_taken_for_an_end_and_is_told(said, stopped):
    state, reason = run_state(said, stopped=stopped)
    if said.lower() not in {"finished", "crashed", "failed", "killed", "running", "preempting", "preempted", "pending"}:
        assert state is RunState.RUNNING and repr(said) in reason


@pytest.mark.parametrize(
    ("said", "state"),
    [("PENDING", "running"), ("Running", "running"), ("PAUSED", "paused"), ("FINISHED", "finished")]
    + [("STOPPED", "finished"), ("CANCELED", "cancelled"), ("CRASHED", "cancelled"), ("new", "running")],
)
def test_each_state_of_a_sweep(said, state):
    assert sweep_state(said) == state


def joined(mine, others):
    both = dict(others)
    for key, value in mine.items():
        both[key] = joined(value, both[key]) if key in both else value
    return both


@given(configs, st.data())
@settings(max_examples=examples(50))
def test_a_configuration_is_parted_without_loss_and_the_parameters_are_the_sweeps(config, data):
    def tree(node):
        chosen = data.draw(st.lists(st.sampled_from(sorted(node)), unique=True)) if node else []
        return {
            key: {"parameters": tree(node[key])}
            if isinstance(node[key], dict) and node[key] and data.draw(st.booleans())
            else {"values": [1, 2]}
            for key in chosen
        }

    def within(mine, wanted):
        for key, value in mine.items():
            assert key in wanted
            if "parameters" in wanted[key]:
                within(value, wanted[key]["parameters"])

    parameters = tree(config)
    mine, others = split_config({**config, "_wandb": {"cli_version": "0.31"}, "wandb_version": 1}, parameters)
    within(mine, parameters)
    assert repr(_sorted(joined(mine, others))) == repr(_sorted(config))
    whole, rest = split_config(config, None)
    assert repr(whole) == repr(config) and rest == {}


def _sorted(node):
    return {key: _sorted(node[key]) for key in sorted(node)} if isinstance(node, dict) else node


@given(st.lists(logged, max_size=12), st.integers(0, 12), st.booleans())
@settings(max_examples=examples(50))
def test_a_history_read_in_two_parts_tells_what_it_tells_whole(rows, cut, maximize):
    searched = SearchTarget(metric="손실.val", maximize=maximize)
    whole = extend_history(with_steps(rows), searched)
    parts = extend_history(with_steps(rows)[cut:], searched, extend_history(with_steps(rows)[:cut], searched))
    assert repr(parts) == repr(whole)  # repr: nan is not nan
    assert len(whole.history) == sum("val" in row.get("손실", {}) for row in rows)
    assert not set(whole.last) - {"손실.val", "손실.train", "acc"}
    finite = [value for value in whole.history if math.isfinite(value)]
    if finite:
        assert whole.best["손실.val"] == (max if maximize else min)(finite)
    else:
        assert whole.best == {}


@given(st.lists(logged, max_size=6), logged, st.sampled_from(["finished", "failed", "killed", "running", "pending"]))
@settings(max_examples=examples(50))
def test_a_metric_that_was_never_logged_is_missing_and_not_zero(rows, summary, state):
    line = extend_history(with_steps(rows), LOSS)
    run = run_record(RawRun(name="r", state=state, summary=summary), line, LOSS, number=0, sweep_id="e/p/s")
    metric = Metric(name="손실.val", goal=Goal.MINIMIZE)
    logged_values = [row["손실"]["val"] for row in [*rows, summary] if "val" in row.get("손실", {})]
    finite = [value for value in logged_values if not isinstance(value, str) and math.isfinite(value)]
    assert value_of(run, metric) == (min(finite) if finite else None)
    if not logged_values:
        assert run.summary is None and run.history == () and "손실.val" not in run.last_metrics


def test_a_run_of_every_kind_of_time():
    def times(**fields):
        raw = RawRun(name="r", **{"state": "finished", "created_at": "2026-01-01T00:00:00Z", **fields})
        run = run_record(raw, LoggedHistory(), LOSS, number=0, sweep_id="s")
        ended = None if run.ended_at is None else run.ended_at - BEGAN
        return None if run.started_at is None else run.started_at - BEGAN, ended, run.outcome.get("duration_s")

    assert times(heartbeat_at="2026-01-01T00:01:00") == (0.0, 60.0, 60.0)
    assert times(summary={"_runtime": 20.5, "_wandb": {"runtime": 25}}) == (0.0, 25.0, 25.0)
    # It waited a minute for an agent: what it did began then.
    assert times(summary={"_runtime": 20.5, "_timestamp": BEGAN + 80.5}) == (60.0, 80.5, 20.5)
    assert times() == (0.0, None, None)
    assert times(created_at=None) == (0.0 - BEGAN, None, None)
    assert times(state="running", heartbeat_at="2026-01-01T00:01:00Z") == (0.0, None, None)
    assert times(state="pending") == (None, None, None)
    assert seconds("no time") is None and seconds(None) is None


def test_what_else_is_known_of_a_run_stands_in_its_outcome():
    config = {"x": 1, "seed": 7, "epochs": 3}
    raw = RawRun(name="r", state="failed", config=config, exit_code=137, created_at="2026-01-01T00:00:00Z")
    run = run_record(raw, LoggedHistory(last_step=9), LOSS, number=4, sweep_id="e/p/s")
    assert (run.number, run.run_id, run.sweep_id, run.params) == (4, "r", "e/p/s", {"x": 1})
    assert run.outcome == {
        "wandb_state": "failed",
        "exit_code": 137,
        "seed": 7,
        "config": {"seed": 7, "epochs": 3},
    }
    assert (run.attempts, run.failures) == (1, 1)
    assert watched_attempt(run, raw, LoggedHistory(last_step=9)).step == 9
    assert watched_attempt(run, RawRun(name="r", state="running", summary={"_step": 4}), LoggedHistory()).step == 4


def test_the_table_of_a_sweep_at_wandb_is_that_of_the_same_sweep_here():
    config = {
        "method": "random",
        "program": "train.py",
        "metric": {"name": "loss", "goal": "minimize"},
        "parameters": {"opt": {"parameters": {"lr": {"min": 1e-5, "max": 0.1}, "name": {"values": ["adam", "sgd"]}}}},
    }
    runs = [
        (1e-4, "adam", "finished", RunState.FINISHED, [3.0, 1.0, 2.0]),
        (1e-3, "sgd", "killed", RunState.STOPPED, [5.0, "NaN"]),
        (1e-2, "sgd", "crashed", RunState.FAILED, []),
    ]
    here, there = [], []
    searched = SearchTarget(metric="loss", parameters=config["parameters"])
    for number, (lr, name, said, state, values) in enumerate(runs):
        params = {"opt": {"lr": lr, "name": name}}
        rows = with_steps([{"loss": value, "acc": 0.5} for value in values])
        raw = RawRun(
            name=f"r{number}",
            state=said,
            config={**params, "epochs": 3, "_wandb": {}},
            summary={**(rows[-1] if rows else {}), "_runtime": 9.0},
            created_at="2026-01-01T00:00:00Z",
        )
        there.append(run_record(raw, extend_history(rows, searched), searched, number=number, sweep_id="e/p/s"))
        history = tuple(float(value) for value in values)
        here.append(
            RunRecord(
                run_id=f"r{number}",
                sweep_id="here",
                number=number,
                params=params,
                state=state,
                reason=there[-1].reason,
                history=history,
                best_metrics={"loss": min(history), "acc": 0.5} if history else {},
                last_metrics={"loss": history[-1], "acc": 0.5} if history else {},
                attempts=1,
                started_at=BEGAN,
                ended_at=there[-1].ended_at,
                outcome={"duration_s": there[-1].ended_at - BEGAN},
            )
        )
    spec = from_config(config)
    ours, theirs = from_runs(spec, here), from_runs(spec, there)
    assert theirs.columns == ours.columns
    # By their words: nan is not nan.
    assert repr([replace(row, facts={}) for row in theirs.rows]) == repr([replace(row, facts={}) for row in ours.rows])
