"""Which Python and packages a host has beside those of the host that a sweep was started on; the record keeps both."""

import hashlib
import json
import re
import socket
import sys
from collections.abc import Collection
from importlib import metadata
from pathlib import Path

from sweepkit.store.base import Store

_ENVIRONMENT = "environment"
_NODE = "node "
_EQUAL = hashlib.sha256(b"[]").hexdigest()  # of what a node reports that differs in nothing
_MOST_NAMED = 5
_HEADERS = re.compile(r"^(Name|Version): *(.*?) *$", re.MULTILINE)
_SITES = frozenset(("site-packages", "dist-packages"))


def environment() -> dict[str, str]:
    """Return the Python and the packages of this interpreter: name → version, "python" among them.

    What a package brings for itself and puts on the path when it is imported, as Ray does, is left out.
    """
    path = [place for place in sys.path if not _SITES.intersection(Path(place).parent.parts)]
    found = dict(map(_name_and_version, metadata.distributions(path=path)))
    return {**found, "python": sys.version.split()[0]}


def _name_and_version(item: metadata.Distribution) -> tuple[str, str]:
    """Return what a package is called, in small letters, and its version.

    Two lines are wanted of a file that may hold a whole README: the parser of e-mails takes ten times as long, 0.1 s of
    CPU where a hundred packages are installed, and that at each start.
    """
    said = dict(_HEADERS.findall((item.read_text("METADATA") or "").partition("\n\n")[0]))
    if len(said) < 2:  # an older form
        return str(item.metadata["Name"]).lower(), item.version
    return said["Name"].lower(), said["Version"]


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
