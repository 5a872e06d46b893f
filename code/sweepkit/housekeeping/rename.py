"""`sweepkit rename`: a sweep by another name, in the database, its folder and its YAML there."""

import json
import re

from sweepkit.errors import ConflictError
from sweepkit.housekeeping.find import SweepPlace, find_sweep
from sweepkit.paths import SweepPaths, slug
from sweepkit.reports.files import write_identity, write_spec
from sweepkit.runner.find_sweep import locate
from sweepkit.sweep_config.read import read_sweep_text


def rename(place: SweepPlace, old: str, new: str) -> tuple[str, str]:
    """Give a sweep another name; return the one it had, and the YAML that it was run by.

    Args:
        place: Where sweeps are.
        old: A sweep, or its folder.
        new: Its name from now on.

    Raises:
        SweepKitError: There is no such sweep.
        ConflictError: It is running, or another sweep has the name or its folder.
    """
    from sweepkit.store.open import open_store

    found = find_sweep(place, old)
    sweep, paths = found.sweep, SweepPaths(found.paths.root.parent, new)
    if found.running:
        raise ConflictError(f"sweep {sweep.name}: must have no run under way, got {found.running}; stop it first")
    storage, _, _ = locate(old, output_dir=place.output_dir, storage=place.storage)
    with open_store(storage) as store:
        taken = [item.name for item in store.sweeps() if slug(item.name) == slug(new) and item.name != sweep.name]
        if taken or (paths.root.exists() and paths.root != found.paths.root):
            got = f"the sweep {taken[0]}" if taken else f"the folder {paths.root.name}"
            raise ConflictError(f"{new}: must be a name that no other sweep has, got {got}; choose another one")
        text = _named(sweep.text, new)
        if found.paths.root.is_dir():
            found.paths.root.rename(paths.root)
        renamed = store.rename_sweep(sweep.sweep_id, new, text=text)
    if paths.root.is_dir():
        write_identity(paths, renamed)
        write_spec(paths, read_sweep_text(text, source=f"sweep {new}", default_name=new))
    return sweep.name, str(sweep.meta.get("source") or "its YAML")


def _named(text: str, name: str) -> str:
    r"""Return a sweep's YAML with this name in it.

    >>> _named("method: grid\n", "b")
    'name: "b"\\nmethod: grid\n'
    """
    line = f"name: {json.dumps(name, ensure_ascii=False)}"
    new, found = re.subn(r"^name:.*$", lambda _: line, text, count=1, flags=re.MULTILINE)
    return new if found else f"{line}\n{text}"
