"""`sweepkit rm`: a sweep goes with its files and all that is recorded of it."""

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweepkit.errors import ConflictError, SweepKitError
from sweepkit.housekeeping.find import SweepPlace, opened, recorded
from sweepkit.housekeeping.sizes import folder_bytes, in_words
from sweepkit.model.identity import identity_in
from sweepkit.model.records import SweepRecord
from sweepkit.paths import FUNCTIONS_FOLDER, WANDB_SWEEPS_FOLDER, SweepPaths, slug
from sweepkit.reports.files import relative
from sweepkit.runner.find_sweep import choose, locate


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What goes.

    Args:
        name: The sweep's.
        sweep_id: In the database; None for a folder of which nothing is recorded any more.
        storage: The database.
        folder: Its files.
        runs: How many it has.
        bytes: What the folder takes.
        force: Also while runs are under way.
        beside: What lies elsewhere in the output folder for this sweep alone: its packed functions, a study's files,
            what `wandb.sweep` was given.
    """

    name: str
    sweep_id: str | None
    storage: str
    folder: Path
    runs: int
    bytes: int
    force: bool
    beside: tuple[Path, ...] = ()

    @property
    def text(self) -> str:
        """Return it in words."""
        what = f"{self.runs} run{'' if self.runs == 1 else 's'}" if self.sweep_id else "nothing recorded"
        where = f"{relative(self.folder)}/ ({in_words(self.bytes)})" if self.folder.is_dir() else "no files"
        return f"{self.name}: {', '.join([what, where, *(relative(place) for place in self.beside)])}"

    @property
    def plain(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {"sweep": self.name, "runs": self.runs, "folder": str(self.folder), "bytes": self.bytes}


def plan_removal(place: SweepPlace, named: str, *, force: bool = False) -> Removal:
    """Return what goes with a sweep.

    A folder of a sweep that is recorded no more (a removal was cut short) goes by itself.

    Args:
        place: Where sweeps are.
        named: A sweep, or its folder.
        force: Also one whose runs are under way.

    Raises:
        SweepKitError: There is no such sweep.
        ConflictError: Runs of it are under way.
    """
    storage, output_dir, wanted = locate(named, output_dir=place.output_dir, storage=place.storage)
    with opened(place, named) as (watch, _, _):
        try:
            sweep = choose(watch.sweeps(), wanted or named, output_dir=output_dir, label=watch.label)
        except SweepKitError:
            left = SweepPaths(output_dir.absolute(), (wanted or named).removeprefix("sweep_")).root
            if not left.is_dir():
                raise
            return Removal(
                name=left.name.removeprefix("sweep_"),
                sweep_id=None,
                storage=storage,
                folder=left,
                runs=0,
                bytes=folder_bytes(left),
                force=force,
            )
        found = recorded(watch, sweep, output_dir)
        others = [item for item in watch.sweeps() if item.sweep_id != sweep.sweep_id]
    if found.running and not force:
        raise ConflictError(
            f"sweep {sweep.name}: must have no run under way, got {found.running}; stop or cancel it first, or --force"
        )
    return Removal(
        name=sweep.name,
        sweep_id=sweep.sweep_id,
        storage=storage,
        folder=found.paths.root,
        runs=len(found.runs),
        bytes=folder_bytes(found.paths.root),
        force=force,
        beside=tuple(_beside(sweep, others, output_dir.absolute())),
    )


def _beside(sweep: SweepRecord, others: Sequence[SweepRecord], output_dir: Path) -> list[Path]:
    """Return what lies beside a sweep's folder for it alone.

    Its function is packed once for each content it ever had; the sweeps of one name share these folders.
    """
    found = []
    functions = output_dir / FUNCTIONS_FOLDER
    program = Path(str(sweep.meta.get("program") or "")).parent
    used = {Path(str(item.meta.get("program") or "")).parent for item in others}
    if program.parent == functions and program not in used:
        shared = _called(sweep) in map(_called, others)
        packed = re.compile(rf"{re.escape(slug(_called(sweep)))}-[0-9a-f]{{12}}")
        found = [
            folder
            for folder in sorted(functions.iterdir())
            if folder == program or (not shared and packed.fullmatch(folder.name) and folder not in used)
        ]
    study = output_dir / slug(sweep.name)
    if (study / "study_stats.json").is_file():
        found.append(study)
    call = output_dir / WANDB_SWEEPS_FOLDER / f"{sweep.family.rpartition('-')[2]}.json"
    if call.is_file() and sweep.family not in {item.family for item in others}:
        found.append(call)
    return found


def _called(sweep: SweepRecord) -> str:
    """Return what its user calls a sweep, by which its functions are packed."""
    known = identity_in(sweep)
    return sweep.family if known is None else known.name


def remove(plan: Removal) -> None:
    """Take a sweep away: what is recorded first, so that no agent begins a run of it; then its files.

    Raises:
        ConflictError: A run of it has begun meanwhile.
        OSError: A file cannot be removed; the same call goes on.
    """
    from sweepkit.store.open import open_store

    if plan.sweep_id is not None:
        with open_store(plan.storage) as store:
            store.remove_sweep(plan.sweep_id, force=plan.force)
    if plan.folder.is_symlink():
        os.unlink(plan.folder)
    elif plan.folder.is_dir():
        shutil.rmtree(plan.folder)
    for place in plan.beside:
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
