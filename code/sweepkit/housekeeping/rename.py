"""`sweepkit rename`: a sweep by another name, in the database, its folder, its files and its YAML there."""

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweepkit.confirm.plan import confirmation_name, holdout_name
from sweepkit.errors import ConflictError, SweepKitError
from sweepkit.files import write_atomically
from sweepkit.housekeeping.find import SweepPlace, find_sweep
from sweepkit.model.identity import RENAMED_KEY
from sweepkit.model.records import CONFIRMATION_KEY, SweepRecord
from sweepkit.paths import SweepPaths, slug
from sweepkit.reports.confirmation import FILE as CONFIRMATION_FILE
from sweepkit.reports.files import write_identity, write_spec
from sweepkit.runner.find_sweep import locate
from sweepkit.runner.sweep_report import REPORT_NAME, report_at_end
from sweepkit.sweep_config.read import read_recorded
from sweepkit.text.json_text import json_text
from sweepkit.text.yaml import parse
from sweepkit.text.yaml_text import yaml_text

if TYPE_CHECKING:
    from sweepkit.model.records import Report
    from sweepkit.store.base import Store


def rename(place: SweepPlace, old: str, new: str) -> tuple[str, str]:
    """Give a sweep another name; return the one it had, and the YAML that it was run by.

    What is written of it says the new name, too, and what belongs to it alone goes with it: its confirmation, the
    results of a study.

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
    sweep = found.sweep
    if found.running:
        raise ConflictError(f"sweep {sweep.name}: must have no run under way, got {found.running}; stop it first")
    storage, _, _ = locate(old, output_dir=place.output_dir, storage=place.storage)
    with open_store(storage) as store:
        names = {sweep.name: new}
        for called in (confirmation_name, holdout_name):
            if store.sweep(called(sweep.name)) is not None:
                names[called(sweep.name)] = called(new)
        for name in names.values():
            _check_free(store.sweeps(), names, name, found.paths.root.parent)
        texts = {name: _named(item.text, names[name]) for name in names if (item := store.sweep(name)) is not None}
        for before, name in names.items():
            _rename_one(store, before, name, texts[before], of=new, output_dir=found.paths.root.parent)
    return sweep.name, str(sweep.meta.get("source") or "its YAML")


def _check_free(sweeps: Sequence[SweepRecord], names: Mapping[str, str], new: str, output_dir: Path) -> None:
    """Refuse a name that another sweep has, or whose folder there is."""
    taken = [item.name for item in sweeps if slug(item.name) == slug(new) and item.name not in names]
    root = SweepPaths(output_dir, new).root
    if taken or (root.exists() and root not in [SweepPaths(output_dir, name).root for name in names]):
        got = f"the sweep {taken[0]}" if taken else f"the folder {root.name}"
        raise ConflictError(f"{new}: must be a name that no other sweep has, got {got}; choose another one")


def _rename_one(store: "Store", old: str, new: str, text: str, *, of: str, output_dir: Path) -> None:
    """Rename a recorded sweep and its files.

    Args:
        store: The record.
        old: Its name.
        new: Its name from now on.
        text: Its YAML with that name.
        of: The new name of the sweep that it confirms, or of itself.
        output_dir: Where the folders of sweeps are.
    """
    sweep = store.sweep(old)
    assert sweep is not None
    before, paths = SweepPaths(output_dir, old), SweepPaths(output_dir, new)
    if before.root.is_dir():
        before.root.rename(paths.root)
    study = output_dir / slug(old)
    if (study / "study_stats.json").is_file() and not (output_dir / slug(new)).exists():
        study.rename(output_dir / slug(new))
    renamed = store.rename_sweep(sweep.sweep_id, new, text=text)
    meta: dict[str, Any] = {RENAMED_KEY: old}
    if sweep.confirms:
        meta[CONFIRMATION_KEY] = {**sweep.meta[CONFIRMATION_KEY], "sweep": of}
    renamed = store.update_sweep(renamed.sweep_id, meta=meta)
    if paths.root.is_dir():
        _write_again(store, renamed, paths, before.root.name)


def _write_again(store: "Store", sweep: SweepRecord, paths: SweepPaths, folder: str) -> None:
    """Write what says a sweep's name anew; `folder` is what its folder was called."""
    spec = read_recorded(sweep, source=f"sweep {sweep.name}")
    write_identity(paths, sweep)
    write_spec(paths, spec)
    for file in (paths.best_config, paths.confirmed_config, *paths.best_configs.glob("run_*.yaml")):
        if file.is_file():
            first, newline, rest = file.read_text(encoding="utf-8").partition("\n")
            write_atomically(file, f"{first.replace(folder, paths.root.name, 1)}{newline}{rest}")
    said = paths.root / CONFIRMATION_FILE
    if said.is_file():
        data = json.loads(said.read_text(encoding="utf-8"))
        data |= {"sweep": sweep.name, "confirmation": confirmation_name(sweep.name)}
        write_atomically(said, json_text(data, indent=2) + "\n")
    if (paths.root / REPORT_NAME).is_file():

        def reports(run_ids: Sequence[str]) -> "Mapping[str, Sequence[Report]]":
            return {run_id: store.reports(run_id) for run_id in run_ids}

        report_at_end(paths, spec, sweep, store.runs(sweep.sweep_id), reports)


def _named(text: str, name: str) -> str:
    r"""Return a sweep's YAML, or JSON, with this name in it; comments stay where the name has a line of its own.

    >>> _named("method: grid\n", "b")
    'name: "b"\nmethod: grid\n'
    >>> _named('{"method": "grid"}', "b")
    '{\n  "name": "b",\n  "method": "grid"\n}\n'
    """
    line = f"name: {json.dumps(name, ensure_ascii=False)}"
    new, found = re.subn(r"^name:.*$", lambda _: line, text, count=1, flags=re.MULTILINE)
    new = new if found else f"{line}\n{text}"
    recorded = parse(text, where=f"the YAML of {name}").data
    data = {"name": name, **{key: value for key, value in recorded.items() if key != "name"}}
    with contextlib.suppress(SweepKitError):
        if parse(new).data == data:
            return new
    return json_text(data, indent=2) + "\n" if text.lstrip().startswith("{") else yaml_text(data)
