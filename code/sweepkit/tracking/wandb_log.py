"""The bytes of a `.wandb` file as records: a LevelDB log of protobuf messages, decoded as they arrive.

Knows nothing of files, folders or W&B's package: every agent reads these files, and must not import W&B for it. `import
wandb.proto` would load all of W&B (measured: 667 modules, 0.66 s of CPU, 60 MB) into an agent that needs six fields, so
they are read here by hand from protobuf's wire format. Who writes such a file (`sweepkit.wandb.log_writer`) does it
with W&B's own classes.

The log: 7 bytes `:W&B` 0xE1 0xBE version, then blocks of 32 KiB (the first one counts the header). A block holds
chunks of crc32 (4 bytes, over the type byte and the data, zlib's polynomial), length (2), type (1: 1 whole, 2 first,
3 middle, 4 last), data; fewer than 7 bytes at a block's end are padding. Little endian.

Source: LevelDB, `doc/log_format.md`; protobuf.dev, "Encoding"; field numbers from `wandb_internal.proto` of W&B 0.31.
"""

import json
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sweepkit.tracking.run_card import RecordedRunCard

MAGIC = b":W&B\xe1\xbe"
SUPPORTED_VERSION = 0
_HEADER_BYTES = 7
_BLOCK_BYTES = 32 * 1024
_CHUNK = struct.Struct("<IHB")
_WHOLE, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_DOUBLE = struct.Struct("<d")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRow:
    """One `wandb.log` row: `items` as W&B nests and encodes them (`_step`, `_timestamp`, … included)."""

    items: dict[str, Any]
    step: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A change of the summary: nested names to values, and names that were removed."""

    update: dict[str, Any] = field(default_factory=dict)
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigChange:
    """What `wandb.config` was set to after `wandb.init`."""

    update: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """The run was finished with that code."""

    exit_code: int


@dataclass(frozen=True, slots=True)
class Preempting:
    """`run.mark_preempting()` was called: if the process ends badly now, the run wants to be resumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricDefined:
    """`define_metric` was called: for one name, or for all that begin as a `pattern` with a star at its end does.

    Args:
        name: The metric's, "" with a pattern.
        pattern: As "val/*", "" with a name.
        kinds: What its summary shall hold: of "min", "max", "mean", "best", "last", "none", "copy", "first".
        goal: "minimize", "maximize", or "".
    """

    name: str = ""
    pattern: str = ""
    kinds: tuple[str, ...] = ()
    goal: str = ""


Record = LoggedRow | Summary | RecordedRunCard | ConfigChange | Exit | Preempting | MetricDefined


class LogDecoder:
    """Cuts a growing `.wandb` file into its records' bytes. Feed it everything, once, in order.

    What is incomplete waits for the rest. Damage costs the rest of its block, as in W&B's own reader: where the next
    record begins is known again only where the next block does.

    Attributes:
        problems: Number of damaged places that were skipped.
    """

    def __init__(self) -> None:
        self.problems = 0
        self._buffer = bytearray()
        self._start = 0  # position of the buffer's first byte in the file
        self._parts: list[bytes] | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """Return the payloads of the records that `data` completes.

        Raises:
            ValueError: The file does not begin like a `.wandb` file of a known version.
        """
        self._buffer += data
        payloads: list[bytes] = []
        at = 0
        if self._start == 0:
            if len(self._buffer) < _HEADER_BYTES:
                return []
            self._check_header()
            at = _HEADER_BYTES
        while (end := self._chunk(at, payloads)) is not None:
            at = end
        if at > 0 and (self._start or at > _HEADER_BYTES):
            del self._buffer[:at]
            self._start += at
        return payloads

    def _check_header(self) -> None:
        head = bytes(self._buffer[:_HEADER_BYTES])
        if head[:-1] != MAGIC:
            raise ValueError(f"a .wandb file must begin with {MAGIC!r}, got {head[:-1]!r}")
        if head[-1] != SUPPORTED_VERSION:
            raise ValueError(f"a .wandb file must have format version {SUPPORTED_VERSION}, got {head[-1]}")

    def _chunk(self, at: int, payloads: list[bytes]) -> int | None:
        """Take the chunk at `at`; return where the next one begins, or None when it is not all there."""
        block_left = _BLOCK_BYTES - (self._start + at) % _BLOCK_BYTES
        available = len(self._buffer) - at
        if block_left < _CHUNK.size:
            return at + block_left if available >= block_left else None
        if available < _CHUNK.size:
            return None
        length: int
        crc, length, kind = _CHUNK.unpack_from(self._buffer, at)
        begin = at + _CHUNK.size
        if length <= block_left - _CHUNK.size:
            if available < _CHUNK.size + length:
                return None
            data = bytes(self._buffer[begin : begin + length])
            if _WHOLE <= kind <= _LAST and zlib.crc32(data, zlib.crc32(bytes((kind,)))) == crc:
                self._join(kind, data, payloads)
                return begin + length
        if available < block_left:
            return None  # the block must have its end before it can be skipped
        self.problems += 1
        self._parts = None
        return at + block_left

    def _join(self, kind: int, data: bytes, payloads: list[bytes]) -> None:
        if kind in (_WHOLE, _FIRST):
            self.problems += self._parts is not None  # a record begins inside another: the other lost its end
            self._parts = None
        if kind == _WHOLE:
            payloads.append(data)
        elif kind == _FIRST:
            self._parts = [data]
        elif self._parts is not None:  # else: the rest of a record whose beginning was skipped
            self._parts.append(data)
            if kind == _LAST:
                payloads.append(b"".join(self._parts))
                self._parts = None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("a protobuf number is cut or too long")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield (field number, value) of a protobuf message: int for a varint, bytes for everything else."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire = tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        if wire == 2:
            size, at = _varint(data, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"a protobuf field must have wire type 0, 1, 2 or 5, got {wire}")
        if at + size > len(data):
            raise ValueError("a protobuf field is cut")
        yield tag >> 3, data[at : at + size]
        at += size


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _text(value: Any) -> str:
    if not isinstance(value, bytes):  # bytes(17_000_000_000) would take as much memory
        raise ValueError(f"a protobuf text must be bytes, got {value!r}")
    return value.decode("utf-8", "replace")


