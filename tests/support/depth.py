"""How often a thing of chance is tried: a part of the times in CI, all of them where SWEEPKIT_DEEP is set."""

import os

_FEWEST = 15


def examples(count: int) -> int:
    """Return how many of `count` inputs are drawn now; what has few keeps them."""
    return count if os.environ.get("SWEEPKIT_DEEP") else min(count, max(_FEWEST, count // 4))


def half(count: int) -> int:
    """Return how many of `count` draws a simulation makes now: half of them."""
    return count if os.environ.get("SWEEPKIT_DEEP") else count // 2


def few(count: int) -> int:
    """Return how many of `count` tries are made now, of those that cost processes: a third, but two at least."""
    return count if os.environ.get("SWEEPKIT_DEEP") else max(2, count // 3)
