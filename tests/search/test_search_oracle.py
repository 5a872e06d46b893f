"""Differential tests against W&B's own engine, `sweeps` 0.3.0. DIFFERENCE names a row of docs/wandb_differences.md."""

import math
import warnings

import pytest
from depth import examples
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from sweepkit.model.distributions import Distribution, Kind, content_key
from sweepkit.model.metric import Goal, Impute, Metric
from sweepkit.model.runs import Exhausted, RunState, RunView
from sweepkit.model.space import Parameter, Space
from sweepkit.search.grid import GridEngine
from sweepkit.search.observations import ObservationState, observe

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pydantic's, at import
    import sweeps
    from sweeps.bayes_search import _construct_gp_data
    from sweeps.params import HyperParameter

D = Distribution
finite = {"allow_nan": False, "allow_infinity": False}
units = st.floats(2**-40, 1 - 2**-40)


@st.composite
def bounds(draw, low=-1e4, high=1e4):
    pair = sorted(draw(st.tuples(st.floats(low, high, **finite), st.floats(low, high, **finite))))
    assume(pair[1] - pair[0] > 1e-6)
    return {"min": pair[0], "max": pair[1]}


NUMERIC = [kind for kind in Kind if "categorical" not in kind and kind is not Kind.CONSTANT]
BOUNDED_STEPS = [Kind.Q_UNIFORM, Kind.Q_LOG_UNIFORM, Kind.Q_LOG_UNIFORM_VALUES, Kind.Q_BETA]


@st.composite
def numeric(draw, kinds=NUMERIC):
    """Return (W&B's parameter, our distribution) of any of the numeric kinds."""
    kind = draw(st.sampled_from(kinds))
    if kind is Kind.INT_UNIFORM:
        low = draw(st.integers(-1000, 1000))
        fields = {"min": low, "max": low + draw(st.integers(1, 1000))}
    elif kind in (Kind.UNIFORM, Kind.Q_UNIFORM):
        fields = draw(bounds())
    elif kind.endswith("_values"):
        fields = draw(bounds(1e-6, 1e4))
    elif "uniform" in kind:
        fields = draw(bounds(-10, 10))
    elif "beta" in kind:
        fields = {"a": draw(st.floats(0.5, 20)), "b": draw(st.floats(0.5, 20))}
    else:
        fields = {"mu": draw(st.floats(-3, 3)), "sigma": draw(st.floats(0.01, 2))}
    if kind.startswith("q_"):
        fields["q"] = draw(st.one_of(st.integers(1, 20), st.floats(0.01, 5)))
    return {"distribution": str(kind), **fields}, D(kind=kind, **fields)


@settings(max_examples=examples(200), deadline=None)
@given(numeric(), units)
def test_quantiles_are_wandbs(pair, u):
    config, distribution = pair
    theirs, ours = float(HyperParameter("x", config).ppf(u)), distribution.ppf(u)
    assert type(ours) in (int, float)  # DIFFERENCE: D25 native-scalars
    if distribution.quantised:
        q = config["q"]
        range_ = distribution.bounds()
        if range_ is not None and not (range_[0] + q <= theirs <= range_[1] - q):
            return  # DIFFERENCE: D21 q-clamp; the next test is about the ends
        # A rounding error may tip a value that lies half way between two multiples.
        raw = distribution._raw(u) / q
        tie = abs(raw - math.floor(raw) - 0.5) < 1e-6
        assert math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-12) or (tie and abs(ours - theirs) < 1.01 * q)
    else:
        assert math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-9)


