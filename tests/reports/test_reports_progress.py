"""What a sweep shows while it runs: the counts, the plain lines, the JSON lines, the display."""

import io
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweepkit.agents.run_cache import view_of
from sweepkit.model.events import Notice, RunChanged, RunEnded, RunReported, RunStarted
from sweepkit.model.metric import Goal, Metric
from sweepkit.model.records import RunRecord
from sweepkit.model.run_names import run_name
from sweepkit.model.runs import RunState
from sweepkit.model.space import Space
from sweepkit.reports.progress import JsonView, PlainView, RichView, Screen, Tally, clock
from sweepkit.reports.terminal import make_console
from sweepkit.sweep_config.sweep import Method, SweepSpec

S = RunState


def spec(goal=Goal.MINIMIZE, metric="m"):
    named = Metric(name=metric, goal=goal) if metric else None
    return SweepSpec(name="s", method=Method.GRID, space=Space(parameters=()), metric=named)


def run(number, state=S.RUNNING, history=(), **fields):
    fields.setdefault("params", {"lr": 0.1 * number, "opt": {"이름": "아담"}})
    return RunRecord(run_id=f"r{number}", sweep_id="s", number=number, state=state, history=history, **fields)


def started(number, warm=True):
    return RunStarted(run=run(number), slot=0, device="gpu 0", warm=warm, ordinal=1)


def reported(number, value, margin=None, reports=1):
    values = {"m": value}
    return RunReported(
        run_id=f"r{number}", number=number, slot=0, values=values, value=value, reports=reports, margin=margin
    )


def ended(number, state, history=(), duration_s=1.0, **fields):
    return RunEnded(run=run(number, state, history, **fields), slot=0, duration_s=duration_s, messages={})


ends = st.tuples(
    st.sampled_from([state for state in S if state is not S.RUNNING]),
    st.lists(st.floats(), max_size=3).map(tuple),
    st.floats(0.1, 1e4),
)


@given(
    st.lists(ends, max_size=4),
    st.lists(st.tuples(st.integers(0, 5), ends | st.none()), max_size=12),
    st.none() | st.integers(0, 20),
    st.integers(1, 4),
    st.sampled_from(list(Goal)),
)
def test_counts_best_and_remaining_time_are_those_of_the_newest_states(recorded, events, total, workers, goal):
    before = [
        run(100 + n, state, history, outcome={"duration_s": duration})
        for n, (state, history, duration) in enumerate(recorded)
    ]
    tally = Tally(spec(goal), before, total=total, workers=workers)
    newest = {record.run_id: record.state for record in before}
    durations = [duration for state, _, duration in recorded if state.done]
    values = [v for s, history, _ in recorded if s in (S.FINISHED, S.STOPPED) for v in history if math.isfinite(v)]
    for number, end in events:
        if end is None:
            tally.take(started(number))
            newest[f"r{number}"] = S.RUNNING
            continue
        state, history, duration = end
        tally.take(ended(number, state, history, duration))
        newest[f"r{number}"] = state
        durations += [duration] if state.done else []
        values += [v for v in history if math.isfinite(v) and state in (S.FINISHED, S.STOPPED)]
    assert {state: tally.count(state) for state in S} == {state: list(newest.values()).count(state) for state in S}
    assert set(tally.running) == {run_id for run_id, state in newest.items() if state is S.RUNNING}
    assert tally.done == sum(state.done for state in newest.values())
    assert (tally.best.value if tally.best else None) == (goal.best(values) if values else None)
    if total is None or not durations:
        assert tally.eta_s() is None
    else:
        mean = sum(durations) / len(durations)
        assert tally.eta_s() == pytest.approx(max(0, total - tally.done) * mean / workers)
    assert tally.words().startswith(f"{tally.done}/{'?' if total is None else total} done")
    assert (" left" in tally.words()) == (tally.eta_s() is not None and tally.done < total)


