"""Take up what a dead agent left: runs to release, and results that only the recording is missing of."""

import time
from collections.abc import Callable

from sweepkit.agents import descent
from sweepkit.agents.context import AgentContext
from sweepkit.agents.identity import surely_dead
from sweepkit.agents.isolation import remove_temp_dir
from sweepkit.agents.launcher import Exited, await_fork_server, written_end
from sweepkit.agents.leases import LeaseWatch
from sweepkit.agents.pace import reclaim_period
from sweepkit.environ import ATTEMPT_ENV
from sweepkit.model.events import Notice
from sweepkit.model.records import Attempt, LiveAttempt

# One query, and a search of /proc for each attempt of others: a killed neighbour costs seconds, not a lease.
_RECLAIM_PERIOD_S = 2.0
# A process that was killed runs no line more, but one that is stuck in a driver keeps its memory: so long is waited.
_STUCK_S = 30.0


class Reclaimer:
    """Finds attempts that nobody works on any more. Used by one thread at a time.

    Args:
        context: The agent's.
        recover: Records an attempt that had ended by itself while nobody listened, given how its process ended (status
            None when nobody wrote it down); returns whether it had ended.
    """

    def __init__(self, context: AgentContext, recover: Callable[[Attempt, Exited], bool]) -> None:
        self._context = context
        self._recover = recover
        self._reclaimed_at = float("-inf")
        self._killed_at: dict[str, float] = {}
        self._leases = LeaseWatch(context.settings.lease_s)

    def look(self) -> list[LiveAttempt]:
        """Take note of how all leases stand; return their attempts. To be called at least twice in a lease."""
        found = self._context.store.live_attempts(self._context.sweep.sweep_id)
        self._leases.look(found)
        return found

    def reclaim(self) -> None:
        """Take back runs whose agent is known to be dead or whose lease is over; at most every 2 seconds.

        Less often among hundreds of agents, but four times in a lease.
        """
        context, now = self._context, time.monotonic()
        period_s = reclaim_period(_RECLAIM_PERIOD_S, context.runs.most_running)
        if now - self._reclaimed_at < min(period_s, context.settings.lease_s / 4):
            return
        self._reclaimed_at = now
        for live in self.look():
            if live.attempt_id in context.held:
                continue
            # Ours, and yet no worker has it: the database went away between its commit and its answer.
            unheard = live.agent_id == context.identity
            if not self._leases.over(live) and not unheard and not surely_dead(live.agent_id):
                continue
            if live.host == context.host:
                if surely_dead(live.agent_id):  # that of a frozen agent does not end
                    await_fork_server(live.agent_id)
                if not self._cleared(live.attempt_id):
                    continue
                remove_temp_dir(live.attempt_id)
            if live.host == context.host and self._recovered(live):
                continue
            why = _why(unheard=unheard, dead=surely_dead(live.agent_id))
            if context.store.lose(live.attempt_id, live.token, reason=why):
                context.emit(Notice(text=f"run {live.run_id} is retried: {why}"))

    def _cleared(self, attempt: str) -> bool:
        """Kill what is left of an attempt; return whether its run may begin again: nothing lives, or is stuck."""
        _, left = descent.kill_family(attempt, ATTEMPT_ENV, patience_s=1.0)
        killed_at = self._killed_at.setdefault(attempt, time.monotonic())
        if left and time.monotonic() - killed_at < _STUCK_S:
            return False
        if left:
            shown = ", ".join(map(str, left))
            self._context.emit(
                Notice(text=f"attempt {attempt} was killed and does not go: process {shown}", warning=True)
            )
        del self._killed_at[attempt]
        return True

    def _recovered(self, live: LiveAttempt) -> bool:
        """Record an attempt of a dead agent that had ended by itself; False when nothing shows that it had."""
        context = self._context
        ended = written_end(context.place.paths.exit_file(live.attempt_id)) or Exited(status=None)
        run = next(run for run in context.store.runs(context.sweep.sweep_id) if run.run_id == live.run_id)
        attempt = Attempt(
            attempt_id=live.attempt_id, token=live.token, run=run, ordinal=run.attempts, lease_until=live.lease_until
        )
        if not self._recover(attempt, ended):
            return False
        context.emit(Notice(text=f"run {live.run_id} had ended when its agent died: its result is taken over"))
        return True


def _why(*, unheard: bool, dead: bool) -> str:
    if unheard:
        return "the database's answer to its claim was lost"
    return "its agent died" if dead else "its lease ran out"
