"""Samplers and their options, those that go by generations, several objectives, and the quasi-random engine."""

import json
import random
import warnings

import pytest
from depth import half
from engine_contract import D, run_of, space_of
from optuna.storages import InMemoryStorage

from sweepkit.analysis.pareto import front, hypervolume
from sweepkit.model.distributions import Kind
from sweepkit.model.metric import Goal, Metric
from sweepkit.model.runs import RunState, RunView
from sweepkit.search.make import make_engine
from sweepkit.search.optuna_engine import OptunaEngine
from sweepkit.search.qmc import QmcEngine
from sweepkit.search.random import RandomEngine
from sweepkit.search.samplers import kind_for, make_sampler, numeric_parameters
from sweepkit.sweep_config.sampler import OPTIONS
from sweepkit.sweep_config.sweep import Extensions, Method, Sampler, SweepSpec

LOSS = Metric(name="loss")
TWO = (Metric(name="near_zero"), Metric(name="near_one"))
CUBE = space_of(**{f"x{i}": D(kind=Kind.UNIFORM, min=-3.0, max=2.0) for i in range(5)})

# The attribute of Optuna's sampler (or of its part) in which an option is found, and a value that is not its default.
REACHES = {
    ("tpe", "multivariate"): (lambda s: s._multivariate, False),
    ("tpe", "group"): (lambda s: s._group, True),
    ("tpe", "constant_liar"): (lambda s: s._constant_liar, False),
    ("tpe", "n_startup_trials"): (lambda s: s._n_startup_trials, 4),
    ("tpe", "n_ei_candidates"): (lambda s: s._n_ei_candidates, 77),
    ("gp", "n_startup_trials"): (lambda e: e._options["n_startup_trials"], 4),
    ("gp", "deterministic_objective"): (lambda e: e._gp._search._noise is not None, True),
    ("cmaes", "n_startup_trials"): (lambda s: s._n_startup_trials, 4),
    ("cmaes", "sigma0"): (lambda s: s._sigma0, 0.4),
    ("cmaes", "with_margin"): (lambda s: s._with_margin, True),
    ("cmaes", "lr_adapt"): (lambda s: s._lr_adapt, True),
    ("nsga", "variant"): (lambda s: {"NSGAIISampler": 2, "NSGAIIISampler": 3}[type(s).__name__], 3),
    ("nsga", "population_size"): (lambda s: s.population_size, 6),
    ("nsga", "mutation_prob"): (lambda s: s._child_generation_strategy._mutation_prob, 0.3),
    ("nsga", "crossover_prob"): (lambda s: s._child_generation_strategy._crossover_prob, 0.3),
    ("nsga", "swapping_prob"): (lambda s: s._child_generation_strategy._swapping_prob, 0.3),
    ("qmc", "qmc_type"): (lambda e: e._type, "halton"),
    ("qmc", "scramble"): (lambda e: e._scramble, False),
}


@pytest.mark.parametrize(("name", "option"), [(name, key) for name, known in OPTIONS.items() for key in known])
def test_every_option_reaches_its_sampler(name, option, monkeypatch):
    found, value = REACHES[name, option]
    made = []
    by_itself = name in ("qmc", "gp")  # the engine is the sampler
    if not by_itself:
        monkeypatch.setattr(
            "sweepkit.search.optuna_engine.make_sampler",
            lambda *args, **more: made.append(make_sampler(*args, **more)) or made[-1],
        )
    spec = SweepSpec(
        name="s",
        method=Method.RANDOM,
        space=CUBE,
        metric=LOSS,
        extensions=Extensions(sampler=Sampler(name=name, options={option: value})),
    )
    engine = make_engine(spec, seed=1)
    told(engine, [engine_free_draw(number) for number in range(12)])
    engine.ask(12)
    assert found(engine if by_itself else made[0]) == value
    if name == "qmc":
        assert found(QmcEngine(CUBE, seed=1)) != value
    elif name == "gp":
        plain = OptunaEngine(CUBE, LOSS, seed=1, sampler="gp", options={"n_startup_trials": 0})
        told(plain, [engine_free_draw(number) for number in range(12)])
        plain.ask(12)
        assert found(plain) != value
    else:
        assert found(make_sampler(name, {}, seed=1)) != value
    other = make_engine(spec, seed=1, sampler="tpe" if name != "tpe" else "gp")  # its options do not hold for another
    assert name == "qmc" or not other._options


