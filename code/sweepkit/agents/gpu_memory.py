"""Ask a GPU for its free memory before a run is put on it: what other people's processes fill is waited for.

**Rule.** A GPU that n slots share gives each of them one n-th of its memory. A slot waits until each of its GPUs has
free: `sweepkit.min_free_gpu_memory_gb` where a sweep sets it; else the most that a run was seen to take on this slot's
kind of share, and a tenth more; else, while no run was seen, 80 % of the share. A run's memory is measured only where
it has its GPUs to itself, as the largest drop of their free memory while it ran: what strangers take in the meantime
counts as its own, so the rule errs towards waiting, and never beyond 80 % of the share.

Indices mean the driver's order (by bus). Where the user restricts CUDA_VISIBLE_DEVICES to indices on a machine with
GPUs of different kinds, CUDA counts from the fastest unless CUDA_DEVICE_ORDER=PCI_BUS_ID is set: set it there.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sweepkit.agents.slots import Slot
from sweepkit.model.events import Event, Notice
from sweepkit.model.watched import GpuUse

_GIB = 1024**3
_SHARE = 0.8
_MARGIN = 1.1
_ASK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Memory:
    """A GPU's memory in bytes: what nobody uses, and all of it."""

    free: int
    total: int


class MemoryReader(Protocol):
    """Whatever knows the memory of GPUs."""

    def read(self, gpu: str) -> Memory | None:
        """Return a GPU's memory by index or UUID, None when it is not known."""
        ...


