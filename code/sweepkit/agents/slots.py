"""What one run occupies: GPUs and CPU cores, and how its process is told."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile

from sweepkit.errors import SweepKitError

_GPU = re.compile(r"[0-9]+|(?:GPU|MIG)-.+")  # an index or a UUID
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Room for one run.

    Args:
        index: 0-based, unique in its agent.
        gpus: Indices or UUIDs as CUDA_VISIBLE_DEVICES takes them; () on a machine without.
        cpus: CPU cores, >= 1.
        hides_gpus: The process shall see none of the machine's GPUs (`gpus_per_run: 0`).
    """

    index: int
    gpus: tuple[str, ...]
    cpus: int
    hides_gpus: bool = False

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
    """
    restricted = env.get("CUDA_VISIBLE_DEVICES")
    if restricted is not None:
        names = [name.strip() for name in restricted.split(",")]
        return tuple(takewhile(_GPU.fullmatch, names))
    tool = shutil.which("nvidia-smi", path=env.get("PATH"))
    if tool is None:
        return ()
    try:
        listed = subprocess.run(
            [tool, "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in listed.stdout.splitlines() if line.strip().isdigit())


def make_slots(
    workers: int, *, gpus: tuple[str, ...], gpus_per_run: int | None, cpus_per_run: int | None
) -> tuple[Slot, ...]:
    """Return `workers` slots: each with its own GPUs where there are any, cores shared evenly.

    Args:
        workers: How many, >= 1.
        gpus: The GPUs to hand out; a worker beyond them shares, round robin.
        gpus_per_run: GPUs of a slot; None means one where there are any, 0 hides them all.
        cpus_per_run: Cores of a slot; None divides the cores of this machine.

    Raises:
        SweepKitError: A slot wants more GPUs than there are. (A machine without any runs everything on its cores.)
    """
    wanted = min(1, len(gpus)) if gpus_per_run is None else gpus_per_run
    if wanted > len(gpus) > 0:
        rule = f"must be at most {len(gpus)}, the GPUs of this machine that can be seen"
        raise SweepKitError(f"sweepkit.gpus_per_run: {rule}, got {wanted}; set it to {len(gpus)} or leave it out")
    cores = cpus_per_run or max(1, len(os.sched_getaffinity(0)) // workers)
    slots = []
    for index in range(workers):
        mine = tuple(gpus[(index * wanted + k) % len(gpus)] for k in range(wanted)) if gpus else ()
        slots.append(Slot(index=index, gpus=mine, cpus=cores, hides_gpus=gpus_per_run == 0))
    return tuple(slots)
