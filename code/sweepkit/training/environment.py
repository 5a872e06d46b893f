"""What a training needs of its process before it starts, and what it says of it afterwards."""

import contextlib
import gc
import importlib.metadata
import os
import platform
import random
import resource
import sys
import warnings
from functools import cache
from pathlib import Path
from typing import Any

from sweepkit.errors import DataError
from sweepkit.paths import cache_dir
from sweepkit.training.config.training import AnyConfig
from sweepkit.training.data import locate
from sweepkit.training.fingerprint import file_sha256
from sweepkit.version import VERSION

_DATA_FIELDS = ("train_file", "val_file")


def prepare(seed: int) -> None:
    """Make this process ready to train: quiet libraries, one thread, everything random seeded.

    Threads: OMP_NUM_THREADS, else one. A second thread makes a step of a small model 1.13 times faster for 1.8 times
    the CPU; the cores are better spent on a second run. Seeding comes last, so a training in a fresh process and
    one in a forked process, which has already imported and used the libraries, draw the same numbers.
    """
    import numpy
    import torch
    import transformers

    # accelerate collects garbage before the first step, which takes 0.2 s over the 400,000 objects of the imported
    # libraries. They live as long as the process anyway: leave them out of all collections.
    _freeze_once()
    _quiet()
    _forget_peaks()
    torch.set_num_threads(thread_count())
    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)
    transformers.set_seed(seed)


@cache
def _freeze_once() -> None:
    """Leave all that is there out of garbage collections.

    A second time would keep what an earlier training of the process left, its model and files. A fork server has frozen
    the libraries already; counting what is frozen (`gc.get_freeze_count`) would visit each of these objects.
    """
    gc.freeze()


def thread_count() -> int:
    """Return the threads a training uses: OMP_NUM_THREADS when it is a whole number above 0, else 1."""
    text = os.environ.get("OMP_NUM_THREADS", "")
    return int(text) if text.isdigit() and int(text) > 0 else 1


def _quiet() -> None:
    """Let transformers say errors only and draw no progress bars: our own lines stand alone on the console."""
    from transformers.utils import logging

    said: Any = logging  # transformers' own functions have no types
    said.set_verbosity_error()
    said.disable_progress_bar()
    # Raised by torch about its own internals on CPU, nothing a user of the trainer could mend.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(torch|transformers|accelerate)\b")
    warnings.filterwarnings("ignore", category=UserWarning, module=r"(torch|transformers|accelerate)\b")


def _forget_peaks() -> None:
    """Measure the GPUs' peak memory from here on; before CUDA's first use there is nothing to forget."""
    import torch

    cuda: Any = torch.cuda
    if cuda.is_available() and cuda.is_initialized():
        for device in range(cuda.device_count()):
            cuda.reset_peak_memory_stats(device)


def peak_memory_bytes() -> dict[str, int]:
    """Return the most memory this process held so far.

    "cpu" is what was resident, of the whole process. Where a GPU was used there are "gpu", what tensors took since
    `prepare`, and "gpu_reserved", what torch had claimed from the driver for them, over all its GPUs.
    """
    import torch

    cuda: Any = torch.cuda
    unit = 1 if sys.platform == "darwin" else 1024
    peaks = {"cpu": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
    if cuda.is_available() and cuda.is_initialized():
        devices = range(cuda.device_count())
        peaks["gpu"] = sum(map(cuda.max_memory_allocated, devices))
        peaks["gpu_reserved"] = sum(map(cuda.max_memory_reserved, devices))
    return peaks


def surroundings(config: AnyConfig) -> dict[str, Any]:
    """Return what a result hangs on beside its configuration: device, processor, threads, versions, data.

    Args:
        config: Its data files are read once; one that is not there is left out (the training will say so).
    """
    import torch

    cuda = torch.cuda.is_available() and not config.training.use_cpu
    return {
        "device": device_name(torch.device("cuda:0" if cuda else "cpu")),
        "processor": _processor(),
        "threads": thread_count(),
        "data": data_digests(config),
        "versions": _versions(),
    }


def _processor() -> str:
    """Return the processor's name and the instructions torch uses of it: both decide how sums are rounded."""
    import torch

    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"


def data_digests(config: AnyConfig) -> dict[str, str]:
    """Return the SHA-256 of each data file that the configuration names, by its field."""
    digests = {}
    for field in _DATA_FIELDS:
        name = getattr(getattr(config, "data", None), field, None)
        if isinstance(name, str):
            with contextlib.suppress(DataError):
                file = locate(name, f"data.{field}")
                digests[f"data.{field}"] = file_sha256(file, cache_dir(os.environ))
    return digests


def _versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    import accelerate  # type: ignore[import-untyped]
    import numpy
    import tokenizers
    import torch
    import transformers

    modules: dict[str, Any] = {
        "torch": torch,
        "transformers": transformers,
        "tokenizers": tokenizers,
        "accelerate": accelerate,
        "numpy": numpy,
    }
    found = {name: str(getattr(module, "__version__", "unknown")) for name, module in modules.items()}
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        found["peft"] = importlib.metadata.version("peft")  # not imported where there are no adapters
    return {"python": sys.version.split()[0], "sweepkit": VERSION, **found}


def device_name(device: Any) -> str:
    """Return "cpu", or the GPU's own name after its place, e.g. "cuda:0 NVIDIA H200"."""
    import torch

    if device.type != "cuda":
        return str(device)
    return f"{device} {torch.cuda.get_device_name(device)}"
