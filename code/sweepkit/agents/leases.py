"""Whether the lease of another agent's attempt is over: by the database's clock and by ours, which never jumps.

The database's clock is one of a host, and may be set (NTP, a suspended machine): forwards, and every lease of a living
agent is over at once; backwards, and that of a dead one lasts for hours. A living agent renews its leases at every
quarter, whatever the clocks say. So a lease must have been seen to stand still for a while as well.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sweepkit.model.records import LiveAttempt

_SILENT = 0.5  # of a lease, without a renewal, when the database's clock says that it is over: two of them were missed
_LONG_SILENT = 1.5  # the same when that clock says that it is not over


@dataclass(frozen=True, slots=True)
class _Seen:
    """A lease as it stands: its end by the database's clock, and since when we see it so (monotonic seconds)."""

    until: float
    since: float


class LeaseWatch:
    """Remembers how leases stood. Used by several threads, each of which looks at all of them.

    Args:
        lease_s: The length of a lease, in seconds.
        clock: Seconds, monotonic.
    """

    def __init__(self, lease_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._lease_s = lease_s
        self._clock = clock
        self._seen: dict[str, _Seen] = {}
        self._looked_at = float("-inf")

    def look(self, attempts: Iterable[LiveAttempt]) -> None:
        """Take note of how the leases of all live attempts stand now."""
        now = self._clock()
        # We were frozen ourselves: so may the others have been, and they have not had the time to renew.
        blind = now - self._looked_at > self._lease_s / 2
        self._looked_at = now
        before = {} if blind else self._seen
        seen = {}
        for live in attempts:
            old = before.get(live.attempt_id)
            same = old is not None and old.until == live.lease_until
            seen[live.attempt_id] = old if same and old is not None else _Seen(live.lease_until, now)
        self._seen = seen

    def over(self, live: LiveAttempt) -> bool:
        """Return whether an attempt's lease is over; as `look` saw it before."""
        seen = self._seen.get(live.attempt_id)
        if seen is None:
            return False
        silent_s = self._clock() - seen.since
        return silent_s >= (_SILENT if live.expired else _LONG_SILENT) * self._lease_s
