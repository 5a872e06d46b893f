"""How fast runs end."""

import pytest

from sweepkit.model.pace import spacing_s, window


def test_the_pace_is_that_of_the_newest_ends():
    slow, fast = [float(10 * n) for n in range(200)], [2000.0 + n for n in range(window(1) + 1)]
    assert spacing_s([*slow, *fast], fast[-1], 1) == 1.0


def test_few_ends_say_nothing():
    assert spacing_s([], 5.0, 1) is None
    assert spacing_s([float(n) for n in range(24)], 24.0, 8) is None
    assert spacing_s([float(n) for n in range(25)], 24.0, 8) == 1.0


def test_a_break_is_left_out_and_a_standstill_is_counted():
    ends = [0.0, 1.0, 2.0, 3.0, 5003.0, 5004.0, 5005.0]
    assert spacing_s(ends, 5005.0, 1) == 1.0
    assert spacing_s(ends, 5005.9, 1) == 1.0
    assert spacing_s(ends, 5305.0, 1) == pytest.approx((5 + 300) / 6)
