"""Agents as processes of this host, which outlive whoever placed them: `--launcher local`."""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path

from sweepkit.agents.descent import start_time
from sweepkit.agents.slots import visible_gpus
from sweepkit.cluster.engine import AgentJob, AgentPlace, AgentState, EngineError
from sweepkit.files import locked, write_atomically
from sweepkit.text.json_text import read_object


class ProcessEngine:
    """This host as a cluster of one node. See `ClusterEngine`.

    Args:
        folder: Where it remembers which process an agent is; made if it is not there.
    """

    name = "this host"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def check(self, job: AgentJob) -> None:
        """Refuse several nodes, and more GPUs than there are."""
        if job.nodes > 1:
            raise EngineError(f"--launcher local: this host is one node, got {job.nodes} for each agent")
        seen = len(visible_gpus(os.environ))
        if job.gpus > seen:
            raise EngineError(f"--gpus-per-agent: must be at most the {seen} GPUs of this host, got {job.gpus}")

    def submit(self, job: AgentJob) -> None:
        """Start a process that ends when its agent does, unless that of this name lives."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with locked(self._folder / "lock"):
            if self._alive(job.name) is not None:
                return
            job.log.parent.mkdir(parents=True, exist_ok=True)
            with job.log.open("ab") as log:
                process = subprocess.Popen(
                    job.argv,
                    env={**os.environ, **job.env},
                    cwd=job.cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            process.returncode = 0  # not ours to wait for: it is found by its file
            facts = {"pid": process.pid, "start": start_time(process.pid)}
            write_atomically(self._file(job.name), json.dumps(facts))

    def poll(self, names: Iterable[str]) -> dict[str, AgentPlace]:
        """Look whether each process lives."""
        found = {name: self._alive(name) for name in names}
        return {
            name: AgentPlace(AgentState.GONE) if pid is None else AgentPlace(AgentState.RUNNING, f"process {pid}")
            for name, pid in found.items()
        }

    def names(self, prefix: str) -> set[str]:
        """Return those whose processes live."""
        known = {file.stem for file in self._folder.glob("*.json")}
        return {name for name in known if name.startswith(prefix) and self._alive(name) is not None}

    def stop(self, name: str) -> None:
        """Send SIGTERM; the agent's own `kill_delay` ends what does not."""
        if (pid := self._alive(name)) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _alive(self, name: str) -> int | None:
        """Return the process of a name, None when it has ended; bury it if it was our own child."""
        facts = read_object(self._file(name))
        if facts is None:
            return None
        pid = int(facts["pid"])
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        # One that had ended when it was first looked at has no start, as has every process that is gone.
        return pid if facts["start"] and start_time(pid) == facts["start"] else None