def test_a_run_that_reports_is_forgotten_when_it_ends():
    tally = Tally(spec(), [], total=2, workers=1)
    for event in (started(0), reported(0, 0.5), Notice(text="x")):
        tally.take(event)
    assert set(tally.newest) == {"r0"}
    tally.take(ended(0, S.PENDING, (0.5,)))
    assert not tally.newest and not tally.running and tally.eta_s() is None and tally.best is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.4, "59 s"), (59.6, "1:00"), (3599.6, "1:00:00"), (90_000, "25:00:00")]
)
def test_durations_carry_over(seconds, text):
    assert clock(seconds) == text


def test_plain_lines_are_one_per_ended_run_and_notice(capsys):
    view = PlainView(Tally(spec(), [], total=3, workers=1))
    view.open()
    for event in (
        started(1),
        reported(1, 0.5),
        Notice(text="careful", warning=True),
        ended(1, S.STOPPED, (0.5, math.nan), 2.0, reason="hyperband: 0.5 is worse"),
        Notice(text="by the way"),
        ended(2, S.PENDING, reason="exit code 1: no output"),
        ended(2, S.FINISHED, (0.25,), 4.0, reason="exit code 0"),
    ):
        view(event)
    view.close()
    assert capsys.readouterr().out.splitlines() == [
        "0/3 done",
        "warning: careful",
        "run   1 r1  stopped   0.5  lr=0.1  opt.이름=아담  2.0 s  hyperband: 0.5 is worse"
        "  [1/3 done, 1 stopped, best 0.5 (run r1), 4 s left]",
        "by the way",
        "run   2 r2  again     lr=0.2  opt.이름=아담  1.0 s  exit code 1: no output"
        "  [1/3 done, 1 stopped, best 0.5 (run r1), 4 s left]",
        "run   2 r2  finished  0.25  lr=0.2  opt.이름=아담  4.0 s  [2/3 done, 1 stopped, best 0.25 (run r2), 3 s left]",
    ]


def test_json_lines_are_one_object_per_event(capsys):
    view = JsonView(Tally(spec(), [], total=3, workers=1))
    view.open()
    for event in (
        started(1),
        reported(1, 0.5),
        Notice(text="조심", warning=True),
        ended(1, S.DIVERGED, (math.nan,), 2.00004, reason="NaN twice"),
    ):
        view(event)
    view.close()
    text = capsys.readouterr().out
    params = {"lr": 0.1, "opt": {"이름": "아담"}}
    head = {"run_id": "r1", "number": 1, "name": run_name("r1", 1), "params": params}
    assert [json.loads(line) for line in text.splitlines()] == [
        {"event": "run_started", **head, "slot": 0, "device": "gpu 0", "warm": True, "attempt": 1},
        {"event": "report", "run_id": "r1", "number": 1, "values": {"m": 0.5}},
        {"event": "notice", "warning": True, "text": "조심"},
        {
            "event": "run_ended",
            **head,
            "state": "diverged",
            "value": None,
            "reason": "NaN twice",
            "duration_s": 2.0,
        },
    ]
    assert "아담" in text and view.tally.count(S.DIVERGED) == 1


def recorded_view(tally):
    screen = Screen()
    screen.console = make_console(file=io.StringIO(), width=160, force_terminal=False, record=True)
    screen.live.console = screen.console
    return RichView(tally, "my [sweep]", screen)


def shown(view):
    view.screen.console.print(view.render())
    return view.screen.console.export_text()


def test_the_display_shows_counts_and_every_running_run():
    view = recorded_view(Tally(spec(), [], total=4, workers=2))
    for event in (started(1), started(2, warm=False), started(3), reported(3, 0.125, margin=-0.5, reports=7)):
        view(event)
    lines = [line.rstrip() for line in shown(view).splitlines()]
    assert "my [sweep]" in lines[0] and "0/4 done, 3 running" in lines[0]
    assert lines[1:] == [
        "  [gpu 0] run   1 r1  started warm  lr=0.1  opt.이름=아담",
        "  [gpu 0] run   2 r2  starting  lr=0.2  opt.이름=아담",
        "  [gpu 0] run   3 r3  report 7  0.125  (margin -0.5)  lr=0.3  opt.이름=아담",
    ]