_TYPED_JSON, _VALUE_JSON = 8, 16


def _item(data: bytes) -> tuple[tuple[str, ...], Any]:
    """Return (nested name, value) of a history, summary or config item; JSON wins over the typed form beside it."""
    key = ""
    nested: list[str] = []
    value: Any = None
    text: str | None = None
    for number, raw in _fields(data):
        if number == 1:
            key = _text(raw)
        elif number == 2:
            nested.append(_text(raw))
        elif number in (_TYPED_JSON, _VALUE_JSON):
            text = _text(raw)
        elif number == 4:
            value = bool(raw)
        elif number == 5:
            value = (raw >> 1) ^ -(raw & 1)  # protobuf's zigzag
        elif number == 6:
            value = _DOUBLE.unpack(raw)[0]
        elif number == 7:
            value = _text(raw)
    if text:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = text
    return tuple(nested) or (key,), value


def _put(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        inner = tree.get(name)
        if not isinstance(inner, dict):
            inner = tree[name] = {}
        tree = inner
    tree[path[-1]] = value


def _updates(data: bytes) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for found, raw in _fields(data):
        if found == 1:
            _put(tree, *_item(raw))
    return tree


def _row(data: bytes) -> LoggedRow:
    step = None
    for number, raw in _fields(data):
        if number == 2:  # an absent number inside is protobuf's way to write 0
            step = next((_signed(value) for inner, value in _fields(raw) if inner == 1), 0)
    return LoggedRow(items=_updates(data), step=step)


_RUN_TEXTS = {1: "run_id", 3: "project", 6: "group", 7: "job_type", 8: "name", 9: "notes", 12: "sweep_id"}


def _run(data: bytes) -> RecordedRunCard:
    texts = {"run_id": ""}
    tags: list[str] = []
    config: dict[str, Any] = {}
    for number, raw in _fields(data):
        if number == 4:
            config = _updates(raw)
        elif number in _RUN_TEXTS:
            texts[_RUN_TEXTS[number]] = _text(raw)
        elif number == 10:
            tags.append(_text(raw))
    config.pop("_wandb", None)
    return RecordedRunCard(**texts, tags=tuple(tags), config=config)


def decode(payload: bytes) -> Record | None:
    """Return what a record says, or None when it is of a kind that nobody here asks for.

    Raises:
        ValueError: The payload is not a protobuf message, or not one of W&B's.
    """
    try:
        for number, raw in _fields(payload):
            if number in _RECORDS:
                return _RECORDS[number](raw)
    except (TypeError, struct.error) as error:
        raise ValueError(f"a field has not the type that W&B gives it: {error}") from error
    return None


def _summary(data: bytes) -> Summary:
    removed = tuple(".".join(_item(item)[0]) for number, item in _fields(data) if number == 2)
    return Summary(update=_updates(data), remove=removed)


def _config(data: bytes) -> ConfigChange:
    update = _updates(data)
    update.pop("_wandb", None)
    return ConfigChange(update=update)


def _exit(data: bytes) -> Exit:
    return Exit(exit_code=_signed(next((value for number, value in _fields(data) if number == 1), 0)))


_SUMMARY_KINDS = {1: "min", 2: "max", 3: "mean", 4: "best", 5: "last", 6: "none", 7: "copy", 8: "first"}
_GOALS = {1: "minimize", 2: "maximize"}


def _metric(data: bytes) -> MetricDefined:
    texts = {"name": "", "pattern": ""}
    kinds: tuple[str, ...] = ()
    goal = ""
    for number, raw in _fields(data):
        if number in (1, 2):
            texts["name" if number == 1 else "pattern"] = _text(raw)
        elif number == 7:
            kinds = tuple(_SUMMARY_KINDS[kind] for kind, said in _fields(raw) if said and kind in _SUMMARY_KINDS)
        elif number == 8:
            goal = _GOALS.get(raw, "")
    return MetricDefined(**texts, kinds=kinds, goal=goal)


_RECORDS: dict[int, Callable[[bytes], Record]] = {
    2: _row,
    3: _summary,
    5: _config,
    12: _metric,
    17: _run,
    18: _exit,
    23: lambda _: Preempting(),
}
