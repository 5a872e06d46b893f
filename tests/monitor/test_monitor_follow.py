"""Following a sweep look by look gives the picture that a first look gives."""

import dataclasses
import re
from contextlib import ExitStack

import pytest
from depth import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from paged import record_several
from snapshots import words_of

from sweepkit.analysis.progress import total_of
from sweepkit.errors import SweepKitError
from sweepkit.model.records import Report, RunRecord, SweepState
from sweepkit.model.runs import RunState
from sweepkit.monitor.follow import Follower
from sweepkit.monitor.options import MonitorOptions
from sweepkit.monitor.watched_sweeps import RecordedSweeps
from sweepkit.store.open import open_store
from sweepkit.store.restore import RestoredRun
from sweepkit.store.watch import open_watch
from sweepkit.sweep_config.read import read_sweep_text

WORDS = words_of(__file__)

TEXT = """\
program: a.py
method: random
metric: {name: m, goal: maximize}
parameters: {x: {min: 0.0, max: 1.0}}
run_cap: 50
early_terminate: {type: hyperband, min_iter: 2}
"""
AGENT = {"agent_id": "a|b|c|1|2", "host": "node1", "lease_s": 60.0}
steps = st.lists(
    st.tuples(
        st.sampled_from(["begin", "report", "finish", "fail", "again", "release", "look", "retry"]),
        st.integers(0, 5),
        st.floats(allow_nan=True, allow_infinity=True),
    ),
    max_size=40,
)


def play(store, sweep, live, word, which, value):
    """Do one thing to the record that agents do."""
    if word == "begin":
        attempt = store.claim(sweep.sweep_id, **AGENT)
        number = len(store.runs(sweep.sweep_id))
        live.append(attempt or store.add_and_claim(sweep.sweep_id, number, {"x": value}, **AGENT))
    elif word == "retry":
        store.retry(sweep.sweep_id, [RunState.FAILED])
    elif live and word != "look":
        attempt = live[which % len(live)]
        if word == "report":
            seq = store.reports(attempt.run.run_id, attempt_id=attempt.attempt_id)
            rows = [Report(seq=len(seq), values={"m": value}, time=store.now())]
            store.report(attempt, rows, metric="m", goal="maximize")
            return
        live.remove(attempt)
        if word == "release":
            store.release(attempt, reason="gone")
        else:
            state = {"finish": RunState.FINISHED, "fail": RunState.FAILED, "again": RunState.PENDING}[word]
            store.finish(
                attempt, state, reason=word, outcome={"duration_s": abs(which) + 1.0}, failure=word != "finish"
            )


def timeless(item):
    """Return a snapshot without what only depends on the moment of the look."""
    running = tuple(dataclasses.replace(run, duration_s=0.0, age_s=None) for run in item.running)
    return repr(dataclasses.replace(item, now=0.0, elapsed_s=0.0, eta_s=None, running=running))


@pytest.mark.slow
@given(steps)
@settings(max_examples=examples(40), deadline=None)
def test_what_is_remembered_and_what_changed_make_the_whole(tmp_path_factory, played):
    path = tmp_path_factory.mktemp("watch") / "a.db"
    with open_store(path) as store:
        sweep, _ = store.create_sweep("s", text=TEXT, seed=1, metric="m", goal="maximize")
        with open_watch(path) as watch:
            follower, brief = Follower(watch, sweep.sweep_id), Follower(watch, sweep.sweep_id, in_short=True)
            live = []
            for word, which, value in played:
                play(store, sweep, live, word, which, value)
                if word == "look":
                    follower.snapshot()
                    brief.snapshot()
            whole = timeless(Follower(watch, sweep.sweep_id).snapshot())
            assert timeless(follower.snapshot()) == whole
            assert timeless(brief.snapshot()) == whole
            assert timeless(Follower(watch, sweep.sweep_id, in_short=True).snapshot()) == whole
            assert {run.row.run_id for run in follower.snapshot().running} == {item.run.run_id for item in live}