def engine_free_draw(number):
    return {f"x{i}": random.Random(10 * number + i).uniform(-3, 2) for i in range(5)}


def told(engine, configurations):
    for number, params in enumerate(configurations):
        engine.tell(run_of(number, params))


def sphere(params):
    return sum((value - 0.7) ** 2 for value in params.values())


def search(engine, runs, value, *, in_flight=1):
    """Ask and tell `runs` runs, `in_flight` of them at once; return the runs told as finished."""
    waiting, finished = [], []
    for number in range(runs):
        proposal = engine.ask(number)
        json.dumps(proposal.info)
        waiting.append(run_of(number, proposal.params, RunState.RUNNING, info=proposal.info))
        engine.tell(waiting[-1])
        if len(waiting) == in_flight:
            run = waiting.pop(0)
            fields = value(run.params)
            finished.append(run_of(run.number, run.params, info=run.info, **fields))
            engine.tell(finished[-1])
    return finished


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "options"), [(1, {}), (2, {"with_margin": True})])
def test_cma_es_adapts_and_beats_random_search(seed, options):
    def best(engine):
        return min(run.history[0] for run in search(engine, half(160), lambda p: {"history": (sphere(p),)}))

    adapted = best(OptunaEngine(CUBE, LOSS, seed=seed, sampler="cmaes", options=options))
    drawn = best(RandomEngine(CUBE, seed=seed))
    assert adapted < 0.1 * drawn, (adapted, drawn)


@pytest.mark.slow
def test_cma_es_maximizes_too():
    engine = OptunaEngine(CUBE, Metric(name="m", goal=Goal.MAXIMIZE), seed=1, sampler="cmaes")
    found = search(engine, half(180), lambda p: {"history": (-sphere(p),)})
    assert max(run.history[0] for run in found[-20:]) > -0.3


@pytest.mark.slow
def test_generations_of_cma_es_go_on_with_eight_runs_at_once_and_in_a_rebuilt_engine():
    engine = OptunaEngine(CUBE, LOSS, seed=1, sampler="cmaes")
    asked = half(180)
    found = search(engine, asked, lambda p: {"history": (sphere(p),)}, in_flight=8)
    generations = [run.info.get("generation", 0) for run in found]
    assert generations[-1] >= asked // 11 and generations == sorted(generations)
    again = OptunaEngine(CUBE, LOSS, seed=1, sampler="cmaes")
    for run in [*found, *(run for number, run in engine._runs.items() if number >= len(found))]:
        again.tell(run)
    assert again.ask(asked) == engine.ask(asked)  # no memory of its own, the same state


def test_a_straggler_changes_nothing_of_an_ended_generation():
    """The runs that ended a generation stand in its successors' notes: what comes in later moves no distribution."""
    engine = OptunaEngine(CUBE, LOSS, seed=1, sampler="cmaes")
    search(engine, 40, lambda p: {"history": (sphere(p),)}, in_flight=8)
    before = engine._cmaes.trials(*engine._observations())[0][-1][1]
    late = next(run for run in engine._runs.values() if run.state is RunState.RUNNING)
    first = min((r for r in engine._runs.values() if r.info.get("generation") == 0), key=lambda r: r.number)
    engine.tell(run_of(late.number, late.params, info={**first.info}))
    after = OptunaEngine(CUBE, LOSS, seed=1, sampler="cmaes")
    for run in engine._runs.values():
        after.tell(run)
    after.ask(40)
    distribution = [k for k in before if "optimizer" in k]
    state = after._cmaes.trials(*after._observations())[0][-1][1]
    assert distribution and {k: state[k] for k in distribution} == {k: before[k] for k in distribution}


class Added(InMemoryStorage):
    """A study that the trials are added to, each copied, as Optuna does it."""

    def __init__(self, trials):
        super().__init__()
        self._to_add = trials

    def create_new_study(self, directions, study_name=None):
        study_id = super().create_new_study(directions, study_name)
        for trial in self._to_add:
            self.create_new_trial(study_id, trial)
        return study_id


