"""The Gaussian process: its numbers, where it would look, and that it is the same after a restart."""

import dataclasses
import json
import math
import random

import numpy as np
import pytest
from depth import examples
from engine_contract import SAMPLES, D, key, run_of, space_of
from gp_rows import draws, gp_space
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from sweepkit.model.distributions import Kind
from sweepkit.model.metric import Metric
from sweepkit.model.runs import RunState, RunView
from sweepkit.search import gaussian_process, gp_search
from sweepkit.search.coding import codings
from sweepkit.search.gaussian_process import GaussianProcess, fit
from sweepkit.search.optuna_engine import OptunaEngine

LOSS = Metric(name="loss")
REAL = D(kind=Kind.UNIFORM, min=0.0, max=1.0)
MIXED = space_of(
    a=REAL,
    b=D(kind=Kind.LOG_UNIFORM_VALUES, min=1e-5, max=0.1),
    c=D(kind=Kind.CATEGORICAL, values=("x", "y", "z")),
    d=D(kind=Kind.INT_UNIFORM, min=1, max=6),
    e=D(kind=Kind.CATEGORICAL, values=(8, 16, 64, 256)),
)


def test_the_gradient_of_the_likelihood_is_its_derivative():
    space = gp_space(MIXED)
    rows = draws(space, 12)
    values = np.random.default_rng(1).standard_normal(12)
    distances = gaussian_process._distances(space, rows)
    theta = np.random.default_rng(2).normal(0, 0.3, len(distances) + 2)

    def found(at):
        return gaussian_process._likelihood(distances, values, at)[0]

    slope = gaussian_process._likelihood(distances, values, theta)[1]
    assert slope == pytest.approx(optimize.approx_fprime(theta, found, 1e-6), abs=1e-3)


def test_the_likelihood_is_that_of_a_normal_distribution():
    space = gp_space(MIXED)
    rows, values = draws(space, 8), np.random.default_rng(1).standard_normal(8)
    distances = gaussian_process._distances(space, rows)
    theta = np.zeros(len(distances) + 2)
    covariance = gaussian_process.correlation(distances.sum(0)) + np.eye(8)
    mean = np.linalg.solve(covariance, values).sum() / np.linalg.inv(covariance).sum()
    expected = stats.multivariate_normal(np.full(8, mean), covariance).logpdf(values) + 4 * math.log(2 * math.pi)
    assert gaussian_process._likelihood(distances, values, theta)[0] == pytest.approx(expected)


def test_it_goes_through_what_it_saw_and_is_unsure_elsewhere():
    space = gp_space(space_of(x=REAL))
    rows = np.linspace(0, 0.6, 9)[:, None]
    values = gp_search._standardised((rows[:, 0] - 0.31) ** 2)
    process = GaussianProcess(space, rows, values, fit(space, rows, values))
    mean, variance = process.at(np.array([[0.15], [1.0]]))
    assert process.at(rows)[0] == pytest.approx(values, abs=0.1) and variance[1] > 10 * variance[0]
    assert mean[0] == pytest.approx(np.interp(0.15, rows[:, 0], values), abs=0.1)


def test_a_pending_run_changes_no_mean_and_takes_its_doubt():
    space = gp_space(space_of(x=REAL))
    rows, values = np.array([[0.1], [0.4], [0.9]]), np.array([1.0, -1.0, 0.5])
    known = fit(space, rows, values)
    plain = GaussianProcess(space, rows, values, known)
    believed = GaussianProcess(space, np.append(rows, [[0.65]], axis=0), np.append(values, np.nan), known)
    at = np.array([[0.65], [0.3]])
    assert believed.at(at)[0] == pytest.approx(plain.at(at)[0])
    assert believed.at(at)[1][0] < 0.2 * plain.at(at)[1][0]


