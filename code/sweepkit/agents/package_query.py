"""Which versions of packages an environment has: asked in the environment itself.

It is handed to the interpreter of a run as text (`python -c`), so it holds to Python 3.9 and its standard library.
"""

from __future__ import annotations

import json
import sys
from importlib import metadata


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
            found[str(package.metadata["Name"])] = package.version
    return found


def version_of(package: str) -> str:
    """Return a package's version as `importlib.metadata.version` does, without parsing its whole description.

    A page of torch or wandb takes a millisecond, and each sweep asks for six of them, twice.

    Raises:
        importlib.metadata.PackageNotFoundError: It is not installed.
    """
    found = metadata.distribution(package)
    head = (found.read_text("METADATA") or "").partition("\n\n")[0]
    said = [line.partition(":")[2].strip() for line in head.splitlines() if line.startswith("Version:")]
    return said[0] if said else found.version


if __name__ == "__main__":
    sys.stdout.write(json.dumps(versions_of(json.loads(sys.argv[1]))) + "\n")
