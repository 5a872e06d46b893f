"""The rule of `early_terminate: auto`, the audit's draw, and runs of unequal length."""

import random
from dataclasses import replace

import pytest

from sweepkit.model.audit import is_audited
from sweepkit.model.columns import RunViews
from sweepkit.model.runs import RunState, RunView
from sweepkit.stopping.make import make_rule
from sweepkit.sweep_config.read import read_sweep_text
from sweepkit.sweep_config.run_length import searched_length

YAML = """
method: random
metric: {{name: loss}}
parameters: {{{parameters}}}
{stopping}
"""


def spec(stopping="sweepkit: {early_terminate: auto}", parameters="x: {min: 0.0, max: 1.0}"):
    return read_sweep_text(YAML.format(stopping=stopping, parameters=parameters))


def run(number, history, state=RunState.RUNNING, **params):
    return RunView(number=number, run_id=str(number), params=params, state=state, history=tuple(history))


def views(*runs):
    kept = RunViews()
    for one in runs:
        kept.put(one)
    return kept


def test_the_word_and_the_type_name_one_rule():
    assert spec().early_terminate == spec("sweepkit: {early_terminate: {type: auto}}").early_terminate
    assert spec().early_terminate.type == "auto"


def test_auto_keeps_three_fifths_at_the_first_look_and_fewer_later_but_always_one():
    rule = make_rule(spec())
    at_first = [run(n, [float(n)] * 4) for n in range(20)]
    assert [rule.decide(one, at_first).stop for one in at_first] == [n >= 12 for n in range(20)]
    early = [run(n, [float(n)] * 3) for n in range(20)]
    assert not any(rule.decide(one, early).stop for one in early)
    later = [run(n, [float(n)] * 40) for n in range(20)]
    assert [one.number for one in later if not rule.decide(one, later).stop] == [0]


def test_auto_counts_a_run_that_was_ended_by_its_best_and_looks_by_the_length_of_finished_ones():
    rule = make_rule(spec())
    ended = [run(n, [1.0] * 4, RunState.STOPPED) for n in range(6)]
    under_way = run(6, [0.5] * 30)
    assert not rule.decide(under_way, [*ended, under_way]).stop
    worse = run(7, [2.0] * 30)
    decision = rule.decide(worse, [*ended, under_way, worse])
    assert decision.stop and decision.margin == pytest.approx(0.5 - 2.0)
    better = [run(n, [0.2] * 4, RunState.STOPPED) for n in range(6)]
    assert rule.decide(under_way, [*better, under_way]).margin == pytest.approx(0.2 - 0.5)
    finished = [run(n, [float(n)] * 100, RunState.FINISHED) for n in range(4)]
    young = run(9, [50.0] * 5)
    assert not rule.decide(young, [*finished, young]).stop  # the first look is at 6 % of 100 reports
    assert rule.decide(run(9, [50.0] * 6), [*finished, run(9, [50.0] * 6)]).stop


def test_auto_waits_for_a_run_whose_distance_to_the_best_one_shrinks_and_for_no_other():
    rule = make_rule(spec())
    flat = [run(n, [1.0 + n / 100] * 16) for n in range(19)]
    closing = run(19, [8.0 / (report + 1) + 1.0 for report in range(16)])
    lasting = run(20, [8.0 - report / 100 for report in range(16)])
    assert not rule.decide(closing, [*flat, closing]).stop
    assert rule.decide(lasting, [*flat, lasting]).stop
    late = replace(closing, history=(*closing.history, *[closing.history[-1]] * 30))
    assert rule.decide(late, [*[run(n, [1.0 + n / 100] * 46) for n in range(19)], late]).stop


def test_auto_compares_by_what_a_run_gained_lately_too():
    rule = make_rule(spec())
    flat = [run(n, [1.0] * 12) for n in range(10)]
    gains = run(10, [*[1.4] * 6, *[1.01] * 6])  # 1.01 less a quarter of .39
    assert not rule.decide(gains, [*flat, gains]).stop
    assert rule.decide(gains, [*flat, gains]).margin == pytest.approx(1.0 - (1.01 - 0.25 * 0.39))


