"""Under which name a sweep is recorded: its own, unless another project, folder or program has that already."""

import os
import re
from dataclasses import replace
from pathlib import Path

from sweepkit.model.identity import RENAMED_KEY, MoveEvidence, SweepIdentity, identity_in, is_same, versions_in
from sweepkit.model.records import SweepRecord
from sweepkit.paths import slug
from sweepkit.project import project_root
from sweepkit.runner.plan import Plan
from sweepkit.runner.program_version import version_of
from sweepkit.store.base import Store


def settled(plan: Plan, store: Store) -> Plan:
    """Return a plan by the name under which its sweep is recorded, or will be.

    Never is that the name of a sweep of another project, of another folder or of another program; a warning says when
    it is not the one that the YAML says.
    """
    mine = plan.identity
    if mine is None:
        return plan
    newest = {sweep.family: sweep for sweep in store.sweeps()}  # the oldest come first
    others: list[SweepIdentity] = []
    for family, sweep in newest.items():
        known = identity_in(sweep)
        if mine.name not in (family, known.name if known is not None else family):
            continue
        if known is None or _is_ours(sweep, known, plan):
            return _named(plan, family, _why(plan.spec.name, sweep, others))
        others.append(known)
    if mine.name not in newest:
        return plan
    taken = {slug(name) for sweep in newest.values() for name in (sweep.family, sweep.name)}
    return _named(plan, _free(mine, taken), _why(plan.spec.name, None, others))


def changed_files(plan: Plan, sweep: SweepRecord) -> list[str]:
    """Return which files of the program are not as they were when a recorded sweep ran last; [] when nobody knows."""
    known, now = versions_in(sweep), version_of(plan.files(), plan.folder)
    return now.changed(known[-1]) if known and known[-1].digest != now.digest else []


def is_ours(sweep: SweepRecord, plan: Plan) -> bool:
    """Return whether a recorded sweep is the plan's own."""
    known = identity_in(sweep)
    return plan.identity is None or known is None or _is_ours(sweep, known, plan)


def sweeps_of(store: Store, name: str, folder: Path) -> list[SweepRecord]:
    """Return the recorded sweeps of a YAML, the oldest first, whatever they are called there.

    Args:
        store: The database.
        name: What the YAML calls its sweep.
        folder: Where it lies, or lay before its project was moved.
    """
    here = os.path.realpath(folder)
    found = []
    for sweep in store.sweeps():
        known = identity_in(sweep)
        if name not in (sweep.family, sweep.family if known is None else known.name):
            continue
        if known is None or known.folder in ("", here) or not os.path.exists(known.folder):
            found.append(sweep)
    return found


def _named(plan: Plan, name: str, why: str) -> Plan:
    if name == plan.spec.name:
        return plan
    said = f"recorded as {name}: {why}"
    return replace(plan, spec=replace(plan.spec, name=name, warnings=(*plan.spec.warnings, said)))


def _why(name: str, sweep: SweepRecord | None, others: list[SweepIdentity]) -> str:
    """Return why a sweep is not recorded by the name that its YAML says.

    Args:
        name: What the YAML says.
        sweep: The sweep as recorded; None when it is new.
        others: Who has the name.
    """
    if sweep is not None and RENAMED_KEY in sweep.meta:
        return f"{name} was renamed so"
    if not others:
        return f"another sweep was called {name} when it began"
    whose = others[0].yaml or others[0].folder
    return f"{name} is " + (f"the sweep of {whose}" if whose else "another sweep")


def _free(mine: SweepIdentity, taken: set[str]) -> str:
    """Return a name after the folder that nothing has."""
    folder = re.sub(r"[^\w.-]+", "-", Path(mine.folder).name) or "other"
    name, number = f"{mine.name}-{folder}", 1
    while slug(name) in taken:
        number += 1
        name = f"{mine.name}-{folder}-{number}"
    return name


def _is_ours(sweep: SweepRecord, known: SweepIdentity, plan: Plan) -> bool:
    mine = plan.identity
    assert mine is not None
    if known.program.startswith("/"):
        known = replace(known, program=os.path.realpath(known.program))
    if known.folder == mine.folder and known.program != mine.program and not _same_key(sweep, plan):
        return True  # its YAML names another program now: that is told as any other change of it
    there = known.yaml or known.folder
    gone = bool(there) and not os.path.exists(there)
    project = os.path.realpath(project_root(Path(mine.folder))) if mine.folder else ""
    storage = plan.storage.removeprefix("sqlite:///")
    versions = versions_in(sweep)
    return is_same(
        known,
        mine,
        MoveEvidence(
            gone=gone,
            same_program=gone
            and bool(versions)
            and versions[-1].digest == version_of(plan.files(), plan.folder).digest,
            with_project=bool(project)
            and "://" not in storage
            and os.path.realpath(storage).startswith(project + os.sep),
            below="" if mine.folder == project else os.path.relpath(mine.folder, project),
        ),
    )


def _same_key(sweep: SweepRecord, plan: Plan) -> bool:
    """Return whether a recorded YAML names the program as this one does."""
    from sweepkit.sweep_config.read import read_recorded

    return read_recorded(sweep).program == plan.spec.program
