"""The guides' models."""

from typing import Any

import torch

from sweepkit.studies.inputs import config_of
from sweepkit.training.config.image_sections import PerceiverModelSection
from sweepkit.training.images.perceiver_model import Perceiver
from sweepkit.training.models.loading import load


class ModelLoader:
    """Loads the model and the tokenizer of a configuration, cut and adapted as it says."""

    def __init__(self, config: Any) -> None:
        self.config = config

    def load(self) -> tuple[Any, Any]:
        """Return model and tokenizer."""
        loaded = load(config_of(self.config))  # type: ignore[arg-type]
        return loaded.model, loaded.tokenizer


class PerceiverMNIST(torch.nn.Module):
    """A Perceiver for MNIST's ten classes of 28 × 28 pixels, in the tutorial's sizes."""

    def __init__(self, depth: int, latent_dim: int, num_latents: int) -> None:
        super().__init__()
        section = PerceiverModelSection(depth=depth, latent_dim=latent_dim, num_latents=num_latents)
        self.model = Perceiver(section, img_size=28, channels=1, classes=10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits of the shape (images, 10) for pixels of the shape (images, 1, 28, 28)."""
        logits: torch.Tensor = self.model(images)
        return logits
