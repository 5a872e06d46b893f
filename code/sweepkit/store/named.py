"""Which recorded sweep a name means where several projects share a database."""

import os
from collections.abc import Sequence
from pathlib import Path

from sweepkit.model.identity import family_here
from sweepkit.model.records import SweepRecord
from sweepkit.project import project_root


def family_meant(sweeps: Sequence[SweepRecord], name: str, folder: Path | None = None) -> str:
    """Return the family of sweeps that a user means by a name: first those of where he stands, then of its project.

    Args:
        sweeps: All of the record.
        name: What he said.
        folder: Where the sweep's YAML lies; None for the working directory.
    """
    here = Path.cwd() if folder is None else folder
    return family_here(sweeps, name, cwd=os.path.realpath(here), project=os.path.realpath(project_root(here)))
