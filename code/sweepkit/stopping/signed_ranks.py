"""The signed-rank test of differences that come one after another: each costs a search among those before it.

Sources: Wilcoxon 1945, "Individual Comparisons by Ranking Methods"; Tukey 1949, "The Simplest Signed-Rank Tests": the
sum of the ranks of the positive ones is the number of pairs with a positive sum, each difference also with itself.
"""

from bisect import bisect_left, bisect_right, insort
from functools import lru_cache
from math import erfc, sqrt

_EXACT = 50  # differences up to which scipy counts all outcomes, and with ties:
_EXACT_TIED = 13


class SignedRanks:
    """What the test knows of differences: ties get the mean of their ranks, half of a zero's rank counts as above.

    >>> ranks = SignedRanks()
    >>> for difference in (0.1, 0.2, 0.3):
    ...     ranks.add(difference)
    >>> ranks.p_greater(), ranks.p_greater(-1.0), len(ranks)
    (0.125, 1.0, 3)
    """

    def __init__(self) -> None:
        self._ordered: list[float] = []
        self._sizes: dict[float, int] = {}  # how many differences have a size
        self._twice_above = 0  # two for each pair with a positive sum, one for each whose sum is zero
        self._ties = 0  # the sum of t³ - t over groups of t equal sizes

    def add(self, difference: float) -> None:
        """Take in a difference, which may be infinite but is no NaN."""
        ordered, opposite = self._ordered, -difference
        insort(ordered, difference)
        below, through = bisect_left(ordered, opposite), bisect_right(ordered, opposite)
        # Of a sum with itself both lie among the ordered ones.
        self._twice_above += 2 * (len(ordered) - through) + (through - below)
        alike = self._sizes.get(abs(difference), 0)
        self._sizes[abs(difference)] = alike + 1
        self._ties += 3 * alike * (alike + 1)

    def __len__(self) -> int:
        return len(self._ordered)

    def p_greater(self, sign: float = 1.0) -> float:
        """Return the p-value that the differences, times a sign of 1 or -1, tend to be above 0.

        As scipy's `wilcoxon(…, alternative="greater", zero_method="zsplit")`: all outcomes are counted up to 50
        differences, with ties or zeros up to 13; beyond that the normal approximation with the correction for ties
        stands.
        """
        count = len(self)
        most = count * (count + 1)  # twice the sum of all ranks
        twice = self._twice_above if sign > 0 else most - self._twice_above
        zeros = self._sizes.get(0.0, 0)
        if count > (_EXACT_TIED if self._ties or zeros else _EXACT):
            variance = (count * (count + 1) * (2 * count + 1) - self._ties / 2) / 24
            return 0.5 * erfc((twice / 2 - most / 4) / sqrt(2 * variance))
        ways = _at_least(self._twice_ranks())
        return ways[twice - zeros * (zeros + 1) // 2] / ways[0]

    def _twice_ranks(self) -> tuple[int, ...]:
        """Return twice the rank of each difference that is not 0, ascending."""
        ranks: list[int] = []
        before = self._sizes.get(0.0, 0)
        for size in sorted(self._sizes):
            if size:
                alike = self._sizes[size]
                ranks += [2 * before + alike + 1] * alike
                before += alike
        return tuple(ranks)


@lru_cache(maxsize=64)
def _at_least(ranks: tuple[int, ...]) -> list[int]:
    """Return in how many ways signs can be given such that the positive ranks add up to at least s, for each s."""
    ways = [1]  # exactly s, at first
    for rank in ranks:
        longer = ways + [0] * rank
        for total, patterns in enumerate(ways):
            longer[total + rank] += patterns
        ways = longer
    for total in reversed(range(len(ways) - 1)):
        ways[total] += ways[total + 1]
    return ways