@pytest.mark.parametrize(
    ("sampler", "options"), [("cmaes", {"n_startup_trials": 4}), ("nsga", {"population_size": 6}), ("tpe", {})]
)
def test_trials_that_are_shown_propose_what_those_that_are_added_do(sampler, options, monkeypatch):
    def proposed():
        engine = OptunaEngine(PLANE, TWO if sampler != "cmaes" else LOSS, seed=1, sampler=sampler, options=options)
        return [run.params for run in search(engine, 30, lambda p: two_hills(p) | {"history": (p["x1"],)}, in_flight=3)]

    shown = proposed()
    monkeypatch.setattr("sweepkit.search.shown_trials.numbered", Added)
    assert proposed() == shown


def two_hills(params):
    x, y = params["x0"], params["x1"]
    return {"objectives": ((x**2 + y**2,), ((x - 1) ** 2 + y**2,)), "history": ()}


PLANE = space_of(x0=D(kind=Kind.UNIFORM, min=-3.0, max=3.0), x1=D(kind=Kind.UNIFORM, min=-3.0, max=3.0))
GOALS = (Goal.MINIMIZE, Goal.MINIMIZE)


def volume(runs):
    return hypervolume([tuple(h[-1] for h in run.objectives) for run in runs], (4.0, 4.0), GOALS)


