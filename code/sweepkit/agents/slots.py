"""What one run occupies: GPUs and CPU cores, and how its process learns of it."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

from sweepkit.errors import SweepKitError
from sweepkit.scheduling.packing import MOST_AT_ONCE

_GPU = re.compile(r"[0-9]+|(?:GPU|MIG)-.+")  # an index or a UUID
_LISTED_GPU = re.compile(r"GPU (\d+): .*\(UUID: (GPU-[^)]+)\)")
_LISTED_PART = re.compile(r"\s+MIG .*\(UUID: (MIG-[^)]+)\)")
# MKL and OpenBLAS follow OMP's where their own is not set; ours would win over what a script sets for OMP.
THREAD_VARIABLES = ("OMP_NUM_THREADS",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Room for one run.

    Args:
        index: 0-based, unique in its agent.
        gpus: Indices or UUIDs as CUDA_VISIBLE_DEVICES takes them; () on a machine without.
        cpus: CPU cores, >= 1.
        hides_gpus: The process shall see none of the machine's GPUs (`gpus_per_run: 0`).
        shares: How many slots have the same GPUs at most, this one included, >= 1.
        packs: Whether a run is put on it depends on what is measured of runs (`runs_per_gpu: auto`).
    """

    index: int
    gpus: tuple[str, ...]
    cpus: int
    hides_gpus: bool = False
    shares: int = 1
    packs: bool = False

    @property
    def device(self) -> str:
        """Return the slot for people: "gpu 0,1" or "2 cpus"."""
        if self.gpus:
            return f"gpu {','.join(self.gpus)}"
        return f"{self.cpus} cpu{'s' if self.cpus > 1 else ''}"

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Return the variables that confine a process to this slot; thread counts that the user set are kept."""
        variables = self.threads(inherited)
        if self.gpus or self.hides_gpus:
            variables["CUDA_VISIBLE_DEVICES"] = ",".join(self.gpus)
        if self.gpus and not {"CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"} & inherited.keys():
            # Our indices are the driver's, by bus; CUDA by itself counts from the fastest. Indices that the user gave
            # by CUDA_VISIBLE_DEVICES keep the user's meaning.
            variables["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
        return variables

    def threads(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Return the variables that libraries read when they are loaded: how many threads, and how these wait."""
        variables = {name: str(self.cpus) for name in THREAD_VARIABLES if name not in inherited}
        # Threads that wait must sleep: spinning ones slow a small model down tenfold as soon as a core is shared.
        if "OMP_WAIT_POLICY" not in inherited:
            variables["OMP_WAIT_POLICY"] = "PASSIVE"
        return variables


def visible_gpus(env: Mapping[str, str]) -> tuple[str, ...]:
    """Return this machine's GPUs that the environment lets us see, without importing torch.

    Args:
        env: The environment; its CUDA_VISIBLE_DEVICES restricts, as CUDA itself has it: what stands before the first
            item that names no GPU ("" and "-1": none).

    Returns:
        Names as CUDA_VISIBLE_DEVICES takes them: the restriction's own; else indices, and for a GPU that is divided
        (MIG) the UUIDs of its parts, because CUDA would see one part only by the index.
    """
    restricted = env.get("CUDA_VISIBLE_DEVICES")
    if restricted is not None:
        names = [name.strip() for name in restricted.split(",")]
        return tuple(takewhile(_GPU.fullmatch, names))
    return tuple(name for gpu in _listed(env) for name in (gpu.parts or (gpu.index,)))


@dataclass(frozen=True, slots=True)
class _Listed:
    """A GPU as the driver lists it: index, UUID, UUIDs of its MIG parts."""

    index: str
    uuid: str
    parts: tuple[str, ...]


def _listed(env: Mapping[str, str]) -> list[_Listed]:
    """Return what `nvidia-smi -L` lists; [] without a driver, or one that fails."""
    tool = shutil.which("nvidia-smi", path=env.get("PATH"))
    if tool is None:
        return []
    try:
        listed = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    found: list[_Listed] = []
    for line in listed.stdout.splitlines():
        if whole := _LISTED_GPU.match(line):
            found.append(_Listed(whole[1], whole[2], ()))
        elif found and (part := _LISTED_PART.match(line)):
            found[-1] = _Listed(found[-1].index, found[-1].uuid, (*found[-1].parts, part[1]))
    return found


