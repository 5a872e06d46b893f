"""`sweepkit tag` and `note`: words about sweeps and runs, at first those of W&B's programs and of the YAML."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sweepkit.errors import SweepKitError
from sweepkit.housekeeping.find import Recorded, SweepPlace, find_run, opened, recorded
from sweepkit.paths import SweepPaths
from sweepkit.runner.find_sweep import locate

if TYPE_CHECKING:
    from sweepkit.model.records import RunRecord
    from sweepkit.store.watch import Watch

_T = TypeVar("_T")
_TAGS, _NOTE = "tags", "note"


def tags_of(found: Recorded, run: "RunRecord | None" = None) -> list[str]:
    """Return the tags of a sweep or a run: the user's, else those of the YAML or of the run's own `wandb.init`."""
    given = found.sweep.meta.get(_key(_TAGS, run))
    if given is not None:
        return list(given)
    naming = found.spec.extensions.wandb
    own = () if naming is None else naming.tags
    return list(own if run is None else run.outcome.get(_TAGS, ()))


def note_of(found: Recorded, run: "RunRecord | None" = None) -> str:
    """Return the note of a sweep or a run: the user's, else the YAML's description or the run's own `notes`."""
    given = found.sweep.meta.get(_key(_NOTE, run))
    if given is not None:
        return str(given)
    return (found.spec.description or "") if run is None else str(run.outcome.get("notes", ""))


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
        store.update_sweep(found.sweep.sweep_id, meta={_key(kind, run): value})
    return value


def _meant(watch: "Watch", output_dir: Path, named: str) -> "tuple[Recorded, RunRecord | None]":
    """Return the sweep that is meant; or a run, and its sweep."""
    for sweep in watch.sweeps():
        if named in (sweep.name, str(SweepPaths(output_dir, sweep.name).root)):
            return recorded(watch, sweep, output_dir), None
    return find_run(watch, output_dir, named)


def _key(kind: str, run: "RunRecord | None") -> str:
    """Return the key of the sweep's `meta` under which it stands."""
    return kind if run is None else f"{kind} of {run.run_id}"
