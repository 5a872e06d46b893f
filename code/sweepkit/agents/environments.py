"""Which Python and packages a host has beside those of the host that a sweep was started on; the record keeps both."""

import hashlib
import json
import socket
import sys
from collections.abc import Collection
from importlib import metadata
from pathlib import Path

from sweepkit.agents.package_query import name_and_version
from sweepkit.store.base import Store

_ENVIRONMENT = "environment"
_NODE = "node "
_EQUAL = hashlib.sha256(b"[]").hexdigest()  # of what a node reports that differs in nothing
_MOST_NAMED = 5
_SITES = frozenset(("site-packages", "dist-packages"))


def environment() -> dict[str, str]:
    """Return the Python and the packages of this interpreter: name → version, "python" among them.

    What a package brings for itself and puts on the path when it is imported, as Ray does, is left out.
    """
    path = [place for place in sys.path if not _SITES.intersection(Path(place).parent.parts)]
    found = {name.lower(): version for name, version in map(name_and_version, metadata.distributions(path=path))}
    return {**found, "python": sys.version.split()[0]}


def keep_environment(store: Store, sweep_id: str) -> None:
    """Put this host's Python and packages into the record, as those that a sweep is started with."""
    store.keep_file(sweep_id, _ENVIRONMENT, json.dumps(environment()).encode())


def package_differences(store: Store, sweep_id: str) -> list[str]:
    """Return what differs here from the launching host, one line a package; it stands in the record too."""
    kept = store.kept_file(sweep_id, _ENVIRONMENT)
    lines = [] if kept is None else different(json.loads(kept), environment())
    store.keep_file(sweep_id, f"{_NODE}{socket.gethostname()}", json.dumps(lines).encode())
    return lines


def different(there: dict[str, str], here: dict[str, str]) -> list[str]:
    """Return each package whose version differs, as "torch 2.13.0, here 2.12.1"; Python first.

    >>> different({"python": "3.11.2", "numpy": "2.4"}, {"python": "3.12.0", "numpy": "2.4", "wandb": "0.31"})
    ['python 3.11.2, here 3.12.0']
    >>> different({"python": "3.11.2", "numpy": "2.4"}, {"python": "3.11.2"})
    ['numpy 2.4, here none']
    """
    names = sorted((name for name in there if there[name] != here.get(name)), key=lambda name: (name != "python", name))
    return [f"{name} {there[name]}, here {here.get(name, 'none')}" for name in names]


def differing_nodes(store: Store, sweep_id: str, *, but: Collection[str] = ()) -> dict[str, str]:
    """Return of each node that differs from the launching host what does, in words; those in `but` are left out."""
    said = {}
    for name, digest in store.kept_files(sweep_id).items():
        node = name.removeprefix(_NODE)
        if node == name or node in but or digest == _EQUAL:
            continue
        lines = json.loads(store.kept_file(sweep_id, name) or b"[]")
        said[node] = in_words(lines)
    return said


def in_words(differences: list[str]) -> str:
    """Return the first differences, and how many more there are.

    >>> in_words(["numpy 2.4, here none"])
    'numpy 2.4, here none'
    """
    more = f" and {len(differences) - _MOST_NAMED} more" if len(differences) > _MOST_NAMED else ""
    return "; ".join(differences[:_MOST_NAMED]) + more