def test_auto_decides_alike_from_kept_columns_and_from_a_plain_list():
    draw, rule, kept = random.Random(3), make_rule(spec()), RunViews()
    histories = {n: [] for n in range(12)}
    for _ in range(300):
        n = draw.randrange(12)
        histories[n].append(draw.gauss(n / 10, 1.0))
        for number, history in histories.items():
            kept.put(run(number, history))
        plain = [run(number, history) for number, history in histories.items()]
        assert rule.decide(plain[n], kept) == rule.decide(plain[n], plain)


# --- runs of unequal length ---------------------------------------------------------------------------------------
EPOCHS = "epochs: {values: [10, 40]}, x: {min: 0.0, max: 1.0}"


def curve(level, length):
    """A run that reaches `level` at its end, whatever its length: 1 at its beginning, falling evenly."""
    return [1.0 + (level - 1.0) * (report + 1) / length for report in range(length)]


def test_runs_whose_length_is_searched_are_compared_at_equal_fractions():
    wanted = "sweepkit: {early_terminate: {type: hyperband, min_iter: 4, eta: 2}}"
    rule = make_rule(spec(wanted, EPOCHS))
    short = [run(n, curve(0.5, 10), RunState.FINISHED, epochs=10) for n in range(3)]
    long = run(3, curve(0.1, 40)[:8], epochs=40)
    # Report by report the long run loses at report 8 (0.82 against 0.6); at a fifth of its length it leads.
    assert make_rule(spec(wanted)).decide(long, [*short, long]).stop
    assert not rule.decide(long, views(*short, long)).stop
    bad = run(4, curve(0.9, 40)[:8], epochs=40)
    assert rule.decide(bad, views(*short, long, bad)).stop
    assert rule.decide(bad, views(*short, long, bad)) == rule.decide(bad, [*short, long, bad])


def test_before_a_run_has_finished_nobody_knows_how_many_reports_an_epoch_makes():
    rule = make_rule(spec("sweepkit: {early_terminate: auto}", EPOCHS))
    runs = [run(n, [float(n)] * 9, epochs=10) for n in range(9)]
    decision = rule.decide(runs[-1], runs)
    assert not decision.stop and "epochs" in decision.reason


def test_the_number_of_reports_is_learned_when_programs_report_twice_an_epoch():
    rule = make_rule(spec("sweepkit: {early_terminate: {type: asha, min_iter: 8, eta: 2}}", EPOCHS))
    done = run(0, curve(0.5, 20), RunState.FINISHED, epochs=10)
    half = run(1, curve(0.9, 80)[:8], epochs=40)
    assert rule.decide(half, views(done, half)).stop  # 8 of 80 reports: the rung at a tenth


def test_wandbs_own_rule_compares_report_by_report_and_says_so():
    wanted = "early_terminate: {type: hyperband, min_iter: 4, eta: 2}"
    short = [run(n, curve(0.5, 10), RunState.FINISHED, epochs=10) for n in range(3)]
    long = run(3, curve(0.1, 40)[:8], epochs=40)
    said, plain = (make_rule(spec(wanted, names)).decide(long, [*short, long]) for names in (EPOCHS, EPOCHS[28:]))
    assert said.stop and plain.stop and said.reason.startswith(plain.reason) and "epochs" in said.reason


@pytest.mark.parametrize(
    ("parameters", "path"),
    [
        ("epochs: {values: [1, 2]}", ("epochs",)),
        ("training.num_train_epochs: {min: 1, max: 5}", ("training.num_train_epochs",)),
        ("training: {parameters: {max_steps: {values: [10, 20]}}}", ("training", "max_steps")),
        ("epochs: {value: 3}", None),
        ("warmup_steps: {values: [1, 2]}", None),
    ],
)
def test_which_parameter_says_how_long_a_run_trains(parameters, path):
    found = searched_length(spec(parameters=parameters).space)
    assert found == path or (found and ".".join(found) == ".".join(path))


# --- the audit ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("share", [0.05, 0.1, 0.3, 0.5, 1.0])
def test_two_of_the_first_ten_stops_are_audited_and_the_share_of_the_later_ones(share):
    for seed in range(20):
        drawn = [is_audited(stop, share, seed) for stop in range(1010)]
        assert drawn == [is_audited(stop, share, seed) for stop in range(1010)]
        assert sum(drawn[:10]) == max(2, round(10 * share)) and any(drawn[:3])
        assert sum(drawn[10:]) / 1000 == pytest.approx(share, rel=0.35)
    assert len({tuple(is_audited(stop, 0.05, seed) for stop in range(40)) for seed in range(20)}) > 10
