"""Which of the runs that a rule would stop are finished all the same: the audit of a stopping rule. Pure.

The first ones are drawn early, so that a sweep that stops ten runs has two to judge by; afterwards one of each
1/share. The draw depends on the sweep's seed and on how many runs the rule has ended before, so that a record that is
read again gives the same answer.
"""

import random

AUDIT = "audit"  # the key of a run's proposal and of its outcome under which stands what the rule said of it
_FIRST, _SECOND = 3, 10  # among the first three stops one is finished, among the first ten a second


def is_audited(stops: int, share: float, seed: int) -> bool:
    """Return whether a run that is to be stopped now is finished instead.

    Args:
        stops: Runs that the rule has ended, or would have, before this one; >= 0.
        share: Of the stops that are finished, in (0, 1].
        seed: The sweep's.

    >>> sum(is_audited(stops, 0.05, 7) for stops in range(10))
    2
    >>> sum(is_audited(stops, 0.05, 7) for stops in range(10, 410))
    20
    """
    if share >= 1:
        return True
    length = max(1, round(1 / share))
    if stops >= _SECOND:
        block = (stops - _SECOND) // length
        return stops == _SECOND + block * length + random.Random(f"audit {seed} {block}").randrange(length)
    draw = random.Random(f"audit {seed}")
    drawn = {draw.randrange(_FIRST), draw.randrange(_FIRST, _SECOND)}
    # A larger share takes of those ten as many as it says.
    others = [stop for stop in range(_SECOND) if stop not in drawn]
    drawn |= {*draw.sample(others, max(0, round(share * _SECOND) - len(drawn)))}
    return stops in drawn
