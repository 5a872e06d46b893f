"""Differential tests: the rules taken over from Optuna give the verdicts of Optuna's own pruners.

The same random runs, interleaved at random and ended where Optuna's pruner says so, go through an in-memory study and
through ours. What differs on purpose stands in docs/stopping.md.
"""

import math
import warnings
from dataclasses import replace

import numpy as np
import optuna
import pytest
from depth import examples
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import wilcoxon

from sweepkit.model.metric import Goal
from sweepkit.model.runs import RunState, RunView
from sweepkit.stopping.make import rule_of
from sweepkit.stopping.optuna_hyperband import OptunaHyperband
from sweepkit.stopping.signed_ranks import SignedRanks
from sweepkit.stopping.steps import quantile
from sweepkit.stopping.successive_halving import SuccessiveHalving
from sweepkit.sweep_config.sweep import EarlyTerminate

STUDY = "스윕"
NAN, INF = math.nan, math.inf
# Many ties, and what no loss should be.
numbers = st.one_of(st.integers(0, 5).map(float), st.floats(-3, 3), st.sampled_from([NAN, INF, -INF]))
plain = st.one_of(st.integers(0, 5).map(float), st.floats(-3, 3))
goals = st.sampled_from(list(Goal))


@st.composite
def stories(draw, values=numbers, longest=10):
    """Runs (their values, and whether they fail at the end) and the order in which three at once report."""
    runs = draw(st.lists(st.tuples(st.lists(values, min_size=1, max_size=longest), st.booleans()), max_size=9))
    return runs, draw(st.randoms(use_true_random=False))


class Telling:
    """Tells one story to Optuna and to us; `verdicts` of both."""

    def __init__(self, pruner, wanted, goal):
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.study = optuna.create_study(study_name=STUDY, direction=str(goal), pruner=pruner)
        self.rule = rule_of(wanted, goal, STUDY)
        self.views, self.trials, self.verdicts = [], [], []

    def begin(self):
        number = len(self.views)
        self.trials.append(self.study.ask())
        self.views.append(RunView(number=number, run_id=str(number), params={}, state=RunState.RUNNING))
        return number

    def report(self, number, value):
        """Report and judge; return whether Optuna ends the run."""
        view = replace(self.views[number], history=(*self.views[number].history, value))
        self.views[number] = view
        self.trials[number].report(value, len(view.history) - 1)
        theirs = self.trials[number].should_prune()
        ours = self.rule.decide(view, self.views)
        self.verdicts.append((number, len(view.history), ours.stop, theirs, ours.reason))
        if theirs:
            self.end(number, RunState.STOPPED)
        return theirs

    def end(self, number, state):
        history = self.views[number].history
        self.views[number] = replace(self.views[number], state=state)
        theirs = {
            RunState.FINISHED: optuna.trial.TrialState.COMPLETE,
            RunState.STOPPED: optuna.trial.TrialState.PRUNED,
            RunState.FAILED: optuna.trial.TrialState.FAIL,
        }[state]
        value = sum(history) / len(history)  # as WilcoxonPruner's users are told to; no other pruner looks at it
        values = (0.0 if math.isnan(value) else value) if state is RunState.FINISHED else None
        self.study.tell(self.trials[number], values, state=theirs)


