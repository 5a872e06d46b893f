"""What a cluster's own engine (SLURM, Ray, this host) does for a sweep: it places agents, and says where they are.

What is placed is the agent, not the run: an agent keeps the GPUs of its node busy with warm starts, and no result
passes through the engine. The record decides what is run; what the engine says of an agent says nothing of a run.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from sweepkit.errors import SweepKitError


class EngineError(SweepKitError):
    """The engine refused, or does not answer."""


class AgentState(StrEnum):
    """Where an agent is by the engine's view."""

    PENDING = "pending"  # waits for room
    RUNNING = "running"
    GONE = "gone"  # it has ended, or the engine never heard of it
    UNKNOWN = "unknown"  # the engine does not answer: no proof of anything


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentJob:
    """An agent that is to be placed.

    Args:
        name: Unique among all agents of the cluster's user; the same name is never placed twice at once.
        argv: The command that keeps an agent until the sweep is over, see `keeper`.
        env: Variables that it gets beside those of the engine; secrets travel here, never in `argv`.
        cwd: Its working directory on the node.
        log: The file that takes what it prints.
        gpus: GPUs of each of its nodes, >= 0.
        cpus: Cores of each of its nodes, >= 1; None for the engine's own default.
        node: The host that it must be on; "" for any.
        nodes: Nodes of its allocation, >= 1: several of them are one slot.
        time_limit_s: Seconds until the engine ends it, None for the engine's own limit.
        extra: Words that the engine's own command takes, as they are.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path = Path()
    log: Path = Path("agent.log")
    gpus: int = 0
    cpus: int | None = None
    node: str = ""
    nodes: int = 1
    time_limit_s: int | None = None
    extra: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AgentPlace:
    """Where an agent is, and what the engine says of it for people: a node, a reason to wait; "" when nothing."""

    state: AgentState
    words: str = ""


class ClusterEngine(Protocol):
    """One cluster as its user sees it. No method blocks for longer than a few seconds.

    Raises:
        EngineError: Of any method: the engine is not there, or refuses.
    """

    name: str

    def check(self, job: AgentJob) -> None:
        """Refuse what can never be placed: more GPUs than any node has, an unknown partition."""
        ...

    def submit(self, job: AgentJob) -> None:
        """Place an agent. One of that name that is pending or running stays, and nothing is done."""
        ...

    def poll(self, names: Iterable[str]) -> dict[str, AgentPlace]:
        """Return where each of these agents is."""
        ...

    def names(self, prefix: str) -> set[str]:
        """Return the names of all agents that are pending or running and begin so: strangers of dead calls too."""
        ...

    def stop(self, name: str) -> None:
        """Ask an agent to end: SIGTERM, SIGKILL after the engine's own patience. One that is gone is fine."""
        ...