def choose_gpus(wanted: Sequence[str] | None, env: Mapping[str, str]) -> tuple[str, ...]:
    """Return the GPUs to use: those that can be seen, or the wanted ones of them.

    Args:
        wanted: Indices or UUIDs (the first characters of one are enough, as for CUDA); None for all. An index is the
            one that CUDA_VISIBLE_DEVICES would take in this environment.
        env: The environment; see `visible_gpus`.

    Raises:
        SweepKitError: One of them cannot be seen, or is named twice.
    """
    seen = visible_gpus(env)
    if wanted is None:
        return seen
    uuids = {gpu.uuid: gpu.index for gpu in _listed(env)} if any(not name.isdigit() for name in wanted) else {}
    chosen: list[str] = []
    for name in wanted:
        same = [item for item in seen if item == name or (not name.isdigit() and item.startswith(name))]
        same = same or [index for uuid, index in uuids.items() if uuid.startswith(name) and index in seen]
        if len(same) != 1:
            known = f"one of {', '.join(seen)}" if seen else "left out, for no GPU can be seen here"
            hint = "CUDA_VISIBLE_DEVICES restricts them" if "CUDA_VISIBLE_DEVICES" in env else "see nvidia-smi -L"
            raise SweepKitError(f"--gpus: each must be {known}, got {name!r}; {hint}")
        if same[0] in chosen:
            raise SweepKitError(f"--gpus: must name each GPU once, got {name!r} again; use --runs-per-gpu to share one")
        chosen.append(same[0])
    return tuple(chosen)


def make_slots(
    workers: int | None,
    *,
    gpus: tuple[str, ...],
    gpus_per_run: int | None,
    cpus_per_run: int | None,
    runs_per_gpu: int | Literal["auto"] = 1,
) -> tuple[Slot, ...]:
    """Return the slots: the GPUs in groups, each with as many runs as may share it; without GPUs the cores.

    Args:
        workers: How many, >= 1; None means all that the GPUs have room for, without GPUs one per two cores.
        gpus: The GPUs to hand out. Slots are spread over the groups before a group is shared.
        gpus_per_run: GPUs of a slot; None means one where there are any, 0 hides them all.
        cpus_per_run: Cores of a slot; None divides the cores of this machine.
        runs_per_gpu: Runs that share a group of GPUs, >= 1; auto: as many as fit and pay, see `agents.gpu_packer`.

    Raises:
        SweepKitError: A slot wants more GPUs than there are, or there are more workers than GPUs have room for. (A
            machine without any runs everything on its cores, which may be shared.)
    """
    wanted = min(1, len(gpus)) if gpus_per_run is None else gpus_per_run
    if wanted > len(gpus) > 0:
        rule = f"must be at most {len(gpus)}, the GPUs that can be used"
        raise SweepKitError(f"sweepkit.gpus_per_run: {rule}, got {wanted}; set it to {len(gpus)} or leave it out")
    on_gpus = bool(gpus) and wanted > 0
    groups = [gpus[first : first + wanted] for first in range(0, len(gpus) - wanted + 1, wanted)] if on_gpus else []
    machine = len(os.sched_getaffinity(0))
    packs = on_gpus and runs_per_gpu == "auto"
    shares = runs_per_gpu if runs_per_gpu != "auto" else 1
    if packs:  # each run keeps a core unless the user asks for more of them
        shares = min(MOST_AT_ONCE, -(-workers // len(groups)) if workers else max(2, machine // len(groups)))
    room = len(groups) * shares
    if workers is None:
        workers = room if on_gpus else max(1, machine // (cpus_per_run or 2))
    if on_gpus and workers > room:
        raise SweepKitError(
            f"--num-workers: must be at most {room} ({len(gpus)} GPUs, {wanted} per run, {shares} runs on each), "
            f"got {workers}; use fewer, or --runs-per-gpu to let runs share a GPU"
        )
    cores = cpus_per_run or max(1, machine // workers)
    return tuple(
        Slot(
            index=index,
            gpus=groups[index % len(groups)] if on_gpus else (),
            cpus=cores,
            hides_gpus=gpus_per_run == 0,
            shares=shares if on_gpus else 1,
            packs=packs,
        )
        for index in range(workers)
    )


def slot_notes(slots: Sequence[Slot], gpus: Sequence[str]) -> list[str]:
    """Return what the user should know of how slots use the machine; [] when all is as one would expect."""
    notes = []
    machine, wanted = len(os.sched_getaffinity(0)), sum(slot.cpus for slot in slots)
    if wanted > machine:
        notes.append(
            f"{len(slots)} workers with {slots[0].cpus} core{'s' if slots[0].cpus > 1 else ''} each share the "
            f"{machine} cores of this machine: their runs slow each other down"
        )
    idle = [gpu for gpu in gpus if not any(gpu in slot.gpus for slot in slots)]
    if idle and slots[0].gpus:
        notes.append(f"GPU {', '.join(idle)} stay{'s' if len(idle) == 1 else ''} idle: no worker is left for it")
    return notes
