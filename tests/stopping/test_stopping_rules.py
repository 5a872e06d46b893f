import math
from dataclasses import replace

import pytest
from snapshots import words_of

from sweepkit.errors import SweepKitError
from sweepkit.model.distributions import Distribution, Kind
from sweepkit.model.metric import Goal, Metric
from sweepkit.model.runs import RunState, RunView
from sweepkit.model.space import Parameter, Space
from sweepkit.stopping.asha import Asha
from sweepkit.stopping.divergence import DivergenceGuard
from sweepkit.stopping.hyperband import Hyperband
from sweepkit.stopping.make import make_rule
from sweepkit.stopping.median import Median
from sweepkit.stopping.optuna_hyperband import OptunaHyperband
from sweepkit.stopping.patience import Patience
from sweepkit.stopping.percentile import Percentile
from sweepkit.stopping.wilcoxon import Wilcoxon
from sweepkit.sweep_config.sweep import EarlyTerminate, Extensions, Method, SweepSpec

WORDS = words_of(__file__)

MIN, MAX = Goal.MINIMIZE, Goal.MAXIMIZE
NAN = math.nan


def view(number, history, state=RunState.RUNNING):
    return RunView(number=number, run_id=str(number), params={}, state=state, history=tuple(history))


def judge(rule, history, others=()):
    run = view(0, history)
    return rule.decide(run, [run, *(view(i + 1, h, RunState.FINISHED) for i, h in enumerate(others))])


def test_hyperband_says_why_with_its_numbers():
    rule = Hyperband(EarlyTerminate(type="hyperband", min_iter=3), MAX)
    others = [[0, 0, value] for value in (0.5, 0.4, 0.35, 0.341, 0.3, 0.2, 0.1, 0.05)]
    stopped = judge(rule, [0.9, 0.9, 0.213], others)
    assert stopped.stop and not stopped.diverged
    assert stopped.reason == WORDS["the-best-third"]
    assert stopped.margin == pytest.approx(0.213 - 0.341)
    kept = judge(rule, [0.9, 0.9, 0.36], others)
    assert not kept.stop and kept.margin > 0 and WORDS["is-no-worse"] in kept.reason
    assert judge(rule, [0.9, NAN, 0.213], others).reason == WORDS["reports-the-first"]


def test_hyperband_not_strict_judges_the_best_so_far():
    others = [[0, 0, 0.5], [0, 0, 0.4]]
    for strict, stop in ((True, True), (False, False)):
        rule = Hyperband(EarlyTerminate(type="hyperband", min_iter=3, strict=strict), MAX)
        assert judge(rule, [0.9, 0.9, 0.1], others).stop is stop


@pytest.mark.parametrize("kind", ["median", "percentile", "hyperband", "auto"])
@pytest.mark.parametrize("said_by", ["program", "sweep"])
def test_where_the_last_report_counts_a_better_one_before_it_saves_no_run(kind, said_by):
    settings = {"hyperband": {"min_iter": 2, "eta": 2, "strict": False}, "auto": {}}.get(kind, {"n_startup_runs": 2})
    value = "last" if said_by == "sweep" else "best"
    rule = make_rule(
        SweepSpec(
            name="s",
            method=Method.RANDOM,
            metric=Metric(name="m", goal=MAX, value=value),
            space=Space(parameters=()),
            extensions=Extensions(early_terminate=EarlyTerminate(type=kind, **settings)),
        )
    )
    own = view(0, [0.9, 0.3])  # the mean over one fold, then over two
    others = [view(i, [0.5, 0.5 + i / 1000], RunState.FINISHED) for i in range(1, 5)]
    if said_by == "program":
        own, others = (
            replace(own, value_rule="last", mean_over="fold"),
            [replace(other, value_rule="last", mean_over="fold") for other in others],
        )
    decision = rule.decide(own, [own, *others])
    assert decision.stop and ("2 folds" in decision.reason) is (said_by == "program")
    plain = replace(own, value_rule="best", mean_over="")
    assert not rule.decide(plain, [plain, *others]).stop


def test_hyperband_reasons_speak_of_the_share_kept():
    for eta, said in ((2, "the best half of 2 runs"), (4, "the best quarter of 2"), (2.5, "the best 1/2.5 of 2")):
        rule = Hyperband(EarlyTerminate(type="hyperband", min_iter=1, eta=eta), MIN)
        assert said in judge(rule, [1.0], [[2.0]]).reason


