"""How much room files take."""

import os
from pathlib import Path

_UNITS = ("B", "kB", "MB", "GB", "TB")


def folder_bytes(folder: Path) -> int:
    """Return the bytes of a file, or of all files below a folder; 0 where there is nothing. Links count as links.

    What vanishes meanwhile counts for nothing.
    """
    if not folder.is_dir() or folder.is_symlink():
        return _bytes(folder)
    return sum(_bytes(Path(place, name)) for place, _, names in os.walk(folder) for name in names)


def _bytes(file: Path) -> int:
    try:
        return file.lstat().st_size
    except OSError:
        return 0


def in_words(number: int) -> str:
    """Return a number of bytes for a person, in powers of 1000.

    >>> in_words(999), in_words(1_500_000), in_words(23_000_000_000)
    ('999 B', '1.5 MB', '23.0 GB')
    """
    amount, unit = float(number), 0
    while amount >= 1000 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{number} B" if unit == 0 else f"{amount:.1f} {_UNITS[unit]}"