def keyless(item):
    """Return a snapshot as `timeless` has it, without the keys of configurations that are a run's own."""
    return re.sub(r"configuration=(None|b'(\\.|[^'])*'|b\"(\\.|[^\"])*\")", "", timeless(item))


NO_RULE = TEXT.partition("early_terminate")[0]
# Parameters of a run: seeds, nested ones, NaN, and numbers that Python takes for one.
params = st.fixed_dictionaries(
    {},
    optional={
        "x": st.sampled_from([0.0, -0.0, 1, 1.0, True, "1", None, float("nan"), 0.5]),
        "seed": st.integers(0, 2),
        "deep": st.sampled_from([{"y": 1, "seed": 3}, {"y": 1, "seed": 4}, {"y": 2}, [1, 2], [1.0, 2]]),
    },
)
numbers = st.sampled_from([1.0, 2.0, -1.0, float("nan"), float("inf"), 1e308, -1e308])
ended = st.tuples(
    params,
    st.lists(numbers, max_size=3),
    st.none() | numbers,
    st.sampled_from([{}, {"duration_s": 2.0}, {"facts": {"value": "last"}}, {"duration_s": "long", "reports": 4}]),
    st.sampled_from([{}, {"configuration": 0}, {"configuration": None}]),
    st.sampled_from([RunState.FINISHED, RunState.STOPPED, RunState.FAILED]),
)


def restored(sweep, number, given_):
    """Return an ended run as the record takes it."""
    params, history, summary, outcome, proposal, state = given_
    return RestoredRun(
        run=RunRecord(
            run_id=f"r{number:07d}",
            sweep_id=sweep.sweep_id,
            number=number,
            params=params,
            state=state,
            history=tuple(history),
            summary=summary,
            last_metrics={"m": history[-1]} if history else {},
            proposal=proposal,
            attempts=1,
            created_at=1.0,
            started_at=2.0 + number % 2,
            ended_at=9.0 - number,
            outcome=outcome,
        )
    )


ALONE = ({"seed": 0}, [], -1.0, {}, {"configuration": None}, RunState.STOPPED)  # said to be one of its own
LIKE_IT = ({"seed": 1}, [], -1.0, {}, {}, RunState.STOPPED)


@pytest.mark.slow
@given(st.lists(ended, max_size=12), st.integers(0, 12), st.sampled_from(["minimize", "maximize"]))
@example(runs=[LIKE_IT, ALONE], first=1, goal="minimize")
@example(runs=[LIKE_IT, (*LIKE_IT[:1], [2.0], None, *LIKE_IT[3:]), ALONE], first=0, goal="minimize")
@settings(max_examples=examples(40), deadline=None)
def test_runs_in_short_make_the_same_picture_as_whole_ones(tmp_path_factory, runs, first, goal):
    path = tmp_path_factory.mktemp("watch") / "a.db"
    with open_store(path) as store:
        text = NO_RULE.replace("maximize", goal)
        sweep, _ = store.create_sweep("s", text=text, seed=1, metric="m", goal=goal)
        made = [restored(sweep, number, item) for number, item in enumerate(runs)]
        with open_watch(path) as watch:
            follower = Follower(watch, sweep.sweep_id, in_short=True)
            store.restore(sweep, made[:first])
            follower.snapshot()
            store.restore(sweep, made)
            whole = keyless(Follower(watch, sweep.sweep_id).snapshot())
            assert keyless(follower.snapshot()) == whole
            assert keyless(Follower(watch, sweep.sweep_id, in_short=True).snapshot()) == whole


def test_the_margin_is_that_of_the_sweeps_own_rule(tmp_path):
    with open_store(tmp_path / "a.db") as store, open_watch(tmp_path / "a.db") as watch:
        sweep, _ = store.create_sweep("s", text=TEXT, seed=1, metric="m", goal="maximize")
        follower = Follower(watch, sweep.sweep_id)
        attempts = [store.add_and_claim(sweep.sweep_id, n, {"x": 0.1}, **AGENT) for n in range(3)]
        for attempt, value in zip(attempts, (1.0, 2.0, 4.0), strict=True):
            rows = [Report(seq=n, values={"m": value}) for n in range(2)]
            store.report(attempt, rows, metric="m", goal="maximize")
        # of three runs at report 2 the threshold is the second best, 2.0
        assert [run.margin for run in follower.snapshot().running] == [-1.0, 0.0, 2.0]
        store.report(attempts[0], [Report(seq=2, values={"m": 5.0})], metric="m", goal="maximize")
        assert [run.margin for run in follower.snapshot().running] == [-1.0, 0.0, 2.0]


