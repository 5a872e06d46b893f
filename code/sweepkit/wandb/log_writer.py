"""Writes a `.wandb` file: records of W&B's own classes, and the log that frames them. Counterpart of `wandb_log`.

Knows nothing of runs or of files. What is written here is what W&B's own client sends on: `wandb sync` and its service
read it as if W&B had written it. Only the process that sends uses it, and that has imported W&B anyway; the framing
stands here, because since W&B 0.31 only its service, which is no Python, can write it.

Source: LevelDB, `doc/log_format.md`; `wandb_internal.proto` of W&B 0.31.
"""

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any

from wandb.proto import wandb_internal_pb2

from sweepkit.text.json_text import spelled
from sweepkit.tracking.wandb_log import MAGIC, SUPPORTED_VERSION

pb: Any = wandb_internal_pb2  # its classes are made while it is imported: no type checker sees them

_BLOCK_BYTES = 32 * 1024
_CHUNK = struct.Struct("<IHB")
_WHOLE, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


class LogEncoder:
    """Frames records as the blocks of a `.wandb` file. Write everything it returns, in order.

    >>> encoder = LogEncoder()
    >>> (encoder.begin() + encoder.frame(b"x")).hex(" ")
    '3a 57 26 42 e1 be 00 b0 da 1c 06 01 00 01 78'
    """

    def __init__(self) -> None:
        self._position = 0

    def begin(self) -> bytes:
        """Return the file's first bytes."""
        return self._count(MAGIC + bytes((SUPPORTED_VERSION,)))

    def frame(self, payload: bytes) -> bytes:
        """Return one record as it stands in the file."""
        parts: list[bytes] = []
        rest, first = payload, True
        while first or rest:
            room = _BLOCK_BYTES - self._position % _BLOCK_BYTES
            if room < _CHUNK.size:
                parts.append(self._count(bytes(room)))
                continue
            data, rest = rest[: room - _CHUNK.size], rest[room - _CHUNK.size :]
            kind = (_WHOLE if first else _LAST) if not rest else (_FIRST if first else _MIDDLE)
            crc = zlib.crc32(data, zlib.crc32(bytes((kind,))))
            parts.append(self._count(_CHUNK.pack(crc, len(data), kind) + data))
            first = False
        return b"".join(parts)

    def _count(self, data: bytes) -> bytes:
        self._position += len(data)
        return data


def put(items: Any, values: Mapping[str, Any]) -> None:
    """Append values to the items of a history, summary or configuration message, as W&B encodes them."""
    for name, value in values.items():
        items.add(nested_key=[utf8(name)], value_json=utf8(json.dumps(spelled(value), ensure_ascii=False)))


def utf8(text: str) -> str:
    """Return a text with "?" for what has no UTF-8 form, which protobuf refuses."""
    return text.encode("utf-8", "replace").decode("utf-8")


def header() -> Any:
    """Return the record that a file begins with."""
    return pb.Record(header={"version_info": {"producer": "0.31.0", "min_consumer": "0.31.0"}})


def history(values: Mapping[str, Any], *, step: int) -> Any:
    """Return one row; `step` is W&B's own, which grows from row to row."""
    record = pb.Record(history={"step": {"num": step}})
    put(record.history.item, {**values, "_step": step})
    return record


def moved_row(row: Any, *, step: int, extra: Mapping[str, Any]) -> Any:
    """Return a history message as a record of another step, with further values."""
    kept = [item for item in row.item if "_step" not in (item.key, *item.nested_key[:1])]
    record = pb.Record(history={"item": kept, "step": {"num": step}})
    put(record.history.item, {**extra, "_step": step})
    return record


def summary(values: Mapping[str, Any]) -> Any:
    """Return a change of the summary."""
    record = pb.Record(summary={})
    put(record.summary.update, values)
    return record


def step_metric(name: str) -> Any:
    """Return the record by which W&B draws every metric over the metric `name` instead of over its own step."""
    return pb.Record(metric={"glob_name": "*", "step_metric": name})


def ended(exit_code: int) -> Any:
    """Return the record that ends a run."""
    return pb.Record(exit={"exit_code": exit_code})
