"""Random search: independent draws from the distributions, without repeats where the space is finite."""

import hashlib
import random

from sweepkit.search.points import FinitePoints, SeenPoints, nested, support_points
from sweepkit.spec.runs import Exhausted, Proposal, RunView
from sweepkit.spec.space import Space

_DRAWS = 32  # of a finite space before the point is picked among the unseen ones instead


class RandomEngine:
    """Draw each parameter from its distribution, with a generator of its own for every `(seed, number)`.

    In a finite space a draw that was already told is drawn again. After 32 vain draws the point is picked uniformly
    among the unseen ones: with the sorted numbers of the seen points the k-th unseen one is found by bisection, so
    the last point of 10**6 costs as much as the first and no space is ever enumerated. The probabilities of the
    distributions therefore hold for the draws; what they left over is taken with equal ones.

    Args:
        space: Any space.
        seed: Seed of the search, >= 0.
    """

    def __init__(self, space: Space, *, seed: int) -> None:
        self._space = space
        self._seed = seed
        self._points: FinitePoints | None = support_points(space)
        self._seen = SeenPoints()

    def tell(self, run: RunView) -> None:
        """Take the run's point out of a finite space, in any state."""
        if self._points is not None:
            index = self._points.index(run.params)
            if index is not None:
                self._seen.add(index)

    def ask(self, number: int) -> Proposal | Exhausted:
        """Propose the draw of run `number`."""
        generator = random.Random(derived_seed(self._seed, number))
        reason = f"random draw {number} of seed {self._seed}"
        if self._points is None:
            return Proposal(params=draw(self._space, generator), reason=reason)
        if len(self._seen) >= self._points.total:
            return Exhausted(reason=f"all {self._points.total} configurations have been proposed")
        for _ in range(_DRAWS):
            params = draw(self._space, generator)
            if (index := self._points.index(params)) is not None and index not in self._seen:
                return Proposal(params=params, reason=reason)
        params = pick_unseen(self._points, self._seen, generator)
        return Proposal(params=params, reason=f"{reason}, one of the few left of {self._points.total}")

    def total(self) -> int | None:
        """Return the number of distinct configurations, None when infinitely many."""
        return None if self._points is None else self._points.total


def draw(space: Space, generator: random.Random) -> dict[str, object]:
    """Return an independent draw of every parameter, nested, with one uniform number each."""
    return nested(space, {p.path: p.distribution.ppf(generator.random()) for p in space.parameters})


def pick_unseen(points: FinitePoints, seen: SeenPoints, generator: random.Random) -> dict[str, object]:
    """Return a point that is not in `seen`, each with the same chance; there must be one."""
    return points.params(seen.unseen(generator.randrange(points.total - len(seen))))


def derived_seed(seed: int, number: int, attempt: int = 0) -> int:
    """Return a seed in [0, 2**32) of its own for each `(seed, number, attempt)`, the same on every machine."""
    text = f"{seed}:{number}:{attempt}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:4], "big")
