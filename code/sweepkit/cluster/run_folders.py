"""The folder of a run (its checkpoints), fetched from a node that shares no folder: asked for and sent in the record.

Whoever wants it writes so into the record; the keeper on the node that has it sends it in parts. When no agent is there
any more, because the sweep is over, the cluster's engine is asked to place the sender alone on that node:

    python -m sweepkit.cluster.run_folders SWEEP RUN

with the database in SWEEPKIT_STORAGE. Parts leave the record when they have been laid down.
"""

import fnmatch
import io
import json
import os
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sweepkit.agents.unsent import send_unsent
from sweepkit.cluster.code_archive import node_folder
from sweepkit.cluster.tar import tarfile
from sweepkit.environ import STORAGE_ENV
from sweepkit.errors import SweepKitError
from sweepkit.files import locked, replacing_folder
from sweepkit.paths import SweepPaths
from sweepkit.store.base import Store
from sweepkit.store.open import open_store
from sweepkit.text.shown import say

_PART_BYTES = 8 << 20  # of one row: a database's message, and what both sides hold in memory
_WANTED = "wanted "  # and a run's id; a file of the sweep
_PART = "part "
_HEAD = "parts"  # a file of the run, written after its parts: how many
_SIZE = "parts size"  # written before them: how many bytes are to come, about


class FetchError(SweepKitError):
    """The folder of a run cannot be brought."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """How far a run's folder has come.

    Args:
        parts: How many are in the record.
        of: How many there will be, >= 0; None while nobody has begun.
        whole: All of them are there.
        refused: Why the node sends nothing; "" when it does.
    """

    parts: int
    of: int | None
    whole: bool
    refused: str = ""


def want(store: Store, sweep_id: str, run_id: str, patterns: Sequence[str]) -> None:
    """Ask for the folder of a run, unless it is asked for or has come; parts of another wish are forgotten.

    Args:
        store: The record.
        sweep_id: The run's sweep.
        run_id: The run.
        patterns: What of its folder is wanted, as `fnmatch` takes paths in it; () for all.
    """
    asked = json.dumps(list(patterns)).encode()
    head = json.loads(store.kept_file(run_id, _HEAD) or b"{}")
    if store.kept_file(sweep_id, _WANTED + run_id) == asked or ("parts" in head and head["asked"] == list(patterns)):
        return
    forget(store, run_id)
    store.keep_file(sweep_id, _WANTED + run_id, asked)


def arrived(store: Store, run_id: str) -> Arrived:
    """Return how far the folder of a run has come."""
    names = store.kept_files(run_id)
    parts = sum(name.startswith(_PART) for name in names)
    size = store.kept_file(run_id, _SIZE) if _SIZE in names else None
    head = json.loads(store.kept_file(run_id, _HEAD) or b"{}") if _HEAD in names else {}
    of = None if size is None else -(-int(size) // _PART_BYTES)
    return Arrived(parts, of, _HEAD in names, refused=head.get("refused", ""))


def lay_down(store: Store, run_id: str, folder: Path) -> int:
    """Unpack a folder that is whole in the record, and forget it there; return how many files it has.

    Args:
        store: The record.
        run_id: The run.
        folder: Where it goes; files that are there already and not in it stay.

    Raises:
        FetchError: It is not whole, or damaged.
        OSError: It cannot be written.
    """
    head = json.loads(store.kept_file(run_id, _HEAD) or b"{}")
    if "parts" not in head:
        raise FetchError(f"run {run_id}: must be whole in the record, got no end")
    folder.parent.mkdir(parents=True, exist_ok=True)
    staged = folder.with_name(f".{folder.name}.fetched")
    with replacing_folder(staged) as building:
        try:
            with tarfile.open(fileobj=_Parts(store, run_id, head["parts"]), mode="r|") as archive:
                archive.extractall(building, filter="data")
        except (tarfile.TarError, EOFError) as error:
            raise FetchError(f"run {run_id}: its parts in the record must be an archive, got {error}") from error
    files = [path for path in sorted(staged.rglob("*")) if path.is_file()]
    for path in files:
        target = folder / path.relative_to(staged)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, target)
    _remove_empty(staged)
    forget(store, run_id)
    return len(files)


def forget(store: Store, run_id: str) -> None:
    """Take the parts of a run's folder out of the record; the head goes first, so that no half looks whole."""
    names = store.kept_files(run_id)
    for name in (_HEAD, _SIZE, *sorted(name for name in names if name.startswith(_PART))):
        store.forget_file(run_id, name)


