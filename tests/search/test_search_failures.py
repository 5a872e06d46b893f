"""Where runs fail: what is learned of an edge from few failures, and that no record breaks it."""

from dataclasses import replace

import numpy as np
import pytest
from depth import examples
from engine_contract import D, run_of, space_of
from gp_rows import draws, gp_space
from hypothesis import given, settings
from hypothesis import strategies as st

from sweepkit.model.distributions import Kind
from sweepkit.model.metric import Metric
from sweepkit.model.runs import RunState
from sweepkit.search.failures import Failures
from sweepkit.search.gp_search import GpSearch, Shown
from sweepkit.search.ledger import Ledger
from sweepkit.search.optuna_engine import OptunaEngine

REAL = D(kind=Kind.UNIFORM, min=0.0, max=1.0)
MIXED = space_of(x=REAL, y=REAL, c=D(kind=Kind.CATEGORICAL, values=("a", "b", "c")))


def test_it_says_minus_one_where_runs_ended_and_one_where_they_failed():
    space = gp_space(MIXED)
    rows = draws(space, 40)
    bad = rows[:, 0] + 0.3 * rows[:, 1] > 0.8
    found = Failures(space, rows[~bad], rows[bad])
    assert np.all(found.at(rows[~bad])[0] < -0.99) and np.all(found.at(rows[bad])[0] > 0.99)


def test_a_straight_edge_is_known_far_from_the_runs_that_found_it():
    space = gp_space(space_of(x=REAL, y=REAL))
    good = np.array([[0.49, 0.4], [0.47, 0.6], [0.3, 0.5]])
    failed = np.array([[0.51, 0.4], [0.49, 0.6]])
    mean, deviation, _ = Failures(space, good, failed).at(np.array([[0.44, 0.9], [0.56, 0.1], [0.5, 0.4]]))
    assert mean[0] < -1 < 1 < mean[1]  # on both sides of 0.5 - 0.1 (y - 0.4), which no run was near
    assert abs(mean[2]) < 0.2 and deviation[2] < 0.5 * deviation[0]  # the middle of the gap; the known part


def test_how_near_failed_runs_are():
    space = gp_space(space_of(x=REAL))
    near = Failures(space, np.array([[0.0]]), np.array([[1.0]])).at(np.array([[0.0], [0.5], [1.0], [0.9]]))[2]
    assert near == pytest.approx([0.0, 0.5, 1.0, 0.9], abs=1e-4)


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.3, 0.3 + 1e-9, 1.0]), st.booleans()), min_size=1, max_size=30),
    st.integers(0, 2),
)
@settings(max_examples=examples(40), deadline=None)
def test_equal_rows_may_fail_and_not_fail(runs, choice):
    """As repeated seeds do, and runs that fail by chance: nothing is separable, and all numbers are finite."""
    space = gp_space(MIXED)
    rows = np.array([[x, 1 - x, float(choice)] for x, _ in runs])
    bad = np.array([fails for _, fails in runs])
    bad[0] = True
    assert all(np.all(np.isfinite(part)) for part in Failures(space, rows[~bad], rows[bad]).at(draws(space, 9)))


def test_the_ledger_counts_what_failed_of_the_newest_ended_runs():
    ledger = Ledger(Metric(name="loss"))
    for number in range(12):
        failed = number in (1, 7, 9)
        state = RunState.FAILED if failed else RunState.FINISHED if number < 10 else RunState.RUNNING
        ledger.tell(number, run_of(number, {"x": 0.5}, state, history=() if failed or number >= 10 else (1.0,)))
    assert [ledger.failed_of_newest(count) for count in (1, 3, 4, 100)] == [1, 2, 2, 3]


def test_few_runs_fail_beside_an_edge_where_the_best_lies():
    """What fails is asked for ever less, and the end still lies at the edge, which is at x = 0.6 + 0.1 y."""
    engine = OptunaEngine(space_of(x=REAL, y=REAL), Metric(name="loss"), seed=3, sampler="auto")
    failed, best = [], 9.0
    for number in range(45):
        params = engine.ask(number).params
        failed.append(params["x"] > 0.6 + 0.1 * params["y"])
        value = 0.7 - params["x"] + (params["y"] - 0.5) ** 2
        best = best if failed[-1] else min(best, value)
        state = RunState.DIVERGED if failed[-1] else RunState.FINISHED
        engine.tell(run_of(number, params, state, history=() if failed[-1] else (value,)))
    assert sum(failed[-20:]) <= 6 and best < 0.0475 + 0.01


def test_a_choice_seen_only_beside_another_that_always_fails_may_be_tried_once_no_run_failed_for_long():
    opt, act = (D(kind=Kind.CATEGORICAL, values=tuple(values)) for values in ("abcde", "xyz"))
    space = gp_space(space_of(act=act, opt=opt, rate=REAL))
    tried = ["bx", "dy", "cz", "ey", "dy", "az", "ey", "bx", "ex", "bz", *["ex"] * 26]
    rows = np.array(
        [["xyz".index(two), "abcde".index(one), 0.3 + (n * 0.37) % 0.4] for n, (one, two) in enumerate(tried)]
    )
    bad = np.array([one in "bd" or two == "z" for one, two in tried])
    good = rows[~bad]
    shown = Shown(rows=good, losses=good[:, 2:], pending=rows[:0], failed=rows[bad], taught=range(len(good)), lately=0)
    asked = np.array([[0, 2, 0.5], [0, 1, 0.5], [2, 2, 0.5]])  # c x, which may go well; b x and c z, which do not
    calm, wary = (GpSearch(space).chance(replace(shown, lately=lately), asked) for lately in (0, 1))
    assert calm[0] == pytest.approx(0.5) and max(calm[1:]) < 1e-9
    assert max(wary) < 1e-9
