"""Quasi-random search: the points of a low-discrepancy sequence, as quantiles of the parameters.

Sources: Sobol' 1967 and Halton 1960 as scipy.stats.qmc makes them; Owen 2021 (arXiv:2008.08051): a scrambled sequence
keeps its first point. An unscrambled one leaves it out: all its quantiles are 0, which a normal distribution has not.
"""

import random
from collections.abc import Sequence
from typing import Any

from sweepkit.model.runs import Exhausted, Proposal, RunView
from sweepkit.model.space import Space
from sweepkit.search.points import FinitePoints, SeenPoints, support_points
from sweepkit.search.random import derived_seed, draw, pick_unseen

_STEPS = 32  # along the sequence in a finite space before the point is picked among the unseen ones


class QmcEngine:
    """Propose point `number` of one sequence over the quantiles, so that few runs cover the space evenly.

    Each parameter is drawn by its own distribution (probabilities, normals and all), with the sequence's coordinate in
    place of a random number. In a finite space a told point is passed over for the next ones of the sequence.

    Args:
        space: Any space of at most 21,201 parameters, where scipy's Sobol' table ends.
        seed: Seed of the search, >= 0; an unscrambled sequence is the same for all.
        qmc_type: "sobol" (best at powers of two runs) or "halton".
        scramble: Randomize the sequence by the seed.
    """

    def __init__(self, space: Space, *, seed: int, qmc_type: str = "sobol", scramble: bool = True) -> None:
        self._space = space
        self._seed = seed
        self._type = qmc_type
        self._scramble = scramble
        self._points: FinitePoints | None = support_points(space)
        self._seen = SeenPoints()

    def tell(self, run: RunView) -> None:
        """Take the run's point out of a finite space, in any state."""
        if self._points is not None and (index := self._points.index(run.params)) is not None:
            self._seen.add(index)

    def ask(self, number: int) -> Proposal | Exhausted:
        """Propose point `number` of the sequence."""
        reason = f"point {number} of the {'scrambled ' if self._scramble else ''}{self._type} sequence"
        if self._points is None:
            return Proposal(params=self._drawn(self._coordinates(number, 1)[0]), reason=reason)
        if len(self._seen) >= self._points.total:
            return Exhausted(reason=f"all {self._points.total} configurations have been proposed")
        for step, coordinates in enumerate(self._coordinates(number, _STEPS)):
            params = self._drawn(coordinates)
            if (index := self._points.index(params)) is not None and index not in self._seen:
                passed = f", {step} after it, as those were told" if step else ""
                return Proposal(params=params, reason=reason + passed)
        params = pick_unseen(self._points, self._seen, random.Random(derived_seed(self._seed, number)))
        return Proposal(params=params, reason=f"{reason} was told: one of the few left of {self._points.total}")

    def total(self) -> int | None:
        """Return the number of distinct configurations, None when infinitely many."""
        return None if self._points is None else self._points.total

    def _drawn(self, coordinates: Sequence[float]) -> dict[str, Any]:
        return draw(self._space, _Coordinates(coordinates))

    def _coordinates(self, number: int, count: int) -> list[list[float]]:
        """Return `count` points from `number` on, each of as many coordinates in [0, 1) as there are parameters."""
        import numpy as np
        from scipy.stats import qmc  # type: ignore[import-untyped]

        parameters = max(1, len(self._space.parameters))
        generator = np.random.default_rng(derived_seed(self._seed, 0))
        sequence = qmc.Sobol if self._type == "sobol" else qmc.Halton
        points = sequence(parameters, scramble=self._scramble, rng=generator)
        if skipped := number + (not self._scramble):
            points.fast_forward(skipped)
        return [points.random(1)[0].tolist() for _ in range(count)]


class _Coordinates(random.Random):
    """Stands in for a generator: its random numbers are the coordinates of one point, in order."""

    def __init__(self, coordinates: Sequence[float]) -> None:
        super().__init__(0)
        self._coordinates = iter(coordinates)

    def random(self) -> float:
        """Return the next coordinate."""
        return next(self._coordinates)
