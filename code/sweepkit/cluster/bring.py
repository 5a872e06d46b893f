"""The files of runs, brought from nodes that share no folder: the record carries them, here they are laid down."""

import hashlib
from pathlib import Path

from sweepkit.agents.results import LOG_FILE, RESULT_FILE, attempts_in, packed, unpacked
from sweepkit.files import write_atomically
from sweepkit.paths import SweepPaths
from sweepkit.store.base import Store


class RunFiles:
    """Result files and ends of logs of one sweep; what came once is not looked for again.

    Args:
        store: The record.
        sweep_id: Which sweep.
        paths: Its folder on this host.
    """

    def __init__(self, store: Store, sweep_id: str, paths: SweepPaths) -> None:
        self._store, self._sweep_id, self._paths = store, sweep_id, paths
        self._change = 0
        self._awaited: dict[str, int] = {}  # runs that are done, whose files have not come, and their attempts

    @property
    def awaited(self) -> int:
        """Return how many runs that are done have files which had not come when it was looked last."""
        return len(self._awaited)

    def bring(self) -> int:
        """Write what is not here yet; return how many runs brought some.

        Raises:
            OSError: They cannot be written.
            StoreError: The record cannot be asked.
        """
        for run in self._store.runs(self._sweep_id, since=self._change):
            self._change = max(self._change, run.change)
            if run.state.done:
                self._awaited[run.run_id] = run.attempts
        return sum(self._bring(run_id, attempts) for run_id, attempts in sorted(self._awaited.items()))

    def _bring(self, run_id: str, attempts: int) -> bool:
        self._paths.logs.mkdir(parents=True, exist_ok=True)
        names = self._store.kept_files(run_id)
        brought = False
        for name in sorted(names):  # the log before the result, by which a run counts as brought
            kind, _, attempt = name.partition(" ")
            target = {RESULT_FILE: self._paths.result(run_id), LOG_FILE: self._paths.log(attempt)}.get(kind)
            if target is None or _made_of(target) == names[name]:
                continue
            data = self._store.kept_file(run_id, name)
            if data is not None:
                write_atomically(target, unpacked(data))
                brought |= kind == RESULT_FILE
        if attempts_in(self._paths.result(run_id)) >= attempts:  # they are kept after the end is recorded
            del self._awaited[run_id]
        return brought


def _made_of(file: Path) -> str:
    """Return the SHA-256 that the record has of a file as this one is; "" when there is none here."""
    return hashlib.sha256(packed(file.read_bytes())).hexdigest() if file.exists() else ""
