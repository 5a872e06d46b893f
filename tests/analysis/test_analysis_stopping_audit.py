"""What the audit of a stopping rule says, and what other rules would have done on a sweep's own curves."""

import dataclasses

import pytest

from sweepkit.analysis.stopping_audit import audit_of, audit_sentences, rule_words
from sweepkit.analysis.stopping_replay import candidates, replay, replayed_or_refused
from sweepkit.analysis.summary import saved
from sweepkit.analysis.table import from_runs
from sweepkit.errors import SweepKitError
from sweepkit.model.audit import AUDIT
from sweepkit.model.metric import Goal, Metric
from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunState
from sweepkit.reports.stopping_replay import replay_plain, replay_text
from sweepkit.sweep_config.read import read_sweep_text

SPEC = """
name: audited
method: random
metric: {name: loss}
parameters: {x: {min: 0.0, max: 1.0}}
early_terminate: {type: hyperband, min_iter: 3}
"""


def record(number, history, state=RunState.FINISHED, duration=None, at=None, **outcome):
    duration = len(history) if duration is None else duration
    return RunRecord(
        run_id=f"r{number}",
        sweep_id="s",
        number=number,
        params={"x": number / 100},
        state=state,
        history=tuple(history),
        ended_at=float(number * 10 + duration if at is None else at),
        outcome={"duration_s": float(duration), **outcome},
    )


def table(*runs, spec=SPEC):
    return from_runs(read_sweep_text(spec), runs)


def falling(end, length=9, begin=2.0):
    return [begin + (end - begin) * (report + 1) / length for report in range(length)]


def audited(end, **more):
    return {**more, AUDIT: {"report": 3, "reason": "hyperband: worse"}}


def sweep(*ends_of_audited):
    finished = [record(n, falling(0.5 + n / 10)) for n in range(4)]
    stopped = [record(10 + n, falling(1.5)[:3], RunState.STOPPED) for n in range(6)]
    checked = [
        record(20 + n, falling(end), **{AUDIT: {"report": 3, "reason": "worse"}})
        for n, end in enumerate(ends_of_audited)
    ]
    return table(*finished, *stopped, *checked)


def test_an_audit_counts_the_stops_that_would_have_lost_the_best():
    found = audit_of(sweep(0.3, 0.45, 1.2))
    assert (found.audited, found.stops, found.false) == (3, 9, 2)
    assert found.regret == pytest.approx(0.2) and found.rate == pytest.approx(2 / 3)
    # Clopper and Pearson 1934 for 2 of 3.
    assert (found.low, found.high) == pytest.approx((0.0943, 0.9916), abs=1e-4)
    right = audit_of(sweep(1.0, 1.1))
    assert (right.false, right.regret, right.low) == (0, 0.0, 0.0)
    assert audit_of(sweep()) is None and audit_sentences(sweep()) == []


def test_what_was_saved_is_told_with_what_the_audit_found_and_in_gpu_time():
    plain = saved(sweep(1.0, 1.1))
    assert "36 s" in plain and "running time" in plain and audit_sentences(sweep(1.0, 1.1))[0] in plain
    done = [record(n, falling(0.5), device="gpu 0,1") for n in range(2)]
    short = record(5, falling(1.5)[:3], RunState.STOPPED, device="gpu 2,3")
    assert "12 s" in saved(table(*done, short)) and "GPU time" in saved(table(*done, short))


def test_a_replay_on_full_curves_tells_what_each_rule_uses_and_loses():
    # The best one begins worst: a rule that looks at report 3 loses it.
    late = [3.0, 2.9, 2.8, 2.0, 1.0, 0.5, 0.3, 0.2, 0.1]
    runs = [record(n, falling(0.5 + n / 20), at=100.0) for n in range(11)]
    found = {rule_words(item.rule): item for item in replay(table(*runs, record(11, late, at=100.0)))}
    own = found["hyperband (min_iter 3)"]
    assert own.own and own.stops_winner and own.regret == pytest.approx(0.4) and own.used < 0.7
    assert not any(item.own for name, item in found.items() if name != "hyperband (min_iter 3)")
    assert set(found) == {rule_words(rule) for rule in candidates(9)}
    median = found["median"]  # needs finished runs first: all end together
    assert (median.used, median.stopped, median.regret) == (1.0, 0, 0.0)


def test_a_replay_of_stopped_runs_says_what_is_not_known():
    found = replay(sweep(1.0))
    own, loose = found[0], next(item for item in found if item.rule.type == "median")
    assert own.own and loose.unknown == 6 and loose.used <= 1.0
    text = replay_text(sweep(1.0))
    assert ">= " in text and len(text.splitlines()) > len(found)
    assert [item["rule"] for item in replay_plain(found)] == [rule_words(item.rule) for item in found]


def test_runs_of_unequal_length_are_replayed_at_equal_fractions():
    spec = SPEC.replace("x: {min: 0.0, max: 1.0}", "epochs: {values: [9, 36]}")
    short = [record(n, falling(0.5 + n / 50), at=50.0 + n) for n in range(6)]
    long = record(9, falling(0.1, 36), at=200.0)
    runs = [
        RunRecord(**{**fields(run), "params": {"epochs": len(run.history)}}) for run in (*short, long)
    ]  # fmt: skip
    found = {rule_words(item.rule): item for item in replay(table(*runs, spec=spec))}
    assert not found["asha (min_iter 3)"].stops_winner and not found["auto"].stops_winner


def fields(run):
    return {name: getattr(run, name) for name in RunRecord.__dataclass_fields__}


def test_what_cannot_be_replayed_is_refused():
    with pytest.raises(SweepKitError):
        replayed_or_refused(table(record(0, [1.0, 2.0])))
    assert replay(table()) == []


def test_a_replay_of_several_metrics_is_told_that_it_needs_one_and_which_there_are():
    one = table(record(0, [1.0, 2.0]), record(1, [1.0, 3.0]))
    several = dataclasses.replace(one, metrics=(*one.metrics, Metric(name="size", goal=Goal.MINIMIZE)))
    with pytest.raises(SweepKitError, match="needs one metric.*size") as refused:
        replayed_or_refused(several)
    assert "finished" not in str(refused.value)