def test_a_value_that_is_in_doubt_counts_less_and_leaves_its_row_unsure():
    space = gp_space(space_of(x=REAL))
    rows, values = np.array([[0.1], [0.4], [0.5], [0.6], [0.9]]), np.array([0.5, -0.5, 1.5, -0.5, 0.4])
    known, doubt = fit(space, rows, values), np.array([0.0, 0.0, 1.0, 0.0, 0.0])
    plain, doubting = GaussianProcess(space, rows, values, known), GaussianProcess(space, rows, values, known, doubt)
    at = np.array([[0.5], [0.1]])
    assert doubting.at(at)[0][0] < plain.at(at)[0][0] - 0.3
    assert doubting.at(at)[1][0] > 2 * plain.at(at)[1][0]
    assert doubting.at(at)[0][1] == pytest.approx(plain.at(at)[0][1], abs=0.1)


def test_the_likelihood_knows_the_doubt_and_its_gradient_does():
    space = gp_space(MIXED)
    rows, values, doubt = draws(space, 8), np.random.default_rng(1).standard_normal(8), np.linspace(0, 2, 8)
    distances = gaussian_process._distances(space, rows)
    theta = np.zeros(len(distances) + 2)
    covariance = gaussian_process.correlation(distances.sum(0)) + np.eye(8) + np.diag(doubt)
    mean = np.linalg.solve(covariance, values).sum() / np.linalg.inv(covariance).sum()
    expected = stats.multivariate_normal(np.full(8, mean), covariance).logpdf(values) + 4 * math.log(2 * math.pi)
    found, slope = gaussian_process._likelihood(distances, values, theta, doubt)
    assert found == pytest.approx(expected)
    for place in range(len(theta)):
        step = np.eye(len(theta))[place] * 1e-5
        ahead, behind = (gaussian_process._likelihood(distances, values, theta + s, doubt)[0] for s in (step, -step))
        assert slope[place] == pytest.approx((ahead - behind) / 2e-5, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("z", [5.0, 0.0, -0.9, -1.1, -10.0, -37.0])
def test_the_logarithm_of_the_improvement_is_exact(z):
    plain = stats.norm.pdf(z) + z * stats.norm.cdf(z)
    if z < -8:  # there the sum itself has lost its digits
        plain = stats.norm.pdf(z) / z**2 * (1 - 3 / z**2 + 15 / z**4)
    assert gp_search._log_improvement(np.array([z]))[0] == pytest.approx(math.log(plain), abs=1e-3)


def test_the_logarithm_of_the_improvement_never_ends():
    z = -np.logspace(-3, 100, 400)
    found = gp_search._log_improvement(z)
    assert np.all(np.isfinite(found)) and np.all(np.diff(found) < 0)


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=12))
@settings(max_examples=examples(60))
def test_any_losses_are_standardised_and_keep_their_order(losses):
    found = gp_search._standardised(np.array(losses))
    assert np.all(np.isfinite(found)) and abs(found.mean()) < 1e-6 and np.all(np.abs(found) < 10)
    order = np.argsort(losses, kind="stable")
    assert np.all(np.diff(found[order]) >= 0)


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.CONSTANT])
def test_every_value_comes_back_from_its_row(kind):
    space = space_of(p=SAMPLES[kind])
    (coding,) = codings(space)
    made = gp_space(space)
    rows = draws(made, 40)
    for row in rows:
        value = made.flat(row)[("p",)]
        assert SAMPLES[kind].contains(value)
        again = made.row([coding.encode(value)])
        back = made.flat(again)[("p",)]
        assert key(back) == key(value) or back == pytest.approx(value, rel=1e-6)
    moved = made.neighbours(rows, np.random.default_rng(1), 0.1)
    assert np.all((moved >= 0) & (moved <= max(1, rows.max()))) and np.all(made.kept(moved) == moved)


EDGES = {
    "one parameter": space_of(x=REAL),
    "two values": space_of(x=D(kind=Kind.CATEGORICAL, values=(0, 1)), y=REAL),
    "sixty": space_of(**{f"x{i:02}": REAL for i in range(60)}),
    "huge": space_of(
        n=D(kind=Kind.INT_UNIFORM, min=0, max=10**9),
        x=D(kind=Kind.UNIFORM, min=-1e300, max=1e300),
        y=D(kind=Kind.LOG_UNIFORM_VALUES, min=1e-290, max=1e290),
        one=D(kind=Kind.INT_UNIFORM, min=3, max=3),
    ),
    "mixed": MIXED,
}