@pytest.mark.slow
@pytest.mark.parametrize("variant", [2, 3])
def test_nsga_evolves(variant):
    options = {"population_size": 10, "variant": variant}
    volumes, asked = [], half(120)
    for seed in range(2 if variant == 2 else 1):
        runs = search(OptunaEngine(PLANE, TWO, seed=seed, sampler="nsga", options=options), asked, two_hills)
        assert [run.info["generation"] for run in runs] == [number // 10 for number in range(asked)]
        drawn = search(RandomEngine(PLANE, seed=seed), asked, two_hills)
        volumes.append((volume(runs), volume(drawn)))
        # The last generations crowd where the first ones were scattered: between the two hills.
        between = [abs(run.params["x1"]) < 0.5 and -0.5 < run.params["x0"] < 1.5 for run in runs]
        assert sum(between[-asked // 2 :]) > 1.5 * sum(between[: asked // 2]), seed
    assert sum(evolved for evolved, _ in volumes) > sum(drawn for _, drawn in volumes)


@pytest.mark.parametrize(("sampler", "runs"), [("tpe", half(80)), ("gp", 16), ("auto", half(80))])
def test_several_objectives_are_all_optimized(sampler, runs):
    found = search(OptunaEngine(PLANE, TWO, seed=1, sampler=sampler), runs, two_hills)
    drawn = search(RandomEngine(PLANE, seed=1), runs, two_hills)
    assert volume(found) > volume(drawn)
    ends = [found[i].params["x0"] for i in front([tuple(h[-1] for h in r.objectives) for r in found], GOALS)]
    assert min(ends) < 0.4 and max(ends) > 0.6  # good on either objective, not on one


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.DIVERGED, RunState.FINISHED])
def test_a_run_without_values_is_told_as_the_worst_on_every_objective(state):
    engine = OptunaEngine(PLANE, TWO, seed=1, sampler="tpe")
    search(engine, 3, two_hills)
    worst = tuple(max(run.objectives[k][-1] for run in engine._runs.values()) for k in range(2))
    half = ((0.0,), (float("nan"),))
    bad = RunView(number=3, run_id="r", params={"x0": 0.5, "x1": 0.0}, state=state, objectives=half)
    engine.tell(bad)
    engine.tell(RunView(number=4, run_id="q", params={"x0": 1.5, "x1": 0.0}, state=RunState.RUNNING, objectives=half))
    observed, pending = engine._observations()
    assert observed[3].values == worst and [run.number for run in pending] == [4]


def kind(sampler, number, *, observed=None, asked=None, **options):
    observed = number if observed is None else observed
    return kind_for(
        sampler, number=number, observed=observed, asked=number if asked is None else asked, options=options
    )


def test_auto_is_the_gaussian_process_and_tpe_in_turn():
    assert [kind("auto", number) for number in (0, 9, 10, 11, 5000, 5001)] == ["sobol", "sobol", *["gp", "tpe"] * 2]
    assert [kind("gp", number) for number in (9, 10, 11, 5001)] == ["sobol", "gp", "gp", "gp"]


def test_startup_runs_are_those_asked_for():
    assert kind("gp", 3, n_startup_trials=3) == "gp" and kind("tpe", 12, n_startup_trials=20) == "random"
    engine = OptunaEngine(CUBE, LOSS, seed=1, sampler="cmaes", options={"n_startup_trials": 5})
    runs = search(engine, 8, lambda p: {"history": (sphere(p),)})
    assert [run.info["sampler"] for run in runs] == ["random"] * 5 + ["cmaes"] * 3
    assert "generation" not in runs[4].info and runs[5].info["generation"] == 0


@pytest.mark.parametrize("sampler", ["gp", "tpe", "auto"])
def test_many_workers_get_no_longer_a_start_than_one(sampler):
    engine = OptunaEngine(CUBE, LOSS, seed=1, sampler=sampler)
    runs = search(engine, 20, lambda p: {"history": (sphere(p),)}, in_flight=8)
    started = [run.info["sampler"] in ("sobol", "random") for run in runs]
    assert started == [True] * 10 + [False] * (len(runs) - 10)
    assert kind(sampler, 40, observed=0) in ("sobol", "random")  # nothing to learn from


def test_choices_are_no_parameters_of_cma_es():
    space = space_of(
        a=D(kind=Kind.CATEGORICAL, values=("x", "y")),
        b=D(kind=Kind.INT_UNIFORM, min=1, max=9),
        c=D(kind=Kind.LOG_UNIFORM_VALUES, min=1e-5, max=0.1),
    )
    assert numeric_parameters(space) == 2
    runs = search(OptunaEngine(space, LOSS, seed=1, sampler="cmaes"), 30, lambda p: {"history": (float(p["b"]),)})
    assert {run.params["a"] for run in runs} == {"x", "y"} and runs[-1].info["generation"] >= 2


def test_options_that_optuna_warns_of_warn_nobody():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for options in ({"sigma0": 0.2}, {"with_margin": True}, {"lr_adapt": True}):
            make_sampler("cmaes", options, seed=1)
        make_sampler("nsga", {"variant": 3}, seed=1)


@pytest.mark.parametrize("qmc_type", ["sobol", "halton"])
def test_a_quasi_random_sequence_covers_evenly(qmc_type):
    """Of 64 points of Sobol's sequence each of 64 strips of each parameter gets exactly one; Halton's nearly so."""
    engine = QmcEngine(PLANE, seed=4, qmc_type=qmc_type)
    points = [engine.ask(number).params for number in range(64)]
    for name in ("x0", "x1"):
        strips = {int((point[name] + 3) / 6 * 64) for point in points}
        assert len(strips) == 64 if qmc_type == "sobol" else len(strips) > 45, len(strips)


def test_a_sequence_goes_by_its_seed_only_when_scrambled():
    def first(seed, scramble):
        return [QmcEngine(PLANE, seed=seed, scramble=scramble).ask(number).params for number in range(3)]

    assert first(1, True) != first(2, True) and first(1, False) == first(2, False)
    assert first(1, False)[0] == {"x0": 0.0, "x1": 0.0}


def test_runs_that_the_space_cannot_draw_do_not_count_as_asked_for(monkeypatch):
    seen = []
    plain = kind_for
    monkeypatch.setattr(
        "sweepkit.search.optuna_engine.kind_for", lambda *args, **by: seen.append(by["asked"]) or plain(*args, **by)
    )
    inside, outside = {f"x{i}": 1.0 for i in range(5)}, {f"x{i}": 99.0 for i in range(5)}
    prior = [run_of(0, outside), run_of(1, inside)]
    engine = OptunaEngine(CUBE, LOSS, seed=1, sampler="tpe", prior=prior)
    for number, params in enumerate([inside, outside, inside]):
        engine.tell(run_of(number, params, RunState.RUNNING))
        engine.tell(run_of(number, params))  # seen again, it counts once
        engine.ask(number + 1)
    assert seen == [2, 2, 3]
