"""What a run's recorded outcome says of its memory, and of the data that it could not see: numbers and words."""

from collections.abc import Mapping, Sequence
from typing import Any

from sweepkit.model.numbers import is_number

_MIB = 1 << 20


def peak_memory_mb(outcome: Mapping[str, Any]) -> float | None:
    """Return the most memory that a run held, in MiB: of its GPUs where it used any, else of its process.

    >>> peak_memory_mb({"facts": {"peak_memory_bytes": {"cpu": 4 << 20, "gpu": 8 << 20}}, "peak_memory_mb": 9.0})
    8.0
    """
    said = (outcome.get("facts") or {}).get("peak_memory_bytes") or {}
    held = said.get("gpu", said.get("cpu"))
    if is_number(held):
        return round(held / _MIB, 1)
    mine = outcome.get("peak_memory_mb")
    return float(mine) if isinstance(mine, int | float) and mine else None


def memory_words(outcome: Mapping[str, Any]) -> str:
    """Return how a full memory was answered, "" where it was not full.

    >>> memory_words({"facts": {"out_of_memory": {"from": 16, "per_device_train_batch_size": 8}}})
    'memory full: batch 16 → 2 × 8'
    """
    found = (outcome.get("facts") or {}).get("out_of_memory")
    if not isinstance(found, Mapping):
        return ""
    size, asked = found.get("per_device_train_batch_size"), found.get("from")
    parts = []
    if isinstance(size, int) and isinstance(asked, int) and size < asked:
        parts.append(f"batch {asked} → {-(-asked // size)} × {size}")
    if found.get("gradient_checkpointing"):
        parts.append("gradient checkpointing")
    return f"memory full: {', '.join(parts) or 'batches were cut'}"


def cut_sentences(outcomes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what of the data no run saw, a sentence for each kind; equal ones once."""
    found: dict[str, None] = {}
    for outcome in outcomes:
        said = (outcome.get("facts") or {}).get("cut")
        for sentence in (said or {}).get("sentences", ()) if isinstance(said, Mapping) else ():
            found[str(sentence)] = None
    return list(found)
