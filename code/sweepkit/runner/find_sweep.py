"""Which recorded sweep is meant: by its name, its folder, or because it is the only one."""

import contextlib
import difflib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweepkit.called import typed
from sweepkit.errors import SweepKitError
from sweepkit.paths import STORE_NAME, SweepPaths, database
from sweepkit.store.named import sweep_meant

if TYPE_CHECKING:
    from sweepkit.model.metric import Metric
    from sweepkit.model.records import SweepRecord
    from sweepkit.sweep_config.sweep import SweepSpec

_LONGEST_LIST = 20


def locate(sweep: str | None, *, output_dir: Path, storage: str | None) -> tuple[str, Path, str | None]:
    """Return the database to open, the folder of its sweeps, and the sweep's name or folder name.

    Args:
        sweep: What was named: a sweep, its folder, or a folder that holds a database; None for nothing.
        output_dir: Where sweeps are when no folder is named.
        storage: The database when it is not the one beside the sweeps.

    Raises:
        SweepKitError: A folder is named that is neither a sweep's nor one that holds a database.
    """
    wanted = sweep
    folder = None if wanted is None else Path(os.path.abspath(Path(wanted).expanduser()))
    if wanted is not None and folder is not None and folder.is_dir():
        if (folder / STORE_NAME).exists():
            output_dir, wanted = folder, None
            storage = storage or str(folder / STORE_NAME)
        elif folder.name.startswith("sweep_"):
            output_dir, wanted = folder.parent, folder.name
            storage = storage or (str(output_dir / STORE_NAME) if (output_dir / STORE_NAME).exists() else None)
        elif "/" in wanted:
            raise SweepKitError(
                f"{wanted}: must be a sweep's folder (sweep_NAME) or one that holds {STORE_NAME}, got another one; "
                "name the sweep instead"
            )
    return database(storage, output_dir), output_dir, wanted


def choose(sweeps: "Sequence[SweepRecord]", wanted: str | None, *, output_dir: Path, label: str) -> "SweepRecord":
    """Return the sweep of that name (or folder name); without one the only sweep.

    Args:
        sweeps: Those of the database.
        wanted: A name, a folder's name or a YAML file's; None for the only sweep.
        output_dir: Where sweeps are.
        label: What to call the database.

    Raises:
        SweepKitError: There is none, or more than one could be meant.
    """
    names = [sweep.name for sweep in sweeps]
    if wanted is None:
        if len(sweeps) == 1:
            return sweeps[0]
        got = f"{len(names)}: {', '.join(names[:_LONGEST_LIST])}" if names else "none"
        what = "name one of them, or give --all" if names else f"start one: {typed('run', 'my.yaml')}"
        raise SweepKitError(f"{label}: without a name there must be one sweep, got {got}; {what}")
    is_file = wanted.endswith((".yaml", ".yml"))
    stem = Path(wanted).stem if is_file else wanted
    for sweep in sweeps:
        if wanted == SweepPaths(output_dir, sweep.name).root.name:
            return sweep
    beside = Path(wanted).absolute().parent if is_file else None  # a file goes on with the newest of its family
    if (found := sweep_meant(sweeps, stem, beside, newest=is_file)) is not None:
        return found
    by_file = [sweep for sweep in sweeps if Path(str(sweep.meta.get("source") or "")).stem == stem]
    if by_file:  # its YAML's name; the newest of several
        return by_file[-1]
    near = difflib.get_close_matches(stem.removeprefix("sweep_"), names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"it has: {', '.join(names[:_LONGEST_LIST])}"
    raise SweepKitError(
        f"{label}: the sweep must be in the database, got {wanted!r}; {hint if names else 'it is empty'}"
    )


def sweep_beside(file: Path) -> "SweepSpec | None":
    """Return the sweep of a runs.csv of ours, from the sweep.yaml beside it; None where there is none."""
    from sweepkit.sweep_config.read import read_accepted
    from sweepkit.text.yaml import read_text

    beside = file.with_name("sweep.yaml")
    if file.name == "runs.csv" and beside.is_file():
        with contextlib.suppress(SweepKitError):
            return read_accepted(read_text(beside, where=str(beside)), source=str(beside))
    return None


def metric_beside(file: Path) -> "Metric | None":
    """Return the metric of a runs.csv of ours; None where there is none or several."""
    spec = sweep_beside(file)
    return None if spec is None or spec.metrics else spec.metric
