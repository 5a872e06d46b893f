"""What one terminal asks of a sweep that runs in another: it is written as the sweep's state in the record.

| asked | the record says | agents |
|---|---|---|
| pause | PAUSED | start no run; those under way go on; wait |
| resume | RUNNING | go on |
| stop | FINISHED, with STOPPED as reason | start no run, end when those under way have ended |
| cancel | CANCELLED | end the runs under way, release them, end |
| stop a run | the attempt under `STOP_ATTEMPTS` | end it; the run is STOPPED, its value counts |

An agent reads it every CONTROL_PERIOD_S seconds, less often where hundreds share the record (`pace`). The store itself
lets nobody claim or add a run of a sweep that is not RUNNING, so what was asked holds from the moment it is written.
Starting the sweep by its YAML sets it RUNNING.
"""

import difflib
import getpass
import os
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from sweepkit.agents.identity import host_name
from sweepkit.errors import ConflictError, StoreError
from sweepkit.model.records import STOPPED, SweepRecord, SweepState
from sweepkit.model.runs import RunState
from sweepkit.store.base import Store
from sweepkit.store.named import newer_of, sweep_meant

CONTROL_PERIOD_S = 0.5
CANCELLED = "cancelled by --cancel"
ASKED = "asked"  # under this key of a sweep's meta stands what was asked of it: [{what, who, at}], the newest last
STOP_ATTEMPTS = "stop_attempts"  # attempt id → why it shall end
_RUN_NOTES = "run_notes"  # run id → {note, tags}
_MOST_ASKED = 500
PAUSED = "paused by --pause"


class SweepCommand(StrEnum):
    """What can be asked of a sweep."""

    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    CANCEL = "cancel"


_EFFECT = {
    SweepCommand.PAUSE: (SweepState.PAUSED, PAUSED),
    SweepCommand.RESUME: (SweepState.RUNNING, ""),
    SweepCommand.STOP: (SweepState.FINISHED, STOPPED),
    SweepCommand.CANCEL: (SweepState.CANCELLED, CANCELLED),
}
_ALLOWED = {
    SweepCommand.PAUSE: {SweepState.RUNNING},
    SweepCommand.RESUME: {SweepState.PAUSED},
    SweepCommand.STOP: {SweepState.RUNNING, SweepState.PAUSED},
    SweepCommand.CANCEL: {SweepState.RUNNING, SweepState.PAUSED},
}


def find_sweep_record(store: Store, name: str) -> SweepRecord:
    """Return the sweep that a user means by `name`: the one of just that name, else the newest of that family.

    Where several projects have one of that name, that of the working directory's project is meant.

    Args:
        store: The record.
        name: What the user said.

    Raises:
        StoreError: There is none; the message names the nearest.
    """
    sweeps = store.sweeps()
    # A damaged one is in no list; asking for it by name says what is damaged.
    found = sweep_meant(sweeps, name) or store.sweep(name)
    if found is not None:
        return found
    known = [sweep.name for sweep in sweeps]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known[:10]) or 'none'}"
    raise StoreError(f"sweep {name!r}: must be in the record; {hint} (--output-dir or --storage name another record)")


def ask(store: Store, name: str | SweepRecord, command: SweepCommand, *, who: str = "") -> SweepRecord:
    """Write a command into the record; return the sweep as it is now.

    Args:
        store: The record.
        name: As for `find_sweep_record`, or the sweep itself.
        command: What is asked.
        who: Who asks, for the record; "" for whoever this process runs as.

    Raises:
        StoreError: There is no such sweep.
        ConflictError: The sweep is not in a state in which this can be asked.
    """
    sweep = name if isinstance(name, SweepRecord) else find_sweep_record(store, name)
    if sweep.state not in _ALLOWED[command]:
        states = " or ".join(sorted(state.value for state in _ALLOWED[command]))
        why = f" ({sweep.reason})" if sweep.reason else ""
        newer = newer_of(store.sweeps(), sweep)
        hint = "start it again as it was begun to go on" if newer is None else f"the newest of its name is {newer.name}"
        raise ConflictError(
            f"sweep {sweep.name}: --{command.value} needs one that is {states}, got {sweep.state.value}{why}; {hint}"
        )
    state, reason = _EFFECT[command]
    meta = _asked(store, sweep, command.value, who)
    return store.update_sweep(sweep.sweep_id, state=state, reason=reason, meta=meta)


