"""Runs, proposals and decisions as values: what engines and stopping rules are given and return."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class RunState(StrEnum):
    """Where a run stands. A run is done in every state but PENDING and RUNNING."""

    PENDING = "pending"  # proposed, no live attempt
    RUNNING = "running"  # an attempt owns it
    FINISHED = "finished"  # its program ended with exit code 0
    STOPPED = "stopped"  # a stopping rule ended it
    DIVERGED = "diverged"  # its metric became NaN or infinite and it was ended
    FAILED = "failed"  # its program ended otherwise, and retries are used up

    @property
    def done(self) -> bool:
        """Return whether no further attempt will be made by itself."""
        return self not in OPEN

    @property
    def ended_well(self) -> bool:
        """Return whether its value counts: it ended by itself, or a stopping rule ended it."""
        return self in ENDED_WELL

    @property
    def ended_badly(self) -> bool:
        """Return whether it ended and its value does not count."""
        return self in ENDED_BADLY

    @property
    def cut_short(self) -> bool:
        """Return whether it ended before its program was through."""
        return self in CUT_SHORT


# The groups of states that rules ask for; nobody writes one again.
OPEN = (RunState.PENDING, RunState.RUNNING)
ENDED_WELL = (RunState.FINISHED, RunState.STOPPED)
ENDED_BADLY = (RunState.FAILED, RunState.DIVERGED)
CUT_SHORT = (RunState.STOPPED, RunState.DIVERGED, RunState.FAILED)


def count_of(counts: Mapping[RunState, int], group: Iterable[RunState]) -> int:
    """Return how many runs are in a group of states.

    Args:
        counts: Runs by state; absent: none.
        group: OPEN, ENDED_WELL, ENDED_BADLY or CUT_SHORT.

    >>> count_of({RunState.RUNNING: 2, RunState.FINISHED: 3}, OPEN)
    2
    """
    return sum(counts.get(state, 0) for state in group)


def none_worked(states: Iterable[RunState]) -> bool:
    """Return whether runs have ended and each of them failed: it is the program that does not work, not a run."""
    done = {state for state in states if state.done}
    return done == {RunState.FAILED}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """What a decider may know of a run.

    Args:
        number: 0-based position in the sweep; unique, in order of proposal.
        run_id: The run's id.
        params: Its configuration, nested as W&B nests it.
        state: Where it stands.
        history: The metric's value at each report that had one, in order; NaN and infinities kept.
        summary: The metric's value set without a report (a W&B summary), or None.
        objectives: Of a sweep with several metrics the history of each, in the sweep's order; () of any other.
        summaries: Likewise the value of each that was set without a report, or None; () when there is none.
        info: What the engine that proposed it noted (`Proposal.info`); {} of a run that no engine of ours proposed.
        instances: What it reported of each instance (fold) alone, in order, beside the metric; NaN and infinities
            kept. () unless the stopping rule asks for it (`EarlyTerminate.instance_metric`), and for other agents' runs
            that have not finished.
        seconds: How long it took; None of a run that has not finished, or of which nobody
            knows.
        value_rule: What its own program says that its value is of its reports; "": the metric's rule holds.
        mean_over: What each report is a mean over so far, as its program says ("fold"); "": of nothing.
    """

    number: int
    run_id: str
    params: Mapping[str, Any]
    state: RunState
    history: Sequence[float] = ()
    summary: float | None = None
    objectives: tuple[Sequence[float], ...] = ()
    summaries: tuple[float | None, ...] = ()
    info: Mapping[str, Any] = field(default_factory=dict)
    instances: Sequence[float] = ()
    value_rule: str = ""
    mean_over: str = ""
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A configuration to try, nested, with the engine's reason in words and its numbers."""

    params: Mapping[str, Any]
    reason: str
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhausted:
    """There is nothing left to propose, and why."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing to propose now; ask again when a running run has ended, and why."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A stopping rule's verdict on one running run.

    Args:
        stop: End the run now.
        reason: Why, in words; never empty.
        diverged: The run is ended because its metric is not finite (state DIVERGED, not STOPPED).
        margin: How far the run is from being stopped, in units of the metric (positive: safe), if known.
    """

    stop: bool
    reason: str
    diverged: bool = False
    margin: float | None = None

    def __post_init__(self) -> None:
        """Refuse a verdict without a reason."""
        if not self.reason:
            raise ValueError("a decision needs a reason, got an empty string")
