"""`sweepkit tag`, `note`, `archive`: words about sweeps and runs, at first those of W&B's programs and of the YAML."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sweepkit.agents.control import annotate, noted
from sweepkit.errors import SweepKitError
from sweepkit.housekeeping.find import Recorded, SweepPlace, find_run, opened, recorded
from sweepkit.paths import SweepPaths
from sweepkit.runner.find_sweep import locate

if TYPE_CHECKING:
    from sweepkit.model.records import RunRecord, SweepRecord
    from sweepkit.store.watch import Watch
    from sweepkit.sweep_config.sweep import SweepSpec

_T = TypeVar("_T")
_TAGS, _NOTE = "tags", "note"


def tags_of(found: Recorded, run: "RunRecord | None" = None) -> list[str]:
    """Return the tags of a sweep or a run: the user's, else those of the YAML or of the run's own `wandb.init`."""
    return sweep_tags(found.sweep, found.spec) if run is None else run_tags(found.sweep, run)


def sweep_tags(sweep: "SweepRecord", spec: "SweepSpec | None") -> list[str]:
    """Return the tags of a sweep; of a YAML that cannot be read (None) those that a user gave it."""
    naming = None if spec is None else spec.extensions.wandb
    given = noted(sweep, _TAGS)
    return list(given if given is not None else () if naming is None else naming.tags)


def run_tags(sweep: "SweepRecord", run: "RunRecord") -> list[str]:
    """Return the tags of a run: the user's, else those of its own `wandb.init`."""
    given = noted(sweep, _TAGS, run.run_id)
    return list(run.outcome.get(_TAGS, ()) if given is None else given)


def note_of(found: Recorded, run: "RunRecord | None" = None) -> str:
    """Return the note of a sweep or a run: the user's, else the YAML's description or the run's own `notes`."""
    return sweep_note(found.sweep, found.spec) if run is None else run_note(found.sweep, run)


def sweep_note(sweep: "SweepRecord", spec: "SweepSpec | None") -> str:
    """Return the note of a sweep; of a YAML that cannot be read (None) the one that a user gave it."""
    given = noted(sweep, _NOTE)
    return str(given) if given is not None else "" if spec is None else spec.description or ""


def run_note(sweep: "SweepRecord", run: "RunRecord") -> str:
    """Return the note of a run: the user's, else that of its own `wandb.init`."""
    given = noted(sweep, _NOTE, run.run_id)
    return str(run.outcome.get("notes", "") if given is None else given)


def change_tags(place: SweepPlace, named: str, words: Sequence[str], *, remove: bool = False) -> list[str]:
    """Add tags to a sweep or a run, or take them away; return those that it has now.

    Args:
        place: Where sweeps are.
        named: A sweep; or a run, by its id or as SWEEP:NUMBER.
        words: Tags.
        remove: Take them away.

    Raises:
        SweepKitError: There is no such sweep or run, or a tag is empty or has a comma.
    """
    if wrong := next((word for word in words if not word.strip() or "," in word), None):
        raise SweepKitError(f"tag: must be a word without commas, as W&B has them, got {wrong!r}")

    def new(found: Recorded, run: "RunRecord | None") -> list[str]:
        had = tags_of(found, run)
        return [tag for tag in had if tag not in words] if remove else list(dict.fromkeys([*had, *words]))

    return _change(place, named, _TAGS, new)


def change_note(place: SweepPlace, named: str, text: str) -> str:
    """Write the note of a sweep or a run in place of the one it has; return it.

    Raises:
        SweepKitError: There is no such sweep or run.
    """
    return _change(place, named, _NOTE, lambda *_: text)


def archive(place: SweepPlace, named: str, *, archived: bool) -> str:
    """Put a sweep into the archive, so that lists leave it out until they are asked for it; return its name.

    Args:
        place: Where sweeps are.
        named: Its name or folder.
        archived: False takes it out again.

    Raises:
        SweepKitError: There is no such sweep.
    """
    with opened(place, named) as (watch, output_dir, _):
        found, run = _meant(watch, output_dir, named)
    if run is not None:
        raise SweepKitError(f"archive: must be a sweep, got run {run.run_id}; it is of sweep {found.sweep.name}")
    _change(place, named, "archived", lambda *_: archived)
    return found.sweep.name


def shown_note(place: SweepPlace, named: str) -> str:
    """Return the note of a sweep or a run. Raises SweepKitError when there is none of that name."""
    with opened(place, named) as (watch, output_dir, _):
        return note_of(*_meant(watch, output_dir, named))


def _change(place: SweepPlace, named: str, kind: str, new: "Callable[[Recorded, RunRecord | None], _T]") -> _T:
    from sweepkit.store.open import open_store

    with opened(place, named) as (watch, output_dir, _):
        found, run = _meant(watch, output_dir, named)
    value = new(found, run)
    storage, _, _ = locate(named, output_dir=place.output_dir, storage=place.storage)
    with open_store(storage) as store:
        sweep = store.sweep(found.sweep.name) or found.sweep  # as it is now: others may have noted something meanwhile
        annotate(store, sweep, {kind: value}, run_id="" if run is None else run.run_id)
    return value


def _meant(watch: "Watch", output_dir: Path, named: str) -> "tuple[Recorded, RunRecord | None]":
    """Return the sweep that is meant; or a run, and its sweep."""
    for sweep in watch.sweeps():
        if named in (sweep.name, str(SweepPaths(output_dir, sweep.name).root)):
            return recorded(watch, sweep, output_dir), None
    return find_run(watch, output_dir, named)
