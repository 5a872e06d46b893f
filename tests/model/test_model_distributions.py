import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from snapshots import words_of

from sweepkit.model.distributions import Distribution, Kind, content_key

WORDS = words_of(__file__)

D = Distribution
EVERY = [
    D(kind=Kind.CONSTANT, values=(0,)),
    D(kind=Kind.CATEGORICAL, values=(0, False, None, [1], 1, 1.0)),
    D(kind=Kind.CATEGORICAL_W_PROBABILITIES, values=(0, 1, 2), probabilities=(0.5, 0.0, 0.5)),
    D(kind=Kind.INT_UNIFORM, min=-3, max=4),
    D(kind=Kind.UNIFORM, min=0, max=1),
    D(kind=Kind.Q_UNIFORM, min=1, max=10, q=3),
    D(kind=Kind.Q_UNIFORM, min=0.1, max=0.3, q=0.1),
    D(kind=Kind.Q_UNIFORM, min=1, max=2, q=5),
    D(kind=Kind.LOG_UNIFORM, min=-1000, max=1000),
    D(kind=Kind.LOG_UNIFORM_VALUES, min=1, max=7),
    D(kind=Kind.Q_LOG_UNIFORM, min=0, max=math.log(8), q=8),
    D(kind=Kind.Q_LOG_UNIFORM_VALUES, min=1, max=100, q=8),
    D(kind=Kind.INV_LOG_UNIFORM, min=1, max=2),
    D(kind=Kind.INV_LOG_UNIFORM_VALUES, min=1e-4, max=0.3),
    D(kind=Kind.NORMAL),
    D(kind=Kind.NORMAL, mu=2.0, sigma=0.0),
    D(kind=Kind.Q_NORMAL, q=2),
    D(kind=Kind.LOG_NORMAL, mu=700.0, sigma=9.0),
    D(kind=Kind.Q_LOG_NORMAL, q=0.25),
    D(kind=Kind.BETA, a=0.5, b=0.5),
    D(kind=Kind.Q_BETA),
]


@pytest.mark.parametrize("distribution", EVERY, ids=lambda d: str(d.kind))
@given(u=st.one_of(st.sampled_from([0.0, 1.0, 2.0**-60, 1 - 2.0**-53]), st.floats(0, 1)))
def test_every_quantile_is_a_finite_value_of_the_support_d21_d31_d32(distribution, u):
    value = distribution.ppf(u)
    assert distribution.contains(value)
    assert not isinstance(value, float) or math.isfinite(value)
    assert 0.0 <= distribution.cdf(value) <= 1.0
    size = distribution.support_size()
    if size is not None:
        index = distribution.support_index(value)
        assert 0 <= index < size and content_key(distribution.support_value(index)) == content_key(value)


@pytest.mark.parametrize("distribution", EVERY, ids=lambda d: str(d.kind))
def test_the_support_is_exactly_what_is_drawn(distribution):
    size = distribution.support_size()
    if size is None:
        assert len({content_key(distribution.ppf(u / 999)) for u in range(1000)}) > 4
        return
    drawn = {content_key(distribution.ppf(u / 4999)) for u in range(5000)}
    assert drawn == {content_key(distribution.support_value(index)) for index in range(size)}
    assert len(drawn) == size


@pytest.mark.parametrize(
    "distribution", [d for d in EVERY if not d.values and not d.quantised], ids=lambda d: str(d.kind)
)
def test_quantiles_never_fall(distribution):
    values = [distribution.ppf(u / 200) for u in range(201)]
    assert values == sorted(values)


def test_integers_stay_integers_and_multiples_stay_inside_d21():
    assert [D(kind=Kind.Q_UNIFORM, min=1, max=10, q=3).ppf(u) for u in (0.0, 0.5, 1.0)] == [3, 6, 9]
    assert type(D(kind=Kind.Q_UNIFORM, min=1, max=10, q=3).ppf(0.5)) is int
    assert D(kind=Kind.Q_UNIFORM, min=0.1, max=0.3, q=0.1).ppf(1.0) == 0.3
    assert {D(kind=Kind.Q_UNIFORM, min=1, max=2, q=5).ppf(u / 9) for u in range(10)} == {1}  # no multiple of 5 fits
    assert {D(kind=Kind.Q_UNIFORM, min=6, max=9, q=5).ppf(u / 9) for u in range(10)} == {6, 9}
    assert repr(D(kind=Kind.Q_LOG_UNIFORM, min=0, max=math.log(8), q=8).ppf(1.0)) == "8"
    assert D(kind=Kind.INT_UNIFORM, min=3, max=8).ppf(0.0) == 3
    assert D(kind=Kind.CATEGORICAL, values=("a", "b")).ppf(0.0) == "a"


def test_grid_points_are_wandbs():
    assert list(D(kind=Kind.INT_UNIFORM, min=1, max=3).grid_values()) == [1, 2, 3]
    assert D(kind=Kind.Q_UNIFORM, min=0.0, max=1.0, q=0.25).grid_values() == (0.0, 0.25, 0.5, 0.75)
    assert D(kind=Kind.CATEGORICAL, values=(1, 1)).grid_values() == (1, 1)
    assert D(kind=Kind.UNIFORM, min=0, max=1).grid_values() is None
    weighted = D(kind=Kind.CATEGORICAL_W_PROBABILITIES, values=(1,), probabilities=(1.0,))
    assert weighted.grid_values() is None


@pytest.mark.parametrize("u", [-0.1, 1.1, math.nan])
def test_a_quantile_outside_0_and_1_is_refused(u):
    with pytest.raises(ValueError, match="quantile"):
        D(kind=Kind.UNIFORM, min=0, max=1).ppf(u)


def test_values_of_another_kind_are_refused():
    with pytest.raises(ValueError, match=WORDS["not-one-of"]):
        D(kind=Kind.CATEGORICAL, values=(1, 2)).cdf(True)
    with pytest.raises(ValueError, match="has numbers"):
        D(kind=Kind.UNIFORM, min=0, max=1).cdf("0.5")
    assert not D(kind=Kind.UNIFORM, min=0, max=1).contains("0.5")
    assert not D(kind=Kind.Q_NORMAL, q=2).contains(3)
    assert not D(kind=Kind.NORMAL).contains(math.inf)
