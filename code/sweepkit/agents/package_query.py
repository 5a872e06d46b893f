"""Which versions of packages an environment has: asked in the environment itself.

It is handed to the interpreter of a run as text (`python -c`), so it holds to Python 3.9 and its standard library.
"""

from __future__ import annotations

import json
import re
import sys
from importlib import metadata

_HEADERS = re.compile(r"^(Name|Version): *(.*?) *$", re.MULTILINE)


def versions_of(modules: list[str]) -> dict[str, str]:
    """Return Python's version and those of the packages that bring modules, by the packages' names.

    Args:
        modules: First parts of names that are imported; what no package brings is left out.
    """
    found = {"python": sys.version.split()[0]}
    left = set()
    for name in modules:
        try:
            found[name] = version_of(name)
        except metadata.PackageNotFoundError:
            left.add(name)
    for package in metadata.distributions() if left else ():
        said = (package.read_text("top_level.txt") or "").split()
        brought = said or [str(file).split("/")[0] for file in package.files or ()]
        if left & {name[:-3] if name.endswith(".py") else name for name in brought}:
            known, version = name_and_version(package)
            found[known] = version
    return found


def version_of(package: str) -> str:
    """Return a package's version. Raises importlib.metadata.PackageNotFoundError: it is not installed."""
    return name_and_version(metadata.distribution(package))[1]


def name_and_version(package: metadata.Distribution) -> tuple[str, str]:
    """Return what a package calls itself, and its version.

    Two lines are wanted of a file that may hold a whole README: the parser of e-mails takes ten times as long, 1 ms for
    torch or wandb and 0.1 s where a hundred packages are installed.
    """
    said = dict(_HEADERS.findall((package.read_text("METADATA") or "").partition("\n\n")[0]))
    if len(said) < 2:  # an older form
        return str(package.metadata["Name"]), package.version
    return said["Name"], said["Version"]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(versions_of(json.loads(sys.argv[1]))) + "\n")
