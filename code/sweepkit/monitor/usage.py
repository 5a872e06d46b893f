"""What this machine's processes and GPUs use, for the attempts that run here. Absent where it cannot be known."""

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

from sweepkit.agents.gpu_memory import open_nvml
from sweepkit.agents.identity import agent_identity
from sweepkit.model.watched import GpuUse, ProcessUse, WatchedAttempt

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20


class ProcessUsage:
    """CPU and memory of attempts' process trees, from /proc; CPU over the time since the reading before."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[float, float]] = {}
        self._place = agent_identity().split("|")[:3]  # host, boot, pid namespace: a pid means nothing elsewhere

    def of(self, live: Sequence[WatchedAttempt]) -> dict[str, ProcessUse]:
        """Return the use of every attempt that runs on this host, by run id."""
        mine = [item for item in live if item.pid and item.agent_id.split("|")[:3] == self._place]
        if not mine:
            return {}
        table = _processes()
        children: dict[int, list[int]] = {}
        for pid, (parent, _, _, _) in table.items():
            children.setdefault(parent, []).append(pid)
        found = {}
        for item in mine:
            if item.pid in table:
                found[item.run_id] = self._use(item, _tree(item.pid, children), table)
        return found

    def _use(self, item: WatchedAttempt, pids: list[int], table: "dict[int, _Process]") -> ProcessUse:
        cpu_s = sum(table[pid][1] for pid in pids)
        at = time.monotonic()
        before = self._before.get(item.attempt_id)
        self._before[item.attempt_id] = (at, cpu_s)
        if before is None:  # the first reading: the mean since the process began
            began = table[item.pid or 0][3]
            before = (at - max(0.0, _uptime() - began), 0.0)
        elapsed_s = at - before[0]
        percent = None if elapsed_s < 0.05 else max(0.0, 100.0 * (cpu_s - before[1]) / elapsed_s)
        return ProcessUse(cpu_percent=percent, memory_mb=sum(table[pid][2] for pid in pids))


_Process = tuple[int, float, float, float]  # parent, CPU seconds with those of its ended children, MiB, start (uptime)


def _processes() -> dict[int, _Process]:
    """Return every process of this machine that can be seen; see proc(5), /proc/pid/stat."""
    table = {}
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, IndexError, ValueError):  # it ended meanwhile
            fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
            cpu_s = sum(int(fields[i]) for i in (11, 12, 13, 14)) / _TICKS
            table[int(entry.name)] = (int(fields[1]), cpu_s, int(fields[21]) * _PAGE_MB, int(fields[19]) / _TICKS)
    return table


def _tree(root: int | None, children: dict[int, list[int]]) -> list[int]:
    found, todo = [], [root or 0]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo.extend(children.get(pid, ()))
    return found


def _uptime() -> float:
    return float(Path("/proc/uptime").read_text().split()[0])


class GpuUsage:
    """Utilisation and memory of this machine's GPUs through NVIDIA's library; nothing where that is missing."""

    def __init__(self) -> None:
        self._nvml = open_nvml()

    def read(self) -> list[GpuUse]:
        """Return what every GPU uses now."""
        return [] if self._nvml is None else self._nvml.usage()
