"""How fast the runs of a sweep end, whatever their time goes into: their own work, starts, transactions, waiting."""

from collections.abc import Sequence

_WINDOW = 50  # ends that are looked at, at least
_OF_WORKERS = 8  # and so many for each worker
_NEEDED_OF_WORKERS = 3  # fewer say little: the first ones come together


def window(workers: int) -> int:
    """Return how many of the newest ends show the pace of so many workers."""
    return max(_WINDOW, _OF_WORKERS * workers)


def spacing_s(ends: Sequence[float], now: float, workers: int) -> float | None:
    """Return the seconds from one end to the next, over the newest of them; None when they are too few to say.

    The longest pause between two ends is left out: nobody may have worked then. The time since the last end counts once
    it is longer than usual, so that a sweep that slows down says so at once.

    Args:
        ends: When runs ended, ascending, in seconds.
        now: The present, on the same clock.
        workers: How many runs are under way at once, >= 1.

    >>> spacing_s([float(second) for second in range(20)], 19.0, 2), spacing_s([1.0, 2.0], 2.0, 2)
    (1.0, None)
    """
    newest = ends[-window(workers) - 1 :]
    if len(newest) <= max(2, _NEEDED_OF_WORKERS * workers):
        return None
    gaps = [later - earlier for earlier, later in zip(newest, newest[1:], strict=False)]
    gaps.remove(max(gaps))
    usual = sum(gaps) / len(gaps)
    waited = max(0.0, now - newest[-1])
    return usual if waited <= usual else (sum(gaps) + waited) / (len(gaps) + 1)
