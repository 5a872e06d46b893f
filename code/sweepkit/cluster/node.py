"""What a node without a shared folder needs before its first run: the project's code, and the same packages.

Used by the keeper, which runs there.
"""

import hashlib
import json
import os
import socket
import sys
from collections.abc import Collection
from importlib import metadata
from pathlib import Path

from sweepkit.cluster.code_archive import CodeArchiveError, node_folder, unpack
from sweepkit.store.base import Store

CODE_ENV = "SWEEPKIT_CODE"  # the digest of the project's archive in the record; set where no folder is shared
CODE_OWNER = "code"
OUTPUT_WORD = "${output_dir}"  # of an agent's command: the node's own folder of results
_ENVIRONMENT = "environment"
_NODE = "node "
_EQUAL = hashlib.sha256(b"[]").hexdigest()  # of what a node tells that differs in nothing
_MOST_NAMED = 5
_SITES = frozenset(("site-packages", "dist-packages"))


def environment() -> dict[str, str]:
    """Return the Python and the packages of this interpreter: name → version, "python" among them.

    What a package brings for itself and puts on the path when it is imported, as Ray does, is left out.
    """
    path = [place for place in sys.path if not _SITES.intersection(Path(place).parent.parts)]
    found = {str(item.metadata["Name"]).lower(): item.version for item in metadata.distributions(path=path)}
    return {**found, "python": sys.version.split()[0]}


def keep_project(store: Store, sweep_id: str, digest: str, data: bytes) -> None:
    """Put a project's archive and this host's packages into the record, before agents are placed."""
    if digest not in store.kept_files(CODE_OWNER):
        store.keep_file(CODE_OWNER, digest, data)
    store.keep_file(sweep_id, _ENVIRONMENT, json.dumps(environment()).encode())


def project_here(store: Store, sweep_id: str, digest: str) -> tuple[Path, Path]:
    """Return the folder of the project on this node and that of the sweep's results; the first is made once.

    Raises:
        CodeArchiveError: The record has no such archive, or it cannot be written here.
    """
    place = node_folder(os.environ)
    known = place / "code" / digest[:16]
    if not known.is_dir():
        data = store.kept_file(CODE_OWNER, digest)
        if data is None:
            raise CodeArchiveError(f"the record: must hold the project's code {digest[:12]}, got none; launch it again")
        known = unpack(digest, data, place / "code")
    results = place / "sweeps" / sweep_id
    results.mkdir(parents=True, exist_ok=True)
    return known, results


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
        more = f" and {len(lines) - _MOST_NAMED} more" if len(lines) > _MOST_NAMED else ""
        said[node] = "; ".join(lines[:_MOST_NAMED]) + more
    return said
