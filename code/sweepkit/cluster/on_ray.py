"""Agents as actors of a Ray cluster. Ray core alone is used: it places, restarts and kills; the record decides.

An actor is detached and named, so that the next call finds it whoever called first. It starts the same command as any
other engine as its child, and ends itself when that ends: its GPU is free without a driver. `max_restarts=-1` has Ray
begin it anew where its node failed; its first agent may still live there, frozen: its leases are over then.

Source: Ray 2.60, "Fault tolerance", "Named actors".
"""

import contextlib
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sweepkit.cluster.engine import AgentJob, AgentPlace, AgentState, EngineError
from sweepkit.extras import needed

_NAMESPACE = "sweepkit"
_KNOCK_S = 5.0
_ANSWER_S = 2.0  # a node that does not answer within this time is not known to be gone
# Ray's words for an actor that is on no node, and what is said of it.
_WAITS = {"DEPENDENCIES_UNREADY": "", "PENDING_CREATION": "", "RESTARTING": "its node was lost"}


def knock(address: str) -> None:
    """Return once something listens at HOST:PORT; at once where an address is no such pair ("auto", "local").

    Raises:
        OSError: Nothing does within 5 s, or no host has that name.
        ValueError: The port is no number from 1 to 65535.

    >>> knock("auto")
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:
        return
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"the port must be a number from 1 to 65535, got {port!r}")
    socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_S).close()


class RayEngine:
    """A Ray cluster that runs, or one of this host. See `ClusterEngine`.

    Args:
        address: Of a cluster that runs; None for RAY_ADDRESS, else the one of this host, which is started if it does
            not run.

    Raises:
        EngineError: There is no such cluster.
    """

    name = "Ray"

    def __init__(self, address: str | None = None) -> None:
        needed("ray")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray: Any = importlib.import_module("ray")
        self._ray = ray
        if ray.is_initialized():  # by an earlier call of this process, or by its user
            here = ray.get_runtime_context().gcs_address
            if address not in (None, "auto", here):
                raise EngineError(f"--ray-address: this process is connected to the Ray cluster {here}, got {address}")
        else:
            self._connect(address)
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # a node need not have this package
        self._actor = ray.remote(_AgentActor)

    def _connect(self, address: str | None) -> None:
        asked = address or os.environ.get("RAY_ADDRESS") or "auto"
        try:
            knock(asked)  # Ray itself tries for minutes
            self._ray.init(
                address=asked,
                namespace=_NAMESPACE,
                log_to_driver=False,
                logging_level="error",
                configure_logging=False,
            )
        except (OSError, RuntimeError, ValueError) as error:
            place = "this host" if asked == "auto" else asked
            raise EngineError(
                f"--launcher ray: needs a Ray cluster that runs, got none at {place}: {error}; "
                "`ray start --head` starts one, --ray-address names one"
            ) from error

    def check(self, job: AgentJob) -> None:
        """Refuse several nodes an agent, and what no node of the cluster has now: Ray would wait for ever.

        An autoscaler may start what no node has.
        """
        if job.nodes > 1:
            raise EngineError(f"--nodes-per-agent: an agent is on one node of a Ray cluster, got {job.nodes}")
        if self._autoscales():
            return
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        for option, key, wanted in (("gpus", "GPU", job.gpus), ("cpus", "CPU", job.cpus or 1)):
            most = max((node.get(key, 0.0) for node in nodes), default=0.0)
            if wanted > most:
                raise EngineError(
                    f"--{option}-per-agent: no node of the Ray cluster has more than {most:g}, got {wanted}"
                )

    def submit(self, job: AgentJob) -> None:
        """Make an actor, unless one of its name is there."""
        options: dict[str, Any] = {"name": job.name, "namespace": _NAMESPACE, "lifetime": "detached"}
        options |= {"num_gpus": job.gpus, "num_cpus": job.cpus or 1, "max_restarts": -1, "max_concurrency": 2}
        if job.node:
            options["scheduling_strategy"] = self._on(job.node)
        made = self._actor.options(**options)
        with contextlib.suppress(ValueError):  # that name is taken: it is there
            made.remote(job.argv, dict(job.env), str(job.cwd), str(job.log), job.gpus)

    def poll(self, names: Iterable[str]) -> dict[str, AgentPlace]:
        """Ask each actor; one that does not answer in time is pending when Ray has not begun it, else unknown."""
        wanted = list(names)
        try:
            there = self.names("")
            handles = {name: handle for name in wanted if name in there and (handle := self._handle(name)) is not None}
            asked = {name: handle.where.remote() for name, handle in handles.items()}
            ready, _ = (
                self._ray.wait(list(asked.values()), num_returns=len(asked), timeout=_ANSWER_S) if asked else ([], [])
            )
            said = {name: self._answer(answer) for name, answer in asked.items() if answer in ready}
            found = {name: said.get(name) or self._silent(handle) for name, handle in handles.items()}
        except (EngineError, self._ray.exceptions.RayError) as error:
            return {name: AgentPlace(AgentState.UNKNOWN, _first_line(error)) for name in wanted}
        return {name: found.get(name, AgentPlace(AgentState.GONE)) for name in wanted}

    def names(self, prefix: str) -> set[str]:
        """Return the actors of our namespace."""
        listed = importlib.import_module("ray.util").list_named_actors
        try:
            found = [actor["name"] for actor in listed(all_namespaces=True) if actor["namespace"] == _NAMESPACE]
        except self._ray.exceptions.RayError as error:
            raise EngineError(f"Ray: {error}") from error
        return {name for name in found if name.startswith(prefix)}

    def stop(self, name: str) -> None:
        """Have the actor end its agent and then itself; one that waits for room, or does not answer, is taken back.

        An agent whose actor is killed so gets SIGTERM all the same, see `_die_with_the_parent`.
        """
        handle = self._handle(name)
        if handle is None:
            return
        if self._stage(handle) not in _WAITS:
            with contextlib.suppress(self._ray.exceptions.RayError):  # GetTimeoutError is one, too
                self._ray.get(handle.stop.remote(), timeout=_ANSWER_S)
                return
        self._ray.kill(handle, no_restart=True)

    def _autoscales(self) -> bool:
        """Return whether the cluster starts nodes by itself; the words of `ray status`, old autoscaler and new.

        The old one runs on every head: without a configuration it calls each node's type by the node's number.
        """
        said = importlib.import_module("ray.experimental.internal_kv")._internal_kv_get("__autoscaling_status")
        if said:
            types = json.loads(said)["autoscaler_report"]["active_nodes"]
            return any(not name.startswith("node_") for name in types)
        return bool(importlib.import_module("ray.autoscaler.v2.utils").is_autoscaler_v2(fetch_from_server=True))

    def _on(self, host: str) -> Any:
        """Return the strategy that places an actor on a host, by any of its names. Raises EngineError without it."""
        strategies = importlib.import_module("ray.util.scheduling_strategies")
        nodes = [node for node in self._ray.nodes() if node["Alive"]]
        for node in nodes:
            if host in (node["NodeManagerHostname"], node["NodeManagerAddress"]):
                return strategies.NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False)
        there = ", ".join(sorted(node["NodeManagerHostname"] for node in nodes))
        raise EngineError(f"Ray: {host} must be a node of the cluster, got {there or 'none'}")

    def _handle(self, name: str) -> Any:
        """Return an actor, None when there is none of that name."""
        try:
            return self._ray.get_actor(name, namespace=_NAMESPACE)
        except ValueError:
            return None

    def _answer(self, answer: Any) -> AgentPlace | None:
        """Return where an actor says to be; None when it cannot be asked now."""
        errors = self._ray.exceptions
        try:
            return AgentPlace(AgentState.RUNNING, str(self._ray.get(answer, timeout=_ANSWER_S)))
        except errors.ActorUnavailableError:  # its node does not answer, or is lost and Ray begins it elsewhere
            return None
        except errors.RayActorError:
            return AgentPlace(AgentState.GONE)

    def _silent(self, handle: Any) -> AgentPlace:
        """Return where an actor is that does not answer, by what Ray's head knows of it."""
        stage = self._stage(handle)
        if stage in _WAITS:
            return AgentPlace(AgentState.PENDING, _WAITS[stage])
        return AgentPlace(AgentState.GONE) if stage == "DEAD" else AgentPlace(AgentState.UNKNOWN, "it does not answer")

    def _stage(self, handle: Any) -> str:
        """Return Ray's word for the life of an actor. Its public call for that needs a dashboard that runs."""
        known = importlib.import_module("ray._private.state").actors(handle._actor_id.hex())
        return str(known.get("State", ""))


