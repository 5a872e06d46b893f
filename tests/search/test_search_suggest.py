"""Our spaces asked of an Optuna trial: each distribution draws what it can draw; a recorded trial says it again."""

import math

import optuna
import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from sweepkit.model.distributions import Distribution, Kind, content_key
from sweepkit.model.metric import Goal, Metric
from sweepkit.model.space import Parameter, Space
from sweepkit.search.suggest import ATTRIBUTE, QUANTILE, Replay, suggest
from sweepkit.search.trial_reports import TrialReports

# One of each kind, and those whose Optuna form is another one.
FORMS = {
    "constant": {"kind": Kind.CONSTANT, "values": ([1, 2],)},
    "choices": {"kind": Kind.CATEGORICAL, "values": ("a", 1, None)},
    "lists": {"kind": Kind.CATEGORICAL, "values": ([1], [2], {"a": 1})},
    "alike": {"kind": Kind.CATEGORICAL, "values": (1, True, "1")},
    "weighted": {"kind": Kind.CATEGORICAL_W_PROBABILITIES, "values": ("x", "y"), "probabilities": (0.9, 0.1)},
    "int_uniform": {"kind": Kind.INT_UNIFORM, "min": -3, "max": 5},
    "large": {"kind": Kind.INT_UNIFORM, "min": 0, "max": 10**6},
    "larger": {"kind": Kind.INT_UNIFORM, "min": 0, "max": 10**18},
    "uniform": {"kind": Kind.UNIFORM, "min": -1.0, "max": 2.0},
    "q_uniform": {"kind": Kind.Q_UNIFORM, "min": 0.05, "max": 0.95, "q": 0.1},
    "q_whole": {"kind": Kind.Q_UNIFORM, "min": 4, "max": 64, "q": 4},
    "q_uneven": {"kind": Kind.Q_UNIFORM, "min": 1, "max": 2, "q": 5},
    "log_uniform": {"kind": Kind.LOG_UNIFORM, "min": -9.0, "max": -2.0},
    "log_values": {"kind": Kind.LOG_UNIFORM_VALUES, "min": 1e-6, "max": 1e-2},
    "q_log": {"kind": Kind.Q_LOG_UNIFORM, "min": 0.0, "max": 5.0, "q": 2},
    "q_log_values": {"kind": Kind.Q_LOG_UNIFORM_VALUES, "min": 1, "max": 512, "q": 1},
    "inv_log": {"kind": Kind.INV_LOG_UNIFORM, "min": 1.0, "max": 4.0},
    "inv_log_values": {"kind": Kind.INV_LOG_UNIFORM_VALUES, "min": 0.01, "max": 1.0},
    "normal": {"kind": Kind.NORMAL, "mu": 3.0, "sigma": 2.0},
    "q_normal": {"kind": Kind.Q_NORMAL, "mu": 3.0, "sigma": 2.0, "q": 0.5},
    "log_normal": {"kind": Kind.LOG_NORMAL, "mu": 0.0, "sigma": 1.0},
    "q_log_normal": {"kind": Kind.Q_LOG_NORMAL, "mu": 0.0, "sigma": 1.0, "q": 1},
    "beta": {"kind": Kind.BETA, "a": 2.0, "b": 5.0},
    "q_beta": {"kind": Kind.Q_BETA, "a": 2.0, "b": 5.0, "q": 0.1},
}
SPACE = Space(
    parameters=tuple(
        Parameter(path=("group", name), distribution=Distribution(**form)) for name, form in sorted(FORMS.items())
    )
)


@pytest.fixture(scope="module", autouse=True)
def _quiet():
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


def test_the_forms_are_all_kinds():
    assert {form["kind"] for form in FORMS.values()} == set(Kind)


@given(seed=st.integers(0, 2**31))
@settings(max_examples=examples(30), deadline=None)
def test_what_is_suggested_can_be_drawn_and_is_said_again(seed):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    trial = study.ask()
    params = suggest(SPACE, trial)
    for parameter in SPACE.parameters:
        value = params["group"][parameter.path[1]]
        assert parameter.distribution.contains(value), (parameter.name, value)
    assert set(params["group"]) == set(FORMS)
    frozen = study.trials[0]
    assert content_key(suggest(SPACE, Replay(frozen.params))) == content_key(params)


def test_a_parameter_is_suggested_by_its_own_name_where_optuna_has_its_distribution():
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    params = suggest(SPACE, trial)
    by_quantile = {name for name in trial.params if name.endswith(QUANTILE)}
    assert {name.removesuffix(QUANTILE).removeprefix("group.") for name in by_quantile} == {
        "weighted", "larger", "q_log", "normal", "q_normal", "log_normal", "q_log_normal", "beta", "q_beta"
    }  # fmt: skip
    assert trial.distributions["group.log_values"] == optuna.distributions.FloatDistribution(1e-6, 1e-2, log=True)
    assert trial.distributions["group.q_whole"] == optuna.distributions.IntDistribution(4, 64, step=4)
    assert trial.distributions["group.q_log_values"] == optuna.distributions.IntDistribution(1, 512, log=True)
    assert trial.params["group.choices"] == params["group"]["choices"]
    assert trial.user_attrs[f"{ATTRIBUTE}group.normal"] == params["group"]["normal"]
    assert "group.constant" not in trial.params


def test_weights_are_kept():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    space = Space(parameters=(Parameter(path=("w",), distribution=Distribution(**FORMS["weighted"])),))
    drawn = [suggest(space, study.ask())["w"] for _ in range(200)]
    assert 160 <= drawn.count("x") <= 195  # 0.9 of 200, 5 standard deviations


def test_equal_choices_of_different_types_stay_apart():
    space = Space(parameters=(Parameter(path=("a",), distribution=Distribution(**FORMS["alike"])),))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found = [suggest(space, study.ask())["a"] for _ in range(40)]
    assert {repr(value) for value in found} == {"1", "True", "'1'"}


def test_a_fixed_trial_of_optuna_serves():
    space = Space(parameters=(Parameter(path=("x",), distribution=Distribution(**FORMS["uniform"])),))
    assert suggest(space, optuna.trial.FixedTrial({"x": 0.5})) == {"x": 0.5}


METRIC = Metric(name="eval/rougeL_f1", goal=Goal.MAXIMIZE)


def test_reports_reach_the_trial_and_its_pruner_ends_it():
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner(n_startup_trials=1))
    good = study.ask()
    told = TrialReports(good, METRIC)
    for value in (0.3, 0.6):
        told.report({"eval/rougeL_f1": value})
    study.tell(good, 0.6)
    poor = study.ask()
    reports = TrialReports(poor, METRIC)
    with pytest.raises(optuna.TrialPruned, match="eval/rougeL_f1 = 0.1 at report 1"):
        reports.report({"eval/rougeL_f1": 0.1, "eval/loss": 3.0}, 7)
    assert study.trials[1].intermediate_values == {0: 0.1}


def test_the_value_of_a_training_is_its_best_finite_report():
    trial = optuna.create_study().ask()
    reports = TrialReports(trial, METRIC)
    assert math.isnan(reports.value())
    for value in (0.2, math.nan, 0.4, 0.3):
        reports.report({"eval/rougeL_f1": value})
    reports.report({"eval/loss": 9.0})
    assert reports.value() == 0.4
    assert len(reports.history) == 4
