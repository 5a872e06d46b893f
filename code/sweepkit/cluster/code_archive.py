"""A project's code as one file named by its content, for nodes that share no folder with whoever launches.

What goes along is what git tracks and what it does not ignore; without git, everything but environments, caches, hidden
folders and results. The same files make the same archive, byte by byte, so that it travels once.
"""

import gzip
import hashlib
import io
import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from sweepkit.cluster.tar import tarfile
from sweepkit.errors import SweepKitError
from sweepkit.files import locked, replacing_folder
from sweepkit.project import is_project

# A database takes larger values, but a project of this size has data in it that belong elsewhere.
_LARGEST_BYTES = 64 << 20
_LEFT_OUT = {"__pycache__", "node_modules", "wandb", "outputs"}
_ENVIRONMENT = "pyvenv.cfg"
_NAMED = 3
_MARKER = "sweepkit.toml"


class CodeArchiveError(SweepKitError):
    """A project cannot be carried to the nodes."""


def pack(project: Path, *, without: Sequence[Path] = ()) -> tuple[str, bytes]:
    """Return the SHA-256 and the bytes of a project's archive (tar, gzip).

    Args:
        project: Its folder.
        without: Files and folders that stay here: the output folder.

    Raises:
        CodeArchiveError: It has no file, one that cannot be read, or is larger than 64 MiB.
    """
    project = Path(os.path.realpath(project))
    skipped = [os.path.realpath(path) for path in without]
    names = [name for name in _names(project) if not _below(str(project / name), skipped)]
    sizes = {name: os.lstat(project / name).st_size for name in names}
    if sum(sizes.values()) > 8 * _LARGEST_BYTES:  # not even read
        raise _too_large(project, sizes)
    try:
        data = _archive(project, names)
    except OSError as error:
        raise CodeArchiveError(f"{error.filename or project}: must be readable, got {error.strerror}") from error
    if not names:
        raise CodeArchiveError(f"{project}: must hold the project's code, got no file that git does not ignore")
    if len(data) > _LARGEST_BYTES:
        raise _too_large(project, sizes)
    return hashlib.sha256(data).hexdigest(), data


def unpack(digest: str, data: bytes, folder: Path) -> Path:
    """Return the folder below `folder` that holds an archive's files; made once, whole or not at all.

    Args:
        digest: Its SHA-256, which names the folder.
        data: The archive.
        folder: Where projects are put, made if it is not there.

    Raises:
        CodeArchiveError: It is not what was packed, or cannot be written.
    """
    if hashlib.sha256(data).hexdigest() != digest:
        raise CodeArchiveError(f"the project's code in the record: must have the digest {digest[:12]}, got another one")
    target = folder / digest[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / "lock"):
            if not target.is_dir():
                with replacing_folder(target) as made, tarfile.open(fileobj=io.BytesIO(data)) as archive:
                    archive.extractall(made, filter="data")
                    if not is_project(made):  # or a marked folder above it would count as the project
                        (made / _MARKER).touch()
    except (OSError, tarfile.TarError) as error:
        raise CodeArchiveError(f"{target}: must take the project's code, got {error}") from error
    return target


def node_folder(environ: "os._Environ[str] | dict[str, str]") -> Path:
    """Return where a node keeps projects and the files of their runs: the user's cache, else the temporary folder."""
    cache = Path(environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or "/nonexistent", ".cache"))
    for folder in (cache / "sweepkit", Path(tempfile.gettempdir()) / f"sweepkit-{os.getuid()}"):
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError:
            continue
        if os.access(folder, os.W_OK) and folder.stat().st_uid == os.getuid():  # nobody else's in a shared /tmp
            return folder
    raise CodeArchiveError("the home or the temporary folder of this node: must be writable, got neither")


def _names(project: Path) -> list[str]:
    """Return the paths of the project's files, relative to it, sorted."""
    listed = ["git", "-C", str(project), "ls-files", "-coz", "--exclude-standard", "--deduplicate"]
    try:
        done = subprocess.run(listed, capture_output=True, timeout=60, check=False)
        in_git = done.returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        in_git = False
    found = [os.fsdecode(name) for name in done.stdout.split(b"\0") if name] if in_git else list(_walked(project))
    return sorted(name for name in found if _is_carried(project / name))


def _walked(project: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(project):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and name not in _LEFT_OUT and not Path(folder, name, _ENVIRONMENT).exists()
        ]
        for name in files:
            yield os.path.relpath(os.path.join(folder, name), project)


def _is_carried(path: Path) -> bool:
    try:
        mode = os.lstat(path).st_mode
    except OSError:  # removed, and git does not know yet
        return False
    return stat.S_ISREG(mode) or (stat.S_ISLNK(mode) and not os.path.isabs(os.readlink(path)))


def _below(path: str, folders: Sequence[str]) -> bool:
    return any(path == folder or path.startswith(folder + os.sep) for folder in folders)


def _archive(project: Path, names: Sequence[str]) -> bytes:
    """Return the same bytes for the same files: no times, no owners, no order of the disk."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = entry.mtime = 0
        entry.uname = entry.gname = ""
        entry.mode = 0o755 if entry.mode & stat.S_IXUSR else 0o644
        return entry

    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in names:
            archive.add(project / name, arcname=name, recursive=False, filter=plain)
    return gzip.compress(raw.getvalue(), mtime=0)


def _too_large(project: Path, sizes: dict[str, int]) -> CodeArchiveError:
    largest = sorted(sizes, key=lambda name: -sizes[name])[:_NAMED]
    said = ", ".join(f"{name} ({sizes[name] / (1 << 20):.0f} MiB)" for name in largest)
    return CodeArchiveError(
        f"{project}: code for nodes without a shared folder must be at most {_LARGEST_BYTES >> 20} MiB packed, got "
        f"more: {said}; have git ignore what is no code (data lie on the nodes), or use a shared folder"
    )