class Nvml:
    """The driver's own library, by the package nvidia-ml-py. Thread-safe."""

    def __init__(self, library: Any) -> None:
        self._nvml = library

    def read(self, gpu: str) -> Memory | None:
        """Return a GPU's memory, None when the driver does not say."""
        nvml = self._nvml
        try:
            memory = nvml.nvmlDeviceGetMemoryInfo(self._handle(gpu))
        except nvml.NVMLError:
            return None
        return Memory(int(memory.free), int(memory.total))

    def _handle(self, gpu: str) -> Any:
        if gpu.isdigit():
            return self._nvml.nvmlDeviceGetHandleByIndex(int(gpu))
        return self._nvml.nvmlDeviceGetHandleByUUID(gpu.encode())

    def uuid(self, gpu: str) -> str:
        """Return the name of a GPU that is the same for all processes of this host; `gpu` when the driver has none."""
        try:
            name = self._nvml.nvmlDeviceGetUUID(self._handle(gpu))
        except self._nvml.NVMLError:
            return gpu
        return name.decode() if isinstance(name, bytes) else str(name)

    def held(self, gpu: str) -> dict[int, int]:
        """Return the bytes that each process holds of a GPU, by its pid in the driver's namespace; {} if unknown."""
        found: dict[int, int] = {}
        with contextlib.suppress(self._nvml.NVMLError):
            for process in self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle(gpu)):
                if process.usedGpuMemory is not None:  # None: the driver does not say
                    found[int(process.pid)] = found.get(int(process.pid), 0) + int(process.usedGpuMemory)
        return found

    def usage(self) -> list[GpuUse]:
        """Return what every GPU of this machine uses now; one that fell off the bus ends the list."""
        nvml, found = self._nvml, []
        with contextlib.suppress(Exception):
            for index in range(nvml.nvmlDeviceGetCount()):
                handle = nvml.nvmlDeviceGetHandleByIndex(index)
                memory = nvml.nvmlDeviceGetMemoryInfo(handle)
                name = nvml.nvmlDeviceGetName(handle)
                use = GpuUse(
                    index=index,
                    name=name.decode() if isinstance(name, bytes) else str(name),
                    percent=self._percent(handle),
                    memory_mb=memory.used / 2**20,
                    total_mb=memory.total / 2**20,
                )
                found.append(use)
        return found

    def _percent(self, handle: Any) -> float | None:
        try:
            return float(self._nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        except self._nvml.NVMLError:  # a GPU that is divided (MIG) has none
            return None


def open_nvml() -> Nvml | None:
    """Return the driver's library, None when the package or the driver is not there."""
    try:
        import pynvml  # type: ignore[import-untyped]
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return Nvml(pynvml)


class MemoryGate:
    """Lets a run on a slot when its GPUs have room; thread-safe.

    Args:
        reader: Knows the memory.
        least_gb: What every GPU of a slot must have free, in GiB; None for the rule of this module.
        clock: Seconds, monotonic.
    """

    def __init__(
        self, reader: MemoryReader, *, least_gb: float | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._reader = reader
        self._least_gb = least_gb
        self._clock = clock
        self._lock = threading.Lock()
        self._asked_at: dict[int, float] = {}
        self._waiting: set[int] = set()
        self._free_before: dict[int, Mapping[str, int]] = {}
        self._taken: dict[int, int] = {}
        self._peak = 0

    def admits(self, slot: Slot, notify: Callable[[Event], None]) -> bool:
        """Return whether a run may be put on a slot now; notifies once when it must wait and when it need not.

        The driver is asked at most once a second while a slot waits. A GPU that cannot be asked is let pass.
        """
        if not slot.gpus:
            return True
        now = self._clock()
        if slot.index in self._waiting and now - self._asked_at[slot.index] < _ASK_EVERY_S:
            return False
        self._asked_at[slot.index] = now
        memories = self._read(slot)
        full = [(gpu, memory) for gpu, memory in memories.items() if memory.free < self._needed(slot, memory)]
        waited = slot.index in self._waiting
        if full:
            self._waiting.add(slot.index)
            if not waited:
                gpu, memory = full[0]
                notify(Notice(text=self._words(slot, gpu, memory), warning=True))
            return False
        self._waiting.discard(slot.index)
        if waited:
            notify(Notice(text=f"slot {slot.index} ({slot.device}) has room now"))
        with self._lock:
            self._free_before[slot.index] = {gpu: memory.free for gpu, memory in memories.items()}
            self._taken[slot.index] = 0
        return True

    def sample(self, slot: Slot) -> None:
        """Measure how much a running run takes; at most once a second, and only where it has its GPUs to itself."""
        if not slot.gpus or slot.shares > 1:
            return
        now = self._clock()
        if now - self._asked_at.get(slot.index, now) < _ASK_EVERY_S:
            return
        self._asked_at[slot.index] = now
        memories = self._read(slot)
        with self._lock:
            before = self._free_before.get(slot.index, {})
            taken = [before[gpu] - memory.free for gpu, memory in memories.items() if gpu in before]
            self._taken[slot.index] = max([self._taken.get(slot.index, 0), *taken])
            self._peak = max(self._peak, self._taken[slot.index])

    def taken_mb(self, slot: Slot) -> float | None:
        """Return the most that the slot's present run was seen to take on one GPU, in MiB; None when not measured."""
        taken = self._taken.get(slot.index, 0)
        return round(taken / 1024**2, 1) if taken > 0 else None

    def _read(self, slot: Slot) -> dict[str, Memory]:
        found = {gpu: self._reader.read(gpu) for gpu in slot.gpus}
        return {gpu: memory for gpu, memory in found.items() if memory is not None}

    def _needed(self, slot: Slot, memory: Memory) -> float:
        """Return the bytes that a GPU must have free for a run on this slot."""
        if self._least_gb is not None:
            return self._least_gb * _GIB
        most = _SHARE * memory.total / slot.shares
        return min(most, _MARGIN * self._peak) if self._peak else most

    def _words(self, slot: Slot, gpu: str, memory: Memory) -> str:
        free, total = memory.free / _GIB, memory.total / _GIB
        return (
            f"slot {slot.index} waits: GPU {gpu} has {free:.1f} of {total:.1f} GiB free, a run needs "
            f"{self._needed(slot, memory) / _GIB:.1f}; other processes hold the rest (sweepkit.min_free_gpu_memory_gb "
            "sets another threshold)"
        )


def make_gate(slots: tuple[Slot, ...], *, least_gb: float | None) -> MemoryGate | None:
    """Return the gate of this machine; None when no slot has a GPU, or none can be asked."""
    if not any(slot.gpus for slot in slots):
        return None
    with contextlib.suppress(OSError):
        if (reader := open_nvml()) is not None:
            return MemoryGate(reader, least_gb=least_gb)
    return None
