"""NVML for `check.py --rehearse`: one GPU of 80 GiB on paper. Each process writes the MiB that it holds into a file.

The file is $GPU_STAND_IN/<pid>; that of a process that is gone counts nothing, as its memory would.
"""

import os
from pathlib import Path
from types import SimpleNamespace

TOTAL_MB = 81_920
UUID = "GPU-00000000-0000-4000-8000-000000000000"


class NVMLError(Exception):
    """What the library raises."""


def _held():
    held = {}
    for path in Path(os.environ["GPU_STAND_IN"]).glob("[0-9]*"):
        try:
            state = Path("/proc", path.name, "stat").read_text().rpartition(")")[2].split()[0]
            if state not in "ZX":
                held[int(path.name)] = int(path.read_text() or 0)
        except (OSError, ValueError):  # it ended, or is writing
            continue
    return held


def nvmlInit():  # noqa: N802
    """Do nothing."""


def nvmlDeviceGetCount():  # noqa: N802
    """Return 1."""
    return 1


def nvmlDeviceGetHandleByIndex(index):  # noqa: N802
    """Return the handle of a GPU."""
    if index != 0:
        raise NVMLError("Invalid Argument")
    return index


def nvmlDeviceGetHandleByUUID(uuid):  # noqa: N802
    """Return the handle of a GPU."""
    if uuid not in (UUID, UUID.encode()):
        raise NVMLError("Not Found")
    return 0


def nvmlDeviceGetUUID(handle):  # noqa: N802
    """Return a GPU's UUID."""
    return UUID


def nvmlDeviceGetName(handle):  # noqa: N802
    """Return a GPU's name."""
    return "a GPU on paper"


def nvmlDeviceGetMemoryInfo(handle):  # noqa: N802
    """Return a GPU's memory in bytes."""
    used, total = sum(_held().values()) << 20, TOTAL_MB << 20
    return SimpleNamespace(total=total, used=used, free=total - used)


def nvmlDeviceGetUtilizationRates(handle):  # noqa: N802
    """Return how busy a GPU is, in percent."""
    return SimpleNamespace(gpu=0, memory=0)


def nvmlDeviceGetComputeRunningProcesses(handle):  # noqa: N802
    """Return who holds memory of a GPU."""
    return [SimpleNamespace(pid=pid, usedGpuMemory=size << 20) for pid, size in _held().items()]