def test_the_display_prints_what_ended_and_takes_no_text_for_markup():
    view = recorded_view(Tally(spec(), [], total=None, workers=1))
    view(Notice(text="[/red] careful [bold]", warning=True))
    view(started(1))
    view(ended(1, S.FAILED, reason="KeyError: '[/x]' (exit code 1)", params={"x": "[a]"}))
    text = shown(view)
    assert "[/red] careful [bold]" in text
    assert "failed    x=[a]  1.0 s  KeyError: '[/x]' (exit code 1)" in text
    assert "1/? done, 1 failed" in text


def test_the_display_opens_and_closes_without_a_terminal():
    view = recorded_view(Tally(spec(), [], total=2, workers=1))
    view.open()
    view(started(1))
    view(ended(1, S.FINISHED, (0.5,)))
    view.close()
    text = view.screen.console.export_text()
    assert "run   1 r1  finished  0.5" in text and "1/2 done, best 0.5 (run r1)" in text


def test_without_a_metric_there_is_no_value():
    tally = Tally(spec(metric=None), [run(0, S.FINISHED, (1.0,))], total=2, workers=1)
    tally.take(ended(1, S.FINISHED, (1.0,)))
    assert tally.best is None and tally.words() == "2/2 done"


def test_views_of_several_sweeps_say_whose_a_line_is_and_share_the_screen(capsys):
    plain = PlainView(Tally(spec(), [], total=2, workers=1), sweep="a")
    plain.open()
    plain(Notice(text="careful", warning=True))
    plain(ended(1, S.FINISHED, (0.5,)))
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["a:"] * 3
    view = JsonView(Tally(spec(), [], total=2, workers=1), sweep="b")
    view(Notice(text="x"))
    assert json.loads(capsys.readouterr().out)["sweep"] == "b"
    one = recorded_view(Tally(spec(), [], total=2, workers=1))
    two = RichView(Tally(spec(), [], total=3, workers=1), "other", one.screen, named=True)
    one.open()
    two.open()
    two(ended(1, S.FINISHED, (0.5,)))
    one.close()
    assert one.screen.live.is_started
    two.close()
    assert not one.screen.live.is_started
    text = one.screen.console.export_text()
    assert "other: run   1 r1  finished  0.5" in text
    assert text.rstrip().splitlines()[-2].startswith("my [sweep]") and "1/3 done" in text.splitlines()[-1]


def test_the_remaining_time_counts_what_lies_between_runs():
    now = [0.0]
    tally = Tally(spec(Goal.MINIMIZE), [], total=1000, workers=2, clock=lambda: now[0])
    for number in range(100):  # runs of a hundredth of a second, of which one ends every other second
        now[0] = 2.0 * number
        tally.take(started(number))
        tally.take(ended(number, S.FINISHED, (0.5,), 0.01))
    assert tally.eta_s() == pytest.approx(900 * 2.0)
    now[0] += 300.0  # and then none for five minutes
    assert tally.eta_s() > 900 * 2.0


def test_runs_of_other_agents_count_for_the_pace_once():
    now = [0.0]
    tally = Tally(spec(Goal.MINIMIZE), [], total=1000, workers=1, clock=lambda: now[0])
    tally.take(ended(0, S.FINISHED, (0.5,), 0.01))
    for number in range(1, 20):
        now[0] = 3.0 * number
        for _ in range(2):
            tally.take(RunChanged(view=view_of(run(number, S.FINISHED, (0.5,)))))
    assert tally.eta_s() == pytest.approx((1000 - 20) * 3.0)