@settings(max_examples=examples(200), deadline=None)
@given(numeric(BOUNDED_STEPS), units)
def test_quantised_values_are_wandbs_put_inside_the_bounds(pair, u):
    config, distribution = pair
    DIFFERENCE = "D21 q-clamp"
    theirs, ours = float(HyperParameter("x", config).ppf(u)), distribution.ppf(u)
    low, high = distribution.bounds()
    assert low - 1e-9 * abs(low) <= ours <= high + 1e-9 * abs(high), DIFFERENCE
    if low <= theirs <= high:
        assert abs(ours - theirs) <= 1e-9 * abs(theirs) + 1.01 * config["q"] * (
            abs((distribution._raw(u) / config["q"]) % 1 - 0.5) < 1e-6
        )


@settings(max_examples=examples(200), deadline=None)
@given(numeric(), units)
def test_the_cdf_is_wandbs(pair, u):
    config, distribution = pair
    value = distribution.ppf(u)
    if config["distribution"].startswith(("q_log", "log")):
        assume(value > 0)  # numpy warns of log(0)
    theirs = float(HyperParameter("x", config).cdf(value))
    assert math.isclose(distribution.cdf(value), min(max(theirs, 0), 1), rel_tol=1e-7, abs_tol=1e-9)


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=8), units)
@example([1], 0.5)
def test_choices_are_drawn_as_wandb_draws_them(weights, u):
    values = [f"v{index}" for index in range(len(weights))]
    plain = D(kind=Kind.CATEGORICAL, values=tuple(values))
    assert plain.ppf(u) == HyperParameter("x", {"values": values}).ppf(u)
    assert math.isclose(
        plain.cdf(plain.ppf(u)), HyperParameter("x", {"values": values}).cdf(values.index(plain.ppf(u)))
    )
    probabilities = [weight / sum(weights) for weight in weights]
    config = {"values": values, "probabilities": probabilities, "distribution": "categorical_w_probabilities"}
    weighted = D(kind=Kind.CATEGORICAL_W_PROBABILITIES, values=tuple(values), probabilities=tuple(probabilities))
    assert weighted.ppf(u) == HyperParameter("x", config).ppf(u)


@pytest.mark.parametrize(
    ("config", "distribution", "theirs", "ours"),
    [
        ({"min": 3, "max": 8}, D(kind=Kind.INT_UNIFORM, min=3, max=8), (2, 8), (3, 8)),
        ({"values": ["a", "b", "c"]}, D(kind=Kind.CATEGORICAL, values=("a", "b", "c")), ("c", "c"), ("a", "c")),
        (
            {"values": ["a", "b"], "probabilities": [0.5, 0.5], "distribution": "categorical_w_probabilities"},
            D(kind=Kind.CATEGORICAL_W_PROBABILITIES, values=("a", "b"), probabilities=(0.5, 0.5)),
            ("a", "a"),
            ("a", "b"),
        ),
    ],
)
def test_the_ends_of_choices(config, distribution, theirs, ours):
    DIFFERENCE = "D31 ends"
    parameter = HyperParameter("x", config)
    assert (parameter.ppf(0.0), parameter.ppf(1.0)) == theirs
    assert (distribution.ppf(0.0), distribution.ppf(1.0)) == ours, DIFFERENCE


@pytest.mark.parametrize("kind", [Kind.NORMAL, Kind.LOG_NORMAL])
def test_the_ends_of_normals_and_a_sigma_of_zero(kind):
    parameter = HyperParameter("x", {"distribution": str(kind), "mu": 0.0, "sigma": 1.0})
    assert math.isinf(parameter.ppf(1.0))
    assert 5 < abs(D(kind=kind).ppf(1.0)) < 1e5, "D31 ends"
    parameter = HyperParameter("x", {"distribution": str(kind), "mu": 2.0, "sigma": 0.0})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy's, of its NaN
        assert math.isnan(parameter.ppf(0.5))
    expected = 2.0 if kind is Kind.NORMAL else math.exp(2.0)
    assert [D(kind=kind, mu=2.0, sigma=0.0).ppf(u) for u in (0.0, 0.3, 1.0)] == [expected] * 3, "D32 sigma-zero"


