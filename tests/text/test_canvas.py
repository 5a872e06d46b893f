"""Curves as text: every line has the width asked for, gaps are gaps, an outlier does not flatten the rest."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweepkit.text.canvas import Line, plotted


def text(lines):
    return ["".join(part for part, _ in line) for line in lines]


@given(
    st.lists(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=30), max_size=4),
    st.integers(20, 90),
    st.integers(2, 12),
)
def test_whatever_is_drawn_fits(curves, width, height):
    drawn = text(plotted([Line(values=values) for values in curves], width=width, height=height))
    if any(math.isfinite(value) for values in curves for value in values):
        assert len(drawn) == height + 1 and max(map(len, drawn)) <= max(width, 24)
    else:
        assert drawn == []


def test_a_falling_curve_goes_from_the_upper_left_to_the_lower_right():
    rows = text(plotted([Line(values=[3.0, 2.0, 1.0])], width=40, height=4))
    assert rows[0].startswith("3 ┤") and rows[3].startswith("1 ┤")
    assert rows[0].rstrip().endswith(rows[0].strip()[-1]) and len(rows[0].rstrip()) < len(rows[3].rstrip())


def test_one_run_that_blew_up_does_not_flatten_the_others():
    curves = [Line(values=[1.0 + 0.01 * n] * 20) for n in range(5)] + [Line(values=[1.0, 1e9])]
    assert not text(plotted(curves, width=40, height=4))[0].startswith("1e+09")


@pytest.mark.parametrize("values", [[1.0], [2.0, 2.0]])
def test_a_flat_curve_is_drawn(values):
    assert any("⠀" < char <= "⣿" for row in text(plotted([Line(values=values)], width=30, height=3)) for char in row)


def test_later_lines_are_drawn_over_earlier_ones():
    drawn = plotted([Line(values=[1.0, 1.0], style="dim"), Line(values=[1.0, 1.0], style="bold")], width=30, height=2)
    assert {style for line in drawn[:-1] for part, style in line[1:] if part.strip()} == {"bold"}
