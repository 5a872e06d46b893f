"""What keeps runs that share a machine apart: temporary files, compilers' caches, ports. What the user set is kept.

* TMPDIR: a folder of the attempt's own, short, gone when it has ended: names of temporary files may be fixed ones.
* TORCHINDUCTOR_CACHE_DIR, TRITON_CACHE_DIR: a folder of the slot's own below the sweep's cache: two compilers never
  write one file, and what a slot compiled serves its next run.
* MASTER_ADDR: 127.0.0.1, for the processes of one run are on one host.
* MASTER_PORT, PET_MASTER_PORT: a port that is free, as seen at most 2 s ago, of the PORTS_OF_SLOT ports of the slot's
  own, for torch.distributed and torchrun, whose default, 29500, would be everybody's.
"""

import contextlib
import itertools
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

PORTS_OF_SLOT = 16
_FIRST_PORT = 12_288
_LISTEN = b"0A"  # TCP_LISTEN of Linux's include/net/tcp_states.h
_SNAPSHOT_S = 2.0  # the kernel walks all of its sockets for the list: 3 ms, a third of what a short run costs
_MODE = stat.S_IFDIR | 0o700  # of an attempt's folder
_BLOCKS = (32_768 - _FIRST_PORT) // PORTS_OF_SLOT  # below the ports that Linux gives to clients


def temp_dir(attempt_id: str) -> Path:
    """Return the folder for an attempt's temporary files.

    It is below the machine's own, not below the sweep's: sockets that programs make there have names of 107 bytes at
    most.
    """
    return Path(tempfile.gettempdir(), f"sweepkit-{os.getuid()}-{attempt_id}")


def remove_temp_dir(attempt_id: str) -> None:
    """Remove what an attempt left; nothing to remove is fine."""
    shutil.rmtree(temp_dir(attempt_id), ignore_errors=True)


# Folders of ended attempts that are as they were made, for the next ones; any thread gives and takes. ext4 takes the
# inode of a removed folder again after a minute only, and whenever it makes another folder it passes each of those that
# wait: with one removed for each run, short runs cost the more the more of them there were.
_spares: list[Path] = []
_numbers = itertools.count(1)


def give_back_temp_dir(attempt_id: str) -> None:
    """Keep an ended attempt's folder for another attempt if it is as it was made; else remove it.

    None of the attempt's processes may live: they would find themselves in the other one's folder.
    """
    folder = temp_dir(attempt_id)
    with contextlib.suppress(OSError):
        made = folder.lstat()
        if (made.st_mode, made.st_uid) == (_MODE, os.getuid()) and not os.listdir(folder):
            spare = folder.with_name(f"{_spare_prefix()}{os.getpid()}-{next(_numbers)}")
            os.rename(folder, spare)
            _spares.append(spare)
            return
    remove_temp_dir(attempt_id)


def remove_spares() -> None:
    """Remove the folders that this process keeps for further attempts, and those of processes that have ended."""
    while _spares:
        shutil.rmtree(_spares.pop(), ignore_errors=True)
    for folder in Path(tempfile.gettempdir()).glob(f"{_spare_prefix()}*"):
        pid = folder.name.removeprefix(_spare_prefix()).partition("-")[0]
        if not os.path.exists(f"/proc/{pid}"):
            with contextlib.suppress(OSError):
                folder.rmdir()


def _spare_prefix() -> str:
    return f"sweepkit-{os.getuid()}-spare-"


def _make_temp_dir(folder: Path) -> None:
    with contextlib.suppress(IndexError):  # none is kept
        spare = _spares.pop()
        try:
            os.rename(spare, folder)
            return
        except OSError:  # the place of temporary files is another one by now
            shutil.rmtree(spare, ignore_errors=True)
    folder.mkdir(mode=stat.S_IMODE(_MODE), parents=True, exist_ok=True)


def ports(slot_index: int, agent_pid: int) -> range:
    """Return the ports of a slot: no two slots of an agent share one, and agents of one host seldom do."""
    block = (agent_pid * 61 + slot_index) % _BLOCKS
    first = _FIRST_PORT + block * PORTS_OF_SLOT
    return range(first, first + PORTS_OF_SLOT)


def free_port(candidates: range, *, taken: frozenset[int] | None = None) -> int | None:
    """Return the first port that nobody listens on, None when all are taken.

    Args:
        candidates: The ports to choose from.
        taken: Those that somebody listens on; None looks now.
    """
    taken = _listened_on() if taken is None else taken
    return next((port for port in candidates if port not in taken), None)


class _Snapshot:
    """The ports that somebody listens on, looked up again after `_SNAPSHOT_S`; any thread may ask.

    A slot's ports are its own, and what its last run left is killed before the next one is prepared: who listens there
    is another program, which seldom began within that time.
    """

    def __init__(self) -> None:
        self._until, self._ports = 0.0, frozenset[int]()

    def ports(self) -> frozenset[int]:
        now = time.monotonic()
        if now >= self._until:
            self._ports, self._until = _listened_on(), now + _SNAPSHOT_S
        return self._ports


_snapshot = _Snapshot()


def _listened_on() -> frozenset[int]:
    """Return the TCP ports that somebody listens on, as the kernel lists them: a sweep itself opens no socket."""
    # Not psutil.net_connections, which reads every process's descriptors: this is asked at every start.
    taken = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError), open(table, "rb") as file:  # a kernel without IPv6 has one of them
            next(file, None)
            for line in file:
                _, local, _, state = line.split(None, 4)[:4]
                if state == _LISTEN:
                    taken.add(int(local.rpartition(b":")[2], 16))
    return frozenset(taken)


def isolating_environment(
    attempt_id: str, slot_index: int, *, cache: Path, inherited: Mapping[str, str], gpus: Sequence[str] = ()
) -> dict[str, str]:
    """Make an attempt's temporary folder and return its variables; see the table of this module.

    Args:
        attempt_id: The attempt.
        slot_index: Its slot.
        cache: The sweep's cache folder.
        inherited: The environment of the agent; what it sets of these goes before, except TMPDIR, which says where the
            folder is made.
        gpus: Those of the slot: agents of one host that have a GPU each all count their slots from 0.
    """
    folder = temp_dir(attempt_id)
    _make_temp_dir(folder)
    compiled = cache / "compiled" / "-".join([f"slot{slot_index}", *gpus])
    variables = {
        "TORCHINDUCTOR_CACHE_DIR": str(compiled / "inductor"),
        "TRITON_CACHE_DIR": str(compiled / "triton"),
        "MASTER_ADDR": "127.0.0.1",
    }
    if (port := free_port(ports(slot_index, os.getpid()), taken=_snapshot.ports())) is not None:
        variables |= {"MASTER_PORT": str(port), "PET_MASTER_PORT": str(port)}
    return {"TMPDIR": str(folder), **{name: value for name, value in variables.items() if name not in inherited}}