def test_falsy_choices_keep_their_place():
    DIFFERENCE = "D22 falsy-categories"
    choices = (1, 0, False, "", None)
    ours = D(kind=Kind.CATEGORICAL, values=choices)
    assert [ours.cdf(choice) for choice in choices] == [0.2, 0.4, 0.6, 0.8, 1.0], DIFFERENCE
    runs = [sweeps.SweepRun(name=str(i), config={"x": {"value": choice}}) for i, choice in enumerate(choices)]
    params = sweeps.params.HyperParameterSet.from_config({"x": {"values": list(choices)}})
    assert set(params.normalize_runs_as_array(runs).ravel()) == {0.2}  # W&B: all are the first


scalars = st.one_of(
    st.integers(-3, 3), st.sampled_from([0.5, 1.0, 2.0, 3e6]), st.booleans(), st.none(), st.sampled_from(["1", "a", ""])
)
choices = st.one_of(
    scalars, st.lists(scalars, max_size=2), st.dictionaries(st.sampled_from(["k", "l"]), scalars, max_size=2)
)


@st.composite
def grids(draw):
    """Return W&B's `parameters`, nested, and our space."""
    config, parameters = {}, []
    names = draw(st.lists(st.sampled_from(["a", "b-c", "B", "_x", "z"]), min_size=1, max_size=3, unique=True))
    for name in names:
        leaf, distribution = draw(leaves())
        if draw(st.booleans()):
            config[name], path = {"parameters": {"in": leaf}}, (name, "in")
        else:
            config[name], path = leaf, (name,)
        parameters.append(Parameter(path=path, distribution=distribution))
    return config, Space(parameters=tuple(sorted(parameters, key=lambda p: p.path)))


@st.composite
def leaves(draw):
    which = draw(st.sampled_from(["values", "value", "int", "q"]))
    if which == "values":
        values = draw(st.lists(choices, min_size=1, max_size=4))
        return {"values": values}, D(kind=Kind.CATEGORICAL, values=tuple(values))
    if which == "value":
        value = draw(choices)
        return {"value": value}, D(kind=Kind.CONSTANT, values=(value,))
    if which == "int":
        low, width = draw(st.integers(-5, 5)), draw(st.integers(1, 3))
        return {"min": low, "max": low + width}, D(kind=Kind.INT_UNIFORM, min=low, max=low + width)
    low, q, n = (
        draw(st.sampled_from([0, 0.1, -1.5, 2])),
        draw(st.sampled_from([0.1, 0.25, 1, 3])),
        draw(st.integers(1, 4)),
    )
    config = {"distribution": "q_uniform", "min": low, "max": low + q * n, "q": q}
    return config, D(kind=Kind.Q_UNIFORM, min=low, max=low + q * n, q=q)


def plain(config):
    return {name: entry["value"] for name, entry in config.items()}


@settings(max_examples=examples(60), deadline=None)
@given(grids(), st.randoms(use_true_random=False))
def test_the_grid_is_wandbs_run_by_run(pair, rng):
    parameters, space = pair
    ours, told = GridEngine(space), []
    assume(ours.total() <= 60)
    config = {"method": "grid", "parameters": parameters}
    for number in range(ours.total() + 1):
        theirs = sweeps.next_run(config, told)
        mine = ours.ask(number)
        if theirs is None:
            break
        # repr: 1 and 1.0 and True must be told apart, and floats agree to the last bit
        assert repr(mine.params) == repr(space.nest(space.flatten(plain(theirs.config))))
        state = rng.choice(["finished", "failed", "running", "killed", "crashed", "pending"])
        told.append(sweeps.SweepRun(name=str(number), state=state, config=theirs.config))
        ours.tell(RunView(number=number, run_id=str(number), params=mine.params, state=RunState.FAILED))
    assert theirs is None and isinstance(mine, Exhausted) and number == ours.total()


losses = st.floats(-100, 100)
STATES = {
    RunState.FINISHED: "finished",
    RunState.FAILED: "failed",
    RunState.RUNNING: "running",
    RunState.PENDING: "pending",
}


