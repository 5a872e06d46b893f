"""Images as the Trainer takes them: batches of scaled tensors; mixed, and with soft labels, for training."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sweepkit.training.images.data import Images
from sweepkit.training.images.folds import Rows

_CHUNK = 1024  # images looked at together, so that memory-mapped data are never in memory as a whole


@dataclass(frozen=True, slots=True)
class Scaling:
    """Mean and standard deviation of each channel, of pixels in 0 … 1; what a model sees is (pixel - mean) / std."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def measured(images: Images, rows: Rows) -> Scaling:
    """Return the scaling of some rows: those trained on, so that nothing of the others leaks into it.

    A channel that never varies is left at its size (std 1).
    """
    count, total, squares = 0, np.zeros(images.pixels.shape[3]), np.zeros(images.pixels.shape[3])
    for at in range(0, len(rows), _CHUNK):
        values = images.pixels[rows[at : at + _CHUNK]].astype(np.float64) / 255
        count += values[..., 0].size
        total += values.sum(axis=(0, 1, 2))
        squares += np.square(values).sum(axis=(0, 1, 2))
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - np.square(mean), 0.0))
    return Scaling(tuple(mean.tolist()), tuple(np.where(std > 1e-6, std, 1.0).tolist()))


def soft_labels(labels: torch.Tensor, classes: int, smoothing: float) -> torch.Tensor:
    """Return wanted probabilities of the shape (labels, classes): 1 - smoothing for the right class, the rest even.

    >>> soft_labels(torch.tensor([1]), 2, 0.5)
    tensor([[0.2500, 0.7500]])
    """
    hot = torch.nn.functional.one_hot(labels, classes).to(torch.float32)
    return hot * (1.0 - smoothing) + smoothing / classes


def mix(values: torch.Tensor, weight: float, order: torch.Tensor) -> torch.Tensor:
    """Return the weighted mean of each row with the one that `order` names: weight · row + (1 - weight) · other.

    Source: Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization", one weight and one permutation a batch.
    """
    return weight * values + (1.0 - weight) * values[order]


@dataclass(frozen=True, slots=True, kw_only=True)
class Softening:
    """What is done to training batches.

    Args:
        smoothing: Label smoothing, in [0, 1).
        mixup_alpha: Of the Beta distribution of mixup's weights; 0 for no mixup.
        seed: Of the weights and partners.
    """

    smoothing: float
    mixup_alpha: float
    seed: int


class Batches(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    """Some rows of the images; torch's loader fetches a whole batch of them at once.

    A batch is {"pixel_values": (rows, channels, size, size), "labels": (rows,) or, softened, (rows, classes)}.

    Args:
        images: All of them.
        rows: Which.
        scaling: Of the pixels.
        softening: For training; None scores with plain labels.
    """

    def __init__(self, images: Images, rows: Rows, scaling: Scaling, softening: Softening | None = None) -> None:
        self._images, self._rows, self._softening = images, rows, softening
        # One multiplication and one addition: x / 255 / std - mean / std.
        std = np.asarray(scaling.std, dtype=np.float32)
        self._factor = 1.0 / (255.0 * std)
        self._shift = -np.asarray(scaling.mean, dtype=np.float32) / std
        self._random = np.random.default_rng(0 if softening is None else softening.seed)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """Return one image with its label, as a batch of one."""
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        """Return a batch."""
        rows = self._rows[np.asarray(indices, dtype=np.int64)]
        values: npt.NDArray[np.float32] = self._images.pixels[rows].astype(np.float32) * self._factor + self._shift
        pixels = torch.from_numpy(np.ascontiguousarray(values.transpose(0, 3, 1, 2)))
        labels = torch.from_numpy(self._images.labels[rows])
        if self._softening is None:
            return {"pixel_values": pixels, "labels": labels}
        wanted = soft_labels(labels, len(self._images.classes), self._softening.smoothing)
        if self._softening.mixup_alpha > 0:
            weight = float(self._random.beta(self._softening.mixup_alpha, self._softening.mixup_alpha))
            order = torch.from_numpy(self._random.permutation(len(rows)))
            pixels, wanted = mix(pixels, weight, order), mix(wanted, weight, order)
        return {"pixel_values": pixels, "labels": wanted}


def as_fetched(batch: Any) -> Any:
    """Return a batch as it is: `Batches` has put it together already."""
    return batch
