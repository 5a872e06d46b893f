"""What an agent made of an attempt's end that the database did not take: kept in the attempt's exit file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweepkit.agents.exit_file import read_end
from sweepkit.model.runs import RunState
from sweepkit.scheduling.failures import Failure, FailureKind
from sweepkit.scheduling.outcome import AttemptOutcome

_LONGEST = 300  # characters of a text: all of it must go into the room that was taken for it


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptEnd:
    """An end to be recorded later.

    Args:
        outcome: What it means for the run. What it means for the slot is forgotten: a new agent has new slots.
        facts: What only the agent knew: device, slot, seed, whether the start was warm.
    """

    outcome: AttemptOutcome
    facts: Mapping[str, Any]

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        failed = self.outcome.failed
        return {
            "state": self.outcome.state.value,
            "reason": self.outcome.reason[:_LONGEST],
            "failure": self.outcome.failure,
            "failed": failed
            and {
                "kind": failed.kind.value,
                "reason": failed.reason[:_LONGEST],
                "signature": failed.signature[:_LONGEST],
            },
            "facts": dict(self.facts),
        }


def kept_end(exit_file: Path) -> KeptEnd | None:
    """Return what was kept in an attempt's exit file; None without any, or when it cannot be read."""
    try:
        kept = (read_end(exit_file) or {})["outcome"]
        failed = kept["failed"] and Failure(**{**kept["failed"], "kind": FailureKind(kept["failed"]["kind"])})
        outcome = AttemptOutcome(
            state=RunState(kept["state"]), reason=str(kept["reason"]), failure=bool(kept["failure"]), failed=failed
        )
        return KeptEnd(outcome=outcome, facts=dict(kept["facts"]))
    except (KeyError, TypeError, ValueError):
        return None
