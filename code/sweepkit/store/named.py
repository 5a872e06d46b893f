"""Which recorded sweep a name means where several projects share a database."""

import os
from collections.abc import Sequence
from pathlib import Path

from sweepkit.model.identity import family_here
from sweepkit.model.records import SweepRecord
from sweepkit.project import project_root


def _family_meant(sweeps: Sequence[SweepRecord], name: str, folder: Path | None = None) -> str:
    """Return the family of sweeps that a user means by a name: first those of where he stands, then of its project.

    Args:
        sweeps: All of the record.
        name: What he said.
        folder: Where the sweep's YAML lies; None for the working directory.
    """
    here = Path.cwd() if folder is None else folder
    return family_here(sweeps, name, cwd=os.path.realpath(here), project=os.path.realpath(project_root(here)))


def sweep_meant(
    sweeps: Sequence[SweepRecord], name: str, folder: Path | None = None, *, newest: bool = False
) -> SweepRecord | None:
    """Return the sweep that a user means by a name: the one of just that name, else the newest of that family.

    Args:
        sweeps: All of the record, the oldest first.
        name: What he said.
        folder: Where the YAML of that name lies; None for the working directory.
        newest: The newest of the family, whatever is called so: its YAML is named, which goes on with that one.

    Returns:
        None when there is none.
    """
    meant = _family_meant(sweeps, name, folder)
    family = [sweep for sweep in sweeps if sweep.family == meant]
    named = next((sweep for sweep in sweeps if sweep.name == meant), None)
    return family[-1] if family and (newest or named is None) else named


def newer_of(sweeps: Sequence[SweepRecord], sweep: SweepRecord) -> SweepRecord | None:
    """Return the newest sweep of the same family when that is another one; None else."""
    family = [item for item in sweeps if item.family == sweep.family]
    return family[-1] if family and family[-1].sweep_id != sweep.sweep_id else None
