import os
import subprocess
import sys

import pytest
from engine_contract import SAMPLES, EngineContract, drive, key, run_of, space_of

from sweepkit.errors import SweepKitError
from sweepkit.model.distributions import Distribution, Kind
from sweepkit.model.metric import Goal, Metric
from sweepkit.model.runs import Exhausted, RunState
from sweepkit.search.grid import GridEngine
from sweepkit.search.make import make_engine
from sweepkit.search.optuna_engine import OptunaEngine
from sweepkit.search.qmc import QmcEngine
from sweepkit.search.random import RandomEngine
from sweepkit.sweep_config.sweep import Extensions, Method, Sampler, Scheduler, SweepSpec

D = Distribution


BOTH = (Metric(name="loss"), Metric(name="gain", goal=Goal.MAXIMIZE))


class TestGrid(EngineContract):
    kinds = (Kind.CONSTANT, Kind.CATEGORICAL, Kind.INT_UNIFORM)

    def engine(self, space, seed=7):
        return GridEngine(space)


class TestRandom(EngineContract):
    def engine(self, space, seed=7):
        return RandomEngine(space, seed=seed)


class TestTpe(EngineContract):
    def engine(self, space, seed=7):
        return OptunaEngine(space, Metric(name="loss"), seed=seed, sampler="tpe")


class TestGp(EngineContract):
    asks = 12

    def engine(self, space, seed=7):
        return OptunaEngine(space, Metric(name="loss"), seed=seed, sampler="gp")


class TestCmaes(EngineContract):
    def engine(self, space, seed=7):
        return OptunaEngine(space, Metric(name="loss"), seed=seed, sampler="cmaes")


@pytest.mark.heavy
class TestCmaesWithMargin(EngineContract):
    def engine(self, space, seed=7):
        return OptunaEngine(space, Metric(name="loss"), seed=seed, sampler="cmaes", options={"with_margin": True})


class TestNsga(EngineContract):
    def engine(self, space, seed=7):
        return OptunaEngine(space, Metric(name="loss"), seed=seed, sampler="nsga", options={"population_size": 4})


class TestTpeOfTwo(EngineContract):
    def engine(self, space, seed=7):
        return OptunaEngine(space, BOTH, seed=seed, sampler="tpe")


class TestNsgaOfTwo(EngineContract):
    def engine(self, space, seed=7):
        options = {"population_size": 4, "variant": 3}
        return OptunaEngine(space, BOTH, seed=seed, sampler="nsga", options=options)


class TestAuto(EngineContract):
    asks = 13

    def engine(self, space, seed=7):
        return OptunaEngine(space, Metric(name="loss"), seed=seed, sampler="auto")


class TestQmc(EngineContract):
    def engine(self, space, seed=7):
        return QmcEngine(space, seed=seed)


class TestGridOfAnything(EngineContract):
    kinds = tuple(kind for kind in Kind if SAMPLES[kind].support_size() is not None)

    def engine(self, space, seed=7):
        return GridEngine(space, any_finite=True)


LINE = space_of(x=D(kind=Kind.UNIFORM, min=0.0, max=1.0))


def spec(method, space=LINE, metric=Metric(name="loss"), **fields):  # noqa: B008 a frozen value
    return SweepSpec(name="s", method=method, space=space, metric=metric, **fields)


def sampler_of(engine):
    return engine._sampler if isinstance(engine, OptunaEngine) else type(engine).__name__


GRID_SPACE = space_of(x=D(kind=Kind.CATEGORICAL, values=(1, 2)))
OPTUNA = Scheduler(engine="optuna")
TWO = (Metric(name="a"), Metric(name="b"))


@pytest.mark.parametrize(
    ("sweep", "sampler", "expected"),
    [
        (spec(Method.GRID, GRID_SPACE), None, "GridEngine"),
        (spec(Method.RANDOM), None, "RandomEngine"),
        (spec(Method.BAYES), None, "auto"),
        (spec(Method.BAYES), "gp", "gp"),
        (spec(Method.BAYES), "tpe", "tpe"),
        (spec(Method.RANDOM), "bayes", "auto"),
        (spec(Method.BAYES), "random", "RandomEngine"),
        (spec(Method.BAYES), "qmc", "QmcEngine"),
        (spec(Method.BAYES, GRID_SPACE), "grid", "GridEngine"),
        (spec(Method.GRID, GRID_SPACE), "grid", "GridEngine"),
        (spec(Method.BAYES), "cmaes", "cmaes"),
        (spec(Method.RANDOM), "nsga", "nsga"),
        (spec(Method.BAYES), "auto", "auto"),
        (spec(Method.CUSTOM, metric=None, metrics=TWO, scheduler=OPTUNA), None, "tpe"),
        (spec(Method.CUSTOM, metric=None, metrics=TWO, scheduler=OPTUNA), "gp", "gp"),
        (spec(Method.BAYES, extensions=Extensions(sampler=Sampler(name="tpe"))), None, "tpe"),
        (spec(Method.BAYES, extensions=Extensions(sampler=Sampler(name="tpe"))), "gp", "gp"),
        (spec(Method.CUSTOM, scheduler=OPTUNA), None, "tpe"),
        (spec(Method.CUSTOM, scheduler=OPTUNA), "gp", "gp"),
        (spec(Method.BAYES, scheduler=Scheduler(engine="wandb")), None, "auto"),
        (spec(Method.GRID, GRID_SPACE, scheduler=Scheduler(engine="wandb")), None, "GridEngine"),
    ],
)
def test_the_engine_that_is_asked_for_is_made(sweep, sampler, expected):
    assert sampler_of(make_engine(sweep, seed=0, sampler=sampler)) == expected


