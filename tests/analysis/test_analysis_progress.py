"""A sweep's snapshot from its rows and live attempts; when it stalls; what ends the waiting."""

import dataclasses
import math

import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshots import words_of
from watching_support import NOW, attempt, record, run, watched

from sweepkit.analysis.progress import (
    IDLE_S,
    SILENT_S,
    row_of,
    snapshot,
    stalled,
    usual_interval_s,
    verdict,
)
from sweepkit.analysis.ranking import best_configuration
from sweepkit.model.metric import Goal, Metric
from sweepkit.model.records import SweepState
from sweepkit.model.runs import Decision, RunState

WORDS = words_of(__file__)

LOSS = Metric(name="loss", goal=Goal.MINIMIZE)
states = st.sampled_from(list(RunState))
values = st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=4).map(tuple)
described = st.lists(st.tuples(states, values, st.floats(0, 1000)), max_size=25)


def made(described):
    return [
        run(number, state, history, ended_at=NOW - 2000 + end if state.done else None)
        for number, (state, history, end) in enumerate(described)
    ]


@given(described, st.sampled_from(list(Goal)))
@settings(max_examples=examples(150))
def test_counts_best_mean_and_curve_agree_with_the_runs(described, goal):
    metric = Metric(name="loss", goal=goal)
    runs = made(described)
    item = snapshot(watched(runs, metric=metric))
    assert sum(item.counts.values()) == len(runs)
    assert item.done == sum(r.state.done for r in runs)
    best = best_configuration(runs, metric)
    rows = [row_of(r, metric) for r in runs if r.state in (RunState.FINISHED, RunState.STOPPED)]
    able = [row.value for row in rows if row.value is not None]
    assert (item.best is None) == (best is None) == (not able)
    assert item.valued == len(able)
    if able:
        assert item.best.value == goal.best(able) == item.curve[-1].value
        slack = 1e-9 * max(map(abs, able))
        assert min(able) - slack <= item.mean <= max(able) + slack
    for before, after in zip(item.curve, item.curve[1:], strict=False):
        assert goal.better(after.value, before.value) and before.done < after.done and before.at <= after.at
    assert all(math.isfinite(point.value) for point in item.curve)


@given(described, st.lists(st.floats(0.1, 1e4), min_size=25, max_size=25), st.integers(1, 8))
@settings(max_examples=examples(100))
def test_the_time_left_is_never_negative_and_shrinks_with_more_workers(described, durations, workers):
    runs = [
        dataclasses.replace(r, outcome={"duration_s": durations[r.number]} if r.state.done else {})
        for r in made(described)
    ]
    running = [r for r in runs if r.state is RunState.RUNNING]
    few = snapshot(watched(runs, total=100, live=[attempt(r) for r in running[:workers]])).eta_s
    many = snapshot(watched(runs, total=100, live=[attempt(r) for r in running])).eta_s
    if few is None:
        assert not running or not any(r.state.done for r in runs)
    else:
        assert 0 <= many <= few


def test_the_time_left_is_the_mean_duration_times_what_is_left_over_the_workers():
    runs = [run(n, RunState.FINISHED, (1.0,), outcome={"duration_s": 10.0 + n}) for n in (0, 1, 2)]  # mean 11
    runs += [run(3, RunState.RUNNING), run(4, RunState.RUNNING), run(5, RunState.PENDING)]
    live = [attempt(runs[3], started_at=NOW - 5), attempt(runs[4], started_at=NOW - 60)]
    item = snapshot(watched(runs, total=10, live=live))
    assert item.eta_s == pytest.approx((5 * 11 + 6 + 0) / 2)
    assert item.workers == 2
    assert snapshot(watched(runs, total=None, live=live)).eta_s is None
    assert snapshot(watched(runs[3:], total=10, live=live)).eta_s is None


def test_a_running_run_shows_its_attempt_its_age_and_its_margin():
    runs = [run(0, RunState.RUNNING, (3.0, math.nan)), run(1, RunState.RUNNING, (2.0,))]
    live = [
        attempt(runs[1], reports=1, step=40, last_report_at=NOW - 7, started_at=NOW - 30, ordinal=2),
        attempt(runs[0], reports=2, last_report_at=NOW + 3),  # a host whose clock is ahead
    ]
    verdicts = {"r1": Decision(stop=False, reason="hyperband: …", margin=0.25)}
    first, second = snapshot(watched(runs, live=live, verdicts=verdicts)).running
    assert (first.row.number, first.age_s, first.margin, first.verdict) == (0, 0.0, None, "")
    assert math.isnan(first.row.newest) and first.row.value == 3.0
    assert (second.live.ordinal, second.live.step, second.age_s, second.duration_s) == (2, 40, 7.0, 30.0)
    assert (second.margin, second.verdict) == (0.25, "hyperband: …")


def test_the_last_failures_come_first_with_their_reasons():
    runs = [run(n, RunState.FAILED, reason=f"Error {n}", ended_at=NOW - 100 + n) for n in range(8)]
    runs.append(run(8, RunState.DIVERGED, reason="divergence: …", ended_at=NOW - 200))
    item = snapshot(watched(runs), failures=3)
    assert [row.reason for row in item.failures] == ["Error 7", "Error 6", "Error 5"]


# -- stalling ----------------------------------------------------------------------------------------------------------


def silent(age_s, **fields):
    r = run(0, RunState.RUNNING, (1.0,))
    fields.setdefault("reports", 1)
    return watched([r], live=[attempt(r, last_report_at=NOW - age_s, started_at=NOW - 5000, **fields)])


