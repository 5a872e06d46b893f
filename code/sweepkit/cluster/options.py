"""What a command line asks of a cluster, as a value."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions:
    """Where the agents of a sweep are placed.

    Args:
        launcher: "slurm", "ray" or "local" (processes of this host that outlive the call).
        agents: How many, >= 1.
        gpus_per_agent: GPUs of each node of an agent, >= 0.
        cpus_per_agent: Cores of each node of an agent, >= 1; None for the engine's default.
        nodes_per_agent: Nodes of an agent's allocation, >= 1; of several, all are one slot.
        time_limit_s: Seconds until the engine ends an agent; None for its own limit.
        extra: Words for the engine's own command.
        address: Of a Ray cluster that runs; None for RAY_ADDRESS, else one of this host.
        wait: Stay and show the sweep until it is over; else the call ends once the agents are placed.
        shares_folder: The project and its results are at the same path on every node. Else the record carries the code
            there and the small files of runs back.
        agent_words: Options of each agent's own command, as --num-workers.

    >>> ClusterOptions(launcher="slurm", agents=4, gpus_per_agent=2).nodes_per_agent
    1
    """

    launcher: str
    agents: int = 1
    gpus_per_agent: int = 0
    cpus_per_agent: int | None = None
    nodes_per_agent: int = 1
    time_limit_s: int | None = None
    extra: tuple[str, ...] = ()
    address: str | None = None
    wait: bool = True
    shares_folder: bool = True
    agent_words: tuple[str, ...] = ()
