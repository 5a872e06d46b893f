"""Search space functions: what they are given, what becomes of it, and what is said of those that do wrong."""

import json

import pytest
from engine_contract import key
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshots import words_of

from sweepkit.errors import SweepKitError
from sweepkit.model.distributions import Distribution, Kind
from sweepkit.model.metric import Goal, Metric
from sweepkit.model.runs import Exhausted, Proposal, RunState, RunView
from sweepkit.model.space import Parameter, Space
from sweepkit.search.define_by_run import DefineByRunEngine, SpaceFunction, SpaceFunctionError, suggestions_of
from sweepkit.search.make import make_engine
from sweepkit.sweep_config.sweep import Extensions, Method, SweepSpec

WORDS = words_of(__file__)

LOSS = Metric(name="loss")


def tree(trial):
    """The guide's: other parameters for each model, one of them only for several layers."""
    model = trial.suggest_categorical("model", ["bart", "llama", None])
    if model == "bart":
        layers = trial.suggest_int("layers", 1, 4)
        skip = trial.suggest_float("skip", 0.0, 1.0) if layers > 2 else 0.0
        return {"model": model, "net": {"layers": layers, "skip": skip}, "tags": ("a", "b")}
    trial.suggest_float("temperature", 1e-3, 1.0, log=True)
    return None


def engine_of(function, *, sampler="tpe", seed=7, **settings):
    return DefineByRunEngine(
        SpaceFunction(call=function, name="m:f", file=__file__), LOSS, seed=seed, sampler=sampler, **settings
    )


def told(number, proposal, state=RunState.FINISHED, through_json=False):
    params, info = proposal.params, {"reason": proposal.reason, **proposal.info}
    if through_json:
        params, info = json.loads(json.dumps(params)), json.loads(json.dumps(info))
    history = (loss(params),) if state is RunState.FINISHED else ()
    return RunView(number=number, run_id=f"r{number}", params=params, state=state, history=history, info=info)


def loss(params):
    if params.get("model") == "bart":
        return params["net"]["layers"] + params["net"]["skip"]
    return abs(params.get("temperature", 0.0) - 0.3)


def drive(engine, n, *, pending_every=0, through_json=False):
    runs = []
    for number in range(n):
        proposal = engine.ask(number)
        if isinstance(proposal, Exhausted):
            break
        state = RunState.PENDING if pending_every and number % pending_every == 0 else RunState.FINISHED
        runs.append(told(number, proposal, state, through_json))
        engine.tell(runs[-1])
    return runs


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_runs_have_what_the_function_returned_or_else_what_it_suggested(sampler):
    runs = drive(engine_of(tree, sampler=sampler), 20)
    for run in runs:
        values, distributions = suggestions_of(run.info)
        assert set(values) == set(distributions) and values["model"] == run.params["model"]
        if run.params["model"] == "bart":
            assert set(run.params) == {"model", "net", "tags"} and run.params["tags"] == ["a", "b"]
            assert ("skip" in values) == (run.params["net"]["layers"] > 2)
        else:
            assert run.params == values and set(values) == {"model", "temperature"}
            assert 1e-3 <= values["temperature"] <= 1.0
    assert len({key(run.params) for run in runs}) == 20
    assert {run.params["model"] for run in runs} == {"bart", "llama", None}


@pytest.mark.parametrize("sampler", ["tpe", "random"])
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 99), cut=st.integers(1, 17))
def test_an_engine_rebuilt_from_a_record_goes_on_alike(sampler, seed, cut):
    runs = drive(engine_of(tree, sampler=sampler, seed=seed), 18, pending_every=5)
    rebuilt = engine_of(tree, sampler=sampler, seed=seed)
    for run in runs[:cut]:
        rebuilt.tell(told(run.number, Proposal(params=run.params, reason="", info=run.info), run.state, True))
    proposal = rebuilt.ask(cut)
    assert proposal.params == runs[cut].params and rebuilt.ask(cut) == proposal
    assert proposal.info["suggestions"] == runs[cut].info["suggestions"]


def test_another_seed_gives_other_runs():
    assert drive(engine_of(tree, seed=1), 2) != drive(engine_of(tree, seed=2), 2)


@pytest.mark.parametrize("goal", list(Goal))
def test_tpe_searches_where_it_is_good(goal):
    def line(trial):
        trial.suggest_float("x", 0.0, 1.0)

    function = SpaceFunction(call=line, name="m:f")
    engine = DefineByRunEngine(function, Metric(name="loss", goal=goal), seed=3, sampler="tpe")
    sign = 1 if goal is Goal.MINIMIZE else -1
    shape = engine.ask(0).info["suggestions"]["x"]["distribution"]
    for number in range(20):
        x = number / 19
        info = {"suggestions": {"x": {"value": x, "distribution": shape}}}
        history = (sign * (x - 0.31) ** 2,)
        engine.tell(
            RunView(number=number, run_id="r", params={"x": x}, state=RunState.FINISHED, history=history, info=info)
        )
    found = [engine.ask(number) for number in range(20, 25)]
    assert sum(abs(item.params["x"] - 0.31) < 0.15 for item in found) >= 4, found
    assert found[0].info["sampler"] == "tpe" and "TPE over 20 observed" in found[0].reason


def test_a_small_space_is_used_up_and_said_to_be():
    engine = engine_of(lambda trial: {"a": trial.suggest_int("a", 1, 3), "b": trial.suggest_categorical("b", "xy")})
    assert len(drive(engine, 50)) == 6
    assert "nothing new" in engine.ask(6).reason and engine.total() is None