def test_silence_is_a_stall_after_five_minutes():
    assert stalled(silent(SILENT_S - 1)) == ""
    assert WORDS["no-running-run"] in stalled(silent(SILENT_S + 1))


def test_silence_is_no_stall_before_ten_usual_intervals():
    # 101 reports in 10,000 s: every 100 s
    slow = {"reports": 101, "first_report_at": NOW - 10_900}
    assert stalled(silent(900, **slow)) == ""
    r = run(0, RunState.RUNNING)
    since = watched(
        [r], live=[attempt(r, reports=101, first_report_at=NOW - 11_001, last_report_at=NOW - 1001, started_at=0.0)]
    )
    assert "usual: every 100 s" in stalled(since)


def test_a_program_that_never_reports_is_silent_by_nature():
    done = [run(n, RunState.FINISHED, outcome={"duration_s": 600.0, "reports": 0}) for n in range(3)]
    assert usual_interval_s([row_of(r, LOSS) for r in done], []) == 600.0
    busy = run(3, RunState.RUNNING)
    assert stalled(watched([*done, busy], live=[attempt(busy, started_at=NOW - 5000)])) == ""
    assert stalled(watched([*done, busy], live=[attempt(busy, started_at=NOW - 6001, claimed_at=NOW - 6001)]))


def test_one_run_that_reports_keeps_a_sweep_going():
    runs = [run(n, RunState.RUNNING) for n in range(3)]
    live = [attempt(r, started_at=NOW - 9000, claimed_at=NOW - 9000) for r in runs]
    assert stalled(watched(runs, live=live))
    live[1] = attempt(runs[1], started_at=NOW - 9000, reports=5, last_report_at=NOW - 2)
    assert stalled(watched(runs, live=live)) == ""


def test_leases_that_are_all_over_are_a_stall():
    runs = [run(n, RunState.RUNNING) for n in range(2)]
    live = [attempt(r, expired=True) for r in runs]
    assert WORDS["the-lease-of"] in stalled(watched(runs, live=live))
    assert stalled(watched(runs, live=[live[0], attempt(runs[1])])) == ""


def test_work_without_an_attempt_is_a_stall_after_a_minute():
    runs = [run(0, RunState.FINISHED, ended_at=NOW - 500), run(1, RunState.PENDING)]
    assert stalled(watched(runs, total=4, idle_since=NOW - IDLE_S + 1)) == ""
    assert WORDS["nothing-has-run"] in stalled(watched(runs, total=4, idle_since=NOW - 61))
    assert "runs are left" in stalled(watched(runs[:1], total=None, idle_since=NOW - 61))
    assert stalled(watched([], total=None, sweep=record(created_at=NOW - 30))) == ""
    assert stalled(watched([], total=3, sweep=record(created_at=NOW - 90)))


@pytest.mark.parametrize("state", [state for state in SweepState if state is not SweepState.RUNNING])
def test_only_a_sweep_that_should_run_stalls(state):
    runs = [run(0, RunState.PENDING)]
    assert stalled(watched(runs, total=4, idle_since=0.0, sweep=record(state=state))) == ""


# -- what ends the waiting ---------------------------------------------------------------------------------------------


def finished(**fields):
    return snapshot(watched([run(0, RunState.FINISHED, (1.0,))], sweep=record(state=SweepState.FINISHED), **fields))


def test_a_finished_sweep_is_done_whatever_is_waited_for():
    for until in ([], ["done"], ["failed"], ["stalled"], ["done", "failed", "stalled"]):
        assert verdict([finished()], until).code == 0


def test_a_sweep_killed_after_its_last_run_is_over_too():
    runs = [run(n, RunState.FINISHED, (1.0,)) for n in range(3)]
    assert snapshot(watched(runs, total=3)).ended
    just_now = [*runs[:-1], dataclasses.replace(runs[-1], ended_at=NOW - 1)]
    assert not snapshot(watched(just_now, total=3)).ended  # its runner is about to say so
    assert snapshot(watched(just_now, total=3, sweep=record(state=SweepState.FINISHED))).ended
    assert not snapshot(watched(runs, total=4)).ended
    assert not snapshot(watched([*runs, run(3, RunState.PENDING)], total=4)).ended
    assert not snapshot(watched(runs, total=3, sweep=record(state=SweepState.PAUSED))).ended


def test_a_failed_run_counts_only_where_it_is_waited_for():
    runs = [run(0, RunState.FINISHED, (1.0,)), run(1, RunState.FAILED, reason="ValueError: no")]
    going = snapshot(watched(runs, total=9, live=[]))
    assert verdict([going], ["done"]) is None
    left = verdict([going], ["failed"])
    assert (left.code, left.reason) == (3, WORDS["failed-the-last"])
    ended = snapshot(watched(runs, total=2))
    assert verdict([ended], ["done"]).code == 0
    assert verdict([ended], ["failed"]).code == 3


def test_an_end_in_vain_is_a_failure():
    runs = [run(0, RunState.FAILED, reason="x"), run(1, RunState.DIVERGED)]
    assert verdict([snapshot(watched(runs, total=2))], ["done"]).code == 3
    cancelled = snapshot(watched([run(0, RunState.FINISHED, (1.0,))], sweep=record(state=SweepState.CANCELLED)))
    assert verdict([cancelled], ["stalled"]).code == 3


def test_all_sweeps_must_have_ended_and_any_may_stall():
    stuck = snapshot(watched([run(0, RunState.PENDING)], total=4, idle_since=NOW - 100))
    assert verdict([finished(), stuck], ["done"]) is None
    assert verdict([finished(), stuck], ["stalled"]).code == 4
    assert verdict([], ["done"]) is None
