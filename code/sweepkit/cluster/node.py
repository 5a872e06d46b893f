"""What a node without a shared folder needs before its first run: the project's code.

Used by the keeper, which runs there.
"""

import os
from pathlib import Path

from sweepkit.agents.environments import keep_environment
from sweepkit.cluster.code_archive import CodeArchiveError, node_folder, unpack
from sweepkit.store.base import Store

CODE_ENV = "SWEEPKIT_CODE"  # the digest of the project's archive in the record; set where no folder is shared
CODE_OWNER = "code"
OUTPUT_WORD = "${output_dir}"  # of an agent's command: the node's own folder of results


def keep_project(store: Store, sweep_id: str, digest: str, data: bytes) -> None:
    """Put a project's archive and this host's packages into the record, before agents are placed."""
    if digest not in store.kept_files(CODE_OWNER):
        store.keep_file(CODE_OWNER, digest, data)
    keep_environment(store, sweep_id)


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
