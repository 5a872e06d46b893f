"""Configurations that a user names are proposed first; what one leaves out is the engine's."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from sweepkit.model.runs import Exhausted, Proposal, RunView, Wait
from sweepkit.model.space import Path, Space
from sweepkit.search.base import Engine
from sweepkit.search.random import derived_seed, draw


class FirstPoints:
    """An engine that proposes some configurations first.

    Args:
        inner: Proposes what comes after them, and the values that they leave out.
        points: Values by path, one for each of the first runs.
        space: Of the sweep.
        seed: Of the values of parameters that a point brings with it (`sweepkit.conditions`), and neither gives nor
            the engine proposed.
    """

    def __init__(self, inner: Engine, points: Sequence[Mapping[Path, Any]], space: Space, *, seed: int) -> None:
        self._inner, self._points, self._space, self._seed = inner, points, space, seed

    def tell(self, run: RunView) -> None:
        """Take in the newest view of a run."""
        self._inner.tell(run)

    def ask(self, number: int) -> Proposal | Exhausted | Wait:
        """Propose the configuration of run `number`."""
        found = self._inner.ask(number)
        if number >= len(self._points) or not isinstance(found, Proposal):
            return found
        point = self._points[number]
        flat = self._space.prune({**self._drawn(number), **self._space.flatten(found.params), **point})
        left = len(flat.keys() - point.keys())
        reason = f"first point {number + 1} of {len(self._points)}" + (f", the rest: {found.reason}" if left else "")
        # What the engine noted is about the configuration that it proposed itself.
        return Proposal(params=self._space.nest(flat), reason=reason)

    def _drawn(self, number: int) -> dict[Path, Any]:
        """Return a value for each parameter where some are not in every run; {} where all are."""
        if not self._space.conditions:
            return {}
        whole = Space(parameters=self._space.parameters)
        return whole.flatten(draw(whole, random.Random(derived_seed(self._seed, number))))

    def total(self) -> int | None:
        """Return the number of configurations in all."""
        return self._inner.total()
