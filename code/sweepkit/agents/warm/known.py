"""Libraries that read or do at import what differs from process to process, and that forks may share all the same."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Iterable
from typing import Any

# They look at the process's id when they are imported and compare it with os.getpid() before they rely on it.
_MIND_FORKS = frozenset({"filelock", "fsspec", "huggingface_hub", "joblib", "multiprocessing", "psutil", "wandb"})
# Random at import, and of no consequence for what a program computes or writes: keys within the process, telemetry.
_HARMLESS_DRAWS = frozenset(
    {
        "multiprocessing.process",  # the authentication key: a fork gets its own, see program._renew
        "opentelemetry.context",
        "opentelemetry.trace.propagation",
        "rich.style",
        "sympy.core.symbol",  # where it begins to count its dummies
        "torch.distributed._composable.contract",
        "transformers.utils.hub",
    }
)
# What they do at each fork concerns themselves alone: locks made anew, threads forgotten, generators seeded.
_FORK_HANDLERS = frozenset(
    {"filelock", "fsspec", "grpc", "huggingface_hub", "joblib", "matplotlib", "numpy", "pyarrow", "torch", "wandb"}
    | {"concurrent", "logging", "multiprocessing", "random", "threading"}  # Python 3.9 does not list its own modules
)
# They go through the whole environment for the variables that begin so.
PREFIXES = {"fsspec.config": "FSSPEC_", "tqdm.std": "TQDM_"}
# They keep the working directory of their import for later, in this attribute.
KEEP_FOLDER = {"multiprocessing.process": "ORIGINAL_DIR", "rich": "_IMPORT_CWD"}
# (module, variable): read at import, and read again whenever it counts.
ASKED_AGAIN = frozenset({("torch._dynamo.package", "TORCHINDUCTOR_CACHE_DIR")})
# What a package imports in the call that its programs begin with, beside what its own import brings: `wandb.init`.
_IMPORTED_LATER = {"wandb": ("wandb.sdk.launch",)}


def imported_later(names: Iterable[str]) -> list[str]:
    """Return the modules that programs which import these (`module` or `module:attribute`) import while they run."""
    tops = dict.fromkeys(name.partition(":")[0].partition(".")[0] for name in names)
    return [later for top in tops for later in _IMPORTED_LATER.get(top, ())]


def is_harmless(module: str, what: str) -> bool:
    """Return whether forks may share a module whose import did `what` ("pid", "random", ...)."""
    if what == "pid":
        return module.partition(".")[0] in _MIND_FORKS
    if what == "fork":
        top = module.partition(".")[0]
        return top in _FORK_HANDLERS or top in getattr(sys, "stdlib_module_names", ())
    return what == "random" and module in _HARMLESS_DRAWS


def let_forks_have_their_own(modules: dict[str, types.ModuleType]) -> None:
    """Change what modules keep from their import where a fork would be taken for its server.

    W&B's settings hold the id of the process whose memory and CPU it records.
    """
    settings: Any = getattr(modules.get("wandb.sdk.wandb_settings"), "Settings", None)
    field = getattr(settings, "model_fields", {}).get("x_stats_pid")
    if field is not None and field.default == os.getpid():
        field.default = type(field)().default  # none
        field.default_factory = os.getpid
        settings.model_rebuild(force=True)
