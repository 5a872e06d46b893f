"""The agents of one sweep on a cluster: placed, counted, placed again, ended.

It decides; it neither waits nor prints.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sweepkit.cluster.engine import AgentJob, AgentPlace, AgentState, ClusterEngine

_AT_MOST = 20  # an agent that ended although its sweep goes on is placed again so often
_WORDS = 8  # of the engine, at most
_BETWEEN_S = 10.0  # the engine may need a while to show what it was given


@dataclass(frozen=True, slots=True)
class FleetView:
    """Where the agents are.

    Args:
        places: Of each agent, by its name.
        placed: Names of the agents that were placed again just now.
        lost: Names of those that ended too often: no further one takes their place.
    """

    places: dict[str, AgentPlace]
    placed: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()

    def count(self, state: AgentState) -> int:
        """Return how many agents are in a state."""
        return sum(place.state is state for place in self.places.values())

    def text(self) -> str:
        """Return it for people: how many agents are where, and what the engine says of them."""
        verbs = {AgentState.RUNNING: "run", AgentState.PENDING: "wait", AgentState.UNKNOWN: "cannot be asked for"}
        parts = []
        for state, verb in verbs.items():
            number = self.count(state)
            words = sorted({place.words for place in self.places.values() if place.state is state and place.words})
            if number or state is AgentState.RUNNING:
                said = f" ({', '.join(words[:_WORDS])})" if words else ""
                parts.append(f"{number} agent{'s' if number != 1 else ''} {verb}{said}")
        if self.placed:
            parts.append(f"{len(self.placed)} placed again")
        return ", ".join(parts)

    @property
    def ended(self) -> bool:
        """Whether every agent is known to have ended."""
        return all(place.state is AgentState.GONE for place in self.places.values())


@dataclass(slots=True)
class Fleet:
    """The agents of one sweep.

    Args:
        engine: Places them.
        jobs: One for each agent, of different names.
        clock: Seconds, ever growing.
    """

    engine: ClusterEngine
    jobs: Sequence[AgentJob]
    clock: Callable[[], float] = time.monotonic
    _times: dict[str, int] = field(default_factory=dict)
    _asked: dict[str, float] = field(default_factory=dict)

    def place(self) -> None:
        """Place all agents; those of an earlier call that still are there stay. Raises EngineError."""
        self.engine.check(self.jobs[0])
        for job in self.jobs:
            self._submit(job)

    def look(self, *, over: bool) -> FleetView:
        """Return where the agents are; place those again that ended although the sweep is not `over`."""
        places = self.engine.poll([job.name for job in self.jobs])
        placed, lost = [], []
        for job in self.jobs:
            if over or places[job.name].state is not AgentState.GONE:
                continue
            if self._times.get(job.name, 0) >= _AT_MOST:
                lost.append(job.name)
            elif self.clock() - self._asked.get(job.name, -_BETWEEN_S) >= _BETWEEN_S:
                self._submit(job)
                placed.append(job.name)
        return FleetView(places, tuple(placed), tuple(lost))

    def stop(self, state: AgentState | None = None) -> None:
        """Ask all agents to end, or those in a state; strangers of the sweep's earlier calls too."""
        known = {job.name for job in self.jobs} | self.strangers()
        places = self.engine.poll(known)
        for name in sorted(known):
            if state is None or places[name].state is state:
                self.engine.stop(name)

    def strangers(self) -> set[str]:
        """Return the sweep's agents on the cluster that this call did not ask for."""
        prefix = self.jobs[0].name.rpartition("-")[0] + "-"
        return self.engine.names(prefix) - {job.name for job in self.jobs}

    def _submit(self, job: AgentJob) -> None:
        self._times[job.name] = self._times.get(job.name, 0) + 1
        self._asked[job.name] = self.clock()
        self.engine.submit(job)
