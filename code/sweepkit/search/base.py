"""The one contract that every engine keeps. An engine sees values only: no store, no clock, no files."""

from typing import Protocol

from sweepkit.model.runs import Exhausted, Proposal, RunView, Wait


class Engine(Protocol):
    """Propose configurations of one sweep.

    An engine is rebuilt from the record at any time: telling a fresh one the same runs in order of their number
    and asking for the same number gives the same proposal. Its randomness comes from `(seed, number)` only.
    """

    def tell(self, run: RunView) -> None:
        """Take in the newest view of a run, pending and running ones too; a later view of a number replaces it."""
        ...

    def ask(self, number: int) -> Proposal | Exhausted | Wait:
        """Propose the configuration of run `number`, distinct from every told one where the space is finite.

        Args:
            number: The number the run will get, one more than the largest told.

        Returns:
            A Proposal; Exhausted when nothing is left whatever the running runs bring; Wait when it depends on them.
        """
        ...

    def total(self) -> int | None:
        """Return the number of configurations in all, None when unbounded."""
        ...
