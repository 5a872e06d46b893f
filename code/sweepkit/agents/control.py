"""What one terminal asks of a sweep that runs in another: it is written as the sweep's state in the record.

| asked | the record says | agents |
|---|---|---|
| pause | PAUSED | start no run; those under way go on; wait |
| resume | RUNNING | go on |
| stop | FINISHED, with STOPPED as reason | start no run, end when those under way have ended |
| cancel | CANCELLED | end the runs under way, release them, end |

An agent reads it every CONTROL_PERIOD_S seconds. The store itself lets nobody claim or add a run of a sweep that is
not RUNNING, so what was asked holds from the moment it is written. Starting the sweep by
its YAML sets it RUNNING.
"""

import difflib
from enum import StrEnum

from sweepkit.errors import ConflictError, StoreError
from sweepkit.model.records import SweepRecord, SweepState
from sweepkit.store.base import Store
from sweepkit.store.named import family_meant

CONTROL_PERIOD_S = 0.5
STOPPED = "stopped by --stop"
CANCELLED = "cancelled by --cancel"
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
    """Return the sweep that a user means by `name`: the newest of the family of that name, else the very one.

    Where several projects have one of that name, that of the working directory's project is meant.

    Raises:
        StoreError: There is none; the message names the nearest.
    """
    family = store.sweeps(family=family_meant(store.sweeps(), name))
    found = family[-1] if family else store.sweep(name)
    if found is not None:
        return found
    known = [sweep.name for sweep in store.sweeps()]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known[:10]) or 'none'}"
    raise StoreError(f"sweep {name!r}: must be in the record; {hint} (--output-dir or --storage name another record)")


def ask(store: Store, name: str, command: SweepCommand) -> SweepRecord:
    """Write a command into the record; return the sweep as it is now.

    Raises:
        StoreError: There is no such sweep.
        ConflictError: The sweep is not in a state in which this can be asked.
    """
    sweep = find_sweep_record(store, name)
    if sweep.state not in _ALLOWED[command]:
        states = " or ".join(sorted(state.value for state in _ALLOWED[command]))
        why = f" ({sweep.reason})" if sweep.reason else ""
        raise ConflictError(
            f"sweep {sweep.name}: --{command.value} needs one that is {states}, got {sweep.state.value}{why}; "
            "start it again by its YAML to go on"
        )
    state, reason = _EFFECT[command]
    return store.update_sweep(sweep.sweep_id, state=state, reason=reason)