def test_asha_compares_once_at_the_rung():
    rule = Asha(EarlyTerminate(type="asha", min_iter=2, eta=2), MIN)
    others = [[9, 1.0], [9, 2.0], [9, 3.0]]
    assert judge(rule, [9.0], others).reason == WORDS["reports-the-next"]
    stopped = judge(rule, [0.0, 2.5], others)
    assert stopped.stop and stopped.margin == pytest.approx(-0.5)
    assert stopped.reason == WORDS["the-best-half"]
    assert not judge(rule, [9.0, 2.0], others).stop  # a tie with the last that goes on
    assert not judge(rule, [0.0, 2.5, 9.0], others).stop  # past the rung
    assert not judge(rule, [0.0, 2.5, NAN], others).stop  # no new report
    assert not judge(rule, [5.0, 5.0]).stop  # the first to arrive


def test_asha_has_no_rung_beyond_its_longest_run():
    rule = Asha(EarlyTerminate(type="asha", min_iter=1, max_iter=4, eta=3), MIN)
    assert judge(rule, [9.0] * 9, [[1.0] * 9] * 5).reason == WORDS["reports-no-rung"]
    assert judge(rule, [9.0] * 3, [[1.0] * 9] * 5).stop


def test_median_compares_the_best_with_running_averages():
    rule = Median(EarlyTerminate(type="median", n_startup_runs=3, n_warmup_reports=1), MIN)
    others = [[1.0, 3.0, 0.0], [2.0, 2.0, 0.0], [5.0, 7.0, 0.0]]  # averages at 2: 2, 2, 6
    stopped = judge(rule, [4.0, 2.5], others)
    assert stopped.stop and stopped.margin == pytest.approx(-0.5)
    assert WORDS["the-best-by"] in stopped.reason
    assert not judge(rule, [2.0, 9.0], others).stop  # the best so far counts
    assert not judge(rule, [9.0], others).stop  # warming up
    assert "2 of 3 runs have finished" in judge(rule, [9.0, 9.0], others[:2]).reason
    assert WORDS["no-ended-run"] in judge(rule, [9.0] * 4, others).reason
    up = Median(EarlyTerminate(type="median", n_startup_runs=1), MAX)
    assert judge(up, [0.1], [[0.5]]).stop and not judge(up, [0.5], [[0.5]]).stop


def test_median_leaves_failed_runs_and_bad_values_out():
    rule = Median(EarlyTerminate(type="median", n_startup_runs=1), MIN)
    run, failed = view(0, [5.0]), view(1, [0.0], RunState.FAILED)
    assert not rule.decide(run, [run, failed, view(2, [NAN, 9.0], RunState.FINISHED)]).stop
    assert rule.decide(run, [run, failed, view(2, [NAN, 1.0], RunState.FINISHED)]).stop


def test_patience_counts_reports_without_enough_improvement():
    rule = Patience(EarlyTerminate(type="patience", patience=2, min_delta=0.1), MIN)
    assert not judge(rule, [1.0, 0.95]).stop
    stopped = judge(rule, [1.0, 0.95, 0.92])
    assert stopped.stop
    assert stopped.reason == WORDS["reports-since-the"]
    assert not judge(rule, [1.0, 0.95, 0.89]).stop  # small steps that add up
    assert not judge(rule, [1.0, 0.95, NAN]).stop
    late = Patience(EarlyTerminate(type="patience", patience=2, n_warmup_reports=3), MAX)
    assert not judge(late, [1.0, 0.5, 0.5]).stop and judge(late, [1.0, 0.5, 0.5, 0.5]).stop
    assert "no finite report" in judge(late, []).reason


def test_median_looks_at_intervals_and_wants_enough_runs():
    others = [[1.0] * 9] * 2
    rule = Median(EarlyTerminate(type="median", n_startup_runs=1, n_warmup_reports=2, interval_reports=3), MIN)
    stops = [judge(rule, [9.0] * reports, others).stop for reports in range(1, 10)]
    assert stops == [False, False, True, False, False, True, False, False, True]
    assert WORDS["judged-again-at"] in judge(rule, [9.0] * 4, others).reason
    rule = Median(EarlyTerminate(type="median", n_startup_runs=1, n_min_runs=3), MIN)
    assert "2 of 3 ended runs that are needed have 1 report" in judge(rule, [9.0], others).reason
    assert judge(rule, [9.0], [*others, [1.0]]).stop


