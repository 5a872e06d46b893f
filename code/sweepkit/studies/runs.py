"""Optuna's own trials as runs, so that a study made by `study.optimize` gets the same files and figures as ours."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunState
from sweepkit.model.space import Space
from sweepkit.search.suggest import Replay, suggest

_STATES = {
    "COMPLETE": RunState.FINISHED,
    "PRUNED": RunState.STOPPED,
    "FAIL": RunState.FAILED,
    "RUNNING": RunState.RUNNING,
    "WAITING": RunState.PENDING,
}


def runs_of(trials: Sequence[Any], space: Space) -> list[RunRecord]:
    """Return trials as runs, by number.

    Args:
        trials: `optuna.trial.FrozenTrial`s of one objective.
        space: What they were suggested from; a trial with other parameters keeps those it has.
    """
    return [_run(trial, space) for trial in sorted(trials, key=lambda trial: trial.number)]


def _run(trial: Any, space: Space) -> RunRecord:
    state = _STATES[trial.state.name]
    steps = trial.intermediate_values
    value = trial.value if state is RunState.FINISHED else None
    began, ended = _seconds(trial.datetime_start), _seconds(trial.datetime_complete)
    return RunRecord(
        run_id=f"trial{trial.number}",
        sweep_id="",
        number=trial.number,
        params=_params(trial.params, space),
        state=state,
        history=tuple(float(steps[step]) for step in sorted(steps)),
        summary=None if value is None or not math.isfinite(value) else float(value),
        attempts=1,
        started_at=began,
        ended_at=ended,
        outcome={} if began is None or ended is None else {"duration_s": ended - began},
    )


def _params(params: Mapping[str, Any], space: Space) -> dict[str, Any]:
    """Return a trial's configuration, nested; constants of the space are in it."""
    try:
        return suggest(space, Replay(params))
    except (KeyError, ValueError):
        return dict(params)


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