def send_wanted(store: Store, sweep_id: str, sweep: str, results: Path) -> list[str]:
    """Send what is wanted of the runs whose folders are on this node; return their ids.

    Args:
        store: The record.
        sweep_id: The sweep.
        sweep: Its name.
        results: The folder of results on this node.

    Raises:
        StoreError: The record is away.
    """
    paths = SweepPaths(results, sweep)
    sent = []
    for name in sorted(store.kept_files(sweep_id)):
        run_id = name.removeprefix(_WANTED)
        if run_id == name or not paths.run_dir(run_id).is_dir():
            continue
        with locked(results / "sending.lock"):  # two keepers of one node
            asked = store.kept_file(sweep_id, name)
            if asked is None:  # the other one has sent it meanwhile
                continue
            _send(store, run_id, paths.run_dir(run_id), json.loads(asked))
            store.forget_file(sweep_id, name)
            sent.append(run_id)
    return sent


def _send(store: Store, run_id: str, folder: Path, patterns: Sequence[str]) -> None:
    """Put a folder into the record, part by part."""
    forget(store, run_id)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and _meant(path, folder, patterns)]
    if not files:
        there = sorted({path.relative_to(folder).parts[0] for path in folder.iterdir()})
        _refuse(store, run_id, f"its folder has {', '.join(there) or 'nothing'} only")
        return
    store.keep_file(run_id, _SIZE, str(sum(path.stat().st_size + 1024 for path in files)).encode())

    def keep(number: int, data: bytes) -> None:
        store.keep_file(run_id, f"{_PART}{number:06d}", data)

    out = _Splitter(keep)
    with tarfile.open(fileobj=out, mode="w|") as archive:
        for path in files:
            archive.add(path, arcname=str(path.relative_to(folder)), recursive=False)
    store.keep_file(run_id, _HEAD, json.dumps({"parts": out.finish(), "asked": list(patterns)}).encode())


def _refuse(store: Store, run_id: str, words: str) -> None:
    store.keep_file(run_id, _HEAD, json.dumps({"refused": words}).encode())


def _meant(path: Path, folder: Path, patterns: Sequence[str]) -> bool:
    name = str(path.relative_to(folder))
    return not patterns or any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


class _Splitter(io.RawIOBase):
    """A file to write to, which hands on what comes in parts of equal size.

    Args:
        keep: Takes a part's number, from 0 on, and its bytes.
    """

    def __init__(self, keep: Callable[[int, bytes], None]) -> None:
        super().__init__()
        self._keep, self._held, self._number = keep, bytearray(), 0

    def writable(self) -> bool:
        return True

    def write(self, data: "bytes | bytearray | memoryview") -> int:  # type: ignore[override]
        self._held += data
        while len(self._held) >= _PART_BYTES:
            self._hand_on(bytes(self._held[:_PART_BYTES]))
            del self._held[:_PART_BYTES]
        return len(data)

    def finish(self) -> int:
        """Hand on what is left; return how many parts there are."""
        if self._held:
            self._hand_on(bytes(self._held))
            self._held.clear()
        return self._number

    def _hand_on(self, part: bytes) -> None:
        self._keep(self._number, part)
        self._number += 1


class _Parts(io.RawIOBase):
    """A file to read from: the parts of a run in the record, one of them in memory at a time."""

    def __init__(self, store: Store, run_id: str, parts: int) -> None:
        super().__init__()
        self._store, self._run_id, self._names = store, run_id, iter(range(parts))
        self._held = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        while not self._held:
            number = next(self._names, None)
            if number is None:
                return 0
            data = self._store.kept_file(self._run_id, f"{_PART}{number:06d}")
            if data is None:
                raise FetchError(f"run {self._run_id}: part {number} must be in the record, got none")
            self._held = memoryview(data)
        count = min(len(buffer), len(self._held))
        buffer[:count] = self._held[:count]
        self._held = self._held[count:]
        return count


def _remove_empty(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir()
    folder.rmdir()


def main() -> int:
    """Send what is wanted of this node, and end; return the exit code.

    The run that is named was on this node: when its folder is gone, whoever waits for it is told so.
    """
    sweep, run_id = sys.argv[1:]
    from sweepkit.agents.control import find_sweep_record

    with open_store(os.environ[STORAGE_ENV]) as store:
        record = find_sweep_record(store, sweep)
        results = node_folder(os.environ) / "sweeps" / record.sweep_id
        results.mkdir(parents=True, exist_ok=True)
        paths = SweepPaths(results, sweep)
        send_unsent(store, record, paths)
        sent = send_wanted(store, record.sweep_id, sweep, results)
        if not paths.run_dir(run_id).is_dir() and _WANTED + run_id in store.kept_files(record.sweep_id):
            _refuse(store, run_id, f"there is no folder of it on {socket.gethostname()}")
            store.forget_file(record.sweep_id, _WANTED + run_id)
    say(f"sweepkit: sent the folders of {len(sent)} runs", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
