"""Holm's step-down correction: several tests, one error rate."""

from collections.abc import Sequence


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return the p values corrected for all of them together, in the given order.

    The chance that any of them falls below alpha while nothing differs is at most alpha, whatever their dependence.

    Args:
        p_values: Each in [0, 1]; None (not tested) stays None and does not count.

    Source: Holm (1979), "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics
    6(2), 65-70: the i-th smallest of m times (m - i + 1), never falling, at most 1.

    >>> holm([0.01, None, 0.04, 0.03])
    [0.03, None, 0.06, 0.06]
    """
    tested = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(tested):
        highest = max(highest, min(1.0, p * (len(tested) - rank)))
        corrected[place] = highest
    return corrected
