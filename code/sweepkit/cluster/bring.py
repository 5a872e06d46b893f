"""The files of runs, brought from nodes that share no folder: the record carries them, here they are laid down."""

from sweepkit.agents.results import LOG_FILE, RESULT_FILE, unpacked
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
        self._awaited: set[str] = set()  # runs that are done, whose files have not come

    def bring(self) -> int:
        """Write what is not here yet; return how many runs brought some.

        Raises:
            OSError: They cannot be written.
            StoreError: The record cannot be asked.
        """
        for run in self._store.runs(self._sweep_id, since=self._change):
            self._change = max(self._change, run.change)
            if run.state.done:
                self._awaited.add(run.run_id)
        return sum(map(self._bring, sorted(self._awaited)))

    def _bring(self, run_id: str) -> bool:
        self._paths.logs.mkdir(parents=True, exist_ok=True)
        names = self._store.kept_files(run_id)
        brought = False
        for name in sorted(names):  # the log before the result, by which a run counts as brought
            kind, _, attempt = name.partition(" ")
            target = {RESULT_FILE: self._paths.result(run_id), LOG_FILE: self._paths.log(attempt)}.get(kind)
            data = None if target is None or target.exists() else self._store.kept_file(run_id, name)
            if target is not None and data is not None:
                write_atomically(target, unpacked(data))
                brought |= kind == RESULT_FILE
        if RESULT_FILE in names:  # they are kept after the end is recorded: looked for again until then
            self._awaited.discard(run_id)
        return brought
