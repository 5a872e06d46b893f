"""Image classification with transformers' ConvNeXt, Swin and ViT, built small or from a checkpoint; stratified folds.

Importing this module imports torch and transformers; it uses neither of them before `train` is called.
"""

from pathlib import Path
from typing import Any

from sweepkit.training.config.training import ImageConfig
from sweepkit.training.images import models
from sweepkit.training.images.batches import Scaling
from sweepkit.training.images.data import Images
from sweepkit.training.images.validation import Architecture, validate
from sweepkit.training.results import write_json
from sweepkit.training.tasks.base import Listeners, Outcome
from sweepkit.training.usage import RecordedConfig


def train(recorded: RecordedConfig[ImageConfig], output_dir: Path, listeners: Listeners) -> Outcome:
    """Train and evaluate as the configuration says.

    Args:
        recorded: The configuration; what is read of it is noted there.
        output_dir: An existing folder; models go to `model/` below it when `training.save_model`.
        listeners: Who hears of it.

    Raises:
        DataError: Images or checkpoint are missing or malformed, or do not fit each other.
    """
    config = recorded.config
    name = config.model.name
    if name == "vit" and recorded.raw.model.drop_path:
        listeners.say("model.drop_path: a ViT has no stochastic depth; it is not used")

    def make(images: Images) -> Any:
        return models.make(
            config.model, img_size=config.data.img_size, channels=images.pixels.shape[3], classes=images.classes
        )

    def scaling(channels: int) -> Scaling | None:
        return None if models.is_built(name) else models.checkpoint_scaling(name, channels)

    def save(model: Any, used: Scaling, folder: Path) -> None:
        model.save_pretrained(folder)
        write_json(folder / "preprocessor_config.json", models.processor_file(used, config.data.img_size))

    architecture = Architecture(
        make=make, logits=lambda model, pixels: model(pixel_values=pixels).logits, save=save, scaling=scaling
    )
    return validate(config, output_dir, listeners, architecture)
