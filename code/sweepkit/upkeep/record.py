"""What can be done for a record: look at all of it, mend it, make it anew from the files of its sweeps."""

import os
import sqlite3
import time
from dataclasses import dataclass, field
from pathlib import Path

from sweepkit.agents.identity import surely_alive
from sweepkit.called import typed
from sweepkit.errors import ConflictError, SpecError, StoreError, SweepKitError
from sweepkit.store.backup import back_up, copies_of, sqlite_file
from sweepkit.store.file_guard import damage_of
from sweepkit.store.open import open_store
from sweepkit.store.sql import SqlStore
from sweepkit.store.watch import open_watch
from sweepkit.upkeep.sweep_files import FoundSweep, read_folder, sweep_folders


@dataclass(slots=True)
class Upkeep:
    """What was found or done, a sentence each.

    Args:
        done: What was done.
        faults: What is wrong, by `check`; what could not be mended, by the others.
        unknown: What nobody can know any more.
    """

    done: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def check(storage: str) -> Upkeep:
    """Read all of a record and say what is wrong with it. Nothing is changed.

    Args:
        storage: As `open_store` takes it.

    Raises:
        StoreError: There is none, or it cannot be reached.
    """
    found, path = Upkeep(), sqlite_file(storage)
    if path is not None and path.is_file() and (damage := damage_of(str(path))):
        found.faults.append(f"{path}: the file is damaged: {damage}")
        return found
    with open_watch(storage) as watch:
        found.faults += [str(cell) for cell in watch.damaged_cells()]
        sweeps = watch.sweeps()
        runs = sum(sum(watch.counts(sweep.sweep_id).values()) for sweep in sweeps)
        found.done.append(f"{watch.label}: {_counted(len(sweeps), 'sweep')}, {_counted(runs, 'run')}")
    return found


def rebuild(storage: str, output_dir: Path) -> Upkeep:
    """Make a record from the files of the sweeps in a folder, where there is none; a damaged file is kept beside it.

    Args:
        storage: As `open_store` takes it.
        output_dir: The folder with their folders, `sweep_<name>`.

    Raises:
        ConflictError: There is a record, with sweeps in it.
        StoreError: It cannot be written.
        SweepKitError: The folder holds no sweep.
    """
    upkeep, path = Upkeep(), sqlite_file(storage)
    if path is not None and path.is_file() and damage_of(str(path)):
        _set_aside(path, upkeep)
    with open_store(storage) as store:
        if sweeps := store.sweeps():
            raise ConflictError(
                f"{store.label}: must hold no sweep to be made anew, got {_counted(len(sweeps), 'sweep')}; "
                f"`{typed('db', 'repair')}` adds what it lacks, --storage names a new one"
            )
        _add(store, output_dir, upkeep, needed=True)
    return upkeep


def repair(storage: str, output_dir: Path) -> Upkeep:
    """Mend a record: by the newest whole copy where the file is damaged or gone, then by the files of its sweeps.

    A run that its files show to be done is recorded as done; a damaged cell is read from them, that of an attempt from
    its run. Nothing is thrown away: a damaged file is kept beside the new one.

    Args:
        storage: As `open_store` takes it.
        output_dir: The folder with the folders of its sweeps.

    Raises:
        ConflictError: Runners of this host work with it.
        StoreError: It cannot be read or written.
    """
    upkeep, path = Upkeep(), sqlite_file(storage)
    lost = _mend_file(path, upkeep) if path is not None else None
    with open_store(storage) as store:
        _refuse_use(store)
        _add(store, output_dir, upkeep, needed=False)
        for attempt_id in sorted({cell.row for cell in store.mend_attempts()}):
            upkeep.done.append(f"attempt {attempt_id}: put right from its run")
        upkeep.faults += [str(cell) for cell in store.damaged_cells()]
        if lost is not None:
            upkeep.faults += _not_found(lost, store, output_dir)
    if not upkeep.done:
        upkeep.done.append("nothing had to be mended")
    return upkeep


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _mend_file(path: Path, upkeep: Upkeep) -> tuple[str, ...] | None:
    """Put the newest whole copy in the place of a file that is damaged, gone, or without a sweep.

    Returns:
        The names of the sweeps in a file that was given up, as far as it still tells them; None when it was not.
    """
    whole, names = path.is_file() and not damage_of(str(path)), _sweeps_in(path)
    if whole and names:
        return None
    copy = next((file for file in copies_of(path) if not damage_of(str(file)) and _sweeps_in(file)), None)
    if copy is None and whole:
        return None
    _set_aside(path, upkeep)
    if copy is not None:
        back_up(copy, path)
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(copy.stat().st_mtime))
        upkeep.done.append(f"{path}: put back from {copy.name}, of {when}")
    return names