def test_fixed_parameters_stand_beside_the_suggested_ones():
    engine = engine_of(
        lambda trial: {"opt": {"lr": trial.suggest_float("lr", 0, 1)}}, fixed={"opt": {"name": "sgd"}, "k": 1}
    )
    params = engine.ask(0).params
    assert params["k"] == 1 and params["opt"]["name"] == "sgd" and 0 <= params["opt"]["lr"] <= 1


def test_prior_runs_teach_when_they_were_suggested_too():
    prior = drive(engine_of(tree), 12)
    engine = engine_of(tree, prior=[*prior, RunView(number=12, run_id="x", params={"a": 1}, state=RunState.FINISHED)])
    assert engine.ask(0).info["observed"] == 12


def raising(trial):
    trial.suggest_float("x", 0, 1)
    raise KeyError("nothing here")


def twice(trial):
    trial.suggest_float("x", 0, 1)
    trial.suggest_float("x", 0, 2)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (raising, "must not raise, got KeyError (line "),
        (lambda trial: {"a": 1}, "must suggest at least one parameter, got none"),
        (lambda trial: None, "must suggest at least one parameter"),
        (lambda trial: trial.suggest_float("x", 0, 1), "must return a dictionary of parameters, or nothing, got 0."),
        (lambda trial: {} if trial.suggest_int("x", 0, 1) else {}, "or nothing, got {}"),
        (lambda trial: {1: trial.suggest_int("x", 0, 1)}, "a key of the returned value must be text, got 1"),
        (lambda trial: {"a": [{trial.suggest_int("x", 0, 1)}]}, "a must be a value that JSON has, got {"),
        (lambda trial: {"a": trial.suggest_int("x", 0, 1) * float("nan")}, "a must be a value that JSON has, got nan"),
        (lambda trial: {"k": trial.suggest_int("x", 0, 1)}, "k is fixed under parameters"),
        (lambda trial: trial.suggest_float("x", 2, 1), "x: `low <= high` must hold"),
        (lambda trial: trial.suggest_float("x", 0, 1, log=True), "x: `low > 0` must hold"),
        (lambda trial: trial.suggest_categorical("x", []), "x: The `choices` must contain one or more"),
        (
            lambda trial: trial.suggest_categorical("x", [[1]]),
            "choices of x must be text, numbers, true, false or None",
        ),
        (lambda trial: trial.suggest_int("", 0, 1), "a parameter's name must be text, got ''"),
        (lambda trial: trial.report(0.5, 1), "it has no report"),
        (twice, "x must have one distribution in all runs"),
    ],
)
def test_a_function_that_does_wrong_is_told_so(function, said):
    with pytest.raises(SpaceFunctionError) as caught:
        engine_of(function, fixed={"k": 1}).ask(0)
    assert said in str(caught.value) and "search_space m:f: " in str(caught.value)


def test_a_distribution_that_changes_between_runs_is_refused():
    ranges = iter([1.0, 1.0, 2.0])
    engine = engine_of(lambda trial: {"x": trial.suggest_float("x", 0, next(ranges))})
    drive(engine, 2)
    with pytest.raises(SpaceFunctionError, match=WORDS["in-earlier-runs"]):
        engine.ask(2)


def test_the_same_suggestion_twice_in_a_run_is_one():
    engine = engine_of(lambda trial: {"a": trial.suggest_int("x", 0, 99), "b": trial.suggest_int("x", 0, 99)})
    params = engine.ask(0).params
    assert params["a"] == params["b"]


def test_runs_without_suggestions_teach_nothing_and_are_not_repeated():
    engine = engine_of(lambda trial: {"a": trial.suggest_int("a", 1, 2)})
    engine.tell(RunView(number=0, run_id="r", params={"a": 1}, state=RunState.FINISHED, history=(0.5,)))
    assert engine.ask(1).params == {"a": 2} and engine.ask(1).info["observed"] == 0


FIXED = Space(parameters=(Parameter(path=("k",), distribution=Distribution(kind=Kind.CONSTANT, values=(1,))),))


def spec_of(method=Method.BAYES, metric=LOSS, **fields):
    extensions = Extensions(search_space="m:f")
    return SweepSpec(name="s", method=method, space=FIXED, metric=metric, extensions=extensions, **fields)


def test_make_engine_takes_tpe_for_bayes_and_the_fixed_values():
    function = SpaceFunction(call=tree, name="m:f")
    proposal = make_engine(spec_of(), seed=0, function=function).ask(0)
    assert proposal.params["k"] == 1
    random = make_engine(spec_of(Method.RANDOM, None), seed=0, function=function)
    assert len(drive(random, 5)) == 5


@pytest.mark.parametrize(
    ("sweep", "sampler", "said"),
    [
        (spec_of(), "gp", "--sampler: gp needs all parameters in every run"),
        (spec_of(Method.GRID), None, "grid needs to know all parameters beforehand"),
        (spec_of(Method.RANDOM, None), "tpe", "needs one metric to optimize, got none"),
    ],
)
def test_what_cannot_search_a_function_is_refused(sweep, sampler, said):
    with pytest.raises(SweepKitError) as caught:
        make_engine(sweep, seed=0, sampler=sampler, function=SpaceFunction(call=tree, name="m:f"))
    assert said in str(caught.value)


def test_a_sweep_with_a_function_needs_it():
    with pytest.raises(SweepKitError, match="must be loaded"):
        make_engine(spec_of(), seed=0)