@pytest.mark.parametrize(
    ("sweep", "sampler", "said"),
    [
        (spec(Method.GRID, GRID_SPACE), "tpe", "--sampler: method grid takes no sampler"),
        (
            spec(Method.GRID, GRID_SPACE, extensions=Extensions(sampler=Sampler(name="gp"))),
            None,
            "sweepkit.sampler: method grid",
        ),
        (spec(Method.GRID), None, "parameters.x: method grid needs values"),
        (spec(Method.BAYES, metric=None), None, "metric: engine auto needs a metric to optimize, got none"),
        (spec(Method.RANDOM, metric=None), "tpe", "engine tpe needs a metric"),
        (spec(Method.CUSTOM, metric=None, metrics=TWO, scheduler=OPTUNA), "cmaes", "cmaes optimizes one metric, got 2"),
        (spec(Method.BAYES, GRID_SPACE), "cmaes", "cmaes needs a numeric parameter"),
        (spec(Method.BAYES), "grid", "parameters.x: sampler grid needs finitely many values, got uniform"),
        (spec(Method.BAYES), "magic", "must be one of tpe, gp, cmaes, nsga, random, grid, qmc, auto, got 'magic'"),
        (spec(Method.CUSTOM), None, "method: custom needs"),
        (spec(Method.CUSTOM, scheduler=Scheduler(engine="ax")), None, "got 'ax'"),
        (spec(Method.CUSTOM, scheduler=Scheduler(engine="optuna", source="s.py")), None, "got 's.py'"),
        (spec(Method.BAYES, scheduler=OPTUNA), None, "with method bayes"),
        (spec(Method.CUSTOM, scheduler=Scheduler(engine="wandb")), None, "got engine wandb"),
        (spec(Method.BAYES, metric=None, source="f.yaml"), None, "f.yaml: metric"),
    ],
)
def test_what_does_not_go_together_is_refused(sweep, sampler, said):
    with pytest.raises(SweepKitError) as caught:
        make_engine(sweep, seed=0, sampler=sampler)
    assert said in str(caught.value)


