"""Batches of (dialogue, summary) items: two sequences for an encoder-decoder, one for a decoder-only model."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

_IGNORED = -100  # the label that torch's cross entropy leaves out


class Seq2SeqCollator:
    """Makes a batch of items: padded to the longest, labels with -100, decoder inputs made from the labels.

    The decoder inputs are needed by label smoothing, which hides the labels from the model.

    Args:
        pad_id: The tokenizer's padding.
        model: The model that will be fed.
        left: Whether the dialogues are filled up at the left.
    """

    def __init__(self, pad_id: int, model: Any, *, left: bool = False) -> None:
        self._pad_id, self._model, self._left = pad_id, model, left

    def __call__(self, items: Sequence[Mapping[str, list[int]]]) -> dict[str, torch.Tensor]:
        """Return tensors of shape (items, longest)."""
        labels = _padded([item["labels"] for item in items], _IGNORED)
        return {
            "input_ids": _padded([item["input_ids"] for item in items], self._pad_id, left=self._left),
            "attention_mask": _padded([item["attention_mask"] for item in items], 0, left=self._left),
            "labels": labels,
            "decoder_input_ids": self._model.prepare_decoder_input_ids_from_labels(labels=labels),
        }


class CausalCollator:
    """Makes a batch of items: prompt and summary in one row, the loss on the summary and its end alone.

    What is masked is decided by place, not by id: where a tokenizer pads with its end, the end of a summary stays.

    Args:
        pad_id: The tokenizer's padding.
    """

    def __init__(self, pad_id: int) -> None:
        self._pad_id = pad_id

    def __call__(self, items: Sequence[Mapping[str, list[int]]]) -> dict[str, torch.Tensor]:
        """Return tensors of shape (items, longest), padded at the right: positions are then right by themselves."""
        rows = [[*item["input_ids"], *item["labels"]] for item in items]
        labels = [[_IGNORED] * len(item["input_ids"]) + list(item["labels"]) for item in items]
        return {
            "input_ids": _padded(rows, self._pad_id),
            "attention_mask": _padded([[1] * len(row) for row in rows], 0),
            "labels": _padded(labels, _IGNORED),
        }


def _padded(rows: Sequence[list[int]], value: int, *, left: bool = False) -> torch.Tensor:
    """Return the rows as one tensor, filled up at the right, or at the left."""
    width = max(map(len, rows))
    if left:
        return torch.tensor([[value] * (width - len(row)) + row for row in rows])
    return torch.tensor([row + [value] * (width - len(row)) for row in rows])
