"""What an agent reports to whoever shows it: frozen records, sent to one callback from any of its threads."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sweepkit.model.records import RunRecord
from sweepkit.model.runs import RunView


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """An attempt's process runs."""

    run: RunRecord
    slot: int
    device: str
    warm: bool
    ordinal: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReported:
    """A running run reported; `value` is its newest metric value, `margin` its distance from being stopped."""

    run_id: str
    number: int
    slot: int
    values: Mapping[str, float]
    value: float | None
    reports: int
    margin: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded:
    """An attempt ended and its run is in the state that `run` shows (PENDING: it will be tried again)."""

    run: RunRecord
    slot: int
    duration_s: float
    messages: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunChanged:
    """A run that this call did not make is found changed in the record: another agent works on the sweep, or did."""

    view: RunView


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One sentence for the user; `warning` asks for attention."""

    text: str
    warning: bool = False


Event = RunStarted | RunReported | RunEnded | RunChanged | Notice
