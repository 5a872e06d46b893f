"""`sweepkit clean --keep-best N`: the checkpoints of all other runs go."""

import fnmatch
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweepkit.housekeeping.find import Recorded, SweepPlace, find_sweep, opened, recorded
from sweepkit.housekeeping.sizes import folder_bytes, in_words

# The usual names of weights and of training state. Arrays and pickles may be results, so they stay.
_FILES = (
    *("*.pt", "*.pth", "*.ckpt", "*.safetensors", "*.h5", "*.hdf5", "*.keras", "*.onnx", "*.gguf", "*.msgpack"),
    *("*.pdparams", "*.pdopt", "*.params", "pytorch_model*.bin", "model*.bin", "adapter_model.bin"),
)
_FOLDERS = ("checkpoint*", "ckpt*", "preempted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaning:
    """What goes of a sweep.

    Args:
        name: The sweep's.
        paths: Files, and folders that go whole.
        bytes: What they take together.
        runs: How many runs lose something.
        kept: How many keep what they have.
    """

    name: str
    paths: tuple[Path, ...]
    bytes: int
    runs: int
    kept: int

    @property
    def text(self) -> str:
        """Return it in words."""
        runs = f"{self.runs} run{'' if self.runs == 1 else 's'}"
        return f"{self.name}: {in_words(self.bytes)} of checkpoints of {runs}; {self.kept} keep theirs"

    @property
    def plain(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {"sweep": self.name, "bytes": self.bytes, "runs": self.runs, "kept": self.kept}


def plan_cleaning(place: SweepPlace, named: Sequence[str], *, keep: int) -> list[Cleaning]:
    """Return what goes of sweeps.

    Args:
        place: Where sweeps are.
        named: Sweeps, or their folders; () for all of the database.
        keep: So many of the best configurations keep what their runs wrote, and so do runs that are not over.

    Raises:
        SweepKitError: There is no such sweep.
    """
    if named:
        return [_plan(find_sweep(place, name), keep) for name in named]
    with opened(place) as (watch, output_dir, _):
        return [_plan(recorded(watch, sweep, output_dir), keep) for sweep in watch.sweeps()]


def _plan(found: Recorded, keep: int) -> Cleaning:
    kept = _best_ids(found, keep) | {run.run_id for run in found.runs if not run.state.done}  # they go on from it
    others = [found.paths.run_dir(run.run_id) for run in found.runs if run.run_id not in kept]
    by_run = [paths for folder in others if (paths := list(_checkpoints(folder)))]
    gone = [path for paths in by_run for path in paths]
    return Cleaning(
        name=found.sweep.name,
        paths=tuple(gone),
        bytes=sum(folder_bytes(path) for path in gone),
        runs=len(by_run),
        kept=len(kept),
    )


def _best_ids(found: Recorded, number: int) -> set[str]:
    """Return the runs of so many best configurations; all runs of a sweep without a metric, where none is best."""
    from sweepkit.analysis.ranking import best_configurations

    if not found.spec.objectives:
        return {run.run_id for run in found.runs}
    best = best_configurations(
        found.runs, found.spec.objectives, seed_parameter=found.spec.extensions.seed_parameter, limit=number
    )
    return {run.run_id for item in best for run in item.members}


def _checkpoints(folder: Path) -> Iterator[Path]:
    """Yield the checkpoints below a run's folder: folders whole, files alone. Links are passed over."""
    for place, folders, names in os.walk(folder):
        whole = [name for name in folders if _matches(name, _FOLDERS)]
        folders[:] = [name for name in folders if name not in whole and not Path(place, name).is_symlink()]
        yield from (path for name in whole if not (path := Path(place, name)).is_symlink())
        yield from (path for name in names if _matches(name, _FILES) and not (path := Path(place, name)).is_symlink())


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatch(name.lower(), pattern) for pattern in patterns)


def clean(plan: Cleaning) -> None:
    """Take the checkpoints away; what is gone already is passed over."""
    for path in plan.paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
