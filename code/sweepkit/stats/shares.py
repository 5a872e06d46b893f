"""Intervals of a share."""


def clopper_pearson(hits: int, runs: int, alpha: float) -> tuple[float, float]:
    """Return Clopper and Pearson's interval of a share, exact and so on the wide side.

    Source: Clopper & Pearson 1934, "The use of confidence or fiducial limits illustrated in the case of the
    binomial", Biometrika 26:404-413.

    Args:
        hits: Runs that count, 0 to `runs`.
        runs: All of them, >= 1.
        alpha: What the interval may miss, in (0, 1): 0.05 for 95 %.

    >>> [round(bound, 3) for bound in clopper_pearson(0, 10, 0.05)]
    [0.0, 0.308]
    """
    from scipy.stats import beta  # type: ignore[import-untyped]

    low = 0.0 if hits == 0 else float(beta.ppf(alpha / 2, hits, runs - hits + 1))
    high = 1.0 if hits == runs else float(beta.ppf(1 - alpha / 2, hits + 1, runs - hits))
    return low, high
