"""One training in this process, for a caller that has several to make: nothing of it stays in memory afterwards."""

import gc
import traceback
from pathlib import Path
from typing import Any

from sweepkit.training.config.training import AnyConfig
from sweepkit.training.tasks.base import Listeners, Reporter, task
from sweepkit.training.usage import RecordedConfig


def train_here(config: AnyConfig, folder: Path, reporter: Reporter) -> None:
    """Train and evaluate as the configuration says; model, optimizer and data are gone when this returns or raises.

    Args:
        config: Complete and valid.
        folder: Where the task writes its files; made when it is not there.
        reporter: Hears every evaluation. What it raises ends the training and comes out of this function.

    Raises:
        DataError: Data or checkpoint are missing or malformed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    listeners = Listeners(say=lambda line: None, used=list, reporter=reporter)
    try:
        task(config.task)(RecordedConfig(config), folder, listeners)
    except BaseException as error:
        _let_go(error)
        raise
    finally:
        _free_memory()


def _let_go(error: BaseException) -> None:
    """Empty the frames that an error passed through: whoever keeps the error would keep their model, too."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        item = waiting.pop()
        if item is None or id(item) in seen:
            continue
        seen.add(id(item))
        traceback.clear_frames(item.__traceback__)
        waiting += [item.__context__, item.__cause__]


def _free_memory() -> None:
    """Collect what nobody holds any more, and give the GPU's memory back to the driver."""
    gc.collect()
    import torch

    cuda: Any = torch.cuda
    if cuda.is_available() and cuda.is_initialized():
        cuda.empty_cache()
