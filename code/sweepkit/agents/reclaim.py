"""Take up what a dead agent left: runs that are given back, and results that only the recording is missing of."""

import json
import time
from typing import TYPE_CHECKING

from sweepkit.agents.identity import surely_dead
from sweepkit.agents.isolation import remove_temp_dir
from sweepkit.agents.launcher import await_fork_server, exited, kill_leftovers
from sweepkit.agents.worker import Execution
from sweepkit.spec.events import Notice
from sweepkit.spec.records import Attempt, LiveAttempt

if TYPE_CHECKING:
    from sweepkit.agents.agent import Agent


class Reclaimer:
    """Looks for attempts that nobody works on any more. Used by one thread at a time."""

    def __init__(self, agent: "Agent") -> None:
        self.agent = agent
        self._looked_at = float("-inf")

    def look(self) -> None:
        """Take back runs whose agent is known to be dead or whose lease is over; at most every quarter lease."""
        agent, now = self.agent, time.monotonic()
        if now - self._looked_at < agent.settings.lease_s / 4:
            return
        self._looked_at = now
        for live in agent.store.live_attempts(agent.sweep.sweep_id):
            if live.attempt_id in agent.mine:
                continue
            if not live.expired and not surely_dead(live.agent_id):
                continue
            if live.host == agent.host:
                await_fork_server(live.agent_id)
                kill_leftovers(live.attempt_id)
                remove_temp_dir(live.attempt_id)
            if live.host == agent.host and self._recovered(live):
                continue
            why = "its agent died" if not live.expired else "its lease ran out"
            if agent.store.lose(live.attempt_id, live.token, reason=why):
                agent.emit(Notice(text=f"run {live.run_id} is taken up again: {why}"))

    def _recovered(self, live: LiveAttempt) -> bool:
        """Record an attempt of a dead agent that had ended by itself; False when nothing shows that it had."""
        agent = self.agent
        try:
            facts = json.loads(agent.place.paths.exit_file(live.attempt_id).read_text())
        except (OSError, ValueError):
            return False
        if facts["status"] < 0:
            return False  # killed: by whom and why, nobody knows any more
        run = next(run for run in agent.store.runs(agent.sweep.sweep_id) if run.run_id == live.run_id)
        attempt = Attempt(
            attempt_id=live.attempt_id, token=live.token, run=run, ordinal=run.attempts, lease_until=live.lease_until
        )
        agent.emit(Notice(text=f"run {live.run_id} had ended when its agent died: its result is taken over"))
        Execution(agent, agent.settings.slots[0], attempt).recover(exited(facts))
        return True
