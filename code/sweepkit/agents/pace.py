"""How often an agent asks the record: a thousand agents together no more often than one database answers.

Measured by `benchmarks/agents.py`.
"""

import random

_LOOKS_PER_S = 250.0  # of all agents of a sweep together, for commands and when idle
_ATTEMPTS_PER_S = 50_000.0  # that all together read when each looks at the attempts of all
_MOST_DOUBLINGS = 5


def shared_period(least_s: float, running: int) -> float:
    """Return how long an agent waits between two looks at the record, in seconds.

    Args:
        least_s: How long it waits when it has the record nearly for itself.
        running: The largest number of runs that were under way at once: about how many agents there are.

    >>> shared_period(0.5, 8), shared_period(0.5, 1_000)
    (0.5, 4.0)
    """
    return max(least_s, running / _LOOKS_PER_S)


def reclaim_period(least_s: float, running: int) -> float:
    """Return how long an agent waits between two looks at the attempts of all agents, in seconds.

    Args:
        least_s: As in `shared_period`.
        running: As in `shared_period`; as many attempts are looked at, by as many agents.

    >>> reclaim_period(2.0, 256), reclaim_period(2.0, 1_000)
    (2.0, 20.0)
    """
    return max(least_s, running**2 / _ATTEMPTS_PER_S)


def missed_period(least_s: float, missed: int) -> float:
    """Return how long an agent waits that did not get its turn to propose, in seconds: up to 32 times `least_s`.

    Who comes again at random moments does not come with all others.

    Args:
        least_s: How long it waits otherwise.
        missed: How often in a row it did not get it.

    >>> missed_period(0.2, 0), 3.2 <= missed_period(0.2, 9) <= 6.4
    (0.2, True)
    """
    longest_s = least_s * 2 ** min(missed, _MOST_DOUBLINGS)
    return longest_s * random.uniform(0.5, 1.0) if missed else least_s
