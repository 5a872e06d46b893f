"""How far apart the best and the second best of many equal ones lie by luck alone. Pure.

Best and second are neighbours in the order, so of many equal configurations their distance is *smaller* than that of
two that were picked blindly: 95 % of the leads stay below 2.77 standard deviations with 2 of them, 1.55 with 8, 1.09
with 60. Where the two are equal and all others are worse, they are two picked blindly, whatever their number. That is
why the plain two-sided t test of the selected best against the second holds its level without a correction for all
pairs.

Source: Gutmann and Maymin 1987, "Is the selected population the best?", Annals of Statistics 15:456–461; David and
Nagaraja 2003, "Order Statistics", section 2.3 (the distribution of a gap). Simulated in benchmarks/truth.py.
"""

import math
from statistics import NormalDist

import numpy as np

# Of a smooth density the sum at even points is the integral to all digits, from 200 points on.
_GRID = np.linspace(-9.0, 9.0, 401)
_LEVEL = 0.95  # how often a lead stays below what is returned here
_MOST = 12.0  # standard deviations; no level is met beyond
_HALVINGS = 45  # of that, to a double's last digits


def blind_quantile() -> float:
    """Return what the distance of two runs of one configuration stays below, in standard deviations.

    >>> round(blind_quantile(), 2)
    2.77
    """
    return math.sqrt(2) * NormalDist().inv_cdf((1 + _LEVEL) / 2)


def lead_quantile(count: int) -> float:
    """Return what the lead of the best of `count` equal normal scores stays below, in standard deviations.

    No scipy: every sweep ends with this number, and loading that takes longer than all
    the rest of the end.

    Args:
        count: Scores, >= 2.

    >>> round(lead_quantile(8), 2), round(lead_quantile(60), 2)
    (1.55, 1.09)
    """
    low, high = 0.0, _MOST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _chance_of_more(middle, count) > 1 - _LEVEL:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _chance_of_more(lead: float, count: int) -> float:
    """Return the chance of a larger lead: that all others lie further below any one of them."""
    density = np.exp(-0.5 * _GRID**2) / math.sqrt(2 * math.pi)
    below = np.array([math.erfc((lead - x) / math.sqrt(2)) / 2 for x in _GRID.tolist()]) ** (count - 1)
    return count * float(np.sum(density * below)) * float(_GRID[1] - _GRID[0])