def stop_run(store: Store, name: str | SweepRecord, run_id: str, *, who: str = "") -> str:
    """Ask for the end of one running run, whose value then counts like that of any stopped run; return its attempt.

    Raises:
        StoreError: There is no such sweep.
        ConflictError: The run has no live attempt.
    """
    sweep = name if isinstance(name, SweepRecord) else find_sweep_record(store, name)
    live = {item.run_id: item.attempt_id for item in store.live_attempts(sweep.sweep_id)}
    if run_id not in live:
        running = ", ".join(sorted(live)) or "none"
        raise ConflictError(f"run {run_id}: must be running to be stopped, got one that is not; running: {running}")
    reason = f"stopped by hand by {who or whoami()}"
    kept = {item: why for item, why in sweep.meta.get(STOP_ATTEMPTS, {}).items() if item in live.values()}
    meta = {STOP_ATTEMPTS: {**kept, live[run_id]: reason}, **_asked(store, sweep, f"stop run {run_id}", who)}
    store.update_sweep(sweep.sweep_id, meta=meta)
    return live[run_id]


def retry_failed(store: Store, name: str | SweepRecord, *, who: str = "") -> int:
    """Put the failed runs of a sweep back to pending, for its agents or the next that come; return how many.

    A sweep that had ended goes on. Raises StoreError: there is no such sweep.
    """
    sweep = name if isinstance(name, SweepRecord) else find_sweep_record(store, name)
    runs = store.retry(sweep.sweep_id, [RunState.FAILED])
    again = SweepState.RUNNING if runs and sweep.state is SweepState.FINISHED else None
    meta = _asked(store, sweep, f"retry {len(runs)} failed runs", who)
    store.update_sweep(sweep.sweep_id, state=again, reason=None if again is None else "", meta=meta)
    return len(runs)


def annotate(
    store: Store, name: str | SweepRecord, changes: Mapping[str, Any], *, run_id: str = "", who: str = ""
) -> SweepRecord:
    """Keep a note, tags or the archive's mark with a sweep or one of its runs; return the sweep.

    Args:
        store: The record.
        name: As for `find_sweep_record`, or the sweep itself.
        changes: Any of note (text), tags (texts), archived (bool; of a sweep alone).
        run_id: Of which run; "" for the sweep.
        who: As for `ask`.

    Raises:
        StoreError: There is no such sweep.
        ConflictError: A change is of no such kind.
    """
    kinds = {"note": str, "tags": list, **({} if run_id else {"archived": bool})}
    if wrong := [key for key, value in changes.items() if not isinstance(value, kinds.get(key, ()))]:
        raise ConflictError(f"note: must be one of {', '.join(kinds)} with its kind of value, got {wrong[0]!r}")
    sweep = name if isinstance(name, SweepRecord) else find_sweep_record(store, name)
    meta: dict[str, Any] = dict(changes)
    if run_id:
        notes = dict(sweep.meta.get(_RUN_NOTES, {}))
        notes[run_id] = {**notes.get(run_id, {}), **changes}
        meta = {_RUN_NOTES: notes}
    what = f"{', '.join(changes)} of {f'run {run_id}' if run_id else 'the sweep'}"
    if list(changes) == ["archived"]:
        what = "archive" if changes["archived"] else "take from the archive"
    return store.update_sweep(sweep.sweep_id, meta={**meta, **_asked(store, sweep, what, who)})


def noted(sweep: SweepRecord, key: str, run_id: str = "") -> Any:
    """Return what somebody gave a sweep or one of its runs by `annotate`; None where nobody did.

    Args:
        sweep: The sweep.
        key: "note", "tags" or "archived".
        run_id: Of which run; "" for the sweep.
    """
    if not run_id:
        return sweep.meta.get(key)
    own = sweep.meta.get(_RUN_NOTES, {}).get(run_id, {})
    return own.get(key, sweep.meta.get(f"{key} of {run_id}"))  # the latter as earlier versions wrote it


def whoami() -> str:
    """Return who this process runs as, and where, e.g. "minji@gpu3"."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = str(os.getuid())
    return f"{user}@{host_name()}"


def _asked(store: Store, sweep: SweepRecord, what: str, who: str) -> dict[str, Any]:
    """Return the sweep's list of what was asked, by whom and when, with this added."""
    entry = {"what": what, "who": who or whoami(), "at": store.now()}
    return {ASKED: [*sweep.meta.get(ASKED, []), entry][-_MOST_ASKED:]}
