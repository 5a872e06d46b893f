"""What runs are expected to need of a GPU, and what being several costs them: by laws that are known."""

import math
import random

import pytest
from depth import examples
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sweepkit.scheduling.gpu_needs import ERROR_RATE, Gains, Measured, NeedModel, Pace

SIZES = st.fixed_dictionaries(
    {
        "batch_size": st.integers(1, 64),
        "data": st.fixed_dictionaries({"max_length": st.integers(16, 1024)}),
        "hidden_size": st.integers(64, 1024),
        "num_layers": st.integers(1, 24),
    }
)
LAW = st.tuples(st.floats(100, 2000), st.floats(1e-3, 10.0), st.floats(1e-3, 10.0))


def law(params, base, unit, weight):
    """Return memory that grows as a transformer's does: with its weights and with its activations."""
    weights = params["num_layers"] * params["hidden_size"] ** 2 / 1e5
    length = params["data"]["max_length"]
    return base + weight * weights + unit * params["batch_size"] * length * params["hidden_size"] / 1e4


@settings(max_examples=examples(40), deadline=None)
@given(st.lists(SIZES, min_size=3, max_size=12), SIZES, LAW)
def test_what_follows_a_monotone_law_never_needs_more_than_expected(seen, new, costs):
    model = NeedModel([Measured(params=params, memory_mb=law(params, *costs)) for params in seen])
    need = model.need(new)
    assert need.memory_mb is not None and need.memory_mb >= law(new, *costs) * (1 - 1e-9)


@settings(max_examples=examples(40), deadline=None)
@given(st.lists(SIZES, min_size=3, max_size=12), SIZES, SIZES, LAW)
def test_a_run_that_is_greater_in_everything_needs_no_less(seen, one, other, costs):
    model = NeedModel([Measured(params=params, memory_mb=law(params, *costs)) for params in seen])

    def greater(a, b):
        return {key: greater(a[key], b[key]) if isinstance(a[key], dict) else max(a[key], b[key]) for key in a}

    assert model.need(greater(one, other)).memory_mb >= model.need(one).memory_mb


@pytest.mark.parametrize("noise", [0.02, 0.1, 0.3])
def test_the_margin_covers_the_error_at_its_rate(noise):
    exceeded = tried = 0
    for seed in range(20):
        draw = random.Random(seed)

        def measured(draw=draw):
            params = {"batch_size": draw.choice((4, 8, 16)), "lr": draw.random()}
            memory_mb = (500 + 100 * params["batch_size"]) * math.exp(draw.gauss(0, noise))
            return Measured(params=params, memory_mb=memory_mb)

        model = NeedModel([measured() for _ in range(40)])
        new = [measured() for _ in range(50)]
        exceeded += sum(item.memory_mb > model.need(item.params).memory_mb for item in new)
        tried += len(new)
    # 1,000 draws from 20 models: 5 % is the mean, and three standard errors are 2 % (models share their draws).
    assert exceeded / tried <= ERROR_RATE + 0.03


def test_nothing_is_expected_before_three_runs_of_the_kind():
    small = [Measured(params={"model": "small", "batch_size": 8}, memory_mb=1000.0)] * 3
    model = NeedModel(small)
    assert model.need({"model": "small", "batch_size": 8}).memory_mb is not None
    other = model.need({"model": "large", "batch_size": 8})
    assert other.memory_mb is None and "model large" in other.reason
    assert NeedModel([]).need({}).memory_mb is None


def test_what_does_not_matter_divides_nothing():
    seen = [Measured(params={"lr": 10.0**-n, "seed": n, "scheduler": "ab"[n % 2]}, memory_mb=1000.0) for n in range(9)]
    assert NeedModel(seen).need({"lr": 1.0, "seed": 99, "scheduler": "c"}).memory_mb == pytest.approx(1200, rel=0.2)


def test_data_tell_what_names_do_not():
    seen = [
        Measured(params={"emb": n, "gamma": -n % 5, "trick": "ab"[n % 2]}, memory_mb=100.0 * n * (1 + 9 * (n % 2)))
        for n in range(1, 25)
    ]
    model = NeedModel(seen)
    assert model.need({"emb": 8, "gamma": 1, "trick": "a"}).memory_mb < 2_000
    assert model.need({"emb": 48, "gamma": 1, "trick": "b"}).memory_mb > 23_000  # an even one took a tenth
    assert model.need({"emb": 24, "gamma": 1, "trick": "c"}).memory_mb is None


@settings(max_examples=examples(25), deadline=None)
@given(st.floats(0.3, 1.0), st.floats(0.5, 2.0), st.integers(0, 99))
def test_gains_are_those_of_the_law(share, power, seed):
    draw = random.Random(seed)
    paces = []
    for number in range(24):
        at_once, batch = 1 + number % 2, draw.choice((4, 8, 16))
        unit_s = 0.5 * batch**power / (1.0 if at_once == 1 else share)
        paces.append(Pace(params={"batch_size": batch, "lr": draw.random()}, at_once=at_once, unit_s=unit_s))
    assume(len({pace.params["batch_size"] for pace in paces}) == 3)
    gains = Gains(paces=tuple(paces))
    assert gains.of[1] == 1.0 and gains.of[2] == pytest.approx(2 * share, rel=0.02)
    assert gains.errors[2] < 0.05


def test_whole_runs_tell_where_no_program_reports():
    whole = [Pace(params={}, at_once=n % 2 + 1, unit_s=60.0 * (n % 2 + 1), of_reports=False) for n in range(8)]
    assert Gains(paces=tuple(whole)).of == pytest.approx({1: 1.0, 2: 1.0})
    reported = [Pace(params={}, at_once=1, unit_s=1.0)]
    assert Gains(paces=(*whole, *reported)).of == {1: 1.0}
    assert Gains(paces=()).of == {}