class _AgentActor:
    """What Ray runs on a node: the keeper as a child, until it ends. It imports nothing of ours: Ray ships it by value.

    Args:
        argv: The command.
        env: Variables beside those of the node.
        cwd: Its working directory.
        log: The file that takes what it prints.
        gpus: How many GPUs it has: without any it shall see none, which Ray leaves as it was.
    """

    def __init__(self, argv: tuple[str, ...], env: dict[str, str], cwd: str, log: str, gpus: int) -> None:
        ray = importlib.import_module("ray")
        self.node = os.uname().nodename
        environ = {**os.environ, **env}
        if "OMP_NUM_THREADS" not in env:
            environ.pop("OMP_NUM_THREADS", None)  # Ray's own: num_cpus, whatever an agent does with its cores
        if not gpus:
            environ["CUDA_VISIBLE_DEVICES"] = ""
        Path(log).parent.mkdir(parents=True, exist_ok=True)
        with open(log, "ab") as file:
            self.child = subprocess.Popen(
                argv,
                env=environ,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                preexec_fn=_die_with_the_parent,
            )
        self.me = ray.get_runtime_context().current_actor
        threading.Thread(target=self._end, daemon=True).start()

    def where(self) -> str:
        """Return the node's name."""
        return self.node

    def stop(self) -> None:
        """Ask the agent to release its runs and to end."""
        self.child.send_signal(signal.SIGTERM)

    def _end(self) -> None:
        """When the keeper has ended, so does the actor: its GPU is free, and Ray does not begin it anew."""
        self.child.wait()
        time.sleep(0.1)  # an answer of `stop` may be on its way
        importlib.import_module("ray").kill(self.me, no_restart=True)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _die_with_the_parent() -> None:
    """In the child: SIGTERM when the actor's process is killed."""
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)