def test_percentile_says_why_with_its_numbers():
    rule = Percentile(EarlyTerminate(type="percentile", percentile=25, n_startup_runs=5), MAX)
    others = [[0.5, value] for value in (0.1, 0.2, 0.3, 0.4, 0.5)]
    stopped = judge(rule, [0.1, 0.35], others)
    assert stopped.stop and stopped.margin == pytest.approx(-0.05)
    said = "percentile: 0.35, the best by report 2, is worse than 0.4, the best 25 % of 5 runs at that report"
    assert stopped.reason == said
    assert judge(rule, [0.1, 0.4], others).margin == 0 and not judge(rule, [0.1, 0.4], others).stop
    assert "4 of 5 runs have finished" in judge(rule, [0.1], others[:4]).reason
    diverged = judge(rule, [NAN], others)
    assert diverged.stop and diverged.diverged and "NaN" in diverged.reason


def test_halving_compares_once_one_report_after_asha():
    wanted = EarlyTerminate(type="successive_halving", min_resource=2, reduction_factor=2)
    rule = make_rule(spec(wanted))
    others = [[9, 9, 1.0, 5], [9, 9, 2.0], [9, 9, 3.0], [9, 9]]
    assert judge(rule, [9.0, 9.0], others).reason == WORDS["reports-the-next-rung"]
    stopped = judge(rule, [0.0, 0.0, 2.5], others)
    assert stopped.stop and stopped.margin == pytest.approx(-0.5)
    said = "2.5 at report 3, a rung, is worse than 2, the best half of 4 runs that reached it"
    assert stopped.reason == f"successive_halving: {said}"
    assert WORDS["the-next-rung"] in judge(rule, [0.0, 0.0, 2.5, 9.0], others).reason
    waiting = view(9, [0, 0, 0.0], RunState.PENDING)
    run = view(0, [9.0, 9.0, 3.0])
    assert rule.decide(run, [run, view(1, [0, 0, 4.0]), waiting]).stop is False, "it will be made again"


def test_a_hyperbands_run_is_compared_in_its_bracket():
    rule = OptunaHyperband(EarlyTerminate(type="optuna_hyperband", max_resource=9), MIN, "s")
    budgets = rule._budgets(9)
    assert budgets == [9, 5, 3]
    brackets = [rule._bracket(number, budgets) for number in range(200)]
    assert set(brackets) == {0, 1, 2} and brackets.count(0) > brackets.count(1) > brackets.count(2)
    peers = [number for number in range(200) if brackets[number] == 0][:3]
    others = [view(number, [1.0, 1.0]) for number in range(200) if brackets[number] == 1]
    run = view(peers[0], [5.0, 5.0])
    alone = rule.decide(run, [run, *others])
    assert not alone.stop and "bracket 0 of 3" in alone.reason and "of 1 run" in alone.reason
    assert rule.decide(run, [run, view(peers[1], [1.0, 1.0]), view(peers[2], [1.0, 1.0])]).stop
    found = make_rule(spec(EarlyTerminate(type="optuna_hyperband", max_resource=9)), study="s_2")
    assert found._rules[1]._rule._study == "s_2"
    short = OptunaHyperband(EarlyTerminate(type="optuna_hyperband", min_resource=5), MIN, "s")
    assert "no bracket" in judge(short, [1.0], [[1.0]]).reason


def test_patient_asks_another_rule_only_when_nothing_improves():
    inner = EarlyTerminate(type="threshold", upper=1.0)
    rule = make_rule(spec(EarlyTerminate(type="patient", patience=1, rule=inner)))
    assert not judge(rule, [5.0, 4.0, 3.0]).stop  # it gets better: nobody is asked
    stopped = judge(rule, [3.0, 4.0, 4.0])
    assert stopped.stop and stopped.margin == -3.0
    assert stopped.reason.startswith(WORDS["the-best-of"])
    assert not judge(rule, [0.3, 0.4, 0.4]).stop
    nested = EarlyTerminate(type="patient", patience=0, rule=EarlyTerminate(type="asha", min_iter=2, eta=2))
    assert judge(make_rule(spec(nested)), [1.0, 2.0], [[0, 0.0]] * 3).stop


