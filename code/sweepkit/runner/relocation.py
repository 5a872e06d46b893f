"""A recorded sweep whose project was moved, as a whole, since it ran."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from sweepkit.model.identity import versions_in
from sweepkit.model.records import SweepRecord
from sweepkit.project import project_root
from sweepkit.runner.program_source import files_of_program
from sweepkit.runner.program_version import version_of

_PLACES = ("program", "directory", "cwd", "base_config")


def relocated(record: SweepRecord, cwd: Path, *, carried_from: str = "") -> SweepRecord:
    """Return a sweep with the places of its project as it lies now; as it is when its program is where it was.

    The program must be the recorded one, file by file: another one at such a place is none of this sweep's.

    Args:
        record: The sweep.
        cwd: Where it is asked for: its project is looked through.
        carried_from: The project's folder on the host whose copy `cwd` is; "" when nothing was carried here.
    """
    if carried_from:
        return replace(record, meta={**record.meta, **_places(record, Path(carried_from), cwd)})
    program = str(record.meta.get("program") or "")
    known = {version.digest for version in versions_in(record)[-1:]}
    if not os.path.isabs(program) or os.path.exists(program) or not known:
        return record
    for old, there in _candidates(program, cwd):
        if version_of(files_of_program(there), there.parent).digest in known:
            return replace(record, meta={**record.meta, **_places(record, old, project_root(cwd))})
    return record


def other_version(record: SweepRecord, cwd: Path) -> str:
    """Return which program stands here where the sweep's would, and in which files it differs; "" when none does."""
    program = str(record.meta.get("program") or "")
    for _, there in _candidates(program, cwd):
        for known in versions_in(record)[-1:]:
            files = version_of(files_of_program(there), there.parent).changed(known)
            return f"{there} is another version of it ({', '.join(files)})"
    return ""


def _candidates(program: str, cwd: Path) -> Iterator[tuple[Path, Path]]:
    """Yield what the project's folder may have been called, and the file that would then be the program here."""
    new = project_root(cwd)
    for old in reversed(Path(program).parents):
        there = new / os.path.relpath(program, old)
        if there.is_file():
            yield old, there


def _places(record: SweepRecord, old: Path, new: Path) -> dict[str, str]:
    """Return the recorded places below a folder that has another name now."""
    recorded = {key: Path(str(record.meta.get(key) or "")) for key in _PLACES}
    return {key: str(new / path.relative_to(old)) for key, path in recorded.items() if path.is_relative_to(old)}
