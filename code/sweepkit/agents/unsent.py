"""Files of runs that the record carries from a host that shares no folder, and that it has not got yet.

Before an attempt's end is recorded, a note of it is left beside the sweep's files; it goes when its files are in the
record. What an agent that was killed between the two has left is sent by the next one of that host, by its keeper, or
by whoever fetches something from there.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sweepkit.agents.results import attempts_in, carried_files, write_result
from sweepkit.files import write_atomically
from sweepkit.model.records import RunRecord, SweepRecord
from sweepkit.model.runs import RunState
from sweepkit.paths import SweepPaths
from sweepkit.store.base import Store
from sweepkit.sweep_config.read import read_recorded


def note_unsent(paths: SweepPaths, attempt_id: str, surroundings: Mapping[str, Any]) -> None:
    """Note that the files of an attempt are to be sent.

    Args:
        paths: The sweep's files on this host.
        attempt_id: The attempt, whose end is about to be recorded.
        surroundings: What its result file says of the host, as `write_result` takes it.

    Raises:
        OSError: It cannot be written.
    """
    _folder(paths).mkdir(parents=True, exist_ok=True)
    write_atomically(_note(paths, attempt_id), json.dumps(dict(surroundings)))


def forget_unsent(paths: SweepPaths, attempt_id: str) -> None:
    """Take the note of an attempt away: its files are in the record, or nobody wants them."""
    _note(paths, attempt_id).unlink(missing_ok=True)


def send_unsent(store: Store, sweep: SweepRecord, paths: SweepPaths) -> list[str]:
    """Send what agents of this host that were killed have left; return the ids of its runs.

    Args:
        store: The record.
        sweep: Whose runs.
        paths: The sweep's files on this host.

    Raises:
        OSError: A file cannot be read or written.
        StoreError: The record is away.
    """
    notes = sorted(_folder(paths).glob("*.json"))
    runs = {run.run_id: run for run in store.runs(sweep.sweep_id)} if notes else {}
    sent = []
    for note in notes:
        run_id, _, ordinal = note.stem.rpartition("-")
        run = runs.get(run_id)
        last = run is not None and str(run.attempts) == ordinal
        if run is not None and last and run.state is RunState.RUNNING:
            continue  # its end is not recorded yet
        if run is not None and last and run.state.done:
            _send(store, sweep, run, paths, note)
            sent.append(run_id)
        note.unlink(missing_ok=True)
    return sent


def _send(store: Store, sweep: SweepRecord, run: RunRecord, paths: SweepPaths, note: Path) -> None:
    if attempts_in(paths.result(run.run_id)) < run.attempts:
        metric = read_recorded(sweep).metric
        write_result(paths, run, seed=sweep.seed, surroundings=json.loads(note.read_text()), metric=metric)
    for name, data in carried_files(paths, run, note.stem).items():
        store.keep_file(run.run_id, name, data)


def _folder(paths: SweepPaths) -> Path:
    return paths.root / "unsent"


def _note(paths: SweepPaths, attempt_id: str) -> Path:
    return _folder(paths) / f"{attempt_id}.json"