@settings(max_examples=examples(150), deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(STATES)),
            st.lists(st.one_of(losses, st.sampled_from([math.nan, math.inf])), max_size=4),
            st.one_of(st.none(), losses),
        ),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from(list(Goal)),
    st.sampled_from(list(Impute)),
    st.sampled_from([None, *Impute]),
)
def test_runs_are_told_as_wandb_tells_them(rows, goal, impute, while_running):
    runs, theirs = [], []
    for number, (state, history, summary) in enumerate(rows):
        runs.append(RunView(number=number, run_id="r", params={}, state=state, history=tuple(history), summary=summary))
        theirs.append(
            sweeps.SweepRun(
                name=str(number),
                state=STATES[state],
                config={"x": {"value": number}},
                history=[{"m": value} for value in history],
                summary_metrics={} if summary is None else {"m": summary},
            )
        )
    metric = Metric(name="m", goal=goal, impute=impute, impute_while_running=while_running)
    config = {
        "metric": {
            "name": "m",
            "goal": str(goal),
            "impute": str(impute),
            "impute_while_running": while_running or "false",
        },
        "parameters": {"x": {"min": 0.0, "max": 10.0}},
    }
    y = list(_construct_gp_data(theirs, config)[3] * (-1 if goal is Goal.MAXIMIZE else 1))
    for seen in observe(runs, metric):
        running_as_told = seen.run.state is RunState.RUNNING and while_running is not None
        if seen.run.state is RunState.PENDING or (seen.run.state is RunState.RUNNING and not running_as_told):
            assert seen.state is ObservationState.PENDING
            continue
        value = y.pop(0)
        if value == 0.0 and seen.value != 0.0:
            # DIFFERENCE: D24 impute-nothing. W&B tells 0.0 where it knows nothing of its own.
            own = [v for v in (*seen.run.history, seen.run.summary) if v is not None and math.isfinite(v)]
            assert not own or impute is not Impute.BEST
            continue
        assert seen.state is ObservationState.TOLD and seen.value == pytest.approx(value)
    assert not y


def test_nothing_known_is_not_told_as_the_best_loss():
    DIFFERENCE = "D24 impute-nothing"
    runs = [RunView(number=0, run_id="r", params={}, state=RunState.FAILED)]
    (seen,) = observe(runs, Metric(name="m"))
    assert seen.state is ObservationState.UNKNOWN and seen.value is None, DIFFERENCE


BAYES = {"method": "bayes", "metric": {"name": "m", "goal": "minimize"}}


@pytest.mark.parametrize(
    ("parameters", "told", "raised"),
    [
        ({"x": {"values": ["a", "b"], "probabilities": [0.5, 0.5]}}, [], IndexError),  # D23 probabilities-in-bayes
        ({"x": {"value": 1}}, [], ValueError),  # D29 bayes-constants
        ({"x": {"values": ["a", "b"]}}, ["c"], ValueError),  # D29 bayes-constants
    ],
)
def test_wandbs_bayes_still_raises_where_ours_works(parameters, told, raised):
    runs = [sweeps.SweepRun(config={"x": {"value": x}}, state="finished", summary_metrics={"m": 1.0}) for x in told]
    with pytest.raises(raised):
        sweeps.next_run({**BAYES, "parameters": parameters}, runs)


def test_equality_of_values_is_wandbs():
    from sweeps.grid_search import yaml_hash

    values = [
        1,
        1.0,
        True,
        "1",
        "True",
        None,
        "null",
        [1],
        [1.0],
        {"a": 1},
        {"a": 1.0},
        0,
        False,
        0.0,
        "",
        3e6,
        3000000,
    ]
    for a in values:
        for b in values:
            assert (content_key(a) == content_key(b)) == (yaml_hash(a) == yaml_hash(b)), (a, b)