def test_wilcoxon_compares_fold_by_fold_with_the_best_run():
    rule = Wilcoxon(EarlyTerminate(type="wilcoxon", p_threshold=0.15), MAX)
    best = view(1, [0.9, 0.8, 0.85], RunState.FINISHED)
    best = replace(best, instances=(0.9, 0.7, 0.95, 0.9, 0.9))
    worse = view(2, [0.1], RunState.FINISHED)
    running = replace(best, number=3, state=RunState.RUNNING, instances=(1.0,) * 5)

    def verdict(*instances):
        run = replace(view(0, [0.99] * len(instances)), instances=instances)
        return rule.decide(run, [run, worse, running, best])

    assert "1 of 2 instances" in verdict(0.8).reason
    assert verdict(0.8, 0.6).reason == (WORDS["the-least-possible"])
    stopped = verdict(0.8, 0.6, 0.9)
    assert stopped.stop and stopped.reason == (
        "wilcoxon: p = 0.125 over 3 instances against run 1 is below 0.15, mean 0.7667 to 0.87"
    )
    assert not verdict(0.8, 0.75, 0.9).stop  # not in every fold
    assert "not finite" in verdict(0.8, NAN, 0.9).reason
    assert "no instance yet" in verdict().reason


def test_wilcoxon_takes_the_metric_itself_only_when_no_other_name_is_given():
    others = [[0.9, 0.8, 0.95]]
    for name, stop in ((None, True), ("eval/fold_f1", False)):
        rule = Wilcoxon(EarlyTerminate(type="wilcoxon", p_threshold=0.15, instances=name), MAX)
        assert judge(rule, [0.8, 0.7, 0.9], others).stop is stop


def test_wilcoxon_never_ends_a_run_with_the_better_mean():
    rule = Wilcoxon(EarlyTerminate(type="wilcoxon", p_threshold=1.0), MIN)
    # Of the instances both have, the first is lost; the mean of all its own is better than the best run's.
    decision = judge(rule, [1.1, 1.1, 0.1], [[1.0, 1.0]])
    assert not decision.stop and WORDS["its-mean-is"] in decision.reason


def test_threshold_and_none():
    rule = make_rule(spec(EarlyTerminate(type="threshold", lower=0.0, upper=2.0, n_warmup_reports=1)))
    assert not judge(rule, [5.0]).stop
    stopped = judge(rule, [5.0, 2.5])
    assert stopped.stop and stopped.margin == -0.5
    assert stopped.reason == "threshold: 2.5 at report 2 is outside 0 to 2"
    assert judge(rule, [5.0, 0.5]).margin == 0.5
    never = make_rule(spec(EarlyTerminate(type="none")))
    assert not judge(never, [9e9], [[0.0]] * 9).stop and judge(never, [NAN, NAN]).diverged


@pytest.mark.parametrize(
    ("history", "stop"),
    [
        ([], 0),
        ([NAN], 0),
        ([1, NAN], 0),
        ([1, NAN, 1], 0),
        ([NAN, 1, NAN], 0),
        ([NAN, NAN], 1),
        ([1, math.inf, NAN], 1),
        ([2, 1e5, 1e5], 1),
        ([2, 1e5, NAN], 1),
        ([2, 1e5, 3, 1e5], 0),
        ([2, 1e4, 1e4], 0),
        ([NAN, 2, 0.1, 1e5, 1e9], 1),
        ([1e5, 2, 0.1, 1e6, 1e6], 0),  # it began higher than that
        ([0.0, 0.0, 1.0, 1.0], 0),  # nothing to compare with
        ([1e5, 1e5], 0),
        ([-1e3, -1e9, -1e9], 0),
    ],
)
def test_a_run_diverges_after_two_bad_values_in_a_row_d34(history, stop):
    decision = judge(DivergenceGuard(), history)
    assert decision.stop is decision.diverged is bool(stop) and decision.reason


def test_a_metric_to_be_maximized_may_grow_as_it_likes():
    assert not judge(DivergenceGuard(Goal.MAXIMIZE), [1, 1e9, 1e9]).stop
    assert judge(DivergenceGuard(Goal.MAXIMIZE), [1, 1e9, NAN, NAN]).stop
    assert WORDS["times-where-it"] in judge(DivergenceGuard(), [1, 1e9, 1e9]).reason


def spec(early_terminate=None, metric=Metric(name="m"), **fields):  # noqa: B008 a frozen value
    space = Space(parameters=(Parameter(path=("a",), distribution=Distribution(kind=Kind.CONSTANT, values=(1,))),))
    return SweepSpec(
        name="s", method=Method.RANDOM, space=space, metric=metric, early_terminate=early_terminate, **fields
    )


