"""A small Perceiver: latents that attend to all pixels and to each other, several times with the same weights.

Source: Jaegle et al. 2021, "Perceiver: General Perception with Iterative Attention", sections 3.1 and 3.2: an
asymmetric cross-attention of one head from learned latents to the input, a latent transformer block, weights shared
over depth, Fourier features of the positions, the mean of the latents into the classifier. Each block normalizes what
it is given.

transformers' own Perceiver wants 3 channels and 256-channel convolution features: 708,000 parameters at the least, and
5.4 s an epoch of the digits where this one takes 1 s.
"""

import math

import torch
from torch import Tensor, nn

from sweepkit.errors import DataError
from sweepkit.training.config.image_sections import PerceiverModelSection

_INITIAL_STD = 0.02  # of the latents; the paper's


def position_features(size: int, bands: int) -> Tensor:
    """Return Fourier features of the pixels' positions, row by row: shape (size · size, 2 · (2 · bands + 1)).

    A position in -1 … 1 becomes itself and, for each frequency f from 1 to size / 2 in even steps, sin(f π x) and
    cos(f π x): the highest frequency is the Nyquist frequency of the grid.
    """
    line = torch.linspace(-1.0, 1.0, size)
    rows, columns = torch.meshgrid(line, line, indexing="ij")
    positions = torch.stack([rows.flatten(), columns.flatten()], dim=1)  # (pixels, 2)
    frequencies = torch.linspace(1.0, size / 2, bands)
    angles = math.pi * positions[:, :, None] * frequencies  # (pixels, 2, bands)
    features = torch.cat([positions[:, :, None], angles.sin(), angles.cos()], dim=2)
    return features.flatten(1)


class _Attention(nn.Module):
    """Scaled dot-product attention from `dim` channels to `source_dim` channels, with its own normalizations.

    Args:
        dim: Channels of what attends, and of the result; a multiple of heads.
        source_dim: Channels of what is attended to.
        heads: Attention heads.
    """

    def __init__(self, dim: int, source_dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.source_norm = nn.LayerNorm(dim), nn.LayerNorm(source_dim)
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(source_dim, 2 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, given: Tensor, source: Tensor) -> Tensor:
        """Return what `given` (images, latents, dim), in the same shape, finds in `source` (images, positions, …)."""
        key, value = self.key_value(self.source_norm(source)).chunk(2, dim=-1)
        parts = (self.query(self.norm(given)), key, value)
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


def _feed_forward(dim: int) -> nn.Sequential:
    """Return the dense block after an attention; twice as wide inside."""
    return nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))


class Perceiver(nn.Module):
    """Sorts images.

    Args:
        section: Depth, latents, heads, bands, dropout.
        img_size: Pixels along both sides.
        channels: Of the images.
        classes: Number of outputs.

    Raises:
        DataError: latent_dim is no multiple of heads.
    """

    def __init__(self, section: PerceiverModelSection, *, img_size: int, channels: int, classes: int) -> None:
        super().__init__()
        dim, heads, bands = section.latent_dim, section.heads, section.bands
        if dim % heads:
            raise DataError(f"model.latent_dim: must be a multiple of model.heads, here {heads}, got {dim}")
        self.depth = section.depth
        self.register_buffer("positions", position_features(img_size, bands), persistent=False)
        width = channels + 2 * (2 * bands + 1)
        self.latents = nn.Parameter(torch.randn(section.num_latents, dim) * _INITIAL_STD)
        self.cross = _Attention(dim, width, 1)
        self.cross_dense = _feed_forward(dim)
        self.among = _Attention(dim, dim, heads)
        self.among_dense = _feed_forward(dim)
        self.dropout = nn.Dropout(section.dropout)
        self.norm = nn.LayerNorm(dim)
        self.classifier = nn.Linear(dim, classes)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Return logits of the shape (images, classes) for pixels of the shape (images, channels, size, size)."""
        pixels = pixel_values.flatten(2).transpose(1, 2)  # (images, positions, channels)
        positions: Tensor = self.positions  # type: ignore[assignment]  # a buffer is a tensor
        source = torch.cat([pixels, positions.expand(len(pixels), -1, -1)], dim=2)
        latents = self.latents.expand(len(pixels), -1, -1)
        for _ in range(self.depth):
            latents = latents + self.dropout(self.cross(latents, source))
            latents = latents + self.dropout(self.cross_dense(latents))
            latents = latents + self.dropout(self.among(latents, latents))
            latents = latents + self.dropout(self.among_dense(latents))
        logits: Tensor = self.classifier(self.norm(latents.mean(dim=1)))
        return logits