def _sweeps_in(path: Path) -> tuple[str, ...]:
    """Return the names of the sweeps in a SQLite file; () when it is no record, or does not tell them."""
    if not path.is_file():  # connecting would make one
        return ()
    try:
        connection = sqlite3.connect(path)
        try:
            return tuple(str(name) for (name,) in connection.execute("SELECT name FROM sweeps"))
        finally:
            connection.close()
    except sqlite3.Error:
        return ()


def _not_found(lost: tuple[str, ...], store: SqlStore, output_dir: Path) -> list[str]:
    """Return what was in a file that was given up and is in the mended record no more, a sentence each."""
    there = {sweep.name for sweep in store.sweeps()}
    remedy = f"{output_dir} has no such folder that can be read; --output-dir names the one that has, and repair again"
    if not lost and not there:
        return [f"{store.label}: it is empty now, no sweep was found: {remedy}"]
    gone = [name for name in lost if name not in there]
    return [f"sweep {name}: it was in the damaged file and is not in the record: {remedy}" for name in gone]


def _set_aside(path: Path, upkeep: Upkeep) -> None:
    """Move a damaged file, and SQLite's files beside it, out of the way."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    for suffix in ("", "-wal", "-shm"):
        file = path.with_name(path.name + suffix)
        if file.exists():
            kept = path.with_name(f"{path.name}.damaged-{stamp}{suffix}")
            os.replace(file, kept)
            if not suffix:
                upkeep.done.append(f"{path}: the damaged file is kept as {kept.name}")


def _refuse_use(store: SqlStore) -> None:
    """Refuse to change a record under runners of this host."""
    for sweep in store.sweeps():
        for live in store.live_attempts(sweep.sweep_id):
            if surely_alive(live.agent_id):
                pid = live.agent_id.split("|")[3]
                raise ConflictError(
                    f"sweep {sweep.name}: process {pid} runs it; let it end, or end it, before its record is mended"
                )


def _add(store: SqlStore, output_dir: Path, upkeep: Upkeep, *, needed: bool) -> None:
    """Put into the record what the files of its sweeps have beyond it."""
    folders = sweep_folders(output_dir)
    if not folders and needed:
        raise SweepKitError(f"{output_dir}: must hold folders of sweeps (sweep_*/sweep.json), got none; --output-dir")
    for folder in folders:
        try:
            found = read_folder(folder)
            known = {cell.row for cell in store.damaged_cells()}
            put = store.restore(found.sweep, found.runs)
        except (SpecError, StoreError) as error:
            upkeep.faults.append(f"{folder.name}: {error}")
            continue
        upkeep.unknown += _of_interest(found, {run.run_id for run in put}, needed=needed)
        if put:
            upkeep.done.append(f"{found.sweep.name}: {_counted(len(put), 'run')} recorded from its files")
        mended = known & {run.run_id for run in put}
        upkeep.done += [f"run {run_id}: read from its files" for run_id in sorted(mended)]


def _of_interest(found: FoundSweep, put: set[str], *, needed: bool) -> list[str]:
    """Return what is not known of what was put into the record; of what stood there nothing is unknown."""
    return [text for text in found.unknown if needed or any(run_id in text for run_id in put)]
