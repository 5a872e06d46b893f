"""Writes a `.wandb` file: records as bytes, and the log that frames them. The counterpart of `wandb_log`.

Knows nothing of W&B's package (see `wandb_log`), of runs or of files. What is written here is what W&B's own client
sends on: `wandb sync` and its service read it as if W&B had written it.

Source: LevelDB, `doc/log_format.md`; protobuf.dev, "Encoding"; field numbers from `wandb_internal.proto` of W&B 0.31.
"""

import json
import math
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sweepkit.tracking.wandb_log import MAGIC, SUPPORTED_VERSION, fields

_BLOCK_BYTES = 32 * 1024
_CHUNK = struct.Struct("<IHB")
_WHOLE, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4

HISTORY, SUMMARY, OUTPUT, CONFIG, STATS, METRIC, OUTPUT_RAW, RUN, EXIT, HEADER = 2, 3, 4, 5, 7, 12, 13, 17, 18, 21
"""Field numbers of a record's kinds."""


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


def _number(value: int) -> bytes:
    """Return a whole number as a protobuf varint; a negative one in 64 bits.

    >>> _number(300).hex()
    'ac02'
    """
    value &= (1 << 64) - 1
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)


def field(key: int, value: bytes | str | int) -> bytes:
    """Return a protobuf field: a varint for a whole number, else text or a message with its length."""
    if isinstance(value, int):
        return _number(key << 3) + _number(value)
    data = value.encode("utf-8", "replace") if isinstance(value, str) else value
    return _number(key << 3 | 2) + _number(len(data)) + data


def item(path: Sequence[str], value: Any) -> bytes:
    """Return one value of a history, summary or configuration, by its nested name, as W&B encodes it."""
    return b"".join(field(2, name) for name in path) + field(16, json.dumps(_finite(value), ensure_ascii=False))


def _finite(value: Any) -> Any:
    """Return a value that has a form in JSON: what is not finite becomes the word by which W&B knows it."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(key): _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value


def items(values: Mapping[str, Any]) -> bytes:
    """Return top-level values as the first field of a history, summary or configuration message."""
    return b"".join(field(1, item((name,), value)) for name, value in values.items())


def kind(payload: bytes) -> int:
    """Return the kind of a record made here: its first field."""
    return next((key for key, _ in fields(payload)), 0)


def header() -> bytes:
    """Return the record that a file begins with."""
    return field(HEADER, field(1, field(1, "0.31.0") + field(2, "0.31.0")))


def history(values: Mapping[str, Any], *, step: int) -> bytes:
    """Return one row; `step` is W&B's own, which grows from row to row."""
    return field(HISTORY, items({**values, "_step": step}) + field(2, field(1, step)))


def summary(values: Mapping[str, Any]) -> bytes:
    """Return a change of the summary."""
    return field(SUMMARY, items(values))


def config(values: Mapping[str, Any]) -> bytes:
    """Return a change of the configuration."""
    return field(CONFIG, items(values))


def step_metric(name: str) -> bytes:
    """Return the record by which W&B draws every metric over the metric `name` instead of over its own step."""
    return field(METRIC, field(2, "*") + field(4, name))


def ended(exit_code: int) -> bytes:
    """Return the record that ends a run."""
    return field(EXIT, field(1, exit_code))


def moved_row(row: bytes, *, step: int, extra: Mapping[str, Any]) -> bytes:
    """Return a history message as a record of another step, with further values.

    Args:
        row: The message (not the record).
        step: Its new step.
        extra: Values to add.

    Raises:
        ValueError: `row` is no protobuf message.
    """
    kept = [field(1, data) for key, data in fields(row) if key == 1 and not _is_step(data)]
    return field(HISTORY, b"".join(kept) + items({**extra, "_step": step}) + field(2, field(1, step)))


def _is_step(data: bytes) -> bool:
    return [value for key, value in fields(data) if key in (1, 2)] == [b"_step"]


def timestamp(seconds: float) -> bytes:
    """Return seconds since the epoch as protobuf's Timestamp."""
    whole = int(seconds // 1)
    return field(1, whole) + field(2, int((seconds - whole) * 1e9))


def message(parts: Iterable[tuple[int, bytes | str | int]]) -> bytes:
    """Return a message of fields in order; empty texts are left out, as protobuf does."""
    return b"".join(field(key, value) for key, value in parts if value not in (b"", ""))
