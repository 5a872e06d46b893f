"""Numbers as the reports of a comparison write them."""

import math

_MOST_DECIMALS = 17


def p_text(p: float | None) -> str:
    """Return a p value with four decimals, never as zero; "-" where nothing was tested.

    >>> p_text(0.0114), p_text(0.0004), p_text(0.99999), p_text(None)
    ('.0114', '<.001', '1', '-')
    """
    if p is None:
        return "-"
    if p < 0.001:
        return "<.001"
    return "1" if p >= 0.99995 else f"{p:.4f}".removeprefix("0")


def p_said(p: float) -> str:
    """Return a p value in a sentence.

    >>> p_said(0.0004), p_said(0.02)
    ('p < .001', 'p = .0200')
    """
    text = p_text(p)
    return f"p < {text.removeprefix('<')}" if text.startswith("<") else f"p = {text}"


def digits_for(noise: float | None) -> int:
    """Return the decimals that show two digits of a standard deviation: from 2 to 8, 4 when it is not known or 0.

    >>> digits_for(0.0048), digits_for(0.48), digits_for(None)
    (4, 2, 4)
    """
    if noise is None or not noise > 0:
        return 4
    return min(8, max(2, 1 + math.ceil(-math.log10(noise))))


def difference_text(value: float, digits: int, *, sign: bool = True) -> str:
    """Return a difference without the zero before its point.

    >>> difference_text(0.0278, 4), difference_text(-1.5, 2), difference_text(0.0278, 4, sign=False)
    ('+.0278', '-1.50', '.0278')
    """
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    head = text[0] if text[0] in "+-" else ""
    bare = text[len(head) :]
    return head + (bare[1:] if bare.startswith("0.") else bare)


def gap_text(gap: float, digits: int) -> str:
    """Return how far two values lie apart, in more decimals where these would say that they do not.

    >>> gap_text(0.0278, 3), gap_text(0.00002, 3), gap_text(0.0, 3)
    ('.028', '.00002', '.000')
    """
    while gap and digits < _MOST_DECIMALS and float(f"{gap:.{digits}f}") == 0:
        digits += 1
    return difference_text(abs(gap), digits, sign=False)


def margin_text(margin: float) -> str:
    """Return the margin within which models count as equal.

    >>> margin_text(0.005), margin_text(0.0)
    ('±.005', '±0')
    """
    text = f"{margin:.6g}"
    return "±" + (text[1:] if text.startswith("0.") else text)


def seeds_text(count: int | None) -> str:
    """Return a number of seeds; None is more than anybody will train.

    >>> seeds_text(6), seeds_text(None)
    ('6 seeds', '>1000 seeds')
    """
    return ">1000 seeds" if count is None else f"{count} seeds"


def chance_text(chance: float) -> str:
    """Return a chance with two decimals; never as certain.

    >>> chance_text(0.971), chance_text(1.0), chance_text(0.0)
    ('.97', '>.99', '<.01')
    """
    if chance > 0.99:
        return ">.99"
    return "<.01" if chance < 0.01 else f"{chance:.2f}".removeprefix("0")