@pytest.mark.parametrize("kind", ["hyperband", "asha", "median", "patience"])
def test_every_rule_guards_against_divergence_first_d34(kind):
    rule = make_rule(spec(EarlyTerminate(type=kind, min_iter=1)))
    assert judge(rule, [1.0, NAN, NAN]).diverged
    assert judge(rule, [1.0]).reason.startswith(kind)


def test_the_rule_follows_the_spec():
    assert judge(make_rule(spec()), [NAN, NAN]).diverged
    assert not judge(make_rule(spec(metric=None)), [NAN, NAN]).stop
    ours = spec(extensions=Extensions(early_terminate=EarlyTerminate(type="patience", patience=1)))
    assert judge(make_rule(ours), [1.0, 1.0]).stop
    up = make_rule(spec(EarlyTerminate(type="patience", patience=1), Metric(name="m", goal=MAX)))
    assert not judge(up, [1.0, 2.0]).stop


@pytest.mark.parametrize(
    ("sweep", "said"),
    [
        (spec(EarlyTerminate(type="envelope")), "none, got 'envelope'"),
        (spec(EarlyTerminate(type="hyperband", min_iter=1), metric=None), "needs a metric"),
        (spec(EarlyTerminate(type="hyperband")), "needs min_iter, or max_iter and s"),
        (spec(EarlyTerminate(type="hyperband", max_iter=2, s=2)), "no band is left with max_iter=2, s=2, eta=3"),
        (spec(EarlyTerminate(type="asha", min_iter=1, eta=1)), "eta: must be above 1, got 1"),
        (spec(EarlyTerminate(type="asha", min_iter=0)), "min_iter: must be at least 1, got 0"),
        (spec(EarlyTerminate(type="patience", patience=0)), "patience: must be at least 1, got 0"),
        (spec(EarlyTerminate(type="percentile", percentile=200)), "percentile: must be at most 100, got 200"),
        (spec(EarlyTerminate(type="threshold")), "threshold needs lower, upper or both"),
        (spec(EarlyTerminate(type="patient", rule=EarlyTerminate(type="asha"))), "needs min_iter"),
        (spec(EarlyTerminate(type="envelope"), source="f.yaml"), "f.yaml: early_terminate.type"),
    ],
)
def test_unusable_rules_are_refused(sweep, said):
    with pytest.raises(SweepKitError) as caught:
        make_rule(sweep)
    assert said in str(caught.value)


@pytest.mark.parametrize("eta", [1e308, 1.0000001])
def test_extreme_ratios_neither_overflow_nor_loop(eta):
    for kind in (Hyperband, Asha):
        rule = kind(EarlyTerminate(type="hyperband", min_iter=10, eta=eta), MIN)
        for n in (1, 10, 12):
            assert not judge(rule, [1.0] * n, [[1.0] * 20]).stop


@pytest.mark.parametrize("values", [[1e308] * 3, [-1e308, 1e308, 1e308], [1e308, NAN, 1e308, 1e308]])
def test_huge_values_are_finite(values):
    rule = Hyperband(EarlyTerminate(type="hyperband", min_iter=3), MIN)
    assert judge(rule, values, [[0.0, 0.0, 0.0]]).stop
    median = Median(EarlyTerminate(type="median", n_startup_runs=1), MIN)
    assert not judge(median, [0.0] * 3, [values]).stop or values[0] < 0


def test_a_run_that_diverges_on_any_of_several_objectives_is_ended():
    metrics = (Metric(name="a"), Metric(name="b", goal=Goal.MAXIMIZE))
    rule = make_rule(spec(metric=None, metrics=metrics))
    nan = float("nan")

    def decided(a, b):
        run = RunView(number=0, run_id="r", params={}, state=RunState.RUNNING, objectives=(a, b))
        return rule.decide(run, [run])

    assert not decided((1.0, 2.0, 1.0), (1.0, 1e9, 1e9)).stop  # to be maximized: nothing explodes
    assert not decided((), ()).stop and not decided((nan,), (nan,)).stop
    for verdict in (decided((1.0, 1.0), (nan, nan)), decided((1.0, 1e9, 1e9), (1.0, 1.0))):
        assert verdict.stop and verdict.diverged and verdict.reason
