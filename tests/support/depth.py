"""On how many random inputs a property is tried: a quarter in CI, all of them where SWEEPKIT_DEEP is set."""

import os

_FEWEST = 15


def examples(count: int) -> int:
    """Return how many of `count` inputs are drawn now; what has few keeps them."""
    return count if os.environ.get("SWEEPKIT_DEEP") else min(count, max(_FEWEST, count // 4))