def finished(number, params, value):
    return RunView(number=number, run_id=str(number), params=params, state=RunState.FINISHED, history=(value,))


HISTORIES = {
    "constant": lambda n: 1.0,
    "not finite": lambda n: [math.nan, math.inf, -math.inf, 1.0][n % 4],
    "huge": lambda n: [1e308, -1e308, 0.0, 5e-324][n % 4],
    "tiny differences": lambda n: 1 + n * 1e-15,
}


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("space", EDGES)
def test_no_space_and_no_history_breaks_it(space, history):
    engine = OptunaEngine(EDGES[space], LOSS, seed=2, sampler="gp", options={"n_startup_trials": 1})
    for number in range(5):
        found = engine.ask(number)
        json.dumps(found.params, allow_nan=False)
        if number == 3:  # the same point again and again: a singular matrix
            for copy in range(20, 24):
                engine.tell(finished(copy, found.params, HISTORIES[history](copy)))
        engine.tell(finished(number, found.params, HISTORIES[history](number)))


STEPS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([s for s in RunState if s.done])), min_size=6, max_size=14
)


@given(STEPS, st.integers(0, 3))
@settings(max_examples=6, deadline=None)
def test_a_restarted_engine_proposes_what_the_living_one_does(steps, seed):
    """Several workers, runs that end in any order and any way: the record alone decides."""
    options = {"n_startup_trials": 3}
    living = OptunaEngine(MIXED, LOSS, seed=seed, sampler="gp", options=options)
    record, running = {}, []
    for number, (ends, state) in enumerate(steps):
        found = living.ask(number)
        record[number] = run_of(number, found.params, RunState.RUNNING, info=found.info)
        running.append(number)
        living.tell(record[number])
        while len(running) > ends:
            run = record[running.pop(ends // 2)]
            history = (random.Random(run.number).random(),) if state.ended_well else ()
            record[run.number] = dataclasses.replace(run, state=state, history=history)
            living.tell(record[run.number])
    replayed = OptunaEngine(MIXED, LOSS, seed=seed, sampler="gp", options=options)
    for run in record.values():
        replayed.tell(run)
    assert replayed.ask(len(record)) == living.ask(len(record))


def test_runs_that_fail_teach_where_they_do():
    """Half of the space fails, and the best lies at its edge; what fails is no value and does not hide the edge."""
    engine = OptunaEngine(space_of(x=REAL, y=REAL), LOSS, seed=1, sampler="gp")
    states = []
    for number in range(36):
        params = engine.ask(number).params
        good = params["x"] < 0.5
        states.append((good, params["x"]))
        history = (1 - params["x"] + (params["y"] - 0.3) ** 2,)
        engine.tell(run_of(number, params, RunState.FINISHED if good else RunState.DIVERGED, history=history))
    assert sum(not good for good, _ in states[-15:]) <= 7
    assert max(x for good, x in states if good) > 0.45


def test_a_choice_that_always_fails_is_left():
    space = space_of(c=D(kind=Kind.CATEGORICAL, values=("a", "b", "c", "d")), x=REAL)
    engine = OptunaEngine(space, LOSS, seed=1, sampler="auto")
    chosen = []
    for number in range(40):
        params = engine.ask(number).params
        chosen.append(params["c"])
        if params["c"] in "bd":
            engine.tell(run_of(number, params, RunState.FAILED))
        else:
            engine.tell(run_of(number, params, history=((params["x"] - 0.4) ** 2,)))
    assert sum(choice in "bd" for choice in chosen[-20:]) <= 5


def test_a_small_space_is_searched_to_its_end_without_repeats():
    space = space_of(c=D(kind=Kind.CATEGORICAL, values=("a", "b", "c")), n=D(kind=Kind.INT_UNIFORM, min=1, max=8))
    engine = OptunaEngine(space, LOSS, seed=1, sampler="gp")
    seen = []
    for number in range(24):
        params = engine.ask(number).params
        seen.append(key(params))
        engine.tell(run_of(number, params, history=(abs(params["n"] - 6.0) + (params["c"] != "b"),)))
    assert len(set(seen)) == 24 and key({"c": "b", "n": 6}) in seen[:16]