def test_a_rule_over_folds_has_no_verdict_here(tmp_path):
    text = "method: random\nmetric: {name: m}\nparameters: {x: {value: 1}}\n"
    text += "sweepkit: {early_terminate: {type: wilcoxon, p_threshold: 1.0}}\n"
    with open_store(tmp_path / "a.db") as store, open_watch(tmp_path / "a.db") as watch:
        sweep, _ = store.create_sweep("s", text=text, seed=1, metric="m", goal="minimize")
        attempt = store.add_and_claim(sweep.sweep_id, 0, {"x": 1}, **AGENT)
        store.report(attempt, [Report(seq=0, values={"m": 1.0, "fold_m": 2.0})], metric="m", goal="minimize")
        (run,) = Follower(watch, sweep.sweep_id).snapshot().running
        assert (run.margin, run.verdict) == (None, "")


def test_an_extended_sweep_has_its_new_total_and_a_yaml_we_refuse_has_none(tmp_path):
    with open_store(tmp_path / "a.db") as store, open_watch(tmp_path / "a.db") as watch:
        sweep, _ = store.create_sweep("s", text=TEXT, seed=1, metric="m", goal="maximize")
        follower = Follower(watch, sweep.sweep_id)
        assert follower.snapshot().total == 50
        store.update_sweep(sweep.sweep_id, text=TEXT.replace("50", "80"), state=SweepState.PAUSED, reason="disk full")
        item = follower.snapshot()
        assert (item.total, item.state, item.reason) == (80, SweepState.PAUSED, "disk full")
        store.update_sweep(sweep.sweep_id, text="method: [")
        item = follower.snapshot()
        assert item.total is None and item.metric.name == "m"
        with pytest.raises(SweepKitError, match=WORDS["must-be-in"]):
            Follower(watch, "nobody").snapshot()


GRID_TEXT = TEXT.replace("random", "grid").replace("{min: 0.0, max: 1.0}", "{values: [1, 2, 3]}")


@pytest.mark.parametrize(
    ("text", "total"),
    [
        (TEXT, 50),
        (TEXT.replace("random", "bayes"), 50),
        (TEXT.replace("run_cap: 50\n", ""), None),
        (GRID_TEXT, 3),
        (GRID_TEXT.replace("50", "2"), 2),
    ],
)
def test_how_many_runs_a_sweep_will_have(text, total):
    assert total_of(read_sweep_text(text)) == total


def test_each_of_several_metrics_has_curves_those_of_the_front_last(tmp_path):
    record_several(tmp_path)
    with ExitStack() as stack:
        sweeps = RecordedSweeps(MonitorOptions(output_dir=tmp_path), stack)
        (item,) = sweeps.snapshots()
        curves = sweeps.curves(item)
        assert list(curves) == ["quality", "latency_ms"]
        for lines in curves.values():
            assert [len(line.values) for line in lines] == [4] * 8  # the one that still runs, too
            assert [line.style == "bold" for line in lines] == [False] * 3 + [True] * 5
        assert curves["latency_ms"][-1].values == [80.0] * 4
        # Another run begins, and reports again and again: all of it is in the next picture.
        with open_store(tmp_path / "sweepkit.db") as store:
            attempt = store.add_and_claim(next(iter(sweeps.followers)), 8, {"layers": 3}, **AGENT)
            for count in (1, 2):
                said = Report(seq=count, values={"quality": 0.1, "latency_ms": 50.0}, step=None, time=1e9)
                store.report(attempt, [said], metric=None, goal=None)
                (item,) = sweeps.snapshots()
                assert [0.1] * count in [list(line.values) for line in sweeps.curves(item)["quality"]]
