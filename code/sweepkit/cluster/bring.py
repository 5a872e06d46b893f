"""The files of runs, brought from nodes that share no folder: the record carries them, here they are laid down."""

from sweepkit.agents.results import LOG_FILE, RESULT_FILE, unpacked
from sweepkit.files import write_atomically
from sweepkit.paths import SweepPaths
from sweepkit.store.base import Store


def bring(store: Store, sweep_id: str, paths: SweepPaths, *, known: set[str]) -> int:
    """Write the result files and the ends of logs that are not here yet; return how many runs brought some.

    Args:
        store: The record.
        sweep_id: Which sweep.
        paths: Its folder on this host.
        known: Ids of runs that are done and here; those that are brought are added.

    Raises:
        OSError: They cannot be written.
    """
    found = 0
    for run in store.runs(sweep_id):
        if run.run_id in known or not run.state.done:
            continue
        paths.logs.mkdir(parents=True, exist_ok=True)
        names = store.kept_files(run.run_id)
        for name in sorted(names):  # the log before the result, by which a run counts as brought
            kind, _, attempt = name.partition(" ")
            target = {RESULT_FILE: paths.result(run.run_id), LOG_FILE: paths.log(attempt)}.get(kind)
            data = None if target is None or target.exists() else store.kept_file(run.run_id, name)
            if target is not None and data is not None:
                write_atomically(target, unpacked(data))
                found += kind == RESULT_FILE
        if RESULT_FILE in names:  # they are kept after the end is recorded: looked for again until then
            known.add(run.run_id)
    return found
