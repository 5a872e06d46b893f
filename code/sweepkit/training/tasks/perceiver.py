"""Image classification with a small Perceiver of our own, in the sizes of the tutorial on MNIST.

Importing this module imports torch and transformers; it uses neither of them before `train` is called.
"""

import dataclasses
from pathlib import Path
from typing import Any

from sweepkit.training.config.training import PerceiverConfig
from sweepkit.training.images.batches import Scaling
from sweepkit.training.images.data import Images
from sweepkit.training.images.perceiver_model import Perceiver
from sweepkit.training.images.validation import Architecture, validate
from sweepkit.training.results import write_json
from sweepkit.training.tasks.base import Listeners, Outcome
from sweepkit.training.usage import RecordedConfig


def train(recorded: RecordedConfig[PerceiverConfig], output_dir: Path, listeners: Listeners) -> Outcome:
    """Train and evaluate as the configuration says.

    Args:
        recorded: The configuration; what is read of it is noted there.
        output_dir: An existing folder; models go to `model/` below it when `training.save_model`: model.safetensors,
            and config.json with what `Perceiver` is built from.
        listeners: Who hears of it.

    Raises:
        DataError: The images are missing or malformed, or the model's sizes do not fit each other.
    """
    config = recorded.config

    def make(images: Images) -> Any:
        return Perceiver(
            config.model,
            img_size=config.data.img_size,
            channels=images.pixels.shape[3],
            classes=len(images.classes),
        )

    def save(model: Any, used: Scaling, folder: Path) -> None:
        from safetensors.torch import save_model

        save_model(model, str(folder / "model.safetensors"))
        settings = {"model": dataclasses.asdict(recorded.raw.model), "img_size": config.data.img_size}
        write_json(folder / "config.json", {**settings, "mean": used.mean, "std": used.std})

    return validate(
        config, output_dir, listeners, Architecture(make=make, logits=lambda m, pixels: m(pixels), save=save)
    )
