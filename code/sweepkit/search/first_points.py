"""Configurations that a user names are proposed first; what one leaves out is the engine's."""

from collections.abc import Mapping, Sequence
from typing import Any

from sweepkit.model.runs import Exhausted, Proposal, RunView, Wait
from sweepkit.model.space import Path, Space
from sweepkit.search.base import Engine


class FirstPoints:
    """An engine that proposes some configurations first.

    Args:
        inner: Proposes what comes after them, and the values that they leave out.
        points: Values by path, one for each of the first runs.
        space: Of the sweep.
    """

    def __init__(self, inner: Engine, points: Sequence[Mapping[Path, Any]], space: Space) -> None:
        self._inner, self._points, self._space = inner, points, space

    def tell(self, run: RunView) -> None:
        """Take in the newest view of a run."""
        self._inner.tell(run)

    def ask(self, number: int) -> Proposal | Exhausted | Wait:
        """Propose the configuration of run `number`."""
        found = self._inner.ask(number)
        if number >= len(self._points) or not isinstance(found, Proposal):
            return found
        flat = {**self._space.flatten(found.params), **self._points[number]}
        left = len(self._space.parameters) - len(self._points[number])
        reason = f"first point {number + 1} of {len(self._points)}" + (f", the rest: {found.reason}" if left else "")
        # What the engine noted is about the configuration that it proposed itself.
        return Proposal(params=self._space.nest(flat), reason=reason)

    def total(self) -> int | None:
        """Return the number of configurations in all."""
        return self._inner.total()
