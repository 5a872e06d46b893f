"""Copies of a record that is in use: by SQLite's own backup, by PostgreSQL's pg_dump.

`cp` of a SQLite file in use is none: what was committed last is in the log beside it, and a page may be half written.
"""

import contextlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from sweepkit.called import typed
from sweepkit.errors import StoreError
from sweepkit.files import replacing
from sweepkit.store.session import RESCUED
from sweepkit.store.url import parse_url, postgresql_url, shown_url

_COPY, _OLDER_COPY = ".backup", ".backup-older"


def sqlite_file(url_or_path: str | Path) -> Path | None:
    """Return the file of a SQLite record, None for PostgreSQL.

    Raises:
        StoreError: The URL cannot be read.
    """
    text = str(url_or_path)
    if isinstance(url_or_path, Path) or ":" not in text.split("/", 1)[0]:
        return Path(text).expanduser().absolute()
    url = parse_url(text)
    return Path(url.database or "").absolute() if url.drivername.startswith("sqlite") else None


def copies_of(path: Path) -> list[Path]:
    """Return the copies of a SQLite record that lie beside it, the newest first."""
    found = [path.with_name(path.name + suffix) for suffix in (_COPY, _OLDER_COPY)]
    found = [file for file in found if file.is_file()] + list(path.parent.glob(f"{path.name}{RESCUED}*"))
    whole = [file for file in found if not file.name.endswith(("-wal", "-shm", ".tmp"))]
    return sorted(whole, key=lambda file: file.stat().st_mtime, reverse=True)


def copy_beside(path: Path) -> Path:
    """Copy a SQLite record to the file beside it that bears its name and `.backup`; the copy before is kept, too.

    Raises:
        StoreError: It cannot be read or written; the copies are as they were.
    """
    copy, older = path.with_name(path.name + _COPY), path.with_name(path.name + _OLDER_COPY)
    with _replaced(copy) as file:
        _copy_sqlite(path, file)
        with contextlib.suppress(FileNotFoundError):  # there is none, or another process moves it now
            os.replace(copy, older)
    return copy


def back_up(url_or_path: str | Path, target: Path | None = None) -> Path:
    """Copy a record, whoever uses it meanwhile: the copy is the record of one moment.

    Args:
        url_or_path: As `open_store` takes it.
        target: The file to write; None for the usual one beside a SQLite file.

    Returns:
        The copy: a SQLite file, or an archive that `pg_restore` reads.

    Raises:
        StoreError: There is no record, it cannot be read, or the copy cannot be written.
    """
    path = sqlite_file(url_or_path)
    if path is None:
        if target is None:
            raise StoreError("--to: must name the file that pg_dump writes, got none; give --to FILE")
        return _dump_postgresql(parse_url(str(url_or_path)), target)
    if not path.is_file():
        raise StoreError(f"store {path}: must be there to be copied, got no such file; name --output-dir or --storage")
    if target is None:
        return copy_beside(path)
    if target.exists() and target.samefile(path):
        raise StoreError(f"--to {target}: must be another file than the record, got the record itself")
    with _replaced(target) as file:
        _copy_sqlite(path, file)
    return target


@contextlib.contextmanager
def _replaced(target: Path) -> Iterator[Path]:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target, fsync=True) as file:
            yield file
    except OSError as error:
        raise StoreError(f"{target}: the copy must be writable there, got: {error.strerror or error}") from None


def _copy_sqlite(path: Path, target: Path) -> None:
    """Copy a file's record at one moment, its write-ahead log included. Raises StoreError."""
    try:
        with (
            contextlib.closing(sqlite3.connect(path, timeout=30)) as source,
            contextlib.closing(sqlite3.connect(target)) as copy,
        ):
            source.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # a copy is one file
    except sqlite3.Error as error:
        raise StoreError(
            f"store {path}: must be readable to be copied, got: {error}; run `{typed('db', 'check')}`"
        ) from None


def _dump_postgresql(url: sa.URL, target: Path) -> Path:
    """Let pg_dump write an archive. Raises StoreError."""
    label = f"store {shown_url(url)}"
    tool = shutil.which("pg_dump")
    if tool is None:
        raise StoreError(f"{label}: must be copied by pg_dump, got none on PATH; install PostgreSQL's client programs")
    url = postgresql_url(url)
    # The password goes by the environment: an argument can be seen by every user of the machine.
    env = {**os.environ, **({"PGPASSWORD": str(url.password)} if url.password else {})}
    dsn = url.set(drivername="postgresql", password=None).render_as_string(hide_password=False)
    with _replaced(target) as file:
        done = subprocess.run(
            [tool, "--format=custom", f"--file={file}", f"--dbname={dsn}"], env=env, capture_output=True, text=True
        )
        if done.returncode:
            raise StoreError(f"{label}: pg_dump must read it, got: {' '.join(done.stderr.split())[:500]}")
    return target
