"""What was found to fit into memory, from a run of a sweep to the later ones: they begin with a batch that fits.

A file for each kind of model and device, in the sweep's cache. It says how many examples at once found no memory, how
many were gone on with, and how much memory there was: with more of it (the neighbours on the GPU ended) a run tries
again what it was asked for.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sweepkit.environ import RUN_DIR_ENV
from sweepkit.files import write_atomically
from sweepkit.paths import cache_dir
from sweepkit.training.config.training import TrainingConfig, as_dict, flatten

# Settings that decide what an example takes in training. Searched ones beside them share what is found.
_DECIDE = ("model.", "lora.", "tokenizer.", "data.train_file", "data.dialogue_column", "data.summary_column")
_DECIDE_TRAINING = tuple(
    f"training.{name}" for name in ("fp16", "bf16", "gradient_checkpointing", "optim", "label_smoothing_factor")
)
_NOT = ("model.dropout_rate", "model.attention_dropout", "lora.alpha", "lora.dropout")
_AS_MUCH = 1.02  # memory that is as good as the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What one run found.

    Args:
        refused: The fewest examples at once that found no memory, > 1.
        fits: How many it went on with, >= 1.
        memory_bytes: What a run could have of the device then; None where that is not known.
        run: Who found it.
    """

    refused: int
    fits: int
    memory_bytes: int | None
    run: str


class Fits:
    """What the runs of a sweep found for one kind of model and device.

    Args:
        path: The file.
        run: This run's name.
    """

    def __init__(self, path: Path, run: str) -> None:
        self._path, self._run = path, run

    def known(self, batch_size: int) -> Fit | None:
        """Return what holds for a batch of this size now; None when nothing does. A damaged file says nothing."""
        with contextlib.suppress(OSError, ValueError, TypeError):
            fit = Fit(**json.loads(self._path.read_text(encoding="utf-8")))
            now = _memory_bytes()
            more = now is not None and fit.memory_bytes is not None and now > _AS_MUCH * fit.memory_bytes
            if batch_size >= fit.refused and not more:
                return fit
        return None

    def note(self, refused: int, fits: int) -> None:
        """Take note that so many examples at once found no memory, and of how many it goes on with."""
        fit = Fit(refused=refused, fits=fits, memory_bytes=_memory_bytes(), run=self._run)
        with contextlib.suppress(OSError):  # a full disk: the next run finds it out by itself
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, json.dumps(asdict(fit)))


def fits_of(config: TrainingConfig, environ: Mapping[str, str], *, device: str) -> Fits | None:
    """Return what is known of a configuration's memory in this sweep; None outside a sweep."""
    run_dir = environ.get(RUN_DIR_ENV)
    if not run_dir:
        return None
    settings = flatten(as_dict(config))
    wanted = {name: value for name, value in settings.items() if _decides(name)}
    sweep, run = os.path.split(os.path.normpath(run_dir))
    text = json.dumps([sweep, device, wanted], sort_keys=True, default=str)
    return Fits(cache_dir(environ) / "memory" / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.json", run)


def _decides(name: str) -> bool:
    return name in _DECIDE_TRAINING or (name.startswith(_DECIDE) and name not in _NOT)


def _memory_bytes() -> int | None:
    """Return what this process could have of its GPU: what is free and what it has; None without CUDA in use."""
    import torch

    cuda: Any = torch.cuda
    if not (cuda.is_available() and cuda.is_initialized()):
        return None
    return int(cuda.mem_get_info()[0]) + int(cuda.memory_reserved())