@pytest.mark.slow
def test_a_bayesian_search_loads_no_torch():
    probe = (
        "import sys\n"
        "from engine_contract import D, Kind, drive, space_of\n"
        "from sweepkit.model.metric import Metric\n"
        "from sweepkit.search.optuna_engine import OptunaEngine\n"
        "space = space_of(x=D(kind=Kind.UNIFORM, min=0.0, max=1.0))\n"
        "runs = drive(OptunaEngine(space, Metric(name='loss'), seed=1, sampler='auto'), 13)\n"
        "print({run.info['sampler'] for run in runs} == {'sobol', 'gp', 'tpe'}, 'torch' in sys.modules)\n"
    )
    place = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run([sys.executable, "-c", probe], env=place, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["True", "False"]


@pytest.mark.parametrize("sampler", ["tpe", "gp", "auto", "random"])
def test_another_seed_gives_other_proposals_d28(sampler):
    runs = [drive(make_engine(spec(Method.BAYES), seed=seed, sampler=sampler), 2) for seed in (0, 1)]
    assert [key(run.params) for run in runs[0]] != [key(run.params) for run in runs[1]]


@pytest.mark.parametrize("sampler", ["tpe", "gp", "auto"])
@pytest.mark.parametrize("goal", list(Goal))
def test_the_model_searches_where_it_is_good(sampler, goal):
    engine = make_engine(spec(Method.BAYES, metric=Metric(name="loss", goal=goal)), seed=3, sampler=sampler)
    sign = 1 if goal is Goal.MINIMIZE else -1
    for number in range(20):
        x = number / 19
        engine.tell(run_of(number, {"x": x}, history=(sign * (x - 0.31) ** 2,)))
    found = [engine.ask(number).params["x"] for number in range(20, 25)]
    assert sum(abs(x - 0.31) < 0.15 for x in found) >= 4, found


@pytest.mark.parametrize("sampler", ["tpe", "gp", "auto"])
def test_workers_at_once_never_get_the_same_point_d27(sampler):
    engine = make_engine(spec(Method.BAYES), seed=3, sampler=sampler)
    runs = drive(engine, 12)
    for number in range(12, 18):
        runs.append(run_of(number, engine.ask(number).params, RunState.RUNNING))
        engine.tell(runs[-1])
    assert len({run.params["x"] for run in runs}) == 18


@pytest.mark.parametrize("border", [0.7, 0.45])
@pytest.mark.parametrize("sampler", ["tpe", "gp", "auto"])
def test_an_explosion_does_not_hide_the_rest_of_the_space(sampler, border):
    engine = make_engine(spec(Method.BAYES), seed=5, sampler=sampler)
    for number in range(20):
        x = number / 19
        engine.tell(run_of(number, {"x": x}, history=(1e30 if x > border else (x - 0.31) ** 2,)))
    found = [engine.ask(number).params["x"] for number in range(20, 25)]
    assert sum(abs(x - 0.31) < 0.15 for x in found) >= 4, found


def test_the_gaussian_process_and_tpe_search_in_turn_whatever_the_number_of_runs_d35():
    engine = make_engine(spec(Method.BAYES), seed=0)
    for number in range(1000):
        engine.tell(run_of(number, {"x": number / 1000}))
    assert [engine.ask(number).info["sampler"] for number in (1000, 1001)] == ["gp", "tpe"]
    assert abs(engine.ask(1000).params["x"] - 0.3) < 0.05


def test_prior_runs_teach_but_use_up_neither_numbers_nor_points():
    prior = [run_of(n, {"x": x}) for n, x in enumerate((1, 2, "not listed", 2))] + [run_of(9, {})]
    for method in (Method.GRID, Method.RANDOM, Method.BAYES):
        engine = make_engine(spec(method, GRID_SPACE), seed=0, prior=prior)
        assert len(drive(engine, 5)) == 2
    line = [run_of(n, {"x": n / 20}, history=(abs(n / 20 - 0.4),)) for n in range(20)]
    proposal = make_engine(spec(Method.BAYES), seed=0, prior=line).ask(0)
    assert proposal.info["observed"] == 20 and abs(proposal.params["x"] - 0.4) < 0.2


def test_probabilities_are_respected_by_every_engine():
    # DIFFERENCE: D23 probabilities-in-bayes
    space = space_of(
        x=D(kind=Kind.UNIFORM, min=0.0, max=1.0),
        p=D(kind=Kind.CATEGORICAL_W_PROBABILITIES, values=("often", "never", "rare"), probabilities=(0.9, 0.0, 0.1)),
    )
    for sampler in ("random", "tpe", "gp", "auto"):
        engine = make_engine(spec(Method.BAYES, space), seed=1, sampler=sampler)
        values = [
            engine.ask(n).params["p"]
            for n in range(60)
            if engine.tell(run_of(n, engine.ask(n).params, RunState.FAILED)) is None
        ]
        assert values.count("never") == 0 and values.count("often") > 40, sampler


def test_a_huge_integer_range_is_searched_without_being_listed():
    space = space_of(n=D(kind=Kind.INT_UNIFORM, min=0, max=10**15), m=D(kind=Kind.UNIFORM, min=0.0, max=1.0))
    for sampler in ("tpe", "gp"):
        engine = make_engine(spec(Method.BAYES, space), seed=1, sampler=sampler)
        runs = [run_of(n, {"n": n * 10**13, "m": n / 12}) for n in range(12)]
        for run in runs:
            engine.tell(run)
        assert type(engine.ask(12).params["n"]) is int


def test_optuna_speaks_as_before(capfd):
    import optuna

    before = optuna.logging.get_verbosity()
    drive(make_engine(spec(Method.BAYES), seed=0, sampler="tpe"), 12)
    assert optuna.logging.get_verbosity() == before
    assert capfd.readouterr() == ("", "")


def test_a_finite_space_of_a_billion_points_is_not_listed():
    space = space_of(**{name: D(kind=Kind.INT_UNIFORM, min=1, max=10**7) for name in "abc"})
    engine = RandomEngine(space, seed=0)
    assert engine.total() == 10**21
    assert len({key(run.params) for run in drive(engine, 50)}) == 50


def test_random_finds_the_last_points_whatever_their_probability():
    space = space_of(
        p=D(kind=Kind.CATEGORICAL_W_PROBABILITIES, values=("a", "b", "c"), probabilities=(1 - 2e-9, 1e-9, 1e-9))
    )
    engine = RandomEngine(space, seed=0)
    assert sorted(run.params["p"] for run in drive(engine, 9)) == ["a", "b", "c"]
    assert isinstance(engine.ask(3), Exhausted)
