"""Whose sweep it is: not its name alone, but where its YAML lies and which program it runs.

Two projects may each have a `sweep.yaml`. Neither is ever given the other's results, in one database either: who comes
second has a name of its own. Everything here is a decision over values; whether files are there is said by the caller.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sweepkit.model.records import SweepRecord

RENAMED_KEY = "renamed"  # of a sweep's meta: what it was called before `sweepkit rename`
_KEY = "identity"
_VERSION_KEY = "program "  # each version of the program has a key of its own in a sweep's meta: writers do not collide


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepIdentity:
    """What makes a sweep another one than a sweep of the same name.

    Args:
        name: What its YAML calls it; the record may have it under another name.
        folder: Where its YAML lies, absolute; the project's folder for one that comes with us; "" for anywhere.
        yaml: The YAML's file, absolute; "" when there is none.
        program: The program's file, absolute; a module's name; "" when the command names neither.
        host: Where it was started last.
    """

    name: str
    folder: str
    yaml: str = ""
    program: str = ""
    host: str = ""

    def plain(self) -> dict[str, str]:
        """Return it as the record keeps it."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramVersion:
    """A program as it stood at some time.

    Args:
        digest: 12 hexadecimal digits; equal for equal files.
        files: Digest of each of its files, by a path from the program's folder.
        used_at: When it was seen last, seconds since the epoch.
    """

    digest: str
    files: Mapping[str, str] = field(default_factory=dict)
    used_at: float = 0.0

    def meta(self) -> dict[str, Any]:
        """Return it as a key of a sweep's meta."""
        return {f"{_VERSION_KEY}{self.digest}": {"files": dict(self.files), "at": self.used_at}}

    def changed(self, other: "ProgramVersion") -> list[str]:
        """Return the files in which two versions differ.

        >>> old, new = ProgramVersion(digest="1", files={"a": "x"}), ProgramVersion(digest="2", files={"a": "y"})
        >>> new.changed(old)
        ['a']
        """
        return sorted(name for name in {*self.files, *other.files} if self.files.get(name) != other.files.get(name))


def identity_in(sweep: SweepRecord) -> SweepIdentity | None:
    """Return a recorded sweep's identity, of an older record as far as it has it; None when nothing does."""
    if known := sweep.meta.get(_KEY):
        return SweepIdentity(**known)
    said = {key: str(sweep.meta.get(key) or "") for key in ("directory", "program", "source", "cwd", "code_dir")}
    if "program" not in sweep.meta or not said["directory"]:
        return None
    ours = said["code_dir"].rpartition("/")[0]
    if ours and _within(said["directory"], f"{ours}/config"):
        said["directory"] = ""
    if ours and _within(said["program"], said["code_dir"]):
        said["program"] = f"sweepkit:{said['program'].rpartition('/')[2]}"
    relative = said["source"].endswith((".yaml", ".yml")) and not said["source"].startswith("/")
    yaml = f"{said['cwd']}/{said['source']}" if relative else said["source"]
    return SweepIdentity(name=sweep.family, folder=said["directory"], yaml=yaml, program=said["program"])


def versions_in(sweep: SweepRecord) -> list[ProgramVersion]:
    """Return the versions of its program that a sweep has seen, the one seen last at the end."""
    found = [
        ProgramVersion(digest=key.removeprefix(_VERSION_KEY), files=value["files"], used_at=value["at"])
        for key, value in sweep.meta.items()
        if key.startswith(_VERSION_KEY)
    ]
    return sorted(found, key=lambda version: version.used_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveEvidence:
    """What is known besides two identities.

    Args:
        gone: The recorded sweep's YAML (without one, its folder) is not there any more.
        same_program: Its program was, when it ran last, file by file what this one is now.
        with_project: The database lies in this sweep's project, and so may have come along with it.
        below: This sweep's folder, relative to its project; "" for the project's own.
    """

    gone: bool
    same_program: bool
    with_project: bool
    below: str = ""


def is_same(old: SweepIdentity, new: SweepIdentity, around: MoveEvidence) -> bool:
    """Return whether a sweep that is started is the recorded one of its name.

    It is when its YAML lies where it lay and finds the program where it was. A project that was moved is the same one;
    a copy, of which the original is still there, is another one.
    """
    if not old.folder or not new.folder or old.folder == new.folder:
        return old.program == new.program or not old.program or _moved(old, new, around)
    return _moved(old, new, around)


def _moved(old: SweepIdentity, new: SweepIdentity, around: MoveEvidence) -> bool:
    came_along = around.with_project and f"{old.folder}/".endswith(f"/{around.below}/" if around.below else "/")
    return around.gone and (around.same_program or came_along)


def family_here(sweeps: Sequence[SweepRecord], name: str, *, cwd: str, project: str) -> str:
    """Return the family that a user means by a sweep's name where several projects have one of that name.

    Args:
        sweeps: All of the record.
        name: What the user said.
        cwd: Where he says it, absolute; the sweeps of that folder are meant first.
        project: The folder of its project; those are meant next.

    Returns:
        The family's name; `name` when nothing speaks for another one.
    """
    called = [
        (sweep.family, known.folder)
        for sweep in sweeps
        if (known := identity_in(sweep)) is not None and known.folder and name in (known.name, sweep.family)
    ]
    near = {family for family, folder in called if _within(folder, cwd) or _within(cwd, folder)}
    ours = {family for family, folder in called if _within(folder, project)}
    for families in (near, ours):
        if len(families) == 1:
            return next(iter(families))
        if families:
            return name
    return name


def _within(folder: str, above: str) -> bool:
    return folder == above or folder.startswith(above.rstrip("/") + "/")