def tell(pruner, wanted, goal, story, first=()):
    """Return what both said after each report; the run `first` is told and finished before all others."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's of NaN, Optuna's of experimental pruners
        telling = Telling(pruner(), wanted, goal)
        if first:
            number = telling.begin()
            for value in first:
                telling.report(number, value)
            telling.end(number, RunState.FINISHED)
        _interleave(telling, *story)
    return telling.verdicts


def _interleave(telling, runs, random):
    waiting, live = list(runs), {}
    while waiting or live:
        while waiting and len(live) < 3:
            values, fails = waiting.pop()
            live[telling.begin()] = (list(values), fails)
        number = random.choice(sorted(live))
        values, fails = live[number]
        if telling.report(number, values.pop(0)):
            del live[number]
        elif not values:
            telling.end(number, RunState.FAILED if fails else RunState.FINISHED)
            del live[number]


def agree(verdicts):
    assert [row[:4] for row in verdicts if row[2] != row[3]] == []


compared = st.fixed_dictionaries(
    {"n_startup_runs": st.integers(0, 3), "n_warmup_reports": st.integers(0, 3)},
    optional={"interval_reports": st.integers(1, 4), "n_min_runs": st.integers(1, 3)},
)


def theirs_of(ours):
    names = {
        "n_startup_runs": "n_startup_trials",
        "n_warmup_reports": "n_warmup_steps",
        "interval_reports": "interval_steps",
        "n_min_runs": "n_min_trials",
    }
    return {names.get(key, key): value for key, value in ours.items()}


@settings(max_examples=examples(50), deadline=None)
@given(st.sampled_from([0.0, 10.0, 25.0, 33.3, 50.0, 75.0, 100.0]), compared, goals, stories())
def test_percentile_is_optunas(percentile, keys, goal, story):
    wanted = EarlyTerminate(type="percentile", percentile=percentile, **keys)
    agree(tell(lambda: optuna.pruners.PercentilePruner(percentile, **theirs_of(keys)), wanted, goal, story))


@settings(max_examples=examples(50), deadline=None)
@given(compared, goals, stories())
def test_percentile_50_is_optunas_median(keys, goal, story):
    wanted = EarlyTerminate(type="percentile", percentile=50, **keys)
    agree(tell(lambda: optuna.pruners.MedianPruner(**theirs_of(keys)), wanted, goal, story))


bounds = st.floats(-3, 3)


@settings(max_examples=examples(100), deadline=None)
@given(bounds, bounds, st.sampled_from(["lower", "upper", "both"]), st.integers(0, 3), st.integers(1, 4), stories())
def test_threshold_is_optunas(a, b, which, warmup, interval, story):
    limits = {"lower": min(a, b), "upper": max(a, b)}
    limits = limits if which == "both" else {which: limits[which]}
    wanted = EarlyTerminate(type="threshold", n_warmup_reports=warmup, interval_reports=interval, **limits)
    pruner = optuna.pruners.ThresholdPruner(**limits, n_warmup_steps=warmup, interval_steps=interval)
    agree(tell(lambda: pruner, wanted, Goal.MINIMIZE, story))


@settings(max_examples=examples(50), deadline=None)
@given(st.integers(1, 3), st.integers(2, 4), st.integers(0, 1), st.integers(0, 2), goals, stories(longest=14))
def test_successive_halving_is_optunas(least, factor, rate, bootstrap, goal, story):
    keys = {
        "min_resource": least,
        "reduction_factor": factor,
        "min_early_stopping_rate": rate,
        "bootstrap_count": bootstrap,
    }
    wanted = EarlyTerminate(type="successive_halving", **keys)
    agree(tell(lambda: optuna.pruners.SuccessiveHalvingPruner(**keys), wanted, goal, story))


@settings(max_examples=examples(50), deadline=None)
@given(st.integers(1, 3), st.integers(3, 30), st.integers(2, 4), st.integers(0, 1), goals, stories(longest=14))
def test_optuna_hyperband_is_optunas(least, most, factor, bootstrap, goal, story):
    keys = {
        "min_resource": least,
        "max_resource": most,
        "reduction_factor": factor,
        "bootstrap_count": bootstrap,
    }
    wanted = EarlyTerminate(type="optuna_hyperband", **keys)
    agree(tell(lambda: optuna.pruners.HyperbandPruner(**keys), wanted, goal, story))


@settings(max_examples=examples(30), deadline=None)
@given(st.lists(st.integers(1, 450), min_size=1, max_size=3))
def test_the_first_rung_and_the_brackets_are_found_as_optuna_finds_them(lengths):
    """Only found: which earlier values then count differs, see docs/stopping.md."""
    study = optuna.create_study(study_name=STUDY)
    views = []
    for number, length in enumerate(lengths):
        values = dict.fromkeys(range(length), 1.0)
        study.add_trial(optuna.trial.create_trial(value=1.0, intermediate_values=values))
        history = (1.0,) * length
        views.append(RunView(number=number, run_id="r", params={}, state=RunState.FINISHED, history=history))
    trial = study.ask()
    trial.report(1.0, 0)
    halving, hyperband = optuna.pruners.SuccessiveHalvingPruner(), optuna.pruners.HyperbandPruner()
    frozen = study.trials[-1]
    halving.prune(study, frozen), hyperband.prune(study, frozen)
    assert SuccessiveHalving(EarlyTerminate(type="successive_halving"), Goal.MINIMIZE)._least(views) == (
        halving._min_resource
    )
    ours = OptunaHyperband(EarlyTerminate(type="optuna_hyperband"), Goal.MINIMIZE, STUDY)
    budgets = ours._budgets(max(lengths))
    assert budgets == hyperband._trial_allocation_budgets
    for trial in study.trials:
        assert ours._bracket(trial.number, budgets) == hyperband._get_bracket_id(study, trial)


wrapped = st.sampled_from(
    [
        (None, lambda: None),
        (
            EarlyTerminate(type="percentile", percentile=50, n_startup_runs=1),
            lambda: optuna.pruners.PercentilePruner(50, n_startup_trials=1),
        ),
        (EarlyTerminate(type="threshold", upper=1.5), lambda: optuna.pruners.ThresholdPruner(upper=1.5)),
        (EarlyTerminate(type="none"), optuna.pruners.NopPruner),
    ]
)


@settings(max_examples=examples(50), deadline=None)
@given(wrapped, st.integers(0, 3), st.sampled_from([0.0, 0.5, 1.0]), goals, stories())
def test_patient_is_optunas(inner, patience, delta, goal, story):
    wanted = EarlyTerminate(type="patient", rule=inner[0], patience=patience, min_delta=delta)
    agree(tell(lambda: optuna.pruners.PatientPruner(inner[1](), patience, delta), wanted, goal, story))


@settings(max_examples=examples(40), deadline=None)
# No threshold is a possible p-value of few instances: the last digit of scipy's would decide.
@given(st.sampled_from([0.03, 0.1, 0.15, 0.3, 0.6, 1.0]), st.integers(0, 4), goals, stories(values=plain, longest=7))
def test_wilcoxon_is_optunas(threshold, startup, goal, story):
    wanted = EarlyTerminate(type="wilcoxon", p_threshold=threshold, n_startup_steps=startup)
    pruner = {"p_threshold": threshold, "n_startup_steps": startup}
    agree(tell(lambda: optuna.pruners.WilcoxonPruner(**pruner), wanted, goal, story))


@pytest.mark.parametrize("goal", list(Goal))
def test_wilcoxon_with_equal_means_is_optunas(goal):
    """Whole numbers from 0 to 2 in four folds: many runs are level with the best, and many best ones with another."""
    random = np.random.default_rng(1)
    runs = [([float(value) for value in random.integers(0, 3, size=4)], False) for _ in range(80)]

    class OneAfterTheOther:
        choice = staticmethod(lambda items: items[0])

    wanted = EarlyTerminate(type="wilcoxon", p_threshold=1.0)
    verdicts = tell(lambda: optuna.pruners.WilcoxonPruner(p_threshold=1.0), wanted, goal, (runs, OneAfterTheOther))
    agree(verdicts)
    assert any("its mean is no worse" in row[4] for row in verdicts) and any(row[2] for row in verdicts)


@pytest.mark.parametrize(
    ("wanted", "pruner"),
    [
        (EarlyTerminate(type="percentile", n_startup_runs=2), lambda: optuna.pruners.PercentilePruner(25, 2)),
        (
            EarlyTerminate(type="successive_halving", min_resource=1),
            lambda: optuna.pruners.SuccessiveHalvingPruner(min_resource=1),
        ),
        (
            EarlyTerminate(type="optuna_hyperband", max_resource=28),
            lambda: optuna.pruners.HyperbandPruner(max_resource=28),
        ),
        (EarlyTerminate(type="threshold", upper=0.5), lambda: optuna.pruners.ThresholdPruner(upper=0.5)),
        (EarlyTerminate(type="patient", patience=2), lambda: optuna.pruners.PatientPruner(None, 2)),
        (EarlyTerminate(type="wilcoxon"), optuna.pruners.WilcoxonPruner),
    ],
    ids=lambda item: getattr(item, "type", ""),
)
def test_the_defaults_are_optunas_and_some_runs_are_ended_and_some_are_not(wanted, pruner):
    """A rule that never stops would agree with itself: here both must stop and go on."""
    random = np.random.default_rng(4)
    runs = []
    for _ in range(30):
        level = random.uniform(0, 1)
        runs.append(([level + random.normal(0, 0.05) for _ in range(28)], False))

    class Order:
        choice = staticmethod(lambda items: items[int(random.integers(len(items)))])

    verdicts = tell(pruner, wanted, Goal.MINIMIZE, (runs, Order), tuple([0.4] * 28))
    agree(verdicts)
    assert {row[2] for row in verdicts} == {True, False}
    assert all(row[4].startswith(wanted.type) for row in verdicts)


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.one_of(plain, st.sampled_from([INF, -INF])), max_size=12), st.floats(0, 100))
def test_quantiles_are_numpys(values, percent):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = float(np.nanpercentile(np.array(values, dtype=float), percent)) if values else NAN
    ours = quantile(values, percent)
    assert ours == theirs or (math.isnan(ours) and math.isnan(theirs))


differences = st.one_of(
    st.lists(st.integers(-4, 4).map(float), min_size=2, max_size=7),  # scipy is slow at 8 to 13
    st.lists(st.integers(-4, 4).map(float), min_size=14, max_size=30),
    st.lists(st.floats(-1, 1), min_size=2, max_size=60),
)


@settings(max_examples=examples(60), deadline=None)
@given(differences)
def test_p_values_are_scipys(values):
    count = len(values)
    sizes = [abs(value) for value in values]
    assume(all(size == 0 or size > 1e-12 for size in sizes))  # scipy squares them
    theirs = wilcoxon(np.array(values), alternative="greater", zero_method="zsplit").pvalue
    ranks = SignedRanks()
    for value in values:
        ranks.add(value)
    assert ranks.p_greater() == pytest.approx(float(theirs), abs=1e-9), count
