"""How a parameter is shown to a model: ranges, and the way there and back."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sweepkit.model.distributions import Distribution, Kind
from sweepkit.model.space import Parameter, Space
from sweepkit.search.coding import codings


def coding_of(**fields):
    (coding,) = codings(Space(parameters=(Parameter(path=("x",), distribution=Distribution(**fields)),)))
    return coding


@pytest.mark.parametrize("kind", [Kind.NORMAL, Kind.Q_NORMAL, Kind.LOG_NORMAL, Kind.Q_LOG_NORMAL])
def test_the_corners_of_an_unbounded_distribution_are_three_sigma_away(kind):
    import math

    coding = coding_of(kind=kind, mu=0.0, sigma=5.0, q=0.1 if "q_" in kind else None)
    ends = [coding.decode(code) for code in (-1.0, coding.low, coding.high, 2.0)]
    if "log" in kind:
        ends = [math.log(end) if end > 0 else -15.45 for end in ends]
    assert all(abs(abs(end) - 15.45) < 0.2 for end in ends), ends
    assert coding.low <= coding.encode(coding.distribution.ppf(0.9999)) <= coding.high


@given(st.floats(0, 1))
@example(5e-324)  # SciPy has no number for it
def test_a_bounded_distribution_is_shown_whole(u):
    coding = coding_of(kind=Kind.BETA, a=2.0, b=3.0)
    assert (coding.low, coding.high) == (0.0, 1.0)
    assert coding.decode(coding.encode(coding.distribution.ppf(u))) == pytest.approx(
        coding.distribution.ppf(u), abs=1e-6
    )
