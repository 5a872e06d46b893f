import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from sweepkit.errors import SpecError
from sweepkit.model.distributions import Kind
from sweepkit.model.metric import Goal
from sweepkit.studies.yaml.optuna_config import read_optuna_text
from sweepkit.studies.yaml.optuna_sweep import space_of, sweep_dict, values_of
from sweepkit.studies.yaml.optuna_values import Objective, OptunaConfig, SearchParameter
from sweepkit.sweep_config.read import from_config, read_sweep_text
from sweepkit.sweep_config.sweep import Method
from sweepkit.text.yaml_text import yaml_text

SPACE = "search_space:\n  learning_rate: {type: loguniform, low: 1e-4, high: 1e-2}\n"
finite = st.floats(-1e6, 1e6).filter(lambda number: number == 0 or abs(number) > 1e-6)


@st.composite
def parameters(draw, name="x"):
    """Draw a valid parameter."""
    kind = draw(st.sampled_from(["float", "int", "categorical"]))
    if kind == "categorical":
        word = st.one_of(st.integers(-9, 9), st.booleans(), st.none(), finite, st.text(max_size=5))
        unique = st.lists(word, min_size=2, max_size=5, unique_by=lambda value: (type(value).__name__, repr(value)))
        apart = unique.filter(lambda found: len({str(value) for value in found}) == len(found))
        # 0 and 0.0 are one point, as at W&B
        values = draw(apart.filter(lambda found: len({(type(value) is bool, value) for value in found}) == len(found)))
        return SearchParameter(name=name, kind=kind, choices=tuple(values))
    log = draw(st.booleans())
    if kind == "int":
        low = draw(st.integers(1 if log else -50, 50))
        step = None if log else draw(st.sampled_from([None, 2, 3, 8]))
        return SearchParameter(
            name=name, kind=kind, low=low, high=low + draw(st.integers(1, 20)) * (step or 1), log=log, step=step
        )
    if draw(st.booleans()) and not log:
        tenths, step = draw(st.integers(-20, 20)), draw(st.integers(1, 9))
        high = (tenths + draw(st.integers(1, 12)) * step) / 10
        return SearchParameter(name=name, kind=kind, low=tenths / 10, high=high, step=step / 10)
    low = draw(st.floats(1e-6, 1e3) if log else finite)
    return SearchParameter(name=name, kind=kind, low=low, high=low + draw(st.floats(0.5, 1e3)), log=log)


def study(*found, **more):
    objective = Objective(metric="loss", goal=Goal.MINIMIZE)
    return OptunaConfig(study_name="s", objectives=(objective,), parameters=found, **more)


@settings(max_examples=examples(150), deadline=None)
@given(parameters())
def test_the_space_of_the_sweep_is_that_of_the_file(parameter):
    text = yaml_text(sweep_dict(study(parameter)), head="made")
    spec = read_sweep_text(text)
    assert spec.space == space_of(study(parameter))
    (found,) = spec.space.parameters
    drawn = found.distribution
    listed = values_of(parameter) if parameter.step is not None or parameter.kind == "categorical" else ()
    if listed:
        size = drawn.support_size()
        assert [drawn.support_value(index) for index in range(size)] == pytest.approx(list(listed))
        assert [type(drawn.support_value(index)) for index in range(size)] == [type(value) for value in listed]
    else:
        assert drawn.bounds() == (parameter.low, parameter.high)
        assert drawn.kind.startswith(("log_", "q_log_")) == parameter.log
        ends = [drawn.ppf(0.0), drawn.ppf(1.0)]
        assert ends == pytest.approx([parameter.low, parameter.high], rel=1e-9)
        assert all(isinstance(end, int) == (parameter.kind == "int") for end in ends)


@settings(max_examples=examples(60), deadline=None)
@given(parameters())
def test_a_grid_lists_every_value_or_is_refused(parameter):
    grid = study(parameter, sampler={"name": "grid"})
    values = values_of(parameter)
    if values:
        (found,) = from_config(sweep_dict(grid)).space.parameters
        assert list(found.distribution.grid_values()) == list(values)
    else:
        with pytest.raises(SpecError):
            from_config(sweep_dict(grid))


def test_a_quantile_of_a_logarithmic_int_is_whole():
    space = space_of(study(SearchParameter(name="x", kind="int", low=1, high=1000, log=True)))
    middle = space.parameters[0].distribution.ppf(0.5)
    assert middle == 32 and type(middle) is int


def test_samplers_become_methods():
    def sweep(sampler):
        return from_config(sweep_dict(study(SearchParameter(name="x", kind="int", low=1, high=3), sampler=sampler)))

    assert sweep({"name": "grid"}).method is Method.GRID
    assert sweep({"name": "grid"}).run_cap is None
    assert sweep({"name": "random"}).method is Method.RANDOM
    assert sweep({"name": "tpe"}).method is Method.BAYES


def test_options_of_a_sampler_reach_the_sweep():
    config = study(SearchParameter(name="x", kind="int", low=1, high=3), sampler={"name": "tpe", "group": True})
    assert sweep_dict(config)["sweepkit"]["sampler"] == {"name": "tpe", "group": True}


def test_several_objectives_are_a_custom_method_with_optuna():
    config = read_optuna_text(
        "optuna: {metrics: [rouge1_f1, loss], directions: [maximize, minimize], n_trials: 4}\n" + SPACE
    )
    spec = from_config(sweep_dict(config))
    assert spec.method is Method.CUSTOM and spec.scheduler.engine == "optuna" and spec.run_cap == 4
    assert [(metric.name, metric.goal.value) for metric in spec.metrics] == [
        ("eval/rouge1_f1", "maximize"),
        ("eval/loss", "minimize"),
    ]


def test_what_a_study_says_reaches_the_sweep():
    config = read_optuna_text(
        "optuna: {study_name: mine, n_trials: 7, timeout: 60, seed: 3}\nbase_config: perceiver\n"
        "pruning: {n_startup_trials: 2}\nfixed: {dropout: 0.1}\nsweepkit: {retries: 2, preload: []}\n" + SPACE
    )
    spec = from_config(sweep_dict(config, n_trials=5))
    assert (spec.name, spec.run_cap, spec.program) == ("mine", 5, "trainer.py")
    ours = spec.extensions
    assert (ours.seed, ours.time_budget_s, ours.base_config, ours.retries) == (3, 60.0, "perceiver", 2)
    assert ours.preload == ()
    assert (spec.early_terminate.type, spec.early_terminate.n_startup_runs) == ("percentile", 2)
    constant = next(item for item in spec.space.parameters if item.name == "dropout").distribution
    assert (constant.kind, constant.values) == (Kind.CONSTANT, (0.1,))


def test_conditions_whose_parents_are_not_searched_are_left_out():
    condition = {"x": {"when": {"y": 1}}}
    both = study(
        SearchParameter(name="x", kind="int", low=1, high=3),
        SearchParameter(name="y", kind="int", low=1, high=3),
        conditions=condition,
    )
    assert sweep_dict(both)["sweepkit"]["conditions"] == condition
    alone = study(SearchParameter(name="x", kind="int", low=1, high=3), conditions=condition)
    assert "conditions" not in sweep_dict(alone)["sweepkit"]


_NUMBERS = st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
_PLAIN = st.recursive(
    st.none() | st.booleans() | _NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=examples(150), deadline=None)
@given(st.dictionaries(st.text(min_size=1), _PLAIN, min_size=1, max_size=4))
def test_yaml_text_is_read_back_to_the_same_values(data):
    from sweepkit.text.yaml import load

    assert load(yaml_text(data, head="one\ntwo")).data == data
