"""The project that a sweep belongs to, and the defaults that it sets once.

A project is the nearest folder upwards that holds one of MARKERS; a folder without any above it is its own project.
Its defaults stand in `sweepkit.toml`, or in the table `[tool.sweepkit]` of `pyproject.toml`:

    [tool.sweepkit]
    output_dir = "results"
    storage = "postgresql://user@host/sweeps"

A relative path is meant from the file that says it. In a repository of several projects the nearest file that sets
defaults holds, up to the repository's root.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweepkit.errors import Problem, SpecError

MARKERS = ("sweepkit.toml", "pyproject.toml", ".git")
_SETTINGS = ("output_dir", "storage")
_OWN, _SHARED, _REPOSITORY = MARKERS
_SQLITE = "sqlite:///"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What holds, and who says so.

    Args:
        value: A folder, a file or a URL.
        source: An option, a variable, a file, or "default".
    """

    value: str
    source: str


def project_root(folder: Path) -> Path:
    """Return the folder of the project that a folder belongs to, absolute: itself when nothing above it is marked."""
    folder = Path(os.path.abspath(folder))
    return next((above for above in (folder, *folder.parents) if is_project(above)), folder)


def project_settings(folder: Path) -> Mapping[str, Setting]:
    """Return what the project of a folder sets, by key; what it leaves out is not there.

    Raises:
        SpecError: A file that sets it is no TOML, or holds a key or a value that means nothing.
    """
    root = project_root(folder)
    for above in (root, *root.parents):
        if found := _settings_in(above):
            return found
        if (above / _REPOSITORY).exists() or not any(is_project(further) for further in above.parents):
            break
    return {}


def is_project(folder: Path) -> bool:
    """Return whether a folder is marked as a project's."""
    return any((folder / name).exists() for name in MARKERS)


def _settings_in(folder: Path) -> dict[str, Setting]:
    """Return what the files of one folder set; `sweepkit.toml` goes before `pyproject.toml`."""
    if (file := folder / _OWN).is_file():
        return _checked(file, _read(file), "")
    file = folder / _SHARED
    if not file.is_file() or b"sweepkit" not in file.read_bytes():  # most say nothing of us
        return {}
    table = _read(file).get("tool", {}).get("sweepkit")
    return {} if table is None else _checked(file, table, "tool.sweepkit")


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError([Problem(where=str(file), rule="must be TOML", got=str(error))]) from None


def _checked(file: Path, table: Any, place: str) -> dict[str, Setting]:
    """Return a table's settings with absolute paths; raises SpecError with every problem of it."""
    if not isinstance(table, dict):
        raise SpecError([Problem(where=str(file), key=place, rule="must be a table", got=repr(table))])
    text = file.read_text(encoding="utf-8")
    problems = []
    for key, value in table.items():
        rule, hint, got = "", "", ""
        if key not in _SETTINGS:
            near = difflib.get_close_matches(str(key).replace("-", "_"), _SETTINGS, n=1)
            rule = f"must be one of {', '.join(_SETTINGS)}"
            hint = f"did you mean {near[0]!r}?" if near else "take it away"
        elif not isinstance(value, str) or not value:
            rule, got = "must be a text: a folder, a file or a URL", repr(value)
        if rule:
            shown = ".".join(filter(None, (place, key)))
            line = _line_of(key, text)
            problems.append(Problem(where=str(file), line=line, key=shown, rule=rule, got=got, hint=hint))
    if problems:
        raise SpecError(problems)
    source = f"{file} [{place}]" if place else str(file)
    return {key: Setting(value=_from(file.parent, key, value), source=source) for key, value in table.items()}


def _line_of(key: str, text: str) -> int | None:
    """Return the first line that sets a key, None when no line shows it so plainly."""
    written = re.compile(rf"""\s*["']?{re.escape(key)}["']?\s*=""")
    return next((number for number, line in enumerate(text.splitlines(), 1) if written.match(line)), None)


def _from(folder: Path, key: str, value: str) -> str:
    """Return a path of a file in `folder` as an absolute one; a URL of a server stays.

    >>> _from(Path("/p"), "storage", "sqlite:///runs.db"), _from(Path("/p"), "output_dir", "../out")
    ('sqlite:////p/runs.db', '/out')
    """
    prefix = _SQLITE if key == "storage" and value.startswith(_SQLITE) else ""
    if key == "storage" and "://" in value and not prefix:
        return value
    return prefix + os.path.abspath(folder / Path(value.removeprefix(prefix)).expanduser())
