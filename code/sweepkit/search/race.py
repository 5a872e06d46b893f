"""The engine of a confirmation: candidates with fresh seeds, as a race asks for them. The state is the run table.

The race itself, who goes on and when it is over, is decided by whoever makes the engine (`Decide`), so that this room
knows nothing of statistics.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sweepkit.model.runs import Exhausted, Proposal, RunView, Wait

Pair = tuple[int, int]  # a candidate and which of its fresh seeds, both from 0
# Ended runs → the runs that the present round still lacks, in order (those under way included), and a reason; no runs
# and a reason when the race is over.
Decide = Callable[[Mapping[Pair, RunView]], tuple[Sequence[Pair], str]]
_Configure = Callable[[int, int], Mapping[str, Any]]  # a pair → its parameters


class RaceEngine:
    """Propose what a race lacks; Wait while a round is under way.

    A run's pair is what its proposal noted, so a race is rebuilt from the record whatever became of its runs.

    Args:
        decide: The race.
        configure: The parameters of a run.
        total: The most runs that the race can take.
        notes: What else the record keeps of a proposal; its seed, say.
    """

    def __init__(self, decide: Decide, configure: _Configure, *, total: int, notes: _Configure | None = None) -> None:
        self._decide = decide
        self._configure = configure
        self._notes = notes or (lambda candidate, repeat: {})
        self._total = total
        self._views: dict[int, RunView] = {}

    def tell(self, run: RunView) -> None:
        """Take in the newest view of a run; one that is not of the race (it has no pair) is passed over."""
        if pair_of(run.info) is not None:
            self._views[run.number] = run

    def ask(self, number: int) -> Proposal | Exhausted | Wait:
        """Propose the first run that the present round lacks and nobody has begun; `number` does not matter."""
        runs, reason = self._decide(self.ended())
        if not runs:
            return Exhausted(reason=reason)
        begun = {pair_of(view.info) for view in self._views.values()}
        for candidate, repeat in runs:
            if (candidate, repeat) not in begun:
                return Proposal(
                    params=self._configure(candidate, repeat),
                    reason=reason,
                    info={"candidate": candidate, "repeat": repeat, **self._notes(candidate, repeat)},
                )
        return Wait(reason=f"{reason}: its last runs are under way")

    def total(self) -> int:
        """Return the most runs that the race can take; it may end earlier."""
        return self._total

    def ended(self) -> dict[Pair, RunView]:
        """Return the runs that are done, by candidate and repeat."""
        return {
            pair: view for view in self._views.values() if view.state.done and (pair := pair_of(view.info)) is not None
        }


def pair_of(info: Mapping[str, Any]) -> Pair | None:
    """Return which candidate and seed a run's proposal noted; None when it is not of a race.

    >>> pair_of({"candidate": 1, "repeat": 0}), pair_of({"point": 3})
    ((1, 0), None)
    """
    candidate, repeat = info.get("candidate"), info.get("repeat")
    return (candidate, repeat) if isinstance(candidate, int) and isinstance(repeat, int) else None
